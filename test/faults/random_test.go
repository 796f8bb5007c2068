package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/test/internal/live"
)

const (
	// strikeTime is how long a fault may take, and what started again what it
	// killed, on a machine with much else to do.
	strikeTime = 20 * time.Second
	// randomSettleTime is above the longest back-off of a guest that was killed
	// again and again.
	randomSettleTime = 8 * time.Minute
	// maxReal and maxSimulated bound how many VMs there are at once.
	maxReal, maxSimulated = 3, 16
	// longestPause between two faults.
	longestPause = 2 * time.Second
)

// victims are what is killed, by how often in a hundred.
var victims = []struct {
	name  string
	share int
}{
	{executor, 25}, {simulated, 15}, {"libvirtd", 20}, {scheduler, 15}, {apiServer, 10}, {"QEMU", 15},
}

// TestRandomFaults kills processes at random moments while VMs are created,
// stopped, paused, suspended, started and deleted at random. In the end everything is as it was
// asked for, and at no time did two QEMUs run one VM.
func TestRandomFaults(t *testing.T) {
	if *faults == 0 {
		t.Skip("no faults are asked for: give -faults")
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	began := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	u := &user{random: rand.New(rand.NewPCG(*seed, 1)), wants: map[string]v1alpha1.PowerState{}, changed: map[v1alpha1.PowerState]int{}}
	w := &watcher{seen: map[guest]bool{}}
	var running sync.WaitGroup
	running.Go(func() { u.live(ctx) })
	running.Go(func() { w.watch(ctx) })
	killed := strikeAtRandom(t, rand.New(rand.NewPCG(*seed, 2)))
	stop()
	running.Wait()
	up(t)
	struck := time.Since(began)

	wrong := u.settled(t)
	took := time.Since(began) - struck
	// What stands still or is saved can still run.
	if len(wrong) == 0 {
		u.wakeAll()
		wrong = u.settled(t)
	}
	wrong = append(wrong, w.doubled()...)
	var names []string
	total := 0
	for name, n := range killed {
		names = append(names, fmt.Sprintf("%s %d", name, n))
		total += n
	}
	sort.Strings(names)
	if total < *faults {
		wrong = append(wrong, fmt.Sprintf("only %d of %d faults have struck", total, *faults))
	}
	for _, what := range wrong {
		t.Errorf("seed %d: %s", *seed, what)
	}
	outcome := "all VMs as asked for; none lost, doubled or stuck"
	if len(wrong) > 0 {
		outcome = "**" + strings.Join(wrong, "; ") + "**"
	}
	outcomes.addRandom("| seed | %d |", *seed)
	outcomes.addRandom("| killed, of %d asked for | %d in %s: %s |", *faults, total, struck.Round(time.Second), strings.Join(names, ", "))
	outcomes.addRandom("| VMs | %s |", u.summary())
	outcomes.addRandom("| real guests | %d lives of them seen |", len(w.seen))
	outcomes.addRandom("| outcome | %s, %s after the last fault |", outcome, took.Round(time.Second))
}

// strikeAtRandom kills one process after the other, sometimes several before
// they are started again, and counts.
func strikeAtRandom(t *testing.T, random *rand.Rand) map[string]int {
	killed := map[string]int{}
	end := time.Now().Add(time.Duration(*faults) * strikeTime)
	for n := 0; n < *faults && time.Now().Before(end); {
		for range 1 + random.IntN(3) {
			name := pick(random)
			if n < *faults && strikeOne(random, name) {
				killed[name]++
				n++
			}
			time.Sleep(rand.N(longestPause / 4))
		}
		time.Sleep(time.Duration(random.Int64N(int64(longestPause))))
		up(t)
		time.Sleep(time.Duration(random.Int64N(int64(longestPause))))
	}
	return killed
}

func pick(random *rand.Rand) string {
	n := random.IntN(100)
	for _, v := range victims {
		if n -= v.share; n < 0 {
			return v.name
		}
	}
	panic("the shares are less than 100")
}

// strikeOne says whether there was something to kill.
func strikeOne(random *rand.Rand, name string) bool {
	var victim int
	switch name {
	case "libvirtd":
		victim, _ = env.Libvirtd()
	case "QEMU":
		if all := guests(); len(all) > 0 {
			victim = all[random.IntN(len(all))].pid
		}
	default:
		victim, _ = env.PID(name)
		if !strings.Contains(live.CommandLine(victim), env.Dir) {
			return false // killed already, and not started again yet
		}
	}
	return victim != 0 && syscall.Kill(victim, syscall.SIGKILL) == nil
}

// guest is a QEMU process and the domain it runs.
type guest struct {
	pid  int
	uuid string
}

// guests are those of the cluster's real host, known by its namespace.
func guests() []guest {
	namespace := func(pid int) string {
		of, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
		return of
	}
	host, err := env.PID(realHost)
	if err != nil || namespace(host) == "" {
		return nil
	}
	var out []guest
	for _, pid := range live.Processes() {
		command := live.CommandLine(pid)
		if !strings.HasPrefix(command, "/usr/bin/qemu-system") || namespace(pid) != namespace(host) {
			continue
		}
		if _, after, found := strings.Cut(command, " -uuid "); found {
			out = append(out, guest{pid: pid, uuid: strings.Fields(after)[0]})
		}
	}
	return out
}

// watcher looks for VMs that run twice.
type watcher struct {
	mu    sync.Mutex
	found []string
	// seen has all that ran.
	seen map[guest]bool
}

func (w *watcher) watch(ctx context.Context) {
	for ctx.Err() == nil {
		runs := map[string][]int{}
		for _, g := range guests() {
			runs[g.uuid] = append(runs[g.uuid], g.pid)
			w.seen[g] = true
		}
		for uuid, pids := range runs {
			if len(pids) > 1 {
				w.mu.Lock()
				w.found = append(w.found, fmt.Sprintf("domain %s ran in processes %v at %s", uuid, pids, time.Now().Format(time.TimeOnly)))
				w.mu.Unlock()
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *watcher) doubled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return []string{"no guest was ever seen to run"}
	}
	return w.found
}

// user asks for VMs at random, and remembers what it asked for and got through.
type user struct {
	random *rand.Rand
	// wants has the power state of each VM that shall be there.
	wants map[string]v1alpha1.PowerState
	// created, deleted and, by what they were told, changed count what went through.
	created, deleted int
	changed          map[v1alpha1.PowerState]int
	// refused is what could not be asked for.
	refused []string
}

// live does one thing after the other, each until it is done, until ctx ends.
func (u *user) live(ctx context.Context) {
	for ctx.Err() == nil {
		u.act()
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(u.random.Int64N(int64(2 * time.Second)))):
		}
	}
}

