package rejections

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	fwk "k8s.io/kube-scheduler/framework"
	"pgregory.net/rapid"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity/numa"
)

const gib = int64(1) << 30

func says(code fwk.Code, plugin string, reasons ...string) *fwk.Status {
	return fwk.NewStatus(code, reasons...).WithPlugin(plugin)
}

// many are n hosts of one status, named after first.
func many(n int, first string, status *fwk.Status) map[string]*fwk.Status {
	out := map[string]*fwk.Status{}
	for i := range n {
		out[fmt.Sprintf("%s-%02d", first, i)] = status
	}
	return out
}

func joined(all ...map[string]*fwk.Status) map[string]*fwk.Status {
	out := map[string]*fwk.Status{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

func pages(largest int64) *numa.Shortage {
	return &numa.Shortage{Resource: v1alpha1.ResourceHugepages1Gi, Need: 16 * gib, Largest: largest, Extent: numa.ExtentCell}
}

func TestWords(t *testing.T) {
	const full, final = fwk.Unschedulable, fwk.UnschedulableAndUnresolvable
	lackPages := says(full, "HostNUMA", "host(s) lack 16Gi of 1Gi hugepages in one cell")
	lackBoth := says(full, "HostResources", "host(s) lack 8 vCPUs", "host(s) lack 4Gi + 256Mi overhead of memory")
	tooSmall := says(final, "HostResources", "host(s) lack 8 vCPUs")
	noModel := says(final, "HostCompatibility", "host(s) have no CPU model Foo")
	tainted := says(final, "TaintToleration", "node(s) had untolerated taint(s)")
	others := func(n int) map[string]*fwk.Status {
		out := map[string]*fwk.Status{}
		for i := range n {
			out[fmt.Sprintf("other-%d", i)] = says(full, "Other", fmt.Sprintf("node(s) dislike it for reason %d", i))
		}
		return out
	}
	for name, test := range map[string]struct {
		statuses map[string]*fwk.Status
		// lacks is what a host lacks, by its name or by its name and reason.
		lacks map[string]*numa.Shortage
		want  string
	}{
		"nothing": {nil, nil, ""},
		"the largest of all hosts": {many(3, "a", lackPages), map[string]*numa.Shortage{"a-00": pages(8 * gib), "a-01": pages(12 * gib), "a-02": pages(0)},
			"3 hosts: need 16Gi of 1Gi hugepages in one cell, largest free is 12Gi"},
		"of equal hosts the first by name": {many(2, "a", tooSmall), map[string]*numa.Shortage{
			"a-00": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: 4}, "a-01": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: 4}},
			"2 hosts: need 8 vCPUs, the largest host has 4 (a-00)"},
		"one host": {joined(many(1, "a", noModel), many(1, "b", tainted)), nil, "1 host: has no CPU model Foo; 1 host: has a taint that it does not tolerate"},
		"most frequent first, then by plugin": {joined(many(2, "a", tainted), many(3, "b", noModel), many(2, "c", says(final, "NodeUnschedulable", "node(s) were unschedulable"))), nil,
			"3 hosts: have no CPU model Foo; 2 hosts: are cordoned; 2 hosts: have a taint that it does not tolerate"},
		"a host that lacks two things": {many(1, "a", lackBoth), map[string]*numa.Shortage{
			"a-00: host(s) lack 8 vCPUs":                        {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: 3},
			"a-00: host(s) lack 4Gi + 256Mi overhead of memory": {Resource: v1alpha1.ResourceMemory, Need: 4*gib + gib/4, Overhead: gib / 4, Largest: gib}},
			"1 host: need 4Gi + 256Mi overhead of memory, largest free is 1Gi; 1 host: need 8 vCPUs, largest free is 3"},
		"full hosts and small ones": {joined(many(2, "a", says(full, "HostResources", "host(s) lack 8 vCPUs")), many(1, "b", tooSmall)), map[string]*numa.Shortage{
			"a-00": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: 7}, "a-01": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: -1}, "b-00": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: 4}},
			"2 hosts: need 8 vCPUs, largest free is 7; 1 host: need 8 vCPUs, the largest host has 4 (b-00)"},
		"a host that has shrunk": {many(1, "a", says(full, "HostResources", "host(s) lack 8 vCPUs")), map[string]*numa.Shortage{"a-00": {Resource: v1alpha1.ResourceCPU, Need: 8, Largest: -3}},
			"1 host: need 8 vCPUs, largest free is 0"},
		"what is free is promised": {many(2, "a", lackPages), map[string]*numa.Shortage{"a-00": pages(8 * gib)},
			"1 host: need 16Gi of 1Gi hugepages in one cell, largest free is 8Gi; 1 host: need 16Gi of 1Gi hugepages in one cell, which is there but promised to other VMs"},
		"a host that cannot be counted": {many(1, "a", lackPages), map[string]*numa.Shortage{"a-00": {Reason: "the host reports no NUMA cells"}},
			"1 host: need 16Gi of 1Gi hugepages in one cell"},
		"as many as are named": {others(5), nil, "1 host: dislike it for reason 0; 1 host: dislike it for reason 1; 1 host: dislike it for reason 2; 1 host: dislike it for reason 3; 1 host: dislike it for reason 4"},
		"more than are named":  {others(6), nil, "1 host: dislike it for reason 0; 1 host: dislike it for reason 1; 1 host: dislike it for reason 2; 1 host: dislike it for reason 3; 1 host: dislike it for reason 4; and 1 more reason"},
		"many more than are named": {joined(others(7), many(9, "a", noModel)), nil,
			"9 hosts: have no CPU model Foo; 1 host: dislike it for reason 0; 1 host: dislike it for reason 1; 1 host: dislike it for reason 2; 1 host: dislike it for reason 3; and 3 more reasons"},
	} {
		t.Run(name, func(t *testing.T) {
			var measure Measure
			if test.lacks != nil {
				measure = func(host string, kind Kind) *numa.Shortage {
					if short := test.lacks[host+": "+kind.Reason]; short != nil {
						return short
					}
					return test.lacks[host]
				}
			}
			if diff := cmp.Diff(test.want, Words(GroupBy(maps.All(test.statuses), measure, 0))); diff != "" {
				t.Errorf("words (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWordsWithoutAmounts(t *testing.T) {
	all := joined(many(2, "a", says(fwk.Unschedulable, "HostResources", "host(s) lack 8 vCPUs")), many(1, "b", says(fwk.UnschedulableAndUnresolvable, "HostResources", "host(s) lack 8 vCPUs")))
	const want = "2 hosts: need 8 vCPUs; 1 host: need 8 vCPUs, more than there is when empty"
	if got := Words(GroupBy(maps.All(all), nil, 0)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The same hosts give the same words in whatever order they are read, and
// numbers alone do not change the substance.
func TestTheOrderOfHostsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type host struct {
			name   string
			status *fwk.Status
		}
		var hosts []host
		largest := map[string]int64{}
		for i := range rapid.IntRange(0, 12).Draw(t, "hosts") {
			code := rapid.SampledFrom([]fwk.Code{fwk.Unschedulable, fwk.UnschedulableAndUnresolvable}).Draw(t, "code")
			plugin := rapid.SampledFrom([]string{"A", "B"}).Draw(t, "plugin")
			reasons := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"host(s) lack 4 vCPUs", "host(s) have no x", "node(s) y", "z"}), 1, 3, rapid.ID[string]).Draw(t, "reasons")
			h := host{fmt.Sprint("host-", i), says(code, plugin, reasons...)}
			largest[h.name] = rapid.Int64Range(-1, 4).Draw(t, "largest")
			hosts = append(hosts, h)
		}
		measure := func(host string, _ Kind) *numa.Shortage {
			if largest[host] == 4 {
				return nil
			}
			return &numa.Shortage{Resource: v1alpha1.ResourceCPU, Need: 4, Largest: largest[host]}
		}
		in := func(order []host) iter.Seq2[string, *fwk.Status] {
			return func(yield func(string, *fwk.Status) bool) {
				for _, h := range order {
					if !yield(h.name, h.status) {
						return
					}
				}
			}
		}
		groups := GroupBy(in(hosts), measure, 3)
		shuffled := slices.Clone(hosts)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(groups, GroupBy(in(shuffled), measure, 3)); diff != "" {
			t.Fatalf("groups in another order (-one +other):\n%s", diff)
		}
		plain := GroupBy(in(hosts), nil, 0)
		if twice := GroupBy(in(append(slices.Clone(hosts), renamed(hosts, func(h host) host { return host{h.name + "-too", h.status} })...)), nil, 0); Substance(twice) != Substance(plain) {
			t.Fatalf("twice as many hosts: substance %q, was %q", Substance(twice), Substance(plain))
		}
		counted, said := 0, 0
		for _, g := range groups {
			counted += g.Hosts
			if len(g.Names) != min(g.Hosts, 3) || !slices.IsSorted(g.Names) {
				t.Fatalf("%d hosts are named %v", g.Hosts, g.Names)
			}
			if g.Nearest != nil && g.Nearest.Largest != largest[g.On] {
				t.Fatalf("%s has %d, but %d is said", g.On, largest[g.On], g.Nearest.Largest)
			}
		}
		for _, h := range hosts {
			said += len(h.status.Reasons())
			for _, g := range groups {
				if slices.Contains(Kinds(h.status), g.Kind) && g.Nearest != nil && largest[h.name] < 4 && largest[h.name] > max(g.Nearest.Largest, 0) {
					t.Fatalf("%s has %d, more than the largest %d", h.name, largest[h.name], g.Nearest.Largest)
				}
			}
		}
		if counted != said {
			t.Fatalf("%d counted of %d", counted, said)
		}
		if n := strings.Count(Words(groups), ";"); len(groups) > 0 && n != min(len(groups), MaxReasons+1)-1 {
			t.Fatalf("%d groups in %q", len(groups), Words(groups))
		}
	})
}

func renamed[T any](all []T, f func(T) T) []T {
	out := make([]T, len(all))
	for i := range all {
		out[i] = f(all[i])
	}
	return out
}
