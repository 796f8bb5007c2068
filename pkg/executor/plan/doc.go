// Package plan decides what a host does next to a VirtualMachine and its domain, and what
// it says of them. It is pure: it is given what is known, and returns steps, a report and
// when to look again.
package plan
