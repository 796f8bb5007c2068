package libvirt

// State is what a domain does.
type State string

// States of a domain. StateRunning includes libvirt's 'blocked'; StatePaused
// includes guests that suspended themselves.
const (
	StateRunning      State = "running"
	StatePaused       State = "paused"
	StateShuttingDown State = "shutting down"
	StateShutOff      State = "shut off"
	StateCrashed      State = "crashed"
	StateUnknown      State = "unknown"
)

// Active says whether a guest of the domain exists.
func (s State) Active() bool { return s != StateShutOff }

// Reasons in Domain.Reason that something is decided by. Others are words for
// people.
const (
	// ReasonNotStarted: the domain has not run since it was defined or since
	// libvirtd was started.
	ReasonNotStarted = "not started"
	// ReasonShutDown: the guest powered itself off.
	ReasonShutDown = "shut down"
	// ReasonCrashed: QEMU died. For a paused guest: the guest crashed.
	ReasonCrashed = "crashed"
	// ReasonFailed: the domain did not start. In an event: QEMU died.
	ReasonFailed = "failed"
	// ReasonSaved: its memory was saved, here or elsewhere.
	ReasonSaved = "saved"
	// ReasonDestroyed: somebody switched the guest off.
	ReasonDestroyed = "destroyed"
	// ReasonLostBeside: QEMU was gone when libvirtd came back.
	ReasonLostBeside = "ended while libvirtd was away"
)

// Reasons why a guest is paused, in Domain.Reason.
const (
	// ReasonPausedByUser: somebody asked for it, by Suspend or otherwise.
	ReasonPausedByUser = "paused by an administrator"
	// ReasonReverted: a snapshot was taken up that left the guest paused.
	ReasonReverted = "reverted to a snapshot"
	// ReasonResumeFailed: libvirt halted the guest for a job, such as a Save, and
	// could not let it go on.
	ReasonResumeFailed = "not resumed after a job of libvirt's"
	// ReasonSaving and ReasonDumping: its memory is being written.
	ReasonSaving  = "saving"
	ReasonDumping = "dumping"
	// ReasonDiskError: a disk of it could not be written or read.
	ReasonDiskError = "a disk failed or is full"
	// ReasonSleeps: the guest suspended itself, and only it can wake up.
	ReasonSleeps = "suspended by the guest"
	// ReasonWatchdog: its watchdog expired, and the domain says to pause then.
	ReasonWatchdog = "its watchdog expired"
	// ReasonBetween: libvirt is at work on it and lets it go on by itself.
	ReasonBetween = "libvirt is at work on it"
	// ReasonStarting: libvirt is about to run it. That lasts for good where libvirtd
	// was killed before it had a process for the guest: libvirt 9.0 then neither
	// starts nor ends it.
	ReasonStarting = "libvirt is starting it"
	// ReasonUnknown: libvirt does not know.
	ReasonUnknown = "libvirt does not say why"
)

// AgentState says whether something in the guest has the guest agent's channel
// open. Whether it answers there is found out by asking.
type AgentState string

// States of the channel.
const (
	// AgentNone: the domain has no such channel, or no guest, or libvirt does not
	// know.
	AgentNone   AgentState = ""
	AgentOpen   AgentState = "open"
	AgentClosed AgentState = "closed"
)

