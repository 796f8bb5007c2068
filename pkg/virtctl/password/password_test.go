package password

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"domus.dev/domus/pkg/virtctl/failure"
)

func TestHashIsOfCrypt(t *testing.T) {
	first, err := hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	second, err := hash("correct horse")
	if err != nil || first == second {
		t.Errorf("the same salt twice, %v", err)
	}
	if !strings.HasPrefix(first, "$6$rounds=100000$") || checkHash(first) != nil {
		t.Errorf("%q", first)
	}
	digest, err := shacrypt.Decode(first)
	if err != nil || !digest.Match("correct horse") || digest.Match("wrong horse") {
		t.Errorf("does not tell passwords apart: %v", err)
	}
}

// The vector is of Ulrich Drepper's specification of SHA-crypt.
func TestHashIsThatOfTheSpecification(t *testing.T) {
	digest, err := shacrypt.Decode(vector)
	if err != nil || !digest.Match("Hello world!") {
		t.Errorf("%v", err)
	}
}

const vector = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"

func TestWhatIsNoHashIsNotRepeated(t *testing.T) {
	for _, given := range []string{"hunter2", "", "$6$", "$6$salt$a:b", "$6$salt$" + strings.Repeat("a", 512)} {
		err := checkHash(given)
		if failure.CodeOf(err) != failure.Misused {
			t.Errorf("%q: %v", given, err)
		}
		if given != "" && given != "$6$" && strings.Contains(err.Error(), given) {
			t.Errorf("repeats it: %v", err)
		}
	}
	for _, given := range []string{vector, "$y$j9T$abc$def"} {
		if got, err := readHash(strings.NewReader(given + "\r\n")); err != nil || got != given {
			t.Errorf("%q: %q, %v", given, got, err)
		}
	}
	if _, err := readHash(strings.NewReader("")); failure.CodeOf(err) != failure.Misused {
		t.Errorf("nothing: %v", err)
	}
}

func TestAPasswordIsTypedTwice(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		typed []string
		err   error
		want  string
		code  failure.Code
	}{
		"the same":          {typed: []string{"a", "a"}, want: "a", code: failure.Done},
		"another":           {typed: []string{"a", "b"}, code: failure.General},
		"nothing":           {typed: []string{"", ""}, code: failure.General},
		"no terminal there": {typed: []string{"a"}, err: broken, code: failure.General},
	} {
		left := test.typed
		got, err := twice(func(string) (string, error) {
			if len(left) == 0 {
				return "", test.err
			}
			defer func() { left = left[1:] }()
			return left[0], nil
		}, "root of web")
		if got != test.want || failure.CodeOf(err) != test.code || err != nil && strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
