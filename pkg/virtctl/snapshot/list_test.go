package snapshot

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestATreeIsListedBeneathItsRoots(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	made := func(vm, name, parent string, age time.Duration, current bool) v1alpha1.VirtualMachineSnapshot {
		s := v1alpha1.VirtualMachineSnapshot{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(now.Add(-age))}}
		s.Spec.VirtualMachineName = vm
		at := s.CreationTimestamp
		s.Status = v1alpha1.VirtualMachineSnapshotStatus{Phase: v1alpha1.SnapshotReady, ParentName: parent, Current: current, CreatedAt: &at}
		return s
	}
	all := []v1alpha1.VirtualMachineSnapshot{
		made("web", "c", "a", time.Hour, true),
		made("web", "b", "a", 2*time.Hour, false),
		made("web", "a", "", 3*time.Hour, false),
		made("web", "d", "b", time.Minute, false),
		made("db", "x", "gone", time.Minute, false),
		made("db", "y", "z", time.Minute, false), // a ring, which nobody writes
		made("db", "z", "y", time.Minute, false),
		made("db", "of-another", "a", time.Minute, false),
	}
	for name, test := range map[string]struct {
		of   string
		want []string
	}{
		"of one VM": {"web", []string{"web|a", "web|  b", "web|    d", "web|  c *"}},
		"of all":    {"", []string{"db|of-another", "db|x", "web|a", "web|  b", "web|    d", "web|  c *", "db|y", "db|  z"}},
		"of none":   {"nobody", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range tree(all, test.of, now) {
				got = append(got, strings.Join(r[:2], "|"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
