package operation

import (
	"regexp"

	"domus.dev/domus/pkg/virtctl/failure"
)

// maxUser and userPattern are the API's for the name of a guest's user.
const maxUser = 32

var userPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*[$]?$`)

// CheckUser refuses what is no name of a guest's user.
func CheckUser(user string) error {
	if !userPattern.MatchString(user) || len(user) > maxUser {
		return failure.Usage("--guest-user=%q is no name of a user: it has letters, digits, _, . and -, begins with a letter or _, and has at most %d characters", user, maxUser)
	}
	return nil
}
