// Package images looks after the images that VirtualDisks of one host begin with:
// each is fetched once into a storage pool, verified, and kept there as a volume
// while disks are made of it or stand on it.
//
// As for volumes of disks, one that is not whole has a mark beside it. It is not
// made anew but gone on with: its bytes are those that come first, and the checksum
// says in the end whether they are.
package images

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Memory is what is remembered of an image in a pool between two looks; it is lost
// with the process.
type Memory struct {
	// Failures counts those in a row, RetryAt is when to try again, and Reason and
	// Message say what happened last.
	Failures        int
	RetryAt         time.Time
	Reason, Message string
	// UnusedSince is when nobody was seen to need it; zero while somebody does.
	UnusedSince time.Time
	// Verified says that its bytes have been held against the checksum by this
	// process. A host may have lost its power since another did.
	Verified bool
}

// Situation is all that Plan decides by.
type Situation struct {
	Node string
	// Image is the object that the volume is of; nil when there is none any more.
	Image *v1alpha1.VirtualDiskImage
	// Pool is where it is; nil when the host has no such pool that is active.
	Pool *libvirt.Pool
	// Volume is nil when there is none, and Marked says that it is not whole.
	Volume *libvirt.Volume
	Marked bool
	// Waiting counts the disks that are to be made of it.
	Waiting int
	// InUse says that disks stand on it, or that one is being made of it.
	InUse bool
	// Home says that the image is uploaded to this host and pool, Offered that somebody
	// is uploading it, and Awaited that it has yet to be uploaded, elsewhere.
	Home, Offered, Awaited bool
	// offer is what is offered.
	offer *offer
	// Grace is how long an image is kept that nobody needs.
	Grace  time.Duration
	Memory Memory
	Now    time.Time
}

// Step is one thing to do. Every step may be repeated.
type Step string

// Steps.
const (
	// StepMark marks the volume as not whole.
	StepMark Step = "Mark"
	// StepFetch fetches it, or what is missing of it, and verifies it.
	StepFetch Step = "Fetch"
	// StepUnmark says that it is whole.
	StepUnmark Step = "Unmark"
	// StepVerify holds a whole one against its checksum again.
	StepVerify Step = "Verify"
	// StepRemove removes the volume.
	StepRemove Step = "Remove"
	// StepWithdraw removes the host's entry from the image's status.
	StepWithdraw Step = "Withdraw"
)

// Report is what to say in the host's entry of the image's status.
type Report struct {
	Phase           v1alpha1.ImagePhase
	Reason, Message string
	// VirtualSize and Bytes are those of the image; 0 leaves them as they are.
	Bytes, VirtualSize int64
}

// Decision is what to do now.
type Decision struct {
	// Report is written before the steps; nil leaves the status as it is.
	Report *Report
	// Steps in order; the first that fails ends it.
	Steps []Step
	// Ready says that disks can be made of it.
	Ready bool
	// Awaits is what disks that wait are told; empty leaves that as it is.
	Awaits string
	// Unused says that nobody needs it.
	Unused bool
	// Again asks for another look right after the steps.
	Again bool
	// RequeueAfter, when positive, asks for another look then.
	RequeueAfter time.Duration
	// Done says that there is nothing to remember.
	Done bool
}
