package failure

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
)

var vms = schema.GroupResource{Group: "domus.dev", Resource: "virtualmachines"}

func TestCodeOf(t *testing.T) {
	notFound := apierrors.NewNotFound(vms, "vm")
	forbidden := apierrors.NewForbidden(vms, "vm", errors.New("no"))
	for name, test := range map[string]struct {
		err  error
		want Code
	}{
		"nothing failed":                     {nil, Done},
		"any error":                          {errors.New("x"), General},
		"a wrapped one keeps its code":       {fmt.Errorf("doing: %w", TimedOut("late")), Late},
		"the outer code counts":              {Refused("no: %w", NotFound("none")), Denied},
		"joined of one code":                 {errors.Join(NotFound("a"), NotFound("b")), Missing},
		"joined of several codes":            {errors.Join(NotFound("a"), Refused("b")), General},
		"joined within joined":               {errors.Join(errors.Join(Refused("a")), Refused("b")), Denied},
		"some failed":                        {Partly(errors.Join(NotFound("a"), NotFound("b"))), Some},
		"some failed among more":             {errors.Join(Partly(NotFound("a")), NotFound("b")), General},
		"none failed":                        {Partly(nil), Done},
		"usage":                              {Usage("x"), Misused},
		"a VM that the API server lacks":     {fmt.Errorf("reading: %w", notFound), Missing},
		"what the API server forbids":        {forbidden, Denied},
		"another kind that is not there":     {apierrors.NewNotFound(schema.GroupResource{Resource: "hypervisors"}, "h"), General},
		"one who is not known to the server": {apierrors.NewUnauthorized("who?"), Denied},
		"a spec that admission turns away":   {apierrors.NewInvalid(schema.GroupKind{Kind: "VirtualMachine"}, "vm", nil), Denied},
		"an API server that has no time":     {apierrors.NewTooManyRequests("later", 1), General},
	} {
		t.Run(name, func(t *testing.T) {
			if got := CodeOf(test.err); got != test.want {
				t.Errorf("code %d, want %d", got, test.want)
			}
		})
	}
}

func TestAPISaysWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want []string
		code Code
	}{
		"no VM":               {apierrors.NewNotFound(vms, "web"), []string{"reading it: there is no virtualmachine \"web\"", "`virtctl get -A`"}, Missing},
		"no namespace":        {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "demo"), []string{"no namespace \"demo\"", "kubectl get namespaces"}, Missing},
		"no such kind":        {apierrors.NewGenericServerResponse(404, "get", vms, "", "", 0, true), []string{"kubectl apply -f manifests/base/crd"}, General},
		"not allowed":         {apierrors.NewForbidden(vms, "web", errors.New("cannot patch")), []string{"reading it: ", "cannot patch"}, Denied},
		"not logged in":       {apierrors.NewUnauthorized("who?"), []string{"log in again"}, Denied},
		"a wrong question":    {apierrors.NewBadRequest("field label not supported: spec.x"), []string{"reading it: field label not supported: spec.x"}, Denied},
		"not asked at all":    {errors.New("invalid resource name"), []string{"reading it: invalid resource name"}, General},
		"nobody there to ask": {fmt.Errorf("failed: %w", &url.Error{Op: "Get", URL: "https://x", Err: errors.New("connection refused")}), []string{"does not answer", "kubectl cluster-info", "connection refused"}, General},
	} {
		t.Run(name, func(t *testing.T) {
			err := API(test.err, "reading %s", "it")
			if says := strings.Contains(err.Error(), "does not answer"); says != (name == "nobody there to ask") {
				t.Errorf("%q", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if got := CodeOf(err); got != test.code {
				t.Errorf("code %d, want %d", got, test.code)
			}
		})
	}
	several := API(utilerrors.NewAggregate([]error{apierrors.NewNotFound(vms, "a"), apierrors.NewNotFound(vms, "b")}), "listing %s", "them")
	if all := List(several); CodeOf(several) != Missing || len(all) != 2 || !strings.HasPrefix(all[1].Error(), "listing them: there is no virtualmachine \"b\"") {
		t.Errorf("of several: %q (code %d)", all, CodeOf(several))
	}
	if err := API(nil, "x"); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}

func TestListTellsEachOfSeveral(t *testing.T) {
	a, b, c := errors.New("a"), NotFound("b"), fmt.Errorf("c: %w, %w", errors.New("d"), errors.New("e"))
	got := List(errors.Join(a, errors.Join(b, c)))
	if len(got) != 3 || !errors.Is(got[0], a) || !errors.Is(got[1], b) || got[2].Error() != "c: d, e" {
		t.Errorf("%q", got)
	}
	if got := List(Partly(errors.Join(a, b))); !slices.Equal(got, []error{a, b}) {
		t.Errorf("of what failed partly: %q", got)
	}
}
