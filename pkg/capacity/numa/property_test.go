package numa

import (
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
)

// TestMain makes 500 checks the default; -rapid.checks changes it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "500"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// world is a host under test beside what was really placed on it.
type world struct {
	status *v1alpha1.HypervisorStatus
	usage  *Usage
	placed []v1alpha1.Placement
}

func TestWhatIsGrantedIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{status: drawHost(t)}
		h, err := FromHypervisor(w.status)
		if err != nil {
			t.Fatal(err)
		}
		w.usage = NewUsage(&h)
		t.Repeat(map[string]func(*rapid.T){
			"place":           w.place,
			"place another":   w.place,
			"reserve, fail":   w.reserveAndFail,
			"remove":          w.remove,
			"recount":         w.recount,
			"":                w.check,
			"place elsewhere": w.admit,
			"room":            w.room,
		})
	})
}

// check holds every promise after every step.
func (w *world) check(t *rapid.T) {
	if broken := tallyOf(w.status, w.placed).broken(); broken != "" {
		t.Fatal(broken)
	}
}

func (w *world) place(t *rapid.T) {
	r := drawRequest(t)
	a, fits := w.choose(t, r)
	if !fits {
		return
	}
	p := r.Placement("a", a)
	if short := Admit(w.usage, &p); short != nil {
		t.Fatalf("what was chosen is not admitted: %s", short)
	}
	if err := w.usage.Add(&p); err != nil {
		t.Fatal(err)
	}
	w.placed = append(w.placed, p)
}

func (w *world) reserveAndFail(t *rapid.T) {
	r := drawRequest(t)
	a, fits := w.choose(t, r)
	if !fits {
		return
	}
	before, p := w.usage.Clone(), r.Placement("a", a)
	if err := w.usage.Add(&p); err != nil {
		t.Fatal(err)
	}
	if w.usage.Equal(before) {
		t.Fatalf("adding %s changed nothing", describe(&p))
	}
	if err := w.usage.Remove(&p); err != nil {
		t.Fatal(err)
	}
	if !w.usage.Equal(before) {
		t.Fatalf("removing %s does not undo adding it", describe(&p))
	}
}

func (w *world) remove(t *rapid.T) {
	if len(w.placed) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.placed)-1).Draw(t, "which")
	if err := w.usage.Remove(&w.placed[i]); err != nil {
		t.Fatal(err)
	}
	w.placed = append(w.placed[:i:i], w.placed[i+1:]...)
}

// recount: an account does not depend on how it came about.
func (w *world) recount(t *rapid.T) {
	fresh := NewUsage(w.usage.Host())
	for i := len(w.placed) - 1; i >= 0; i-- {
		if p := &w.placed[i]; len(p.Cells) == 0 && len(p.Devices) == 0 {
			fresh.AddFloating(capacity.FromGranted(p.Granted))
		} else if err := fresh.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	if !fresh.Equal(w.usage) {
		t.Fatal("counting anew gives another account")
	}
}

// admit: a placement made on the empty host, as by a scheduler that knows
// nothing of the others, is admitted exactly when the promises hold with it.
func (w *world) admit(t *rapid.T) {
	r := drawRequest(t)
	a, short := Choose(NewUsage(w.usage.Host()), r)
	if short != nil {
		return
	}
	p := r.Placement("a", a)
	broken := tallyOf(w.status, append(w.placed[:len(w.placed):len(w.placed)], p)).broken()
	if short := Admit(w.usage, &p); (short == nil) != (broken == "") {
		t.Fatalf("%s: admission says %v, the promises %q", describe(&p), short, broken)
	}
	w.swap(t, &p)
}

// swap: even where p takes what others have, each removal undoes one addition,
// in any order.
func (w *world) swap(t *rapid.T, p *v1alpha1.Placement) {
	if len(w.placed) == 0 {
		return
	}
	other := &w.placed[rapid.IntRange(0, len(w.placed)-1).Draw(t, "which")]
	u := w.usage.Clone()
	for _, step := range []error{u.Add(p), u.Remove(other), u.Remove(p), u.Add(other)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	if !u.Equal(w.usage) {
		t.Fatalf("swapping %s with %s changes the account", describe(p), describe(other))
	}
}
