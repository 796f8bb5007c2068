package plan

import (
	"errors"
	"fmt"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// FirstBackoff is after which time a guest that ends or does not start is started
	// again, doubling up to LastBackoff; the numbers are the kubelet's for containers,
	// the first one halved.
	FirstBackoff = 5 * time.Second
	// LastBackoff is the longest back-off.
	LastBackoff = 5 * time.Minute
	// SteadyAfter is how long a guest has to run for its past to be forgotten.
	SteadyAfter = 10 * time.Minute
	// MaxStarts is how often a guest that never ran in its binding is started
	// before the host gives it back.
	MaxStarts = 5
)

// Note remembers a failure and when to start the guest again.
func (m *Memory) Note(f Failure, now time.Time) {
	if !m.StartedAt.IsZero() && now.Sub(m.StartedAt) >= SteadyAfter {
		m.Failures = 0
	}
	wait := FirstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt = now.Add(min(wait, LastBackoff))
	m.Failure = f
	m.Expected = false
}

// Note remembers that the step failed, and when to take it again. One that went
// well for as long as the longest back-off has its past forgotten.
func (t *Attempt) Note(step Step, f Failure, now time.Time) {
	if t.Step != step || now.Sub(t.RetryAt) >= LastBackoff {
		*t = Attempt{Step: step}
	}
	wait := FirstBackoff << min(t.Failures, 10)
	t.Failures++
	t.RetryAt = now.Add(min(wait, LastBackoff))
	t.Failure = f
}

// Rejection says that a binding cannot be carried out here. It is an error so
// that steps can return it.
type Rejection struct {
	// Reason is HostUnfit or InvalidDomain.
	Reason string
	// Message says it to a person.
	Message string
}

// Error implements error.
func (r *Rejection) Error() string { return r.Reason + ": " + r.Message }

// Unfit rejects a binding that another host may carry out.
func Unfit(format string, args ...any) *Rejection {
	return &Rejection{Reason: v1alpha1.ReasonHostUnfit, Message: fmt.Sprintf(format, args...)}
}

// Invalid rejects a binding that no host can carry out.
func Invalid(format string, args ...any) *Rejection {
	return &Rejection{Reason: v1alpha1.ReasonInvalidDomain, Message: fmt.Sprintf(format, args...)}
}

// ErrNoted ends a turn's steps after a failure that was noted and waits for its
// time to be tried again.
var ErrNoted = errors.New("noted, to be tried again")

// DefineFailure says what an error of libvirt's Define means for the binding.
// Parameters and results are StartFailure's.
func DefineFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrTimeout):
		return nil, nil
	case errors.Is(err, libvirt.ErrInvalidDomain):
		return Invalid("libvirt does not accept the domain: %v", err), nil
	case errors.Is(err, libvirt.ErrAlreadyExists):
		// libvirt names that domain, which may be another namespace's.
		return Unfit("another domain has this name or UUID: undefine it on the host if it is not needed"), nil
	case errors.Is(err, libvirt.ErrMissingResource), errors.Is(err, libvirt.ErrUnsupported):
		return Unfit("the host cannot define it: %v", err), nil
	case !ran && failures >= MaxStarts:
		return Unfit("it could not be defined in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// ClearFailure says what it means that other guests could not be kept off the
// CPUs that a guest has to itself. Parameters and results are StartFailure's.
func ClearFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable):
		return nil, nil
	case !ran && failures >= MaxStarts:
		return Unfit("it could not be started in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// StartFailure says what an error of libvirt's Start means. failures counts
// this one and those before it; ran says whether the guest has run in this
// binding, in which case the host keeps it. All nil means: it says nothing of
// the guest, try again.
func StartFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrTimeout), errors.Is(err, libvirt.ErrNotFound):
		return nil, nil
	case ran:
	case errors.Is(err, libvirt.ErrInvalidDomain):
		return Invalid("libvirt cannot start the domain: %v", err), nil
	case errors.Is(err, libvirt.ErrMissingResource):
		return Unfit("the host lacks something the domain names: %v", err), nil
	case failures >= MaxStarts:
		return Unfit("it did not start in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// SaysNothing is for an error that says nothing of the guest: try again.
func SaysNothing(error, int, bool) (*Rejection, *Failure) { return nil, nil }

// BoundStartFailure is StartFailure for a guest to which the placement gives
// cells or devices of this very host: of one that is not there libvirt says what
// it says of a domain that no host can run.
func BoundStartFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	if errors.Is(err, libvirt.ErrInvalidDomain) && !ran {
		return Unfit("the host cannot give it the cells or devices it was placed on: %v", err), nil
	}
	return StartFailure(err, failures, ran)
}
