// Package libvirt is the only room that touches cgo: libvirt behind a small
// interface of plain Go types, so that everything else can be tested without.
//
// Every call takes a context. A call that libvirt does not answer in time
// returns ErrTimeout and is abandoned: its result is dropped when it comes.
package libvirt

import "context"

// Host is one libvirt, real or simulated. Its methods are safe for concurrent
// use. Errors match the sentinels of this package with errors.Is.
type Host interface {
	// Describe says what the host physically has. Errors: ErrUnavailable,
	// ErrTimeout.
	Describe(ctx context.Context) (Description, error)
	// FreePages counts the hugepages that nobody uses now, by cell, in the order
	// of Description.Cells.
	FreePages(ctx context.Context) ([]CellFree, error)
	// Domains lists every domain of the host, running or defined.
	Domains(ctx context.Context) ([]Domain, error)
	// Domain looks one domain up by its UUID. Errors: ErrNotFound.
	Domain(ctx context.Context, uuid string) (Domain, error)
	// Define stores a domain without starting it, and replaces a definition
	// that has the same name and UUID. Errors: ErrInvalidDomain when libvirt
	// does not take the document, ErrAlreadyExists when the name or the UUID
	// belongs to another domain.
	Define(ctx context.Context, xml string) error
	// Start boots a defined domain, or goes on from what Save wrote, with the
	// definition that was in force then; what cannot be restored stays saved. One
	// that runs already is left as it is.
	// Errors: ErrNotFound, ErrMissingResource, ErrInvalidDomain. libvirt reports
	// much of what is wrong with a host by its generic error 1, which is none of
	// these.
	Start(ctx context.Context, uuid string) error
	// Shutdown asks the guest by ACPI to power off and does not wait for it.
	// A domain that does not run is left as it is.
	Shutdown(ctx context.Context, uuid string) error
	// Destroy ends the guest at once, as pulling the plug does. A domain that
	// does not run, or is not there, is success.
	Destroy(ctx context.Context, uuid string) error
	// Undefine removes a stopped domain with its managed save, snapshot
	// metadata and NVRAM. One that is not there is success.
	Undefine(ctx context.Context, uuid string) error
	Power
	Resizing
	HotPlug
	// Pin confines the threads of a running guest to host CPUs, until it ends:
	// each vCPU named in vcpus, and with an emulator that is not empty QEMU's
	// other threads, I/O threads among them. CPUs are in Linux list format; the threads that are not
	// named stay where they are. A domain that does not run is left as it is.
	// Where libvirt has no cpuset cgroup it moves of QEMU's own threads the main one
	// alone, and what that starts from then on. Errors: ErrNotFound;
	// ErrInvalidDomain when the guest has no such vCPU or the host no such CPU;
	// ErrTimeout also while the guest has not reacted to a Shutdown.
	Pin(ctx context.Context, uuid string, vcpus map[int]string, emulator string) error
	// GuestInfo asks the guest's agent what the guest is. All of it is the guest's
	// word, of any length and content. It waits for the agent, on a connection of
	// its own: nothing else waits with it. Errors: ErrAgentSilent when the agent
	// is not there or does not answer within 5 s, ErrTimeout when ctx ends first,
	// ErrUnsupported where the domain has no channel for one.
	GuestInfo(ctx context.Context, uuid string) (GuestInfo, error)
	// Events delivers what happens on the host from now on until ctx ends and
	// the channel is closed. Nothing is lost for a slow reader.
	Events(ctx context.Context) <-chan Event
	// DomainType says which domain type guests get: setting itself, or for
	// "auto" what a trial boot shows to work.
	DomainType(ctx context.Context, setting string) (string, error)
	Operations
	Storage
	Networks
	Cards
	Snapshots
	Metering
	// Close ends the connection. Guests are not touched.
	Close()
}
