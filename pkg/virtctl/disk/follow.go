package disk

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/virtctl/cluster"
	"domus.dev/domus/pkg/virtctl/failure"
	"domus.dev/domus/pkg/virtctl/output"
	"domus.dev/domus/pkg/virtctl/wait"
)

// attempts bounds how often an edit is made anew that came upon another's.
const attempts = 5

// command is a verb on its way.
type command struct {
	edit edit
	// said is what it is called when it is asked for, and done when the guest has it.
	said, done string
	options    *wait.Options
	streams    genericiooptions.IOStreams
}

// run edits the VM of the name, and follows its guest.
func (c *command) run(ctx context.Context, place *cluster.Place, given string) error {
	vm, name, err := c.write(ctx, place, given)
	if err != nil {
		return err
	}
	if !c.options.Wait {
		return c.tell(vm, name, c.said)
	}
	return c.follow(ctx, place, vm, name)
}

func (c *command) tell(vm *v1alpha1.VirtualMachine, name, what string) error {
	_, err := fmt.Fprintf(c.streams.Out, "virtualmachine/%s disk %s %s\n", vm.Name, name, what)
	return err
}

// write stores the edit, on the VM as it is: whoever edits it meanwhile loses
// nothing.
func (c *command) write(ctx context.Context, place *cluster.Place, given string) (*v1alpha1.VirtualMachine, string, error) {
	for try := 1; ; try++ {
		vm, err := place.One(ctx, given)
		if err != nil {
			return nil, "", err
		}
		disks, name, err := c.edit(vm)
		if err != nil {
			return nil, "", err
		}
		if disks == nil {
			disks = []v1alpha1.VirtualMachineDisk{}
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": vm.UID, "resourceVersion": vm.ResourceVersion},
			"spec":     map[string]any{"disks": disks},
		})
		if err != nil {
			return nil, "", err
		}
		err = place.Client.Patch(ctx, vm, client.RawPatch(types.MergePatchType, patch))
		if apierrors.IsConflict(err) && try < attempts {
			continue
		}
		return vm, name, failure.API(err, "writing virtualmachine %s", vm.Name)
	}
}

// follow waits until the guest has what the VM's spec says.
func (c *command) follow(ctx context.Context, place *cluster.Place, vm *v1alpha1.VirtualMachine, name string) error {
	ctx, cancel := c.options.Limit(ctx)
	defer cancel()
	progress := output.NewProgress(c.streams.ErrOut)
	defer progress.Stop()
	waiting := ""
	look := func(o client.Object, gone bool) (bool, error) {
		now, ok := o.(*v1alpha1.VirtualMachine)
		if !ok || now.UID != vm.UID {
			return false, nil
		}
		if gone {
			return false, failure.NotFound("virtualmachine %q has been deleted", vm.Name)
		}
		if now.Generation < vm.Generation {
			return false, nil // a watch that has not heard of the edit
		}
		v := judge(now, name)
		switch {
		case v.err != nil:
			return false, v.err
		case v.noGuest:
			return true, progress.Aside(func() error { return c.tell(vm, name, c.said+"; it takes effect when the guest is started") })
		case v.done:
			return true, progress.Aside(func() error { return c.tell(vm, name, c.done) })
		}
		waiting = v.waiting
		progress.Say(vm.Name + ": " + waiting)
		return false, nil
	}
	at := client.ListOptions{Namespace: place.Namespace, FieldSelector: fields.OneTermEqualSelector("metadata.name", vm.Name)}
	err := cluster.Follow(ctx, place.Client, &v1alpha1.VirtualMachineList{}, &v1alpha1.VirtualMachine{}, at, cluster.Follower{
		Synced: func(there []client.Object) (bool, error) {
			for _, o := range there {
				if done, err := look(o, false); done || err != nil {
					return done, err
				}
			}
			return false, nil
		},
		Changed: look,
	})
	if wait.TimedOut(err) {
		return failure.TimedOut("virtualmachine %q: the guest has not followed after %s: %s", vm.Name, c.options.Timeout, waiting)
	}
	return err
}
