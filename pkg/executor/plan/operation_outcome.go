package plan

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// maxMessage is the longest message that an operation's status takes, in bytes.
const maxMessage = 4096

// Outcome is how an operation ended.
type Outcome struct {
	// Reason is empty when it succeeded.
	Reason, Message string
	Screenshot      *v1alpha1.Screenshot
	Usage           *v1alpha1.Usage
}

// Succeeded is the outcome of an operation that went well.
func Succeeded(format string, args ...any) Outcome {
	return Outcome{Message: fmt.Sprintf(format, args...)}
}

// Failed is the outcome of one that did not.
func Failed(reason, format string, args ...any) Outcome {
	return Outcome{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Status is the status of an operation that was begun at started, if ever, and
// is over now.
func (o Outcome) Status(s v1alpha1.VirtualMachineOperationStatus, started, now time.Time) v1alpha1.VirtualMachineOperationStatus {
	s.Phase = v1alpha1.OperationSucceeded
	if o.Reason != "" {
		s.Phase = v1alpha1.OperationFailed
	}
	s.Reason, s.Message = o.Reason, Shortened(o.Message, maxMessage)
	s.Screenshot, s.Usage = o.Screenshot, o.Usage
	if s.StartedAt == nil && !started.IsZero() {
		s.StartedAt = WholeSeconds(started)
	}
	s.FinishedAt = WholeSeconds(now)
	return s
}

// Shortened cuts a text to a number of bytes, between two characters.
func Shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const mark = "..."
	cut := most - len(mark)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + mark
}

// ErrNotAsked says that libvirt was not asked, so that the operation can be tried
// again.
var ErrNotAsked = errors.New("libvirt was not asked")

// OutcomeOf says what an error of libvirt means for an operation, and errNotAsked
// when it means nothing.
func OutcomeOf(op *v1alpha1.VirtualMachineOperation, err error) (Outcome, error) {
	var answer *libvirt.Error
	asked := !errors.As(err, &answer) || answer.Code != 0
	once := traits[op.Spec.Type].once
	message := discreet(op, err.Error())
	switch {
	case errors.Is(err, libvirt.ErrUnavailable) && (!asked || !once):
		return Outcome{}, fmt.Errorf("%w: %s", ErrNotAsked, message)
	case errors.Is(err, libvirt.ErrUnavailable):
		return Failed(v1alpha1.ReasonInterrupted, "libvirt went away meanwhile: whether it took effect is not known; look at the guest before asking again: %s", message), nil
	case errors.Is(err, libvirt.ErrTimeout):
		remedy := "an operation of type ForceStop ends a guest that hangs"
		if once && !errors.Is(err, libvirt.ErrBusy) {
			remedy = "whether it took effect is not known; " + remedy
		}
		return Failed(v1alpha1.ReasonTimedOut, "waited for QEMU or the guest's agent to answer: %s: %s", message, remedy), nil
	case errors.Is(err, libvirt.ErrNotFound), errors.Is(err, libvirt.ErrWrongState):
		return Failed(v1alpha1.ReasonWrongState, "the guest is not in a state for this: %s", message), nil
	case errors.Is(err, libvirt.ErrAgentUnanswered):
		return Failed(v1alpha1.ReasonAgentUnavailable,
			"%s: the guest needs qemu-guest-agent running; one that hangs, or whose guest does, may yet do it when it goes on, so look before asking for something else", message), nil
	case errors.Is(err, libvirt.ErrAgentUnavailable):
		return Failed(v1alpha1.ReasonAgentUnavailable,
			"%s: the guest needs qemu-guest-agent running, and spec.domain a channel for it: devices.channels with target.virtIO.name org.qemu.guest_agent.0", message), nil
	case errors.Is(err, libvirt.ErrUnknownKey):
		return Failed(v1alpha1.ReasonOperationRefused, "spec.sendKey.keys: %s: use Linux's names, such as KEY_A, KEY_LEFTCTRL, KEY_DELETE", message), nil
	case errors.Is(err, libvirt.ErrNoScreen):
		return Failed(v1alpha1.ReasonOperationRefused, "the guest has no screen: %s: give it a video device, spec.domain.devices.videos such as [{model: {type: vga}}], which it has from its next start", message), nil
	case errors.Is(err, libvirt.ErrUnsupported):
		if answer != nil && answer.Message != "" {
			message = discreet(op, answer.Message) // what was being done to which domain the operation says
		}
		return Failed(v1alpha1.ReasonOperationRefused, "the host or the guest's devices do not support it: %s", message), nil
	}
	return Failed(v1alpha1.ReasonOperationRefused, "%s", message), nil
}

// discreet takes a password's hash out of a text, should anybody repeat it.
func discreet(op *v1alpha1.VirtualMachineOperation, text string) string {
	if p := op.Spec.SetPassword; p != nil && p.Hash != "" {
		return strings.ReplaceAll(text, p.Hash, "(the hash)")
	}
	return text
}
