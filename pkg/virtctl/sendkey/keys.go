package sendkey

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"domus.dev/domus/pkg/virtctl/failure"
)

// maxKeys is the API's bound on keys pressed together.
const maxKeys = 16

// linuxName is the API's pattern of a key.
var linuxName = regexp.MustCompile(`^KEY_[A-Z0-9_]{1,59}$`)

// keys are everyday names of keys, and Linux's (input-event-codes.h).
var keys = everyday()

func everyday() map[string]string {
	names := map[string]string{
		"ctrl": "KEY_LEFTCTRL", "control": "KEY_LEFTCTRL", "leftctrl": "KEY_LEFTCTRL", "rightctrl": "KEY_RIGHTCTRL",
		"alt": "KEY_LEFTALT", "leftalt": "KEY_LEFTALT", "rightalt": "KEY_RIGHTALT", "altgr": "KEY_RIGHTALT",
		"shift": "KEY_LEFTSHIFT", "leftshift": "KEY_LEFTSHIFT", "rightshift": "KEY_RIGHTSHIFT",
		"super": "KEY_LEFTMETA", "meta": "KEY_LEFTMETA", "win": "KEY_LEFTMETA", "cmd": "KEY_LEFTMETA",
		"del": "KEY_DELETE", "delete": "KEY_DELETE", "ins": "KEY_INSERT", "insert": "KEY_INSERT",
		"esc": "KEY_ESC", "escape": "KEY_ESC", "enter": "KEY_ENTER", "return": "KEY_ENTER", "tab": "KEY_TAB",
		"space": "KEY_SPACE", "backspace": "KEY_BACKSPACE", "home": "KEY_HOME", "end": "KEY_END",
		"pageup": "KEY_PAGEUP", "pagedown": "KEY_PAGEDOWN", "up": "KEY_UP", "down": "KEY_DOWN", "left": "KEY_LEFT", "right": "KEY_RIGHT",
		"sysrq": "KEY_SYSRQ", "printscreen": "KEY_SYSRQ", "pause": "KEY_PAUSE", "break": "KEY_PAUSE", "power": "KEY_POWER",
		"capslock": "KEY_CAPSLOCK", "numlock": "KEY_NUMLOCK", "scrolllock": "KEY_SCROLLLOCK", "menu": "KEY_COMPOSE",
		"minus": "KEY_MINUS", "equal": "KEY_EQUAL", "comma": "KEY_COMMA", "dot": "KEY_DOT", "slash": "KEY_SLASH",
		"backslash": "KEY_BACKSLASH", "semicolon": "KEY_SEMICOLON", "apostrophe": "KEY_APOSTROPHE", "grave": "KEY_GRAVE",
	}
	for c := 'a'; c <= 'z'; c++ {
		names[string(c)] = "KEY_" + strings.ToUpper(string(c))
	}
	for c := '0'; c <= '9'; c++ {
		names[string(c)] = "KEY_" + string(c)
	}
	for n := 1; n <= 24; n++ {
		names[fmt.Sprintf("f%d", n)] = fmt.Sprintf("KEY_F%d", n)
	}
	return names
}

// chord returns Linux's names of the keys that text joins with - or +.
func chord(text string) ([]string, error) {
	var pressed []string
	for _, name := range strings.Split(strings.ReplaceAll(text, "+", "-"), "-") {
		if name == "" {
			return nil, failure.Usage("%q names no key before, after or between its separators: write it as in ctrl-alt-delete; the keys - and + are minus and shift-equal", text)
		}
		key, known := keys[strings.ToLower(name)]
		if upper := strings.ToUpper(name); !known && linuxName.MatchString(upper) {
			key, known = upper, true
		}
		if !known {
			return nil, failure.Usage("%q in %q is the name of no key%s: write it as in ctrl-alt-delete, or as Linux names it (KEY_LEFTCTRL)", name, text, like(name))
		}
		if slices.Contains(pressed, key) {
			return nil, failure.Usage("%q presses %s twice at once: give what is pressed later after a space", text, key)
		}
		pressed = append(pressed, key)
	}
	if len(pressed) > maxKeys {
		return nil, failure.Usage("%q presses %d keys at once, and %d is the most", text, len(pressed), maxKeys)
	}
	return pressed, nil
}

func separates(r rune) bool { return r == '-' || r == '+' }

// like names keys that begin alike.
func like(name string) string {
	var near []string
	for _, known := range slices.Sorted(maps.Keys(keys)) {
		if len(known) > 1 && len(name) > 1 && strings.HasPrefix(known, strings.ToLower(name[:2])) {
			near = append(near, known)
		}
	}
	if len(near) == 0 || len(near) > 5 {
		return ""
	}
	return " (is it " + strings.Join(near, " or ") + "?)"
}

// completeChord completes the last key of a chord.
func completeChord(text string) []string {
	begun := ""
	if i := strings.LastIndexFunc(text, separates); i >= 0 {
		begun = text[:i+1]
	}
	if text == "" {
		return []string{"ctrl-alt-delete", "enter", "esc"}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		all = append(all, begun+name)
	}
	return all
}