func (u *user) act() {
	kind, limit := "simulated", maxSimulated
	if u.random.IntN(4) == 0 {
		kind, limit = "real", maxReal
	}
	var names []string
	for name := range u.wants {
		if strings.HasPrefix(name, kind) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if len(names) < limit && (len(names) == 0 || u.random.IntN(3) == 0) {
		name := fmt.Sprintf("%s-%d", kind, u.created)
		vm, err := newVM(name, kind)
		if err == nil && kind == "real" {
			vm, err = newVM(name, kind, tiny)
		}
		if err == nil && u.insist(func(ctx context.Context) error {
			return ignore(env.Create(ctx, vm.DeepCopy()), apierrors.IsAlreadyExists)
		}) {
			u.wants[name] = v1alpha1.PowerRunning
			u.created++
		}
		return
	}
	if len(names) == 0 {
		return
	}
	name := names[u.random.IntN(len(names))]
	if u.random.IntN(4) == 0 {
		if u.insist(func(ctx context.Context) error { return ignore(env.Delete(ctx, named(name)), apierrors.IsNotFound) }) {
			delete(u.wants, name)
			u.deleted++
		}
		return
	}
	want := v1alpha1.PowerRunning
	if u.wants[name] == want {
		want = []v1alpha1.PowerState{v1alpha1.PowerStopped, v1alpha1.PowerPaused, v1alpha1.PowerSuspended}[u.random.IntN(3)]
	}
	if u.insist(func(ctx context.Context) error { return setPower(ctx, name, want) }) {
		u.wants[name] = want
		u.changed[want]++
	}
}

// insist repeats what fails until it is done: the user knows then what there
// should be. What cannot be had for minutes is a failure.
func (u *user) insist(do func(ctx context.Context) error) bool {
	var err error
	for end := time.Now().Add(settleTime); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		err = do(ctx)
		cancel()
		if err == nil {
			return true
		}
	}
	u.refused = append(u.refused, "a request was not answered for minutes: "+err.Error())
	return false
}

func ignore(err error, harmless func(error) bool) error {
	if harmless(err) {
		return nil
	}
	return err
}

