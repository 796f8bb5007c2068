// Package podless lets the unmodified kube-scheduler place VirtualMachines.
//
// Each VirtualMachine that wants a host is projected into a synthetic Pod that
// lives in memory alone. The scheduler reads Pods through one informer, which
// shows the real, assigned Pods and the projected VMs together; what it writes
// about a projected Pod becomes a write on its VirtualMachine, and nothing is
// ever written on a real one.
package podless
