package password

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"domus.dev/domus/pkg/virtctl/failure"
)

const (
	// rounds is what hashing costs: some tens of milliseconds at each login, and
	// twenty times crypt's default of 5000 to whoever guesses.
	rounds = 100_000
	// maxHash is the API's bound, in bytes.
	maxHash = 512
)

// hashPattern is the API's. It is checked here first, since the API server would
// quote in its refusal, and in its logs, what may be a password in the clear.
var hashPattern = regexp.MustCompile(`^\$[0-9a-z]+\$[^:\n]+$`)

// hash returns the SHA-512 crypt of a password, with a salt of its own.
func hash(password string) (string, error) {
	hasher, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithRounds(rounds))
	if err != nil {
		return "", fmt.Errorf("hashing the password: %w", err)
	}
	digest, err := hasher.Hash(password)
	if err != nil {
		return "", errors.New("hashing the password failed") // the cause may quote it
	}
	return digest.Encode(), nil
}

// checkHash refuses what is no hash of crypt(5), without repeating it.
func checkHash(given string) error {
	if !hashPattern.MatchString(given) || len(given) > maxHash {
		return failure.Usage("--hash is no hash of crypt(5), such as $6$salt$hash, of at most %d characters: make one with `openssl passwd -6`, or leave --hash out to be asked for the password", maxHash)
	}
	return nil
}

// readHash reads one line.
func readHash(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, 2*maxHash)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the hash from standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	return line, checkHash(line)
}
