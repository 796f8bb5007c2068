// Package intake makes a VirtualMachine that was read from a foreign domain
// (written by hand, or by OpenStack, oVirt and the like) into one that Domus
// accepts and runs with the same meaning.
//
// Where a typed field says what the domain meant (CPU pins: dedicated CPUs), it
// is used; what belonged to the host or to the run that the document was taken
// of goes; what the guest can see stays. Each change is told. What the policy of
// the namespace refuses is told as well, and taken away only when that is asked
// for, disks and networks never. It is pure: what there is of pools, networks
// and devices is given.
package intake
