package volumes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A converted copy that is made to be exported lies beside the volume, under its
	// name and exportWord, what tells this host, and the format. It goes when nobody
	// has read it for exportIdle, or this process has ended.
	exportWord = ".export-"
	exportIdle = 15 * time.Minute
)

// exports are the copies of volumes that were made to be exported.
type exports struct {
	mu sync.Mutex
	of map[string]*exported
}

// exported is one such copy. Its fields are guarded by exports.mu, but for what
// busy guards.
type exported struct {
	pool, name string
	readers    int
	heard      time.Time
	// busy is held while the copy is made; made says of what version of the volume.
	busy sync.Mutex
	made string
}

// promise is under what a copy has its space in the ledger.
func (e *exported) promise() types.UID { return types.UID(e.pool + "/" + e.name) }

func (e *exports) enter(pool, name string, now time.Time) *exported {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.of == nil {
		e.of = map[string]*exported{}
	}
	x := e.of[pool+"/"+name]
	if x == nil {
		x = &exported{pool: pool, name: name}
		e.of[pool+"/"+name] = x
	}
	x.readers++
	x.heard = now
	return x
}

func (e *exports) exit(x *exported, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	x.readers--
	x.heard = now
}

func (e *exports) has(promise types.UID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.of[string(promise)] != nil
}

// idle takes out those that nobody has read since then.
func (e *exports) idle(since time.Time) (out []*exported) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, x := range e.of {
		if x.readers == 0 && x.heard.Before(since) {
			out = append(out, x)
			delete(e.of, key)
		}
	}
	return out
}

// Export serves a disk to a caller who may have it: its content as a file, ranges
// of it too. While it is read no guest is started on it.
func (k *Keeper) Export(w http.ResponseWriter, r *http.Request, disk types.NamespacedName, format v1alpha1.DiskFormat) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, r.Method+" is not served here", http.StatusMethodNotAllowed)
		return
	}
	err := k.export(w, r, disk, format)
	var no refusal
	switch {
	case err == nil:
	case errors.As(err, &no):
		http.Error(w, no.Error(), no.status)
	case errors.Is(err, libvirt.ErrNoSpace):
		http.Error(w, "the disk's storage pool became full while a copy was made to be exported: free some there, or export it in its own format", http.StatusInsufficientStorage)
	default:
		klog.FromContext(r.Context()).Info("Exporting a disk failed", keyDisk, disk, keyError, err.Error())
		http.Error(w, "the disk could not be read: see the log of its host's vm-executor", http.StatusInternalServerError)
	}
}

