package objects

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// anyValue is a JSON value without null: neither form has any.
func anyValue(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Custom(func(t *rapid.T) any { return rapid.SampledFrom([]string{"", "a", "<&>", "KiB"}).Draw(t, "text") }),
		rapid.Custom(func(t *rapid.T) any {
			return json.Number(rapid.SampledFrom([]string{"0", "1", "-1"}).Draw(t, "number"))
		}),
		rapid.Custom(func(t *rapid.T) any { return rapid.Bool().Draw(t, "truth") }),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.Custom(func(t *rapid.T) any { return anyObject(depth-1).Draw(t, "object") }),
		rapid.Custom(func(t *rapid.T) any { return rapid.SliceOfN(anyValue(depth-1), 0, 3).Draw(t, "list") }))...)
}

func anyObject(depth int) *rapid.Generator[map[string]any] {
	keys := rapid.SampledFrom([]string{"a", "b", "c/d", "~e", "app.kubernetes.io/name", ""})
	return rapid.MapOfN(keys, anyValue(depth), 0, 4)
}

func copied(t *rapid.T, o map[string]any) map[string]any {
	raw, err := marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := unmarshalObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDifferencesLeadFromOneToTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		derived := copied(t, anyObject(3).Draw(t, "derived"))
		is := copied(t, anyObject(3).Draw(t, "is"))
		whole := func(pointer string) bool { return pointer == "/a" }
		d, err := compare(derived, is, whole)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var read delta
		if err := json.Unmarshal(raw, &read); err != nil {
			t.Fatal(err)
		}
		got := copied(t, derived)
		held, err := read.apply(got)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, is) {
			t.Fatalf("%s leads from %v to %v, not to %v", raw, derived, got, is)
		}
		if len(held) != len(d) {
			t.Fatalf("%d of %d differences held", len(held), len(d))
		}
		if reflect.DeepEqual(derived, is) != (len(d) == 0) {
			t.Fatalf("%s", raw)
		}
	})
}

func TestADifferenceHoldsOnlyWhileItsSideSaysWhatItSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		derived := copied(t, anyObject(2).Draw(t, "derived"))
		is := copied(t, anyObject(2).Draw(t, "is"))
		edited := copied(t, anyObject(2).Draw(t, "edited"))
		d, err := compare(derived, is, func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		got := copied(t, edited)
		if _, err := d.apply(got); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c/d", "~e", "app.kubernetes.io/name", ""} {
			value, there := edited[key]
			was, wasThere := derived[key]
			want, wantThere := value, there
			if there == wasThere && reflect.DeepEqual(value, was) {
				want, wantThere = is[key]
			}
			if now, nowThere := got[key]; nowThere != wantThere || !reflect.DeepEqual(now, want) {
				t.Fatalf("%q became %v, want %v", key, now, want)
			}
		}
	})
}
