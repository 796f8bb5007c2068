package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"libvirt.org/go/libvirtxml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
	"domus.dev/domus/test/internal/live"
)

// patience bounds each wait; an emulated guest boots in 10 s on an idle machine.
const patience = 3 * time.Minute

type startStopOptions struct {
	times    int
	bin      string
	maxAdded time.Duration
	powerOff bool
}

// newStartStopCommand measures what Domus adds to libvirt's start and stop.
func newStartStopCommand() *cobra.Command {
	o := &startStopOptions{}
	cmd := &cobra.Command{
		Use: "startstop", Short: "Stop and start a real guest through Domus and by libvirt alone, in turns; needs root", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().IntVar(&o.times, "times", 20, "starts and stops of each kind")
	cmd.Flags().StringVar(&o.bin, "bin", "bin", "folder of the programs, tools and guest image")
	cmd.Flags().BoolVar(&o.powerOff, "power-off", false, "switch guests off at once and do not wait until they have booted: what a guest itself takes is left out")
	cmd.Flags().DurationVar(&o.maxAdded, "max-added", 300*time.Millisecond, "how much Domus may add at the median; more is a failure")
	return cmd
}

func (o *startStopOptions) run(ctx context.Context, out io.Writer) (err error) {
	if o.times < 1 {
		return fmt.Errorf("--times is %d: give 1 or more", o.times)
	}
	if err := live.Prerequisites(o.bin, "bench-startstop"); err != nil {
		return err
	}
	// Short, for the sake of Unix sockets.
	dir, err := os.MkdirTemp("/tmp", "domus-bench-")
	if err != nil {
		return err
	}
	cluster := &live.Cluster{Dir: dir, Bin: o.bin, Out: os.Stderr}
	defer func() { err = errors.Join(err, cluster.End()) }()
	if err := cluster.Up("--simulated-hosts=0", "--domain-type=qemu"); err != nil {
		return err
	}
	b := &startStop{cluster: cluster, powerOff: o.powerOff, times: map[string][]time.Duration{}}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer b.host.Close()
	before := loadAverage()
	for i := range o.times {
		turns := []func(context.Context) error{b.throughDomus, b.byLibvirt}
		if i%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			if err := turn(ctx); err != nil {
				return err
			}
		}
	}
	return b.print(out, o, before)
}

// startStop is a guest that is started and stopped through Domus, and its twin,
// of which Domus knows nothing.
type startStop struct {
	cluster *live.Cluster
	api     client.WithWatch
	host    libvirt.Host
	events  <-chan libvirt.Event
	// powerOff leaves guests no time to boot or to shut down.
	powerOff bool
	// ours and twin are the domains' UUIDs.
	ours, twin string
	// times are what was measured, by what.
	times map[string][]time.Duration
}

const (
	oursName, twinName = "startstop", "startstop-twin"

	// What is measured. Domus: from the write of spec.powerState until libvirt
	// says that it is so, and until the VM's status does. libvirt: from the call
	// until libvirt says so.
	domusStart, domusStarted = "start, Domus: until libvirt has it", "start, Domus: until the status says so"
	domusStop, domusStopped  = "stop, Domus: until libvirt has it", "stop, Domus: until the status says so"
	plainStart, plainStop    = "start, libvirt alone", "stop, libvirt alone"
)

