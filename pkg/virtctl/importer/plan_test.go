package importer

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/convert/objects"
	"domus.dev/domus/pkg/virtctl/documents"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/libvirtdoc"
	"domus.dev/domus/pkg/virtctl/live"
)

const (
	uuid1 = "11111111-1111-4111-8111-111111111111"
	uuid2 = "22222222-2222-4222-8222-222222222222"
)

// domain is a document of a host, and what its libvirt says of it.
func domain(name, uuid, inside string, change ...func(*live.Found)) live.Found {
	text := fmt.Sprintf("<domain type='kvm'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type>hvm</type></os>%s</domain>", name, uuid, inside)
	f := live.Found{Kind: live.Domain, Name: name, UUID: uuid, Document: documents.Document{Source: "domain " + name, Alone: true, Format: documents.XML, Text: []byte(text)}}
	for _, c := range change {
		c(&f)
	}
	return f
}

func beside(kind live.Kind, text string) live.Found {
	return live.Found{Kind: kind, Document: documents.Document{Source: string(kind), Alone: true, Format: documents.XML, Text: []byte(text)}}
}

func active(f *live.Found)    { f.Active = true }
func saved(f *live.Found)     { f.Saved = true }
func transient(f *live.Found) { f.Transient = true }

func planned(t *testing.T, o *options, there *surroundings, found ...live.Found) ([]arrival, error) {
	t.Helper()
	read, err := libvirtdoc.ObjectsOf(found, objects.FromOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if there.level == "" {
		there.level = v1alpha1.PolicyRestricted
	}
	return o.plan(read, "demo", there)
}

func vm(name, uuid string) v1alpha1.VirtualMachine {
	out := v1alpha1.VirtualMachine{}
	out.Name, out.Spec.UUID = name, uuid
	return out
}

func TestADomainComesInStoppedAndKeepsItsUUID(t *testing.T) {
	all, err := planned(t, &options{node: "host-7"}, &surroundings{}, domain("Web Server", uuid1, "", active))
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	got := all[0].vm
	if got.Name != "web-server" || got.Namespace != "demo" || got.Spec.UUID != uuid1 || got.Spec.PowerState != v1alpha1.PowerStopped {
		t.Errorf("%s/%s, UUID %s, %s", got.Namespace, got.Name, got.Spec.UUID, got.Spec.PowerState)
	}
	if diff := cmp.Diff(map[string]string{"kubernetes.io/hostname": "host-7"}, got.Spec.NodeSelector); diff != "" {
		t.Error(diff)
	}
	if first := all[0].changes[0].String(); !strings.HasPrefix(first, `metadata.name: "Web Server" became web-server: `) {
		t.Errorf("its name is told as %s", first)
	}
}

// Where disks and network interfaces lead is looked up among what is beside.
func TestPoolsAndNetworksBesideTellWhereDisksAre(t *testing.T) {
	const devices = `<devices>
		<disk type='file'><source file='/images/demo.web'/><target dev='vda' bus='virtio'/></disk>
		<disk type='network'><source protocol='rbd' name='fast/demo.data'/><target dev='vdb' bus='virtio'/></disk>
		<interface type='bridge'><source bridge='br7'/></interface>
		<interface type='direct'><source dev='eth1' mode='bridge'/></interface></devices>`
	all, err := planned(t, &options{}, &surroundings{},
		domain("web", uuid1, devices),
		beside(live.Pool, "<pool type='dir'><name>images</name><target><path>/images</path></target></pool>"),
		beside(live.Pool, "<pool type='rbd'><name>ceph</name><source><name>fast</name><host name='mon'/></source></pool>"),
		beside(live.Network, "<network><name>lan</name><forward mode='nat'/><bridge name='br7'/></network>"),
		beside(live.Network, "<network><name>wan</name><forward mode='bridge' dev='eth1'><interface dev='eth1'/></forward></network>"),
	)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || len(all[0].refusals) > 0 {
		t.Fatalf("%d arrivals, refused %v", len(all), all[0].refusals)
	}
	raw := string(all[0].vm.Spec.Domain.Raw)
	for _, want := range []string{`{"pool":"images","volume":"demo.web"}`, `{"pool":"ceph","volume":"demo.data"}`, `{"network":"lan"}`, `{"network":"wan"}`} {
		if !strings.Contains(raw, want) {
			t.Errorf("%s lacks %s", raw, want)
		}
	}
}

func TestWhatIsThereAlreadyIsLeftAsItIs(t *testing.T) {
	for name, test := range map[string]struct {
		there     []v1alpha1.VirtualMachine
		want, err string
	}{
		"nothing":                           {},
		"the same":                          {there: []v1alpha1.VirtualMachine{vm("web", uuid1)}, want: "web"},
		"the same under another name":       {there: []v1alpha1.VirtualMachine{vm("shop", uuid1)}, want: "shop"},
		"the same, and another of its name": {there: []v1alpha1.VirtualMachine{vm("web", uuid2), vm("shop", uuid1)}, want: "shop"},
		"another of its name":               {there: []v1alpha1.VirtualMachine{vm("web", uuid2)}, err: `domain web: virtualmachine "web" is another one, of UUID ` + uuid2},
	} {
		all, err := planned(t, &options{}, &surroundings{vms: test.there}, domain("web", uuid1, ""))
		if (err != nil) != (test.err != "") || err != nil && (!strings.Contains(err.Error(), test.err) || failure.CodeOf(err) != failure.Denied) {
			t.Errorf("%s: %v, want %q", name, err, test.err)
			continue
		}
		got := ""
		if len(all) > 0 && all[0].there != nil {
			got = all[0].there.Name
		}
		if got != test.want {
			t.Errorf("%s: it is %q, want %q", name, got, test.want)
		}
	}
}

func TestTwoOfOneNameOrUUIDDoNotBecomeOne(t *testing.T) {
	for want, second := range map[string]live.Found{
		"domain Web has the name web too: bring it in by itself with --name": domain("web", uuid2, ""),
		"domain Web has the UUID " + uuid1 + " too, and so is the same VM":   domain("mail", uuid1, ""),
		"domain Web has the UUID " + uuid1 + " too, and so is the same VM: ": domain("Web", uuid1, ""),
	} {
		all, err := planned(t, &options{}, &surroundings{}, domain("Web", uuid1, ""), second)
		if err == nil || !strings.Contains(err.Error(), want) || len(all) != 1 {
			t.Errorf("%d come in, %v; want %q", len(all), err, want)
		}
	}
}

func TestAGuestThatRunsIsNotStartedASecondTime(t *testing.T) {
	o := &options{start: true}
	if _, err := planned(t, o, &surroundings{}, domain("web", uuid1, "", active)); err == nil || !strings.Contains(err.Error(), "must not run twice") {
		t.Errorf("%v", err)
	}
	all, err := planned(t, o, &surroundings{}, domain("web", uuid1, ""))
	if err != nil || all[0].vm.Spec.PowerState != v1alpha1.PowerRunning {
		t.Errorf("one that is off: %v, %v", all, err)
	}
	// What was running when it was exported says so of itself.
	running := vm("web", uuid1)
	running.Spec.PowerState = v1alpha1.PowerRunning
	running.Spec.Resources.CPU = 2
	text, err := objects.ToXML(&running, objects.ToOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := domain("web", uuid1, "", active)
	found.Text = text
	all, err = planned(t, &options{}, &surroundings{}, found)
	if err != nil || all[0].vm.Spec.PowerState != v1alpha1.PowerStopped {
		t.Errorf("one whose XML says Running: %v, %v", all, err)
	}
}

func TestDomainsOfDomusAreLeftAlone(t *testing.T) {
	mark := convert.Ownership{ClusterID: "c1", Owner: v1alpha1.Owner{Namespace: "demo", Name: "web", UID: uuid1}, Granted: v1alpha1.GrantedResources{CPU: 1, Memory: 1}}
	for name, inside := range map[string]string{
		"virtualmachine web of namespace demo (cluster c1)": mark.XML(),
		"a VM that its mark does not name":                  "<owner xmlns='" + convert.OwnershipNamespace + "'/>",
	} {
		all, err := planned(t, &options{}, &surroundings{}, domain("demo:web", uuid1, "<metadata>"+inside+"</metadata>", active))
		if err != nil || len(all) != 1 || all[0].managed != name || all[0].vm != nil {
			t.Errorf("%+v, %v; want %s", all, err, name)
		}
	}
	// A copy in a file is of whoever has it.
	file := domain("demo:web", uuid1, "<metadata>"+mark.XML()+"</metadata>")
	file.Kind = ""
	all, err := planned(t, &options{}, &surroundings{}, file)
	if err != nil || all[0].vm == nil || strings.Contains(fmt.Sprint(all[0].vm.Annotations), convert.OwnershipNamespace) {
		t.Errorf("of a file: %+v, %v", all, err)
	}
}

func TestWhatThePolicyRefusesIsTold(t *testing.T) {
	const inside = "<devices><filesystem type='mount'><source dir='/srv'/><target dir='srv'/></filesystem></devices>"
	all, err := planned(t, &options{}, &surroundings{}, domain("web", uuid1, inside))
	if err != nil || len(all[0].refusals) != 1 || all[0].refusals[0].Field != "spec.domain.devices.filesystems[0]" {
		t.Errorf("%v, %v", all[0].refusals, err)
	}
	all, err = planned(t, &options{}, &surroundings{level: v1alpha1.PolicyPrivileged}, domain("web", uuid1, inside))
	if err != nil || len(all[0].refusals) != 0 {
		t.Errorf("of the privileged: %v, %v", all[0].refusals, err)
	}
	all, err = planned(t, &options{remove: true}, &surroundings{}, domain("web", uuid1, inside))
	if err != nil || len(all[0].refusals) != 0 || strings.Contains(fmt.Sprint(all[0].vm.Spec.Domain), "filesystems") {
		t.Errorf("left out: %v, %v", all[0].refusals, err)
	}
}

func TestTheStepsEndAGuestBeforeItIsStartedAnew(t *testing.T) {
	for name, test := range map[string]struct {
		found live.Found
		more  []live.Found
		want  []string
	}{
		"one that is off": {domain("web", uuid1, ""), nil, []string{
			"virsh -c qemu:///system undefine web --keep-nvram", "virtctl start -n demo web",
		}},
		"one that runs": {domain("my web", uuid1, "", active), nil, []string{
			"virsh -c qemu:///system shutdown 'my web'  # and wait: virsh domstate says shut off",
			"virsh -c qemu:///system undefine 'my web' --keep-nvram", "virtctl start -n demo my-web",
		}},
		"one whose memory is saved": {domain("web", uuid1, "", saved), nil, []string{
			"virsh -c qemu:///system start web  # its memory is saved there, and would be lost",
			"virsh -c qemu:///system shutdown web  # and wait: virsh domstate says shut off",
			"virsh -c qemu:///system undefine web --keep-nvram", "virtctl start -n demo web",
		}},
		"one that is gone when it ends": {domain("web", uuid1, "", active, transient), nil, []string{
			"virsh -c qemu:///system shutdown web  # and wait: virsh domstate says shut off", "virtctl start -n demo web",
		}},
		"one with snapshots": {domain("web", uuid1, ""), []live.Found{snapshot("web", "a"), snapshot("web", "b")}, []string{
			"virsh -c qemu:///system undefine web --keep-nvram --snapshots-metadata  # its 2 snapshots stay in its disks", "virtctl start -n demo web",
		}},
	} {
		all, err := planned(t, &options{}, &surroundings{}, append([]live.Found{test.found}, test.more...)...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, steps(all, "qemu:///system", "virtctl", "demo")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheStepsOfADryRunBeginWithBringingIn(t *testing.T) {
	all, err := planned(t, &options{}, &surroundings{}, domain("web", uuid1, ""))
	if err != nil {
		t.Fatal(err)
	}
	for dry, want := range map[dryRun]string{
		dryRunNone:   "\nNothing was changed at qemu:///system. To take the VMs over:\n",
		dryRunClient: "\nNothing was created, and nothing was changed at qemu:///system. To take the VMs over, bring them in without --dry-run first, and then:\n",
		dryRunServer: "",
	} {
		var said bytes.Buffer
		o := &options{dryRun: string(dry)}
		o.input.URI = "qemu:///system"
		w := &writer{options: o, streams: genericiooptions.IOStreams{ErrOut: &said}, program: "virtctl", namespace: "demo"}
		w.next(all)
		if !strings.HasPrefix(said.String(), want) || want == "" && said.Len() > 0 {
			t.Errorf("--dry-run=%s says %q", dry, said.String())
		}
	}
}

func TestADomainInAFileIsTakenOverByStepsToo(t *testing.T) {
	inFile := func(text string) live.Found {
		return live.Found{Document: documents.Document{Source: "web.xml", Line: 1, Alone: true, Format: documents.XML, Text: []byte(text)}}
	}
	const rest = "<uuid>" + uuid1 + "</uuid><memory unit='MiB'>512</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>"
	off := inFile("<domain type='kvm'><name>My web</name>" + rest)
	ran := inFile("<domain type='kvm' id='42'><name>My web</name>" + rest)
	const warned = "warning: web.xml: it ran when this was written, for it has an id, and must not run twice: "
	for name, test := range map[string]struct {
		found   live.Found
		want    []string
		warning bool
	}{
		"one that was off": {off, []string{
			"virsh domstate 'My web'  # must say shut off: shut it down first if it does not",
			"virsh undefine 'My web' --keep-nvram", "virtctl start -n demo my-web",
		}, false},
		"one that ran": {ran, []string{
			"virsh shutdown 'My web'  # and wait: virsh domstate says shut off",
			"virsh undefine 'My web' --keep-nvram", "virtctl start -n demo my-web",
		}, true},
	} {
		all, err := planned(t, &options{}, &surroundings{}, test.found)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, steps(all, "", "virtctl", "demo")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var said bytes.Buffer
		w := &writer{options: &options{quiet: true}, streams: genericiooptions.IOStreams{ErrOut: &said}, program: "virtctl", namespace: "demo"}
		w.tell(&all[0])
		if strings.HasPrefix(said.String(), warned) != test.warning || !test.warning && said.Len() > 0 {
			t.Errorf("%s: says %q", name, said.String())
		}
		said.Reset()
		w.quiet = false
		w.next(all)
		if want := "\nNothing was changed where they are from. To take the VMs over, with virsh on the host that each is from:\n  " + test.want[0]; !strings.HasPrefix(said.String(), want) {
			t.Errorf("%s: the steps are %q", name, said.String())
		}
	}
	if _, err := planned(t, &options{start: true}, &surroundings{}, off); err != nil {
		t.Errorf("one that was off is not started: %v", err)
	}
	if _, err := planned(t, &options{start: true}, &surroundings{}, ran); err == nil || !strings.Contains(err.Error(), "must not run twice: shut it down and give") {
		t.Errorf("one that ran is started: %v", err)
	}
}

func TestAnObjectWithAnIDIsOfAGuestThatRuns(t *testing.T) {
	given := vm("web", uuid1)
	given.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VirtualMachine"))
	for _, test := range []struct {
		domain string
		power  v1alpha1.PowerState
		refuse bool
		steps  int
	}{
		{`{"id": 42}`, "", false, 3}, {`{"id": 42}`, v1alpha1.PowerRunning, true, 0},
		{`{}`, "", false, 0}, {`{}`, v1alpha1.PowerRunning, false, 0},
	} {
		o := given.DeepCopy()
		o.Spec.PowerState, o.Spec.Domain = test.power, &runtime.RawExtension{Raw: []byte(test.domain)}
		read := []libvirtdoc.ReadFound{{Read: libvirtdoc.Read{Document: documents.Document{Source: "web.yaml", Format: documents.YAML}, Object: o}}}
		all, err := (&options{}).plan(read, "demo", &surroundings{level: v1alpha1.PolicyRestricted})
		if (err != nil) != test.refuse {
			t.Errorf("%s, %q: %v", test.domain, test.power, err)
		}
		if got := steps(all, "", "virtctl", "demo"); len(got) != test.steps {
			t.Errorf("%s, %q: the steps are %q", test.domain, test.power, got)
		}
	}
}

func snapshot(of, name string) live.Found {
	f := beside(live.Snapshot, "<domainsnapshot><name>"+name+"</name></domainsnapshot>")
	f.Parent, f.Name, f.Source = of, name, "domainsnapshot "+of+"/"+name
	return f
}
