package e2e

import (
	"os"
	"strconv"
	"testing"
)

// roundsVariable, when set in the environment, is how many rounds the tests go that
// kill again and again, and look for what is lost or left.
const roundsVariable = "DOMUS_E2E_ROUNDS"

// rounds is what it says, or few: make test-kills goes many.
func rounds(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv(roundsVariable)
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q: give a number of rounds", roundsVariable, text)
	}
	return n
}
