package vmtest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Hash is of no password.
const Hash = "$6$salt$secretsecretsecret"

// Operation is an operation on Placed's VM, as vm-scheduler leaves it.
func Operation(kind v1alpha1.OperationType, change ...func(*v1alpha1.VirtualMachineOperation)) *v1alpha1.VirtualMachineOperation {
	op := &v1alpha1.VirtualMachineOperation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "op", UID: "op-uid", CreationTimestamp: metav1.Time{Time: Now}},
		Spec:       v1alpha1.VirtualMachineOperationSpec{VirtualMachineName: "guest", Type: kind},
		Status:     v1alpha1.VirtualMachineOperationStatus{Phase: v1alpha1.OperationPending, NodeName: Node, VirtualMachineUID: UID, Epoch: 3},
	}
	switch kind {
	case v1alpha1.OperationSendKey:
		op.Spec.SendKey = &v1alpha1.SendKey{Keys: []string{"KEY_A"}}
	case v1alpha1.OperationSetPassword:
		op.Spec.SetPassword = &v1alpha1.SetPassword{User: "root", Hash: Hash}
	case v1alpha1.OperationInjectSSHKey:
		op.Spec.InjectSSHKey = &v1alpha1.InjectSSHKey{User: "root", AuthorizedKeys: []string{"ssh-ed25519 AAAA"}}
	}
	for _, c := range change {
		c(op)
	}
	return op
}

// Begun has the operation be under way.
func Begun(op *v1alpha1.VirtualMachineOperation) {
	op.Status.Phase, op.Status.StartedAt = v1alpha1.OperationRunning, &metav1.Time{Time: Now}
}

// Within is its time limit.
func Within(seconds int32) func(*v1alpha1.VirtualMachineOperation) {
	return func(op *v1alpha1.VirtualMachineOperation) { op.Spec.TimeoutSeconds = &seconds }
}
