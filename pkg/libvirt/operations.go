package libvirt

import (
	"context"
	"time"
)

// Operations are what is done to a guest beside starting and ending it. Each is
// waited for no longer than its context allows; a guest whose QEMU or agent
// hangs holds back no other guest's Start, Shutdown or Destroy.
//
// Errors of all of them: ErrNotFound, ErrWrongState for a domain that does not
// run, ErrUnsupported, ErrTimeout, ErrBusy, ErrUnavailable, and libvirt's own. Of
// an *Error with Code 0 that is ErrUnavailable libvirt was not asked.
type Operations interface {
	// Reset has the guest boot anew at once, as a reset button does.
	Reset(ctx context.Context, uuid string) error
	// SendKey presses the keys together, by Linux's names (KEY_A), for as long as
	// hold says, and does not wait for that. Errors: ErrUnknownKey.
	SendKey(ctx context.Context, uuid string, keys []string, hold time.Duration) error
	// Screenshot takes a picture of the guest's first screen. Errors: ErrNoScreen
	// too.
	Screenshot(ctx context.Context, uuid string) (Picture, error)
	// SetPassword has the guest's agent set a user's password, given as crypt(5)
	// keeps it. Errors: ErrAgentUnavailable.
	SetPassword(ctx context.Context, uuid, user, hash string) error
	// AuthorizeKeys has the guest's agent add lines to a user's authorized_keys;
	// those that are there already are left as they are. Errors:
	// ErrAgentUnavailable.
	AuthorizeKeys(ctx context.Context, uuid, user string, keys []string) error
	// Counters reads what the guest has used since it was started. It does not
	// wait for what else is being done to the guest.
	Counters(ctx context.Context, uuid string) (Counters, error)
}

// Picture is a picture as the hypervisor gives it.
type Picture struct {
	// MIME is its format: image/png, image/x-portable-pixmap.
	MIME string
	Data []byte
}

// Counters is what a guest has used since it was started, and what it holds.
type Counters struct {
	// CPU is the time on host CPUs, QEMU's own included.
	CPU time.Duration
	// Resident is the host memory that QEMU occupies, in bytes.
	Resident int64
	// GuestUsed is what the guest itself uses of its memory, in bytes; nil when its
	// balloon driver does not say.
	GuestUsed *int64
	// BlockRead, BlockWritten, NetReceived and NetSent are bytes, all disks and
	// all interfaces together.
	BlockRead, BlockWritten, NetReceived, NetSent int64
}
