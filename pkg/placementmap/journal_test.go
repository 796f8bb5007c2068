package placementmap

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reader is somebody who looks now and then.
type reader struct {
	revision uint64
	sees     map[key]string
}

// read takes over what is new, and returns how many documents that was.
func (r *reader) read(t interface{ Fatalf(string, ...any) }, j *journal, most int) int {
	told := map[key]bool{}
	for {
		items, upTo, _, ok := j.since(r.revision, most)
		if !ok {
			// Everything anew.
			r.sees = map[key]string{}
			items, upTo = j.all()
		}
		if len(items) > most && ok {
			t.Fatalf("%d items at once, want at most %d", len(items), most)
		}
		for _, i := range items {
			if told[i.key] {
				t.Fatalf("%v is told twice", i.key)
			}
			told[i.key] = true
			if i.data == nil {
				delete(r.sees, i.key)
			} else {
				r.sees[i.key] = string(i.data)
			}
		}
		r.revision = upTo
		if len(items) == 0 || !ok {
			return len(told)
		}
	}
}

func TestReadersSeeWhatIsThereHoweverLateTheyCome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newJournal()
		truth := map[key]string{}
		readers := make([]reader, 3)
		for i := range readers {
			readers[i].sees = map[key]string{}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				r := &readers[rapid.IntRange(0, 2).Draw(t, "who")]
				r.read(t, j, rapid.IntRange(1, 5).Draw(t, "most"))
				if diff := cmp.Diff(truth, r.sees); diff != "" {
					t.Fatal(diff)
				}
				continue
			}
			change := map[key][]byte{}
			for range rapid.IntRange(1, 4).Draw(t, "changes") {
				k := key{"ns", fmt.Sprint(rapid.IntRange(0, 6).Draw(t, "name"))}
				if rapid.Bool().Draw(t, "gone") {
					change[k] = nil
					delete(truth, k)
				} else {
					text := fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "text"))
					change[k], truth[k] = []byte(text), text
				}
			}
			j.put(change)
		}
	})
}

func TestWhoHasMissedTooMuchStartsAnew(t *testing.T) {
	j := newJournal()
	stays := key{"ns", "stays"}
	j.put(map[key][]byte{stays: []byte("1")})
	late := reader{revision: 1, sees: map[key]string{stays: "1"}}
	for i := range 3 * mostGone {
		k := key{"ns", fmt.Sprint(i)}
		j.put(map[key][]byte{k: []byte("x")})
		j.put(map[key][]byte{k: nil})
	}
	if n := len(j.byKey); n > mostGone+1 || j.order.Len() != n || j.gone.Len() > mostGone {
		t.Errorf("%d documents are remembered, in an order of %d, %d gone", n, j.order.Len(), j.gone.Len())
	}
	if _, _, _, ok := j.since(late.revision, 10); ok {
		t.Error("a reader who has missed documents that are forgotten is told the rest")
	}
	if n := late.read(t, j, 10); n != 1 || !maps.Equal(late.sees, map[key]string{stays: "1"}) {
		t.Errorf("told %d documents, sees %v", n, late.sees)
	}
	if _, _, _, ok := j.since(j.revision+1, 10); ok {
		t.Error("a revision of the future is known")
	}
}

func TestADocumentThatChangedOftenIsToldOnce(t *testing.T) {
	j := newJournal()
	slow := reader{sees: map[key]string{}}
	for i := range 1000 {
		j.put(map[key][]byte{{"ns", "busy"}: fmt.Append(nil, i)})
	}
	if n := slow.read(t, j, 10); n != 1 || slow.sees[key{"ns", "busy"}] != "999" {
		t.Errorf("told %d documents, the last %v", n, slow.sees)
	}
}

func TestWhatIsTheSameIsNoChange(t *testing.T) {
	j := newJournal()
	j.put(map[key][]byte{{"ns", "vm"}: []byte("1")})
	_, at, changed, _ := j.since(1, 10)
	j.put(map[key][]byte{{"ns", "vm"}: []byte("1"), {"ns", "never"}: nil})
	select {
	case <-changed:
		t.Error("readers are woken")
	default:
	}
	if at != 1 || j.revision != 1 {
		t.Errorf("revision %d, now %d", at, j.revision)
	}
}
