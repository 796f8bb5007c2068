// Package executor looks after the guests of a host: it reports what the host
// has, takes the VirtualMachines bound to it, and keeps libvirt's domains and
// the VMs' status in step.
//
// What to do is decided in package plan, which is pure; this one carries it out.
// Silence is no failure: while the API server or libvirt is away, guests run on.
package executor
