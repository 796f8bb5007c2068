package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// imageServer serves files of a folder on loopback, and counts what it sends.
type imageServer struct {
	url, dir string
	sent     atomic.Int64
	// cut is after how many bytes an answer breaks off, and pace how long it waits
	// after each 64 KiB; neither when 0.
	cut, pace atomic.Int64
	listener  *httptest.Server
}

func serveImages(t *testing.T) *imageServer {
	t.Helper()
	s := &imageServer{dir: t.TempDir()}
	files := http.FileServer(http.Dir(s.dir))
	s.listener = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		files.ServeHTTP(&slowly{ResponseWriter: w, server: s, left: s.cut.Load()}, r)
	}))
	t.Cleanup(s.listener.Close)
	s.url = s.listener.URL
	return s
}

type slowly struct {
	http.ResponseWriter
	server *imageServer
	left   int64
}

// Write implements io.Writer.
func (w *slowly) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), 64<<10)]
		if w.server.cut.Load() > 0 {
			if w.left <= 0 {
				panic(http.ErrAbortHandler)
			}
			part = part[:min(int64(len(part)), w.left)]
			w.left -= int64(len(part))
		}
		m, err := w.ResponseWriter.Write(part)
		n += m
		w.server.sent.Add(int64(m))
		if err != nil {
			return n, err
		}
		w.ResponseWriter.(http.Flusher).Flush()
		time.Sleep(time.Duration(w.server.pace.Load()))
		p = p[m:]
	}
	return n, nil
}

// put puts content there and returns its checksum, as spec.checksum has it.
func (s *imageServer) put(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return checksumOf(content)
}

func checksumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func guestImage(t *testing.T) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(bin, "guest", "agent.qcow2"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// qemuImg runs qemu-img and returns what it has written to out.
func qemuImg(t *testing.T, out string, args ...string) []byte {
	t.Helper()
	if said, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %v: %v: %s", args, err, said)
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func newImage(name, url string, format v1alpha1.DiskFormat, checksum string) *v1alpha1.VirtualDiskImage {
	return &v1alpha1.VirtualDiskImage{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.VirtualDiskImageSpec{Source: v1alpha1.ImageOrigin{HTTP: &v1alpha1.HTTPOrigin{URL: url}}, Format: format, Checksum: checksum},
	}
}

// createImage makes the object and, when the test ends, has it and what hosts have of
// it removed.
func createImage(t *testing.T, i *v1alpha1.VirtualDiskImage) {
	t.Helper()
	ensureNamespace(t, namespace)
	if err := env.Create(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeImage(t, i.Name) })
}

func removeImage(t *testing.T, name string) {
	t.Helper()
	i := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for deadline := time.Now().Add(bootTime); !apierrors.IsNotFound(env.Delete(context.Background(), i)); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("VirtualDiskImage %s is not gone after %s", name, bootTime)
			return
		}
	}
}

func getImage(t *testing.T, name string) func() (*v1alpha1.VirtualDiskImage, error) {
	return func() (*v1alpha1.VirtualDiskImage, error) {
		i := &v1alpha1.VirtualDiskImage{}
		err := env.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, i)
		return i, err
	}
}

func imageSays(i *v1alpha1.VirtualDiskImage) string {
	c := meta.FindStatusCondition(i.Status.Conditions, v1alpha1.ConditionImageReady)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %s: %s", i.Status.Phase, c.Status, c.Reason, c.Message)
}

// ofImage is a disk that begins with the image, and is as large.
func ofImage(name, image string, clone v1alpha1.ImageClone, changes ...func(*v1alpha1.VirtualDisk)) *v1alpha1.VirtualDisk {
	d := newDisk(name, "1Mi", changes...)
	d.Spec.Size = nil
	d.Spec.Source = &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: image, Clone: clone}}
	return d
}