func (u *user) summary() string {
	return fmt.Sprintf("%d created, told to be Stopped %d, Paused %d, Suspended %d and Running %d times, %d deleted; %d in the end", u.created,
		u.changed[v1alpha1.PowerStopped], u.changed[v1alpha1.PowerPaused], u.changed[v1alpha1.PowerSuspended], u.changed[v1alpha1.PowerRunning],
		u.deleted, len(u.wants))
}

// settled waits until all VMs are as asked for, here and on the host, and says
// what is not.
func (u *user) settled(t *testing.T) []string {
	t.Helper()
	var wrong []string
	await(randomSettleTime, func() string {
		wrong = u.compare(t)
		return strings.Join(wrong, "; ")
	})
	return append(wrong, u.refused...)
}

// wakeAll tells all VMs to run.
func (u *user) wakeAll() {
	for name := range u.wants {
		if u.insist(func(ctx context.Context) error { return setPower(ctx, name, v1alpha1.PowerRunning) }) {
			u.wants[name] = v1alpha1.PowerRunning
		}
	}
}

// phaseOf is the phase that a VM should come to, and how many QEMUs it has then.
// One that shall stand still or be saved is Stopped where its guest was killed
// before.
func phaseOf(want v1alpha1.PowerState, is v1alpha1.Phase) (v1alpha1.Phase, int) {
	switch {
	case want == v1alpha1.PowerRunning:
		return v1alpha1.PhaseRunning, 1
	case want == v1alpha1.PowerStopped || is == v1alpha1.PhaseStopped:
		return v1alpha1.PhaseStopped, 0
	case want == v1alpha1.PowerPaused:
		return v1alpha1.PhasePaused, 1
	default:
		return v1alpha1.PhaseSuspended, 0
	}
}

func (u *user) compare(t *testing.T) []string {
	t.Helper()
	list := &v1alpha1.VirtualMachineList{}
	if err := env.List(t.Context(), list, client.InNamespace(live.Namespace)); err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	there, domains, runs := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, g := range guests() {
		runs[g.uuid]++
	}
	all, err := env.Virsh("list", "--all", "--uuid")
	if err != nil {
		return []string{err.Error()}
	}
	for _, uuid := range strings.Fields(all) {
		domains[uuid] = true
	}
	for i := range list.Items {
		vm := &list.Items[i]
		if !strings.HasPrefix(vm.Name, "real-") && !strings.HasPrefix(vm.Name, "simulated-") {
			delete(domains, vm.DomainUUID()) // another test's
			delete(runs, vm.DomainUUID())
			continue
		}
		there[vm.Name] = true
		if _, wanted := u.wants[vm.Name]; !wanted {
			wrong = append(wrong, vm.Name+" is still there though it was deleted")
			continue
		}
		phase, processes := phaseOf(u.wants[vm.Name], vm.Status.Phase)
		// One that was switched off before it was bound is bound when it is to run.
		neverBound := u.wants[vm.Name] != v1alpha1.PowerRunning && vm.Status.Placement == nil && vm.Status.Phase == v1alpha1.PhasePending
		if neverBound {
			processes = 0
		}
		if vm.DeletionTimestamp != nil || vm.Status.Phase != phase && !neverBound {
			wrong = append(wrong, fmt.Sprintf("%s is %s instead of %s, deleted %t: %+v", vm.Name, vm.Status.Phase, phase, vm.DeletionTimestamp != nil, vm.Status.Host))
		}
		if !strings.HasPrefix(vm.Name, "real-") {
			continue
		}
		if n := runs[vm.DomainUUID()]; n != processes {
			wrong = append(wrong, fmt.Sprintf("%s runs in %d processes instead of %d", vm.Name, n, processes))
		}
		delete(domains, vm.DomainUUID())
		delete(runs, vm.DomainUUID())
	}
	for uuid := range domains {
		wrong = append(wrong, "domain "+uuid+" is nobody's")
	}
	for uuid := range runs {
		wrong = append(wrong, "a QEMU runs domain "+uuid+", which is nobody's")
	}
	for name := range u.wants {
		if !there[name] {
			wrong = append(wrong, name+" is lost")
		}
	}
	hosts := &v1alpha1.HypervisorList{}
	if err := env.List(t.Context(), hosts); err != nil {
		return append(wrong, err.Error())
	}
	for i := range hosts.Items {
		for _, q := range hosts.Items[i].Status.Quarantined {
			wrong = append(wrong, fmt.Sprintf("%s has quarantined %s: %s", hosts.Items[i].Name, q.Name, q.Reason))
		}
	}
	return wrong
}