func (b *startStop) prepare(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(b.cluster.Dir, "kubeconfig"))
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if b.api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	b.host = libvirt.Connect("qemu+unix:///system?socket=" + b.cluster.LibvirtSocket())
	b.events = b.host.Events(ctx)

	if err := b.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: live.Namespace}}); err != nil {
		return fmt.Errorf("making the namespace: %w", err)
	}
	vm, err := bootable(oursName)
	if err != nil {
		return err
	}
	if b.powerOff {
		vm.Spec.TerminationGracePeriodSeconds = ptr.To(int64(0))
	}
	if err := b.api.Create(ctx, vm); err != nil {
		return fmt.Errorf("making the VM: %w", err)
	}
	b.ours = vm.DomainUUID()
	if _, err := b.hear(ctx, b.ours, libvirt.EventStarted); err != nil {
		return err
	}
	if err := b.booted(ctx, oursName, 1); err != nil {
		return err
	}
	// The twin is the same domain, and nobody's.
	document, err := b.cluster.Virsh("dumpxml", "--inactive", b.ours)
	if err != nil {
		return err
	}
	twin := &libvirtxml.Domain{}
	if err := twin.Unmarshal(document); err != nil {
		return fmt.Errorf("reading the domain: %w", err)
	}
	b.twin = uuid.NewString()
	twin.Name, twin.UUID, twin.Title, twin.Metadata = twinName, b.twin, "", nil
	for i := range twin.Devices.Interfaces {
		twin.Devices.Interfaces[i].MAC = nil
	}
	for _, log := range consoleLogs(twin) {
		log.File = strings.Replace(log.File, oursName, twinName, 1)
	}
	if document, err = twin.Marshal(); err != nil {
		return fmt.Errorf("writing the twin's domain: %w", err)
	}
	if err := b.host.Define(ctx, document); err != nil {
		return err
	}
	_, _, err = b.set(ctx, v1alpha1.PowerStopped, v1alpha1.PhaseStopped, libvirt.EventStopped)
	return err
}

func consoleLogs(d *libvirtxml.Domain) []*libvirtxml.DomainChardevLog {
	var logs []*libvirtxml.DomainChardevLog
	for _, serial := range d.Devices.Serials {
		if serial.Log != nil {
			logs = append(logs, serial.Log)
		}
	}
	for _, console := range d.Devices.Consoles {
		if console.Log != nil {
			logs = append(logs, console.Log)
		}
	}
	return logs
}

// bootable is a VM with the guest image.
func bootable(name string) (*v1alpha1.VirtualMachine, error) {
	raw, err := json.Marshal(map[string]any{"devices": map[string]any{"disks": []any{map[string]any{
		"device":    "disk",
		"driver":    map[string]any{"name": "qemu", "type": "qcow2"},
		"source":    map[string]any{"volume": map[string]any{"pool": "default", "volume": "demo.tiny.qcow2"}},
		"target":    map[string]any{"dev": "vda", "bus": "virtio"},
		"readOnly":  true,
		"shareable": true,
	}}}})
	if err != nil {
		return nil, err
	}
	return &v1alpha1.VirtualMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: name},
		Spec: v1alpha1.VirtualMachineSpec{
			Resources: v1alpha1.VirtualMachineResources{CPU: 1, Memory: resource.MustParse("256Mi")},
			Domain:    &runtime.RawExtension{Raw: raw},
		},
	}, nil
}

// throughDomus starts and stops the VM once.
func (b *startStop) throughDomus(ctx context.Context) error {
	boots := strings.Count(b.cluster.Console(oursName), live.Banner)
	inLibvirt, inStatus, err := b.set(ctx, v1alpha1.PowerRunning, v1alpha1.PhaseRunning, libvirt.EventStarted)
	if err != nil {
		return err
	}
	b.note(domusStart, inLibvirt)
	b.note(domusStarted, inStatus)
	if err := b.booted(ctx, oursName, boots+1); err != nil {
		return err
	}
	if inLibvirt, inStatus, err = b.set(ctx, v1alpha1.PowerStopped, v1alpha1.PhaseStopped, libvirt.EventStopped); err != nil {
		return err
	}
	b.note(domusStop, inLibvirt)
	b.note(domusStopped, inStatus)
	return nil
}