// bootedFrom is a VM that boots from the disk.
func bootedFrom(name, disk string) *v1alpha1.VirtualMachine {
	vm := newVM(name, "real")
	vm.Spec.Disks = []v1alpha1.VirtualMachineDisk{{Name: "root", DiskName: disk}}
	return vm
}

// imageVolumes lists the volumes of a pool that are images, marks among them.
func imageVolumes(t *testing.T, pool string) (out []string) {
	t.Helper()
	env.virsh(t, "pool-refresh", pool)
	for _, line := range strings.Split(env.virsh(t, "vol-list", pool), "\n") {
		if fields := strings.Fields(line); len(fields) > 0 && strings.Contains(fields[0], v1alpha1.ImageVolumeMark) {
			out = append(out, fields[0])
		}
	}
	return out
}

func columns(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("kubectl", append([]string{"--kubeconfig", filepath.Join(env.dir, "kubeconfig"), "-n", namespace}, args...)...).CombinedOutput()
	t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
}

// TestImage follows an image from its making to its end, with guests that boot from
// disks made of it. Each step builds upon the one before.
func TestImage(t *testing.T) {
	const copied, standing = "of-a-copy", "on-an-image"
	server := serveImages(t)
	content := guestImage(t)
	sum := server.put(t, "guest.qcow2", content)
	t.Cleanup(func() { remove(t, copied); remove(t, standing) })
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"it waits for a disk, and a disk for it", func(t *testing.T) {
			g := NewWithT(t)
			ensureNamespace(t, namespace)
			if err := env.Create(t.Context(), ofImage("copied", "guest", v1alpha1.CloneFull)); err != nil {
				t.Fatal(err)
			}
			atHome(t, "copied", "default")
			g.Eventually(getDisk(t, "copied")).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("False ImageMissing: there is no VirtualDiskImage guest: create it")))
		}},
		{"it is fetched although the server breaks off, and how far is told", func(t *testing.T) {
			g := NewWithT(t)
			server.cut.Store(6 << 20) // three times
			server.pace.Store(int64(60 * time.Millisecond))
			if err := env.Create(t.Context(), newImage("guest", server.url+"/guest.qcow2", v1alpha1.DiskQCOW2, sum)); err != nil {
				t.Fatal(err)
			}
			g.Eventually(getDisk(t, "copied")).WithTimeout(bootTime).Should(WithTransform(says("Ready"), MatchRegexp(`False ImageNotReady: VirtualDiskImage guest is being fetched: [1-9]\d?% of 15.2Mi`)))
			d, err := getDisk(t, "copied")()
			g.Expect(err).NotTo(HaveOccurred())
			t.Log(says("Ready")(d))
			columns(t, "get", "vdi,vdisk", "-o", "wide")
			g.Eventually(getDisk(t, "copied")).WithTimeout(bootTime).Should(WithTransform(isReady, BeTrue()))
			g.Expect(server.sent.Load()).To(BeNumerically("==", len(content)), "bytes were sent twice")
			server.cut.Store(0)
			server.pace.Store(0)
			g.Eventually(getImage(t, "guest")).WithTimeout(settleTime).Should(WithTransform(imageSays, HavePrefix("Ready True Cached")))
			i, err := getImage(t, "guest")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(imageVolumes(t, "default")).To(Equal([]string{i.VolumeName()}))
			g.Expect(i.Status.Bytes).To(Equal(int64(len(content))))
			columns(t, "get", "vdi,vdisk", "-o", "wide")
		}},
		{"a guest boots from a copy of it", func(t *testing.T) {
			create(t, bootedFrom(copied, "copied"))
			answers(t, copied)
			setPower(t, copied, v1alpha1.PowerStopped)
		}},
		{"a guest boots from a disk that stands on it", func(t *testing.T) {
			g := NewWithT(t)
			if err := env.Create(t.Context(), ofImage("standing", "guest", v1alpha1.CloneBacking)); err != nil {
				t.Fatal(err)
			}
			create(t, bootedFrom(standing, "standing"))
			answers(t, standing)
			d, err := getDisk(t, "standing")()
			g.Expect(err).NotTo(HaveOccurred())
			i, err := getImage(t, "guest")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(env.virsh(t, "vol-dumpxml", d.VolumeName(), "default")).To(ContainSubstring("/" + i.VolumeName() + "</path>"))
			g.Expect(server.sent.Load()).To(BeNumerically("==", len(content)), "it was fetched again")
			columns(t, "get", "vdi,vdisk,vm", "-o", "wide")
		}},
		{"it stays while a disk stands on it", func(t *testing.T) {
			g := NewWithT(t)
			i, err := getImage(t, "guest")()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(env.Delete(t.Context(), i)).To(Succeed())
			g.Eventually(getImage(t, "guest")).WithTimeout(settleTime).Should(WithTransform(imageSays, Equal("Deleting False InUse: it is deleted when no disk stands on it any more: VirtualDisks standing")))
			g.Consistently(func() []string { return imageVolumes(t, "default") }).WithTimeout(stillTime).Should(Equal([]string{i.VolumeName()}))
			remove(t, standing)
			removeDisk(t, "standing")
			g.Eventually(func() bool {
				_, err := getImage(t, "guest")()
				return apierrors.IsNotFound(err)
			}).WithTimeout(settleTime).Should(BeTrue())
			g.Eventually(func() []string { return imageVolumes(t, "default") }).WithTimeout(2 * time.Minute).Should(BeEmpty())
		}},
		{"its copy needs it no more", func(t *testing.T) {
			setPower(t, copied, v1alpha1.PowerRunning)
			answers(t, copied)
			remove(t, copied)
			removeDisk(t, "copied")
		}},
	} {
		if !t.Run(step.name, step.run) {
			columns(t, "get", "vdi,vdisk,vm", "-o", "yaml")
			for _, vm := range []string{copied, standing} {
				t.Logf("console of %s:\n%s", vm, env.console(vm))
			}
			for _, vm := range []string{copied, standing} {
				remove(t, vm)
			}
			removeDisk(t, "copied")
			removeDisk(t, "standing")
			removeImage(t, "guest")
			t.FailNow()
		}
	}
}