// Domain is one domain as libvirt has it now.
type Domain struct {
	Name, UUID string
	// ID numbers the guest: the domain has another one after each start, and 0
	// while it does not run.
	ID    int
	State State
	// Reason is a word for how the domain came into its state.
	Reason string
	// Saved is true when the guest is ended and its memory is saved on the host:
	// Start goes on from there. A save that never came to its end is none.
	Saved bool
	// Metadata is the XML inside <metadata>; it holds the ownership mark.
	Metadata string
	// CPU is the maximum number of virtual CPUs.
	CPU int64
	// VCPUs is how many of them are plugged in.
	VCPUs int64
	// Memory is the guest's maximum memory in bytes.
	Memory int64
	// CurrentMemory is what the balloon leaves the guest of it, in bytes, as the
	// guest last said; what it is defined with while it does not run.
	CurrentMemory int64
	// PageSize is the size in bytes of the hugepages the guest's memory lies
	// in, and 0 for ordinary memory.
	PageSize int64
	// Binding is what of the host the domain is tied to.
	Binding Binding
	// Agent is the state of the guest agent's channel.
	Agent AgentState
	// TranslationCache is how much translated code QEMU may keep of a guest that it
	// emulates, in bytes; 0 of one that it does not.
	TranslationCache int64
	// Firmware is what the guest's firmware keeps on the host.
	Firmware FirmwareState
	// Volumes are the disks that are volumes of storage pools: those of the guest
	// while there is one.
	Volumes []VolumeRef
	// Written are the disks that a guest of the domain may write; one that is no
	// volume of a pool is an empty VolumeRef.
	Written []VolumeRef
	// Cards are its network cards: those of the guest while there is one.
	Cards []Card
	// Disks are the disks and CD-ROMs, in the document's order.
	Disks []Disk
	// Sockets is where more devices can be plugged in.
	Sockets Sockets
}

// Disk is a disk, or CD-ROM, of a domain.
type Disk struct {
	// Alias is the device's, Target its name, such as vdb: both are unique in the
	// domain.
	Alias, Target string
	// Device is disk or cdrom, and Bus virtio, scsi, sata, usb or ide, as libvirt
	// has them.
	Device, Bus string
	Serial      string
	ReadOnly    bool
	// BootOrder is 0 where it has none.
	BootOrder uint
	// Volume is the volume that it is; of anything else, such as a file or an empty
	// tray, it is empty.
	Volume VolumeRef
	// Empty says that it is a tray without a medium.
	Empty bool
}

// Sockets is where devices can be plugged into a guest.
type Sockets struct {
	// PCI is how many PCI devices there is a port for; negative where the machine
	// has none of the kind that is counted, and libvirt is to be asked.
	PCI int
	// VirtioSCSI and USB say whether there is such a controller.
	VirtioSCSI, USB bool
}

// FirmwareState says which parts of a guest's firmware have a state that libvirt
// keeps in files, from its first start until its domain is undefined.
type FirmwareState struct {
	// UEFI variables, Secure Boot's among them.
	UEFI bool
	// TPM is the state of an emulated one.
	TPM bool
}

// User is a user of the host.
type User struct{ UID, GID int }

// VolumeRef names a volume of a storage pool.
type VolumeRef struct{ Pool, Name string }

// Pages counts hugepages.
type Pages struct {
	// Size2Mi and Size1Gi are numbers of pages.
	Size2Mi, Size1Gi int64
}

// Add returns p + o.
func (p Pages) Add(o Pages) Pages {
	return Pages{Size2Mi: p.Size2Mi + o.Size2Mi, Size1Gi: p.Size1Gi + o.Size1Gi}
}

// Bytes returns the memory in the pools of 2 MiB and of 1 GiB pages.
func (p Pages) Bytes() (in2Mi, in1Gi int64) { return p.Size2Mi << 21, p.Size1Gi << 30 }

// Distance is the ACPI SLIT distance to another cell.
type Distance struct{ Cell, Value int32 }

// Cell is one NUMA cell.
type Cell struct {
	ID int32
	// CPUs is the set of logical CPUs in Linux list format: 0-3,8-11.
	CPUs string
	// Siblings are the cores with more than one thread, each as the set of its
	// logical CPUs in Linux list format: 0,4.
	Siblings []string
	// Memory is in bytes, hugepage pools included.
	Memory int64
	Pages  Pages
	// Distances to the other cells; libvirt's own 'to itself' is left out.
	Distances []Distance
}

// CellFree is what nobody uses of a cell's hugepage pools now.
type CellFree struct {
	Cell  int32
	Pages Pages
}

