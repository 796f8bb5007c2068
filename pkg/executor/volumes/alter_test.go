package volumes

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Who reads a volume and who changes it keep apart, whoever comes first.
func TestReadersAndChangesKeepApart(t *testing.T) {
	h := newHost(t, t.TempDir(), 100*gib)
	h.create("data", gib)
	h.create("other", gib)
	h.settle()
	data, other := h.get("data"), h.get("other")
	export := func() (int, string) {
		w := httptest.NewRecorder()
		h.keeper.swept.Store(true)
		h.keeper.Export(w, httptest.NewRequest(http.MethodHead, "/", nil), types.NamespacedName{Namespace: "ns", Name: "data"}, "")
		return w.Code, w.Body.String()
	}

	h.keeper.copying(data, 1)
	if _, ok := h.keeper.Alter(other.UID, data.UID); ok {
		t.Error("a disk is changed that is being read")
	}
	if !h.keeper.Copied(data.UID) || h.keeper.Copied(other.UID) {
		t.Error("it is not said which disk is being read")
	}
	h.resize("data", 2*gib)
	h.settle()
	if v, err := h.keeper.volumeNow(context.Background(), "default", data.VolumeName()); err != nil || v.Capacity != gib {
		t.Errorf("it has grown under its reader: %+v, %v", v, err)
	}
	h.keeper.copying(data, -1)
	h.settle()
	if v, err := h.keeper.volumeNow(context.Background(), "default", data.VolumeName()); err != nil || v.Capacity != 2*gib {
		t.Errorf("it has not grown: %+v, %v", v, err)
	}

	release, ok := h.keeper.Alter(other.UID, data.UID)
	if !ok {
		t.Fatal("what was refused holds the disks")
	}
	again, ok := h.keeper.Alter(data.UID)
	if !ok {
		t.Fatal("two changes are kept apart elsewhere")
	}
	again()
	if code, said := export(); code != http.StatusConflict || !strings.Contains(said, "VirtualDisk data is being brought to a snapshot") {
		t.Errorf("an export amid a change: %d %s", code, said)
	}
	h.create("copy", 2*gib, copyOf("data"))
	h.settle()
	if d := h.get("copy"); d.Status.Phase == v1alpha1.DiskReady {
		t.Errorf("a copy amid a change: %+v", d.Status)
	}
	release()
	if code, said := export(); code != http.StatusOK {
		t.Errorf("an export afterwards: %d %s", code, said)
	}
	h.clock.Step(2 * lastBackoff)
	h.settle()
	if d := h.get("copy"); d.Status.Phase != v1alpha1.DiskReady {
		t.Errorf("a copy afterwards: %+v", d.Status)
	}
}