func (k *Keeper) export(w http.ResponseWriter, r *http.Request, key types.NamespacedName, format v1alpha1.DiskFormat) error {
	ctx := r.Context()
	d, err := k.read(ctx, key)
	switch {
	case err != nil:
		return err
	case !k.swept.Load():
		return refuse(http.StatusServiceUnavailable, "its vm-executor has just been started: try again")
	case d == nil || d.DeletionTimestamp != nil:
		return refuse(http.StatusNotFound, "there is no VirtualDisk %s, or it is being deleted", key)
	case d.Status.NodeName != k.Node:
		return refuse(http.StatusMisdirectedRequest, "VirtualDisk %s is not on host %s any more: export it anew", key, k.Node)
	case d.Status.MoveTo != nil:
		return refuse(http.StatusConflict, "VirtualDisk %s is being moved to host %s: export it when it is there", key, d.Status.MoveTo.NodeName)
	case !Ready(d):
		return refuse(http.StatusConflict, "VirtualDisk %s is not ready: %s", key, why(d))
	}
	// In this order: a guest is either seen, or not started.
	k.copying(d, 1)
	held := true
	release := func() {
		if held {
			held = false
			k.copying(d, -1)
			k.Changed(key)
		}
	}
	defer release()
	if why := k.beingAltered(d); why != "" {
		return refuse(http.StatusConflict, "%s: try again", why)
	}
	if d.Spec.AccessMode != v1alpha1.DiskSharedReadOnly {
		users := k.Guests.Users(ctx, d)
		if bound, err := k.boundAnywhere(ctx, d); err == nil && !d.Exclusive() {
			users = append(users, bound...)
		} else if err != nil {
			return err
		}
		if at := slices.IndexFunc(users, func(u User) bool { return u.Running || u.Saved || !d.Exclusive() }); at >= 0 {
			return refuse(http.StatusConflict, "%s has VirtualDisk %s, and may be writing it: stop its guest first", users[at].VM, key)
		}
	}
	pool, _, ok := k.pools.get(d.Pool())
	if !ok {
		return refuse(http.StatusConflict, "host %s has no active storage pool %s: start it there", k.Node, d.Pool())
	}
	v, err := k.volume(ctx, d.Pool(), d.VolumeName())
	if err == nil && v != nil {
		*v, _ = asOwn(d, pool.Type, *v)
	}
	switch {
	case err != nil:
		return err
	case v == nil:
		return refuse(http.StatusConflict, "volume %s is not in storage pool %s any more", d.VolumeName(), d.Pool())
	}
	if format == "" {
		format = v1alpha1.DiskFormat(v.Format)
	}
	name, version := v.Name, versionOf(d, v)
	if string(format) != v.Format || v.Backing != "" {
		x := k.exports.enter(d.Pool(), v.Name+k.exportSuffix()+string(format), k.Clock.Now())
		defer func() { k.exports.exit(x, k.Clock.Now()) }()
		if err := k.convert(ctx, d, pool, v, x, format, version); err != nil {
			return err
		}
		release() // the copy stays as it is
		name, version = x.name, versionOf(d, v)+string(format)
	}
	length, err := k.Storage.VolumeLength(ctx, d.Pool(), name)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set(transfer.HeaderFormat, string(format))
	// Where nothing tells whether a volume was written there is no going on with an
	// export that was cut off.
	if v.Modified != "" {
		sum := sha256.Sum256([]byte(version))
		h.Set("Etag", `"`+hex.EncodeToString(sum[:16])+`"`)
	} else {
		r.Header.Del("Range")
	}
	content := &volumeReader{ctx: ctx, storage: k.Storage, pool: d.Pool(), name: name, length: length}
	defer content.stop()
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// versionOf is the same as long as the volume is.
func versionOf(d *v1alpha1.VirtualDisk, v *libvirt.Volume) string {
	return strings.Join([]string{string(d.UID), v.Format, v.Modified, fmt.Sprint(v.Capacity)}, "|")
}

func (k *Keeper) exportSuffix() string {
	return exportWord + strings.TrimPrefix(k.mark(), markWord) + "-"
}

// convert makes a copy of another format, or without an image beneath, unless there
// is one.
func (k *Keeper) convert(ctx context.Context, d *v1alpha1.VirtualDisk, pool libvirt.Pool, v *libvirt.Volume, x *exported, format v1alpha1.DiskFormat, version string) error {
	if !filePools[pool.Type] {
		return refuse(http.StatusConflict, "a pool of type %s has no volumes of format %s: export it as %s, and convert the file", pool.Type, format, v.Format)
	}
	if len(x.name) > maxName {
		return refuse(http.StatusConflict, "namespace and name together are too long for a copy beside the volume: export it as %s, and convert the file", v.Format)
	}
	x.busy.Lock()
	defer x.busy.Unlock()
	if x.made == version {
		if there, err := k.volumeNow(ctx, x.pool, x.name); there != nil || err != nil {
			return err
		}
	}
	if err := k.Storage.DeleteVolume(ctx, x.pool, x.name); err != nil {
		return err
	}
	all, _ := k.Disks.Disks(ctx)
	if _, allocatable, ok := k.pools.get(x.pool); !ok || !k.ledger.receive(x.promise(), x.pool, all, allocatable, v.Capacity) {
		return refuse(http.StatusInsufficientStorage, "to export it as %s a copy is made, for which storage pool %s has less than %s: free some there, or export it as %s", format, x.pool, capacity.Bytes(v.Capacity), v.Format)
	}
	making, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	err := k.duplicate(making, x.pool, true, libvirt.NewVolume{Name: x.name, Format: string(format), Capacity: v.Capacity}, d.Pool(), v, nil)
	if err != nil {
		k.ledger.received(x.promise())
		var wrong moveError
		if errors.As(err, &wrong) {
			return refuse(http.StatusConflict, "%w", err)
		}
		return err
	}
	x.made = version
	return nil
}

// tidyExports removes the copies that nobody has read for a while.
func (k *Keeper) tidyExports(ctx context.Context) {
	for _, x := range k.exports.idle(k.Clock.Now().Add(-exportIdle)) {
		k.ledger.received(x.promise())
		if err := k.Storage.DeleteVolume(ctx, x.pool, x.name); err != nil {
			klog.FromContext(ctx).Info("A copy that was made to be exported could not be removed", keyPool, x.pool, "volume", x.name, keyError, err.Error())
		}
	}
}

// volumeReader reads a volume as a file: io.ReadSeeker.
type volumeReader struct {
	ctx        context.Context
	storage    libvirt.Storage
	pool, name string
	length, at int64
	reading    *io.PipeReader
	end        context.CancelFunc
	ended      chan struct{}
}

// Seek implements io.Seeker.
func (v *volumeReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += v.at
	case io.SeekEnd:
		offset += v.length
	}
	if offset < 0 || offset > v.length {
		return 0, fmt.Errorf("seeking to %d of %d bytes", offset, v.length)
	}
	if offset != v.at {
		v.stop()
		v.at = offset
	}
	return offset, nil
}

// Read implements io.Reader.
func (v *volumeReader) Read(p []byte) (int, error) {
	if v.at >= v.length {
		return 0, io.EOF
	}
	if v.reading == nil {
		v.start()
	}
	n, err := v.reading.Read(p)
	v.at += int64(n)
	return n, err
}

func (v *volumeReader) start() {
	ctx, cancel := context.WithCancel(v.ctx)
	reader, writer := io.Pipe()
	v.reading, v.end, v.ended = reader, cancel, make(chan struct{})
	at, ended := v.at, v.ended
	go func() {
		defer close(ended)
		err := v.storage.ReadVolume(ctx, v.pool, v.name, at, v.length-at, zeros{writer})
		_ = writer.CloseWithError(err)
	}()
}

// stop ends reading, and returns when libvirt is done.
func (v *volumeReader) stop() {
	if v.reading == nil {
		return
	}
	v.end()
	_ = v.reading.CloseWithError(io.ErrClosedPipe)
	<-v.ended
	v.reading = nil
}

// zeros writes holes out.
type zeros struct{ io.Writer }

// Hole implements libvirt.ContentSink.
func (z zeros) Hole(n int64) error {
	buffer := make([]byte, min(n, 256<<10))
	for n > 0 {
		written, err := z.Write(buffer[:min(n, int64(len(buffer)))])
		if err != nil {
			return err
		}
		n -= int64(written)
	}
	return nil
}