// DomainType is a kind of virtualization with what guests of it can have.
type DomainType struct {
	// Type is libvirt's: kvm, qemu, test.
	Type string
	// Arch is libvirt's: x86_64, aarch64.
	Arch string
	// Machines are canonical machine types, sorted.
	Machines []string
	// CPUModels are the named CPU models and CPUFeatures the CPU features that
	// guests can have here, each sorted. Both, and what follows, are known for
	// the host's own architecture only.
	CPUModels, CPUFeatures []string
	// Firmware is what libvirt finds firmware for by itself: bios, efi.
	Firmware []string
	// SecureBoot is true when there is efi firmware with Secure Boot.
	SecureBoot bool
}

// Description is what a host physically has.
type Description struct {
	// Simulated is true when no guest really runs.
	Simulated bool
	// Arch is the host's own, as libvirt spells it.
	Arch string
	// CPUs counts logical CPUs that are online.
	CPUs int64
	// Memory is in bytes, hugepage pools included.
	Memory int64
	// Pages are the hugepage pools, all cells together.
	Pages Pages
	Cells []Cell
	// DomainTypes are those libvirt lists, KVM first, the host's own
	// architecture before others.
	DomainTypes []DomainType
	// Devices are the PCI devices, by address; none where libvirt has no driver
	// for the host's devices.
	Devices []Device
	// QEMU is the user as whom guests run; nil where libvirt does not say.
	QEMU *User
	// LibvirtVersion and HypervisorVersion are such as 9.0.0.
	LibvirtVersion, HypervisorVersion string
}

// EventKind says what happened.
type EventKind string

// Kinds of events. The first two are about the connection and name no domain.
const (
	EventConnected EventKind = "Connected"
	EventLost      EventKind = "Lost"
	EventDefined   EventKind = "Defined"
	EventUndefined EventKind = "Undefined"
	EventStarted   EventKind = "Started"
	EventPaused    EventKind = "Paused"
	EventResumed   EventKind = "Resumed"
	EventStopped   EventKind = "Stopped"
	EventShutdown  EventKind = "Shutdown"
	EventCrashed   EventKind = "Crashed"
	EventOther     EventKind = "Other"
	// EventRebooted: the guest was reset, by itself or by somebody; its domain
	// runs on.
	EventRebooted EventKind = "Rebooted"
	// EventBalloon: the guest's balloon has taken memory from it or given some back.
	EventBalloon EventKind = "Balloon"
	// EventAgent: the guest agent's channel was opened or closed.
	EventAgent EventKind = "Agent"
	// EventWatchdog: the guest's watchdog has fired.
	EventWatchdog EventKind = "Watchdog"
	// EventDiskError: a disk of the guest could not be read or written.
	EventDiskError EventKind = "DiskError"
	// EventUnplugged: the guest has given the device Device up. EventKept: it was
	// asked to and has said that it does not.
	EventUnplugged EventKind = "Unplugged"
	EventKept      EventKind = "Kept"
	// EventPool: the storage pool Name was started, stopped or undefined. It is
	// about no domain.
	EventPool EventKind = "Pool"
	// EventNetwork: the network Name was defined, undefined, started or stopped. It
	// is about no domain.
	EventNetwork EventKind = "Network"
)

// Event is something that happened to a domain or to the connection.
type Event struct {
	Kind       EventKind
	UUID, Name string
	// Reason is set for EventStopped: one of the Reason constants or another
	// word; for EventCrashed: a word for how; for EventDiskError: a short word of
	// QEMU's, such as enospc, and empty when it has none.
	Reason string
	// Action is set for EventWatchdog and EventDiskError: an UpperCamelCase word
	// for what is done about it, such as Reset, Pause or None.
	Action string
	// Device is set for EventDiskError, EventUnplugged and EventKept: the alias, such
	// as virtio-disk0, which whoever writes the domain may choose.
	Device string
}
