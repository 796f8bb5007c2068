package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// qcow2Image is an image of 1 GiB, as far as its header goes.
func qcow2Image() []byte {
	out := make([]byte, 300_000)
	for i := 512; i < len(out); i++ {
		out[i] = byte(rand.Uint32())
	}
	copy(out, "QFI\xfb")
	binary.BigEndian.PutUint32(out[4:], 3)
	binary.BigEndian.PutUint32(out[20:], 16)
	binary.BigEndian.PutUint64(out[24:], uint64(gib))
	binary.BigEndian.PutUint32(out[36:], 2)
	binary.BigEndian.PutUint32(out[100:], 104)
	return out
}

func newImage(ns, name, url string, content []byte) *v1alpha1.VirtualDiskImage {
	sum := sha256.Sum256(content)
	return &v1alpha1.VirtualDiskImage{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.VirtualDiskImageSpec{
			Source: v1alpha1.ImageOrigin{HTTP: &v1alpha1.HTTPOrigin{URL: url}}, Format: v1alpha1.DiskQCOW2, Checksum: "sha256:" + hex.EncodeToString(sum[:]),
		},
	}
}

func ofImage(ns, name, image string, clone v1alpha1.ImageClone) *v1alpha1.VirtualDisk {
	d := newDisk(ns, name, 1)
	d.Spec.Size = nil
	d.Spec.Source = &v1alpha1.DiskSource{Image: &v1alpha1.ImageSource{Name: image, Clone: clone}}
	return d
}

// waitImage waits until is returns "" for the image named image, and returns it; nil stands for
// one that is gone.
func waitImage(t *testing.T, ns string, is func(*v1alpha1.VirtualDiskImage) string) *v1alpha1.VirtualDiskImage {
	t.Helper()
	var last string
	for deadline := time.Now().Add(eventually); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		i := &v1alpha1.VirtualDiskImage{}
		err := suite.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "image"}, i)
		if apierrors.IsNotFound(err) {
			i = nil
		} else if err != nil {
			t.Fatal(err)
		}
		if last = is(i); last == "" {
			return i
		}
	}
	t.Fatalf("VirtualDiskImage %s/%s: %s", ns, "image", last)
	return nil
}

func imageIs(phase v1alpha1.ImagePhase) func(*v1alpha1.VirtualDiskImage) string {
	return func(i *v1alpha1.VirtualDiskImage) string {
		if i == nil || i.Status.Phase != phase {
			return fmt.Sprintf("not %s: %+v", phase, i)
		}
		return ""
	}
}

