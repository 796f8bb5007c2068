package sendkey

import (
	"slices"
	"strings"
	"testing"

	"domus.dev/domus/pkg/virtctl/failure"
)

func TestChord(t *testing.T) {
	for text, want := range map[string]string{
		"ctrl-alt-delete":         "KEY_LEFTCTRL KEY_LEFTALT KEY_DELETE",
		"Ctrl+Alt+F2":             "KEY_LEFTCTRL KEY_LEFTALT KEY_F2",
		"a":                       "KEY_A",
		"7":                       "KEY_7",
		"enter":                   "KEY_ENTER",
		"alt-sysrq-b":             "KEY_LEFTALT KEY_SYSRQ KEY_B",
		"KEY_LEFTSHIFT-KEY_MINUS": "KEY_LEFTSHIFT KEY_MINUS",
		"key_volumeup":            "KEY_VOLUMEUP",
	} {
		keys, err := chord(text)
		if got := strings.Join(keys, " "); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                  "names no key",
		"-":                                 "minus",
		"ctrl++a":                           "between its separators",
		"ctrl--a":                           "between its separators",
		"ctrl-alt-":                         "between its separators",
		"+a":                                "between its separators",
		"ctrl-+":                            "shift-equal",
		"ctrl-altt":                         "is it alt or altgr?",
		"ctrl-é":                            "is the name of no key",
		"ctrl-ctrl":                         "twice",
		"ctrl-leftctrl":                     "twice",
		"KEY_" + strings.Repeat("A", 60):    "is the name of no key",
		"a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q": "16 is the most",
	} {
		if _, err := chord(text); failure.CodeOf(err) != failure.Misused || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestEveryKeyIsOneThatTheAPITakes(t *testing.T) {
	for name, key := range keys {
		if !linuxName.MatchString(key) || name != strings.ToLower(name) || strings.ContainsFunc(name, separates) {
			t.Errorf("%q: %q", name, key)
		}
	}
}

func TestCompleteChordCompletesTheLastKey(t *testing.T) {
	if got := completeChord("ctrl-al"); !slices.Contains(got, "ctrl-alt") {
		t.Errorf("%q", got)
	}
}