// byLibvirt does the same to the twin.
func (b *startStop) byLibvirt(ctx context.Context) error {
	boots := strings.Count(b.cluster.Console(twinName), live.Banner)
	stop := b.host.Shutdown
	if b.powerOff {
		stop = b.host.Destroy
	}
	for _, half := range []struct {
		what string
		call func(context.Context, string) error
		says libvirt.EventKind
	}{{plainStart, b.host.Start, libvirt.EventStarted}, {plainStop, stop, libvirt.EventStopped}} {
		began := time.Now()
		if err := half.call(ctx, b.twin); err != nil {
			return err
		}
		at, err := b.hear(ctx, b.twin, half.says)
		if err != nil {
			return err
		}
		b.note(half.what, at.Sub(began))
		if half.says == libvirt.EventStarted {
			if err := b.booted(ctx, twinName, boots+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// set writes the power state, and says how long it took until libvirt, and
// until the VM's status, said that it is so.
func (b *startStop) set(ctx context.Context, power v1alpha1.PowerState, phase v1alpha1.Phase, says libvirt.EventKind) (inLibvirt, inStatus time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := b.api.Watch(ctx, &v1alpha1.VirtualMachineList{}, client.InNamespace(live.Namespace))
	if err != nil {
		return 0, 0, fmt.Errorf("watching the VM: %w", err)
	}
	defer w.Stop()
	reported := make(chan time.Time, 1)
	go func() {
		generation := int64(0)
		for e := range w.ResultChan() {
			vm, is := e.Object.(*v1alpha1.VirtualMachine)
			if !is || e.Type == watch.Deleted {
				continue
			}
			if vm.Spec.PowerState == power {
				generation = vm.Generation
			}
			if generation != 0 && vm.Status.Phase == phase {
				reported <- time.Now()
				return
			}
		}
	}()
	vm := &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: live.Namespace, Name: oursName}}
	began := time.Now()
	if err := b.api.Patch(ctx, vm, client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"powerState":%q}}`, power))); err != nil {
		return 0, 0, fmt.Errorf("setting the power state: %w", err)
	}
	at, err := b.hear(ctx, b.ours, says)
	if err != nil {
		return 0, 0, err
	}
	select {
	case seen := <-reported:
		return at.Sub(began), seen.Sub(began), nil
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("waiting for phase %s: %w", phase, ctx.Err())
	}
}

// hear waits for an event of the domain.
func (b *startStop) hear(ctx context.Context, uuid string, kind libvirt.EventKind) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case e := <-b.events:
			if e.UUID == uuid && e.Kind == kind {
				return time.Now(), nil
			}
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for libvirt to say %s of domain %s: %w", kind, uuid, ctx.Err())
		}
	}
}

// booted waits for the guest, where it is to shut down: one that boots does not
// hear that it should.
func (b *startStop) booted(ctx context.Context, name string, times int) error {
	if b.powerOff {
		return nil
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if strings.Count(b.cluster.Console(name), live.Banner) >= times {
			// What listens for the power button is started just before.
			time.Sleep(time.Second)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("guest %s has not booted %d times after %s", name, times, patience)
}

func (b *startStop) note(what string, took time.Duration) {
	b.times[what] = append(b.times[what], took)
}

func (b *startStop) print(out io.Writer, o *startStopOptions, before string) error {
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s. Load average before and after: %s and %s.\n\n| | n | p50 ms | p95 ms |\n|---|--:|--:|--:|\n", machine, before, loadAverage())
	for _, what := range []string{plainStart, domusStart, domusStarted, plainStop, domusStop, domusStopped} {
		times := slices.Sorted(slices.Values(b.times[what]))
		_, _ = fmt.Fprintf(out, "| %s | %d | %.0f | %.0f |\n", what, len(times), milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.95)))
	}
	_, _ = fmt.Fprintln(out)
	var wrong []error
	for _, half := range [][3]string{{"start", domusStarted, plainStart}, {"stop", domusStopped, plainStop}} {
		with, without := slices.Sorted(slices.Values(b.times[half[1]])), slices.Sorted(slices.Values(b.times[half[2]]))
		added := quantile(with, 0.5) - quantile(without, 0.5)
		_, _ = fmt.Fprintf(out, "Domus adds %.0f ms to a %s at the median.\n", milliseconds(added), half[0])
		if added > o.maxAdded {
			wrong = append(wrong, fmt.Errorf("added to a %[2]s are %[1]s, which is more than %[3]s", added.Round(time.Millisecond), half[0], o.maxAdded))
		}
	}
	return errors.Join(wrong...)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadAverage is that of the last minute: proc_loadavg(5).
func loadAverage() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(content))[0]
}
