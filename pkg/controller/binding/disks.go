package binding

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// Disks writes where disks have their home and whose they are, for Binder.
type Disks struct{ live client.Client }

// NewDisks returns Disks that write and read with live.
func NewDisks(live client.Client) *Disks { return &Disks{live: live} }

// ClaimDisk stores home and claim (nil: nobody's) of observed. Nothing is written
// where it has them already. On an error nothing was stored, but where it is
// diskstatus.ErrUnknown. diskstatus.ErrStale says that the disk has changed since.
func (d *Disks) ClaimDisk(ctx context.Context, observed *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, claim *v1alpha1.DiskClaim) error {
	_, err := diskstatus.Write(ctx, d.live, observed, func(s *v1alpha1.VirtualDiskStatus) {
		s.NodeName, s.PoolName, s.Store = home.NodeName, home.PoolName, home.Store
		s.ClaimedBy = claim
	})
	if err == nil {
		return nil
	}
	// The write may have been stored although its answer never came, or came as
	// a refusal of its own repetition.
	found, read := d.has(ctx, observed, home, claim)
	if found {
		return nil
	}
	var status apierrors.APIStatus
	refused := errors.Is(err, diskstatus.ErrStale) || errors.As(err, &status) && status.Status().Code >= 400 && status.Status().Code < 500
	if read && refused {
		return err
	}
	return fmt.Errorf("%w: %w", diskstatus.ErrUnknown, err)
}

// has reads the disk until the API server answers, and says whether it has this
// very home and claim.
func (d *Disks) has(ctx context.Context, observed *v1alpha1.VirtualDisk, home v1alpha1.DiskHome, claim *v1alpha1.DiskClaim) (found, read bool) {
	ctx = context.WithoutCancel(ctx)
	_ = wait.PollUntilContextTimeout(ctx, readBackEvery, readBackFor, true, func(ctx context.Context) (bool, error) {
		live := &v1alpha1.VirtualDisk{}
		err := d.live.Get(ctx, client.ObjectKeyFromObject(observed), live)
		if apierrors.IsNotFound(err) {
			read = true
			return true, nil
		}
		if err != nil {
			return false, nil
		}
		read = true
		same := live.Status.ClaimedBy == nil && claim == nil || live.Status.ClaimedBy != nil && claim != nil && *live.Status.ClaimedBy == *claim
		found = live.UID == observed.UID && live.DeletionTimestamp == nil && live.Status.Home() == home && same
		return true, nil
	})
	return found, read
}
