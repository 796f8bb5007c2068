package images

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/capacity"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// lookAgain is when something is looked at again that another's doing mends,
	// and of which nothing may be heard.
	lookAgain = time.Minute
	// An image that could not be fetched is tried again after firstBackoff, doubling
	// up to lastBackoff: servers are others'.
	firstBackoff = 5 * time.Second
	lastBackoff  = 10 * time.Minute
)

// Plan decides what to do next. It is pure. Its rules, the first that applies:
//
//   - An image whose object is gone goes, unless disks stand on it.
//   - One that is whole stays while disks are to be made of it, or stand on it, and
//     as long afterwards as the host's configuration says. It is verified before a
//     disk is made of it, once in the life of the process.
//   - One that is uploaded here stays, whole or in part, and is gone on with when
//     somebody uploads it.
//   - What is not whole is gone on with while a disk waits for it, and goes
//     otherwise.
func Plan(in Situation) Decision {
	there := in.Volume != nil || in.Marked
	gone := in.Image == nil || in.Image.DeletionTimestamp != nil
	switch {
	case in.Pool == nil:
		return Decision{RequeueAfter: lookAgain, Done: gone}
	case gone && !there:
		return Decision{Steps: withdrawal(in), Done: true}
	case gone && in.InUse:
		return Decision{RequeueAfter: lookAgain, Ready: in.Image != nil && !in.Marked && in.Memory.Verified}
	case gone:
		return Decision{Steps: append([]Step{StepRemove, StepUnmark}, withdrawal(in)...), Again: true}
	case in.Volume != nil && !in.Marked:
		return keep(in)
	case in.Home && in.Offered:
		return Decision{
			Report: &Report{Phase: v1alpha1.ImageFetching, Reason: v1alpha1.ReasonImageUploading, Message: "it is being uploaded into storage pool " + in.Pool.Name},
			Steps:  []Step{StepMark, StepFetch, StepUnmark}, Again: true,
		}
	case in.Home:
		return await(in)
	case in.Waiting == 0 && there:
		return Decision{Steps: []Step{StepRemove, StepUnmark, StepWithdraw}, Again: true}
	case in.Waiting == 0:
		return Decision{Steps: withdrawal(in), Done: true}
	case in.Awaited:
		return Decision{Awaits: notUploaded}
	}
	if wait := in.Memory.RetryAt.Sub(in.Now); wait > 0 {
		return Decision{RequeueAfter: wait, Report: failed(in)}
	}
	return Decision{
		Report: &Report{Phase: v1alpha1.ImageFetching, Reason: v1alpha1.ReasonImageFetching, Message: "it is being fetched into storage pool " + in.Pool.Name},
		Steps:  []Step{StepMark, StepFetch, StepUnmark}, Again: true,
	}
}

func failed(in Situation) *Report {
	return &Report{Phase: v1alpha1.ImageFailed, Reason: in.Memory.Reason, Message: in.Memory.Message}
}

// withdrawal takes the host's entry back where there is one.
func withdrawal(in Situation) []Step {
	if in.Image == nil || in.Image.Status.CopyAt(in.Node, in.Pool.Name) == nil {
		return nil
	}
	return []Step{StepWithdraw}
}

// keep keeps a whole image, as long as it is needed.
func keep(in Situation) Decision {
	ready := &Report{Phase: v1alpha1.ImageReady, Reason: v1alpha1.ReasonImageCached, Message: "it is there, and verified", Bytes: in.Volume.Length, VirtualSize: in.Volume.Capacity}
	if in.Image.Spec.Checksum == "" {
		ready.Message = "it is there; it has no checksum to verify it by"
	}
	switch {
	case in.Waiting > 0 && !in.Memory.Verified:
		if wait := in.Memory.RetryAt.Sub(in.Now); wait > 0 {
			return Decision{RequeueAfter: wait, Report: failed(in)}
		}
		return Decision{Steps: []Step{StepVerify}, Again: true}
	case in.Waiting > 0 || in.InUse || in.Home:
		return Decision{Report: ready, Ready: in.Memory.Verified}
	case in.Memory.UnusedSince.IsZero():
		return Decision{Report: ready, Unused: true, RequeueAfter: in.Grace}
	}
	if left := in.Memory.UnusedSince.Add(in.Grace).Sub(in.Now); left > 0 {
		return Decision{Report: ready, Unused: true, RequeueAfter: left}
	}
	return Decision{Steps: []Step{StepRemove, StepWithdraw}, Again: true}
}

// note remembers a failure and when to try again.
func (m *Memory) note(reason, message string, now time.Time) {
	wait := firstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt, m.Reason, m.Message = now.Add(min(wait, lastBackoff)), reason, message
}

// filePools are the types of pools that images are kept in: those whose volumes are
// files, of any length and format.
var filePools = map[string]bool{"dir": true, "fs": true, "netfs": true, "vstorage": true}

// fits says why the volume is not the image that the object tells of, as libvirt
// sees it; empty when it is.
func fits(image *v1alpha1.VirtualDiskImage, v *libvirt.Volume) string {
	switch format := string(image.Spec.Format); {
	case v.Backing != "":
		return "it has a backing file"
	case v.Format == "iso" && format == libvirt.FormatRaw: // what libvirt calls a raw medium
	case v.Format != format:
		return "libvirt takes it for " + v.Format + ", and spec.format is " + format
	}
	if s := image.Spec.Size; s != nil && s.Value() != v.Capacity {
		return "a guest sees " + capacity.Bytes(v.Capacity) + " of it, and spec.size is " + capacity.Bytes(s.Value())
	}
	return ""
}
