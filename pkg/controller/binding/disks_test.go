package binding

import (
	"context"
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"domus.dev/domus/pkg/api/diskstatus"
	"domus.dev/domus/pkg/api/v1alpha1"
)

// TestAClaimWithoutAnAnswerIsReadBack: who is told that nothing was stored gives the
// disk to another.
func TestAClaimWithoutAnAnswerIsReadBack(t *testing.T) {
	home := v1alpha1.DiskHome{NodeName: "a", PoolName: "default"}
	mine, other := &v1alpha1.DiskClaim{Name: "mine", UID: "1"}, &v1alpha1.DiskClaim{Name: "other", UID: "2"}
	timeout := apierrors.NewTimeoutError("no answer", 0)
	patched := func(ctx context.Context, c client.Client, o client.Object, p client.Patch) error {
		return c.Status().Patch(ctx, o, p)
	}
	for name, test := range map[string]struct {
		patch func(context.Context, client.Client, client.Object, client.Patch) error
		want  error
	}{
		"it is stored": {patched, nil},
		"it is stored, and the answer lost": {func(ctx context.Context, c client.Client, o client.Object, p client.Patch) error {
			return errors.Join(timeout, patched(ctx, c, o, p))
		}, nil},
		"another's is stored meanwhile": {func(ctx context.Context, c client.Client, o client.Object, p client.Patch) error {
			now := &v1alpha1.VirtualDisk{}
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), now); err != nil {
				return err
			}
			now.Status.ClaimedBy = other
			if err := c.Status().Update(ctx, now); err != nil {
				return err
			}
			return apierrors.NewConflict(v1alpha1.Resource("virtualdisks"), o.GetName(), errors.New("it has changed"))
		}, diskstatus.ErrStale},
		"it is not stored, and not said to be refused": {func(context.Context, client.Client, client.Object, client.Patch) error {
			return apierrors.NewInternalError(errors.New("no leader"))
		}, diskstatus.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			disk := &v1alpha1.VirtualDisk{}
			disk.Namespace, disk.Name, disk.UID = "demo", "data", "d"
			live := interceptor.NewClient(
				fake.NewClientBuilder().WithScheme(scheme).WithObjects(disk).WithStatusSubresource(disk).Build(),
				interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
					return test.patch(ctx, c, o, p)
				}})
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(disk), disk); err != nil {
				t.Fatal(err)
			}
			if err := NewDisks(live).ClaimDisk(t.Context(), disk, home, mine); !errors.Is(err, test.want) || test.want == nil && err != nil {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}