// TestImageThatCannotBeUsed has disks begin with what is no image, or none that may be
// used: each is refused, nothing of the host is read, and nothing is left.
func TestImageThatCannotBeUsed(t *testing.T) {
	g := NewWithT(t)
	server := serveImages(t)
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	g.Expect(os.WriteFile(secret, bytes.Repeat([]byte("of-the-host\n"), 1000), 0o600)).To(Succeed())
	backed := filepath.Join(dir, "backed.qcow2")
	forged := qemuImg(t, backed, "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", backed, "1M")
	outside := filepath.Join(dir, "outside.qcow2")
	good := guestImage(t)
	for name, test := range map[string]struct {
		content []byte
		format  v1alpha1.DiskFormat
		sum     string
		size    string
		says    string
	}{
		"another-checksum": {content: good, format: v1alpha1.DiskQCOW2, sum: checksumOf([]byte("x")), says: "spec.checksum is " + strings.TrimPrefix(checksumOf([]byte("x")), "sha256:")},
		"backed":           {content: forged, format: v1alpha1.DiskQCOW2, says: "it has a backing file, which would be read on the host"},
		"forged-raw":       {content: forged, format: v1alpha1.DiskRaw, says: "it begins as a file of format qcow2, and spec.format is raw"},
		"outside":          {content: qemuImg(t, outside, "create", "-q", "-f", "qcow2", "-o", "data_file="+secret+",data_file_raw=on", outside, "12000"), format: v1alpha1.DiskQCOW2, says: "its data is in another file"},
		"a-page":           {content: []byte("<html>not found</html>"), format: v1alpha1.DiskQCOW2, says: "it does not begin as a file of format qcow2"},
		"too-large":        {content: good, format: v1alpha1.DiskQCOW2, size: "4Mi", says: "False SourceLarger: VirtualDiskImage too-large has"},
	} {
		sum := server.put(t, name, test.content)
		if test.sum != "" {
			sum = test.sum
		}
		createImage(t, newImage(name, server.url+"/"+name, test.format, sum))
		d := ofImage(name, name, v1alpha1.CloneFull)
		if test.size != "" {
			d.Spec.Size = newDisk(name, test.size).Spec.Size
		}
		createDisk(t, d)
		atHome(t, name, "default")
		g.Eventually(getDisk(t, name)).WithTimeout(bootTime).Should(WithTransform(says("Ready"), ContainSubstring(test.says)), name)
		d, err := getDisk(t, name)()
		g.Expect(err).NotTo(HaveOccurred())
		t.Log(name, ": ", says("Ready")(d))
	}
	g.Expect(diskVolumes(t, "default")).To(BeEmpty())
	// But for one that is being tried again just now.
	g.Eventually(func() []string { return imageVolumes(t, "default") }).WithTimeout(settleTime).Should(HaveEach(Or(ContainSubstring("too-large"), ContainSubstring(".making-"))))
	columns(t, "get", "vdi,vdisk", "-o", "wide")

	missing := newImage("unknown", server.url+"/none", v1alpha1.DiskRaw, "")
	g.Expect(env.Create(t.Context(), missing)).To(MatchError(ContainSubstring("spec.checksum must be given for an image from a web server")))
	good2 := newImage("gone", server.url+"/none", v1alpha1.DiskRaw, checksumOf(nil))
	createImage(t, good2)
	createDisk(t, ofImage("gone", "gone", v1alpha1.CloneFull))
	atHome(t, "gone", "default")
	g.Eventually(getDisk(t, "gone")).WithTimeout(bootTime).Should(WithTransform(says("Ready"), ContainSubstring("the server answers 404 Not Found; it is tried again")))
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"format":"qcow2"}}`))
	g.Expect(env.Patch(t.Context(), good2, patch)).To(MatchError(ContainSubstring("spec is immutable")))
}

// TestImageThatIsRaw makes raw disks of a raw image, of a CD's among them, and has a
// guest write what libvirt takes for another format.
func TestImageThatIsRaw(t *testing.T) {
	g := NewWithT(t)
	const name = "of-raw"
	images := filepath.Join(env.dir, "images")
	g.Expect(os.MkdirAll(images, 0o755)).To(Succeed())
	raw := filepath.Join(images, "guest.raw")
	content := qemuImg(t, raw, "convert", "-O", "raw", filepath.Join(bin, "guest", "agent.qcow2"), raw)
	iso := make([]byte, 1<<20)
	copy(iso[32768:], "\x01CD001\x01")
	g.Expect(os.WriteFile(filepath.Join(images, "medium.iso"), iso, 0o644)).To(Succeed())

	i := newImage("raw", "", v1alpha1.DiskRaw, checksumOf(content))
	i.Spec.Source = v1alpha1.ImageOrigin{File: &v1alpha1.FileOrigin{Name: "guest.raw"}}
	createImage(t, i)
	asRaw := func(d *v1alpha1.VirtualDisk) { d.Spec.Format = v1alpha1.DiskRaw }
	createDisk(t, ofImage("raw", "raw", v1alpha1.CloneFull, asRaw))
	medium := newImage("medium", "", v1alpha1.DiskRaw, "")
	medium.Spec.Source = v1alpha1.ImageOrigin{File: &v1alpha1.FileOrigin{Name: "medium.iso"}}
	createImage(t, medium)
	createDisk(t, ofImage("medium", "medium", v1alpha1.CloneFull, asRaw))
	vm := bootedFrom(name, "raw")
	vm.Spec.Disks = append(vm.Spec.Disks, v1alpha1.VirtualMachineDisk{Name: "data", DiskName: "medium"})
	create(t, vm)
	t.Cleanup(func() { remove(t, name) })
	running := answers(t, name)
	columns(t, "get", "vdi,vdisk", "-o", "wide")

	// The guest forges a header that names a file of the host. libvirt believes it.
	forged := filepath.Join(t.TempDir(), "forged")
	header := qemuImg(t, forged, "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", forged, "1M")
	var octal strings.Builder
	for _, b := range header[:1024] {
		fmt.Fprintf(&octal, `\%03o`, b)
	}
	inGuest(t, running, `dd if=/dev/zero of=/dev/vdb bs=64k count=1; printf '`+octal.String()+`' >/dev/vdb; sync; echo FORGED= >/dev/ttyS0`)
	g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(ContainSubstring("FORGED="))
	d, err := getDisk(t, "medium")()
	g.Expect(err).NotTo(HaveOccurred())
	env.virsh(t, "pool-refresh", "default")
	g.Expect(env.virsh(t, "vol-dumpxml", d.VolumeName(), "default")).To(ContainSubstring("/etc/passwd"), "the header is not what it should be")
	setPower(t, name, v1alpha1.PowerStopped)
	g.Eventually(get(t, name)).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	// Nor is it copied as what it claims to be.
	createDisk(t, newDisk("stolen", "2Mi", copyOf("medium")))
	atHome(t, "stolen", "default")
	g.Eventually(getDisk(t, "stolen")).WithTimeout(settleTime).Should(WithTransform(says("Ready"), ContainSubstring("False InvalidVolume: the content of raw VirtualDisk medium begins as a file of format qcow2")))
	env.kill(t, "vm-executor-real") // it looks at all anew
	g.Expect(env.up()).To(Succeed())
	setPower(t, name, v1alpha1.PowerRunning)
	onConsole(t, answers(t, name), "READ", "head -c 3 /dev/vdb; head -c 20000 /dev/vdb | grep -c root:")
	g.Eventually(func() string { return env.console(name) }).WithTimeout(settleTime).Should(MatchRegexp(`READ=QFI\s*0=`))
	d, err = getDisk(t, "medium")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.Status.Format).To(Equal(v1alpha1.DiskRaw))
	g.Expect(d.Status.Capacity).To(Equal(int64(1 << 20)))
}

// TestImageSurvivesKills kills the executor while it fetches an image, and makes disks
// of it. It is gone on with, and in the end there is one image, whole.
func TestImageSurvivesKills(t *testing.T) {
	kills := rounds(t, 4)
	g := NewWithT(t)
	server := serveImages(t)
	content := guestImage(t)
	sum := server.put(t, "guest.qcow2", content)
	server.pace.Store(int64(20 * time.Millisecond)) // it takes some 5 s
	createImage(t, newImage("killed", server.url+"/guest.qcow2", v1alpha1.DiskQCOW2, sum))
	createDisk(t, ofImage("killed", "killed", v1alpha1.CloneFull))
	atHome(t, "killed", "default")
	before := server.sent.Load()
	for range kills {
		time.Sleep(time.Second + rand.N(time.Second))
		env.kill(t, "vm-executor-real")
		g.Expect(env.up()).To(Succeed())
	}
	g.Eventually(getDisk(t, "killed")).WithTimeout(bootTime).Should(WithTransform(isReady, BeTrue()))
	t.Logf("%d kills: %d bytes were sent of %d", kills, server.sent.Load()-before, len(content))
	i, err := getImage(t, "killed")()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(imageVolumes(t, "default")).To(Equal([]string{i.VolumeName()}))
	there, err := os.ReadFile(filepath.Join(env.dir, "host", "lib", "images", i.VolumeName()))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bytes.Equal(there, content)).To(BeTrue(), "the image is not what the server has")
	g.Expect(server.sent.Load()-before).To(BeNumerically("<", 2*len(content)), "it was fetched from its beginning more than once")
}

// TestImagePoolIsFull has too little room for an image before it is fetched, and
// meanwhile.
func TestImagePoolIsFull(t *testing.T) {
	g := NewWithT(t)
	const small = "/var/lib/libvirt/images/small-images"
	inside := func(args ...string) {
		t.Helper()
		out, err := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(env.libvirtd(t)), "-m"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
	inside("mkdir", "-p", small)
	inside("mount", "-t", "tmpfs", "-o", "size=96m", "small", small)
	env.virsh(t, "pool-define-as", "small-images", "dir", "--target", small)
	env.virsh(t, "pool-start", "small-images")
	t.Cleanup(func() {
		env.virsh(t, "pool-destroy", "small-images")
		env.virsh(t, "pool-undefine", "small-images")
		inside("umount", small)
	})
	hasSmall := func() bool {
		hosts := &v1alpha1.HypervisorList{}
		return env.List(t.Context(), hosts) == nil && slices.ContainsFunc(hosts.Items, func(h v1alpha1.Hypervisor) bool {
			return slices.ContainsFunc(h.Status.Pools, func(p v1alpha1.HostPool) bool { return p.Name == "small-images" && p.Allocatable > 64<<20 })
		})
	}
	g.Eventually(hasSmall).WithTimeout(settleTime).Should(BeTrue())
	server := serveImages(t)
	noise := make([]byte, 80<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	noise[0] = 0
	large := server.put(t, "large", noise)
	createImage(t, newImage("large", server.url+"/large", v1alpha1.DiskRaw, large))
	// The disk's own claim leaves too little.
	d := ofImage("large", "large", v1alpha1.CloneFull, inPool("small-images"))
	d.Spec.Size = newDisk("large", "80Mi").Spec.Size
	createDisk(t, d)
	atHome(t, "large", "small-images")
	g.Eventually(getDisk(t, "large")).WithTimeout(bootTime).Should(WithTransform(says("Ready"), MatchRegexp(`ImageFailed: VirtualDiskImage large cannot be had on host .*: storage pool small-images has .* for it, and it needs 80Mi; free some there`)))
	g.Expect(server.sent.Load()).To(BeNumerically("<", 8<<20), "it was fetched although it had no room")
	removeDisk(t, "large")

	// Somebody fills the pool while it is fetched.
	part := server.put(t, "part", noise[:40<<20])
	server.pace.Store(int64(10 * time.Millisecond))
	createImage(t, newImage("part", server.url+"/part", v1alpha1.DiskRaw, part))
	d = ofImage("part", "part", v1alpha1.CloneFull, inPool("small-images"))
	d.Spec.Size = newDisk("part", "40Mi").Spec.Size
	createDisk(t, d)
	began := server.sent.Load()
	atHome(t, "part", "small-images")
	g.Eventually(func() int64 { return server.sent.Load() - began }).WithTimeout(bootTime).Should(BeNumerically(">", 4<<20))
	inside("sh", "-c", `room=96; while [ $room -gt 0 ]; do fallocate -l ${room}M "$0/foreign" 2>/dev/null && exit; room=$((room - 2)); done`, small)
	g.Eventually(getDisk(t, "part")).WithTimeout(bootTime).Should(WithTransform(says("Ready"), ContainSubstring("storage pool small-images became full: free some there; it is tried again")))
	columns(t, "get", "vdi,vdisk", "-o", "wide")
	g.Eventually(func() []string { return imageVolumes(t, "small-images") }).WithTimeout(settleTime).Should(HaveEach(ContainSubstring(".making-")), "a part of it is left, which takes room")
	server.pace.Store(0)
	inside("rm", small+"/foreign")
	g.Eventually(getDisk(t, "part")).WithTimeout(3 * time.Minute).Should(WithTransform(isReady, BeTrue()))
}
