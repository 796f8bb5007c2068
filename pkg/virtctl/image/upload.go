package image

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/tickets"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
)

const (
	// homeTimeout is how long choosing a host may take, and ticketTimeout how long the
	// host may take to say where it serves.
	homeTimeout   = 30 * time.Second
	ticketTimeout = 30 * time.Second
	lookEvery     = 100 * time.Millisecond
	// An upload that is cut off is begun again so often, after pauses that double from
	// firstPause; getting any further begins counting anew.
	maxTries   = 6
	firstPause = time.Second
)

// uploader brings one file into an image.
type uploader struct {
	api      client.Client
	image    client.ObjectKey
	spec     v1alpha1.VirtualDiskImageSpec
	path     string
	progress *output.Progress

	file   *os.File
	length int64
	// node is the host, reached how far it has come, in bytes, and sent how many bytes
	// went there.
	node          string
	reached, sent int64
}

// did says in words what came of it.
func (u *uploader) did() string {
	if u.sent == 0 {
		return "is on host " + u.node + " already"
	}
	return "uploaded to host " + u.node
}

// finalError is one that trying again does not mend.
type finalError struct{ error }

func (u *uploader) run(ctx context.Context) (err error) {
	if err := u.read(ctx); err != nil {
		return err
	}
	defer func() { _ = u.file.Close() }()
	if err := u.create(ctx); err != nil {
		return err
	}
	pause, tries := firstPause, 0
	for {
		before := u.reached
		err := u.attempt(ctx)
		var final finalError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &final):
			return final.error
		case ctx.Err() != nil:
			return failure.TimedOut("uploading virtualdiskimage %q: interrupted; the host has what came, and the same command goes on with it", u.image.Name)
		}
		if u.reached > before {
			pause, tries = firstPause, 0
		}
		if tries++; tries >= maxTries {
			return fmt.Errorf("uploading virtualdiskimage %q: %w; the host has what came, and the same command goes on with it", u.image.Name, err)
		}
		u.progress.Say(fmt.Sprintf("cut off, trying again: %v", err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// read opens the file and computes its checksum.
func (u *uploader) read(ctx context.Context) error {
	file, err := os.Open(u.path)
	if err != nil {
		return fmt.Errorf("opening the file: %w", err)
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = failure.Refused("%s is no file: it is read twice, and in parts", u.path)
	case info.Size() == 0:
		err = failure.Refused("%s is empty", u.path)
	}
	if err == nil {
		sum := sha256.New()
		u.length = info.Size()
		if _, err = io.Copy(sum, &meter{ctx: ctx, from: file, total: u.length, doing: "computing the checksum", progress: u.progress}); err == nil {
			u.spec.Checksum = "sha256:" + hex.EncodeToString(sum.Sum(nil))
		}
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	u.file = file
	return nil
}

// create makes the object, or finds one of the same file.
func (u *uploader) create(ctx context.Context) error {
	image := &v1alpha1.VirtualDiskImage{ObjectMeta: metav1.ObjectMeta{Namespace: u.image.Namespace, Name: u.image.Name}, Spec: u.spec}
	u.progress.Say("asking for the image")
	err := u.api.Create(ctx, image)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		// Who may not create images may upload those that others have created.
		if !apierrors.IsForbidden(err) || u.api.Get(ctx, u.image, image) != nil {
			return failure.API(err, "creating virtualdiskimage %q", u.image.Name)
		}
	} else if err := u.api.Get(ctx, u.image, image); err != nil {
		return failure.API(err, "reading virtualdiskimage %q", u.image.Name)
	}
	return u.same(image)
}

// same says why the image that is there is none that the file can be uploaded as.
func (u *uploader) same(image *v1alpha1.VirtualDiskImage) error {
	const remedy = "its spec does not change: choose another name, or delete it"
	has, want := &image.Spec, &u.spec
	switch {
	case image.DeletionTimestamp != nil:
		return failure.Refused("virtualdiskimage %q is being deleted", u.image.Name)
	case has.Source.Upload == nil:
		return failure.Refused("virtualdiskimage %q is there, and is not uploaded but fetched: %s", u.image.Name, remedy)
	case has.Checksum != want.Checksum:
		return failure.Refused("virtualdiskimage %q is there with checksum %s, and that of %s is %s: %s", u.image.Name, has.Checksum, u.path, want.Checksum, remedy)
	case has.Format != want.Format:
		return failure.Refused("virtualdiskimage %q is there with format %s, and not %s: %s", u.image.Name, has.Format, want.Format, remedy)
	case want.Size != nil && (has.Size == nil || has.Size.Cmp(*want.Size) != 0):
		return failure.Refused("virtualdiskimage %q is there with another size: %s", u.image.Name, remedy)
	case want.Source.Upload.NodeName != "" && image.Status.NodeName != "" && image.Status.NodeName != want.Source.Upload.NodeName:
		return failure.Refused("virtualdiskimage %q is there, and is uploaded to host %s: %s", u.image.Name, image.Status.NodeName, remedy)
	case want.Source.Upload.PoolName != "" && has.Source.Upload.Pool() != want.Source.Upload.PoolName:
		return failure.Refused("virtualdiskimage %q is there, and is uploaded into storage pool %s: %s", u.image.Name, has.Source.Upload.Pool(), remedy)
	}
	return nil
}

// home waits until the image has a host.
func (u *uploader) home(ctx context.Context) error {
	image := &v1alpha1.VirtualDiskImage{}
	u.progress.Say("waiting for a host to be chosen")
	err := wait.PollUntilContextTimeout(ctx, lookEvery, homeTimeout, true, func(ctx context.Context) (bool, error) {
		if err := u.api.Get(ctx, u.image, image); err != nil {
			return false, err
		}
		u.node = image.Status.NodeName
		return u.node != "", nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		why := "vm-scheduler says nothing of it: see whether it runs"
		if c := meta.FindStatusCondition(image.Status.Conditions, v1alpha1.ConditionImageReady); c != nil {
			why = c.Message
		}
		return finalError{failure.TimedOut("virtualdiskimage %q has no host to be uploaded to: %s", u.image.Name, why)}
	}
	return u.fromAPI(err)
}

// attempt makes a ticket, uploads what is missing, and removes the ticket.
func (u *uploader) attempt(ctx context.Context) error {
	if err := u.home(ctx); err != nil {
		return err
	}
	token := rand.Text() + rand.Text()
	ticket := &v1alpha1.TransferTicket{ObjectMeta: metav1.ObjectMeta{Namespace: u.image.Namespace, GenerateName: "upload-"}}
	ticket.Spec = v1alpha1.TransferTicketSpec{NodeName: u.node, TokenSHA256: tickets.Hash(token), ImageUpload: &v1alpha1.ImageUpload{ImageName: u.image.Name}}
	u.progress.Say("asking for a ticket")
	if err := u.api.Create(ctx, ticket); err != nil {
		return u.fromAPI(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ticketTimeout)
		defer cancel()
		_ = u.api.Delete(ctx, ticket) // or it is removed after a day
	}()
	err := wait.PollUntilContextTimeout(ctx, lookEvery, ticketTimeout, true, func(ctx context.Context) (bool, error) {
		if err := u.api.Get(ctx, client.ObjectKeyFromObject(ticket), ticket); err != nil {
			return false, err
		}
		return ticket.Status.URL != "", nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return finalError{failure.TimedOut("host %s has not said for %s where it serves: its vm-executor may be away, or have no transfer.bindAddress in its configuration", u.node, ticketTimeout)}
	}
	if err != nil {
		return u.fromAPI(err)
	}
	return u.send(ctx, ticket, token)
}

// fromAPI tells what another attempt may mend from what it does not.
func (u *uploader) fromAPI(err error) error {
	if err == nil {
		return nil
	}
	told := failure.API(err, "uploading virtualdiskimage %q", u.image.Name)
	if failure.Final(err) || apierrors.IsInvalid(err) {
		return finalError{told}
	}
	return told
}