// An image on simulated hosts, from the API server's refusals to its end.
func TestImages(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := newEmbeddedHost(t, ns, ns+"-image-host", libvirt.Pool{Name: "default", Type: "dir", Capacity: 10 * gib})
	t.Cleanup(func() {
		ctx := context.Background()
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualMachine{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualDisk{}, client.InNamespace(ns))
		_ = suite.client.DeleteAllOf(ctx, &v1alpha1.VirtualDiskImage{}, client.InNamespace(ns))
	})
	content := qcow2Image()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(content))
	}))
	t.Cleanup(server.Close)
	make := func(obj client.Object) {
		t.Helper()
		if err := suite.client.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}

	for says, change := range map[string]func(*v1alpha1.VirtualDiskImage){
		"spec.checksum must be given":         func(i *v1alpha1.VirtualDiskImage) { i.Spec.Checksum = "" },
		"spec.checksum: Invalid value":        func(i *v1alpha1.VirtualDiskImage) { i.Spec.Checksum = "md5:0" },
		"spec.source.http.url: Invalid value": func(i *v1alpha1.VirtualDiskImage) { i.Spec.Source.HTTP.URL = "file:///etc/passwd" },
		"spec.source.file.name: Invalid value": func(i *v1alpha1.VirtualDiskImage) {
			i.Spec.Source = v1alpha1.ImageOrigin{File: &v1alpha1.FileOrigin{Name: "../x"}}
		},
		"exactly one of the fields":         func(i *v1alpha1.VirtualDiskImage) { i.Spec.Source.File = &v1alpha1.FileOrigin{Name: "x"} },
		"spec.format: Unsupported value":    func(i *v1alpha1.VirtualDiskImage) { i.Spec.Format = "vmdk" },
		"caBundle is for a url that begins": func(i *v1alpha1.VirtualDiskImage) { i.Spec.Source.HTTP.CABundle = []byte("x") },
		"spec.size must be from 512 bytes":  func(i *v1alpha1.VirtualDiskImage) { i.Spec.Size = newDisk(ns, "x", -1).Spec.Size },
		"at most 130 characters":            func(i *v1alpha1.VirtualDiskImage) { i.Name = strings.Repeat("x", 131) },
	} {
		i := newImage(ns, "refused", server.URL, content)
		change(i)
		if err := suite.client.Create(t.Context(), i); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	bad := ofImage(ns, "bad", "image", v1alpha1.CloneBacking)
	bad.Spec.Format = v1alpha1.DiskRaw
	if err := suite.client.Create(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "spec.format must be qcow2 for a disk that stands on its image") {
		t.Errorf("raw that stands on an image: %v", err)
	}

	make(newImage(ns, "image", server.URL, content))
	waitImage(t, ns, imageIs(v1alpha1.ImagePending))
	make(ofImage(ns, "copy", "image", v1alpha1.CloneFull))
	make(ofImage(ns, "standing", "image", v1alpha1.CloneBacking))
	waitWebhook(t)
	make(newVM(ns, "vm", 1, 1, withDisks("copy", "standing")))
	waitVM(t, ns, "vm", stateIs("Running"))
	image := waitImage(t, ns, func(i *v1alpha1.VirtualDiskImage) string {
		if i == nil || i.Status.Copies != 1 || i.Status.VirtualSize != gib || i.Status.Bytes != int64(len(content)) || !slices.Contains(i.Finalizers, v1alpha1.ImageFinalizer) {
			return fmt.Sprintf("not there: %+v", i)
		}
		return ""
	})
	for _, name := range []string{"copy", "standing"} {
		if d := waitDisk(t, ns, name, diskReady); d.Status.Capacity != gib {
			t.Errorf("disk %s: %+v", name, d.Status)
		}
	}
	made, err := host.libvirt.Volume(t.Context(), "default", image.VolumeName())
	if err != nil || made.Length != int64(len(content)) {
		t.Errorf("the image's volume: %+v, %v", made, err)
	}

	t.Run("a host writes its own entries alone", func(t *testing.T) {
		for who, allowed := range map[string]bool{host.name: true, "another": false} {
			cfg, err := suite.plane.as("domus:executor:"+who, "domus:executors")
			if err != nil {
				t.Fatal(err)
			}
			as, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
			if err != nil {
				t.Fatal(err)
			}
			write := func(patch string) error {
				return as.Status().Patch(t.Context(), image.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)), client.DryRunAll)
			}
			entry := `{"status":{"hosts":[{"nodeName":"` + host.name + `","poolName":"default","phase":"Failed"}]}}`
			if err := write(entry); allowed != (err == nil) {
				t.Errorf("%s writes the entry of %s: %v", who, host.name, err)
			}
			for _, patch := range []string{`{"status":{"phase":"Failed"}}`, `{"status":{"bytes":1}}`, `{"status":{"conditions":[]}}`} {
				if err := write(patch); err == nil || !strings.Contains(err.Error(), "vm-scheduler's to write") && !strings.Contains(err.Error(), "its own host") {
					t.Errorf("%s writes %s: %v", who, patch, err)
				}
			}
			if err := as.Patch(t.Context(), image.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))); !apierrors.IsForbidden(err) {
				t.Errorf("%s labels it: %v", who, err)
			}
			if err := as.Delete(t.Context(), image.DeepCopy()); !apierrors.IsForbidden(err) {
				t.Errorf("%s deletes it: %v", who, err)
			}
		}
	})

	if err := suite.client.Delete(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	waitImage(t, ns, imageIs(v1alpha1.ImageDeleting))
	for _, o := range []client.Object{
		&v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "vm"}},
		&v1alpha1.VirtualDisk{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "standing"}},
	} {
		if err := suite.client.Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	waitImage(t, ns, func(i *v1alpha1.VirtualDiskImage) string {
		if i != nil {
			return fmt.Sprintf("still there: %+v", i.Status)
		}
		return ""
	})
	for deadline := time.Now().Add(eventually); ; time.Sleep(50 * time.Millisecond) {
		all, err := host.libvirt.Volumes(t.Context(), "default")
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 && strings.Contains(all[0].Name, ".copy.vd-") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("volumes %+v", all)
		}
	}
}
