package images

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/transfer"
	"domus.dev/domus/pkg/executor/volumes"
)

func isGone(err error) bool { return apierrors.IsNotFound(err) }

// peer is the host that an image has been uploaded to.
type peer struct {
	peers *transfer.Peers
	image *v1alpha1.VirtualDiskImage
	// self is the host that asks.
	self string
}

// Open implements origin.
func (p *peer) Open(ctx context.Context, offset int64, same string) (*content, error) {
	if p.peers == nil {
		return nil, &forbiddenError{why: "this host exchanges no volumes, and the image was uploaded to host " + p.image.Status.NodeName + ": set transfer.bindAddress in the configuration of its vm-executor"}
	}
	caller, base, err := p.peers.Call(ctx, p.image.Status.NodeName)
	if err != nil {
		return nil, err
	}
	caller.Transport.(*http.Transport).DisableKeepAlives = true // one answer each
	caller.Transport.(*http.Transport).ResponseHeaderTimeout = answerTimeout
	w := &web{client: caller, url: base + "/v1/images/" + p.image.Namespace + "/" + p.image.Name + "/" + p.self}
	c, err := w.Open(ctx, offset, same)
	var answer *answerError
	if errors.As(err, &answer) {
		answer.text += " (host " + p.image.Status.NodeName + ", to which it was uploaded)"
	}
	return c, err
}

// Outgoing serves images that were uploaded here to the executors of other hosts that
// have disks to make of them.
func (k *Keeper) Outgoing() (pattern string, handler http.Handler) {
	return "GET /v1/images/{namespace}/{name}/{node}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := k.outgoing(w, r)
		var no refusal
		switch {
		case err == nil:
		case errors.As(err, &no):
			http.Error(w, no.says, no.status)
		default:
			klog.FromContext(r.Context()).Info("An image could not be sent to another host", keyImage, r.PathValue("namespace")+"/"+r.PathValue("name"), keyError, err.Error())
			http.Error(w, "it could not be read", http.StatusServiceUnavailable)
		}
	})
}

func (k *Keeper) outgoing(w http.ResponseWriter, r *http.Request) error {
	ctx, node := r.Context(), r.PathValue("node")
	if k.Peers == nil {
		return refusal{http.StatusServiceUnavailable, "host " + k.Node + " exchanges no volumes"}
	}
	switch err := k.Peers.Is(ctx, node, r); {
	case errors.Is(err, transfer.ErrStranger):
		return refusal{http.StatusForbidden, "you are not the vm-executor of that host"}
	case err != nil:
		return err
	}
	name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	key, err := k.uploadTo(ctx, name)
	if err != nil {
		return err
	}
	disks := &v1alpha1.VirtualDiskList{}
	if err := k.Live.List(ctx, disks, client.InNamespace(name.Namespace), client.MatchingFields{"status.nodeName": node}); err != nil {
		return err
	}
	if !begins(disks.Items, name.Name, node) {
		return refusal{http.StatusForbidden, "host " + node + " has no disk to make of the image"}
	}
	length, whole, err := k.measure(ctx, key)
	switch {
	case err != nil:
		return err
	case !whole:
		return refusal{http.StatusConflict, "it has not been uploaded yet"}
	}
	image := k.Images.Image(ctx, name)
	if image == nil {
		return refusal{http.StatusNotFound, "there is no such image"}
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("Etag", strconv.Quote(image.Spec.Checksum))
	content := volumes.NewReader(ctx, k.Storage, key.Pool, key.Name, length)
	defer content.Stop()
	http.ServeContent(w, r, "", time.Time{}, content)
	return nil
}

// begins says whether some disk that is at home on the host begins with the image.
func begins(disks []v1alpha1.VirtualDisk, image, node string) bool {
	for i := range disks {
		if d := &disks[i]; d.ImageOf() == image && d.Status.NodeName == node {
			return true
		}
	}
	return false
}

// homeHas says whether the host to which the image is uploaded says that it has it.
func homeHas(image *v1alpha1.VirtualDiskImage) bool {
	u := image.Spec.Source.Upload
	if u == nil {
		return false
	}
	c := image.Status.CopyAt(image.Status.NodeName, u.Pool())
	return c != nil && c.Phase == v1alpha1.ImageReady
}
