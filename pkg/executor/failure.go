package executor

import (
	"errors"
	"fmt"
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

const (
	// A guest that ends or does not start is started again after firstBackoff,
	// doubling up to lastBackoff; the numbers are the kubelet's for containers,
	// the first one halved.
	firstBackoff = 5 * time.Second
	lastBackoff  = 5 * time.Minute
	// steadyAfter is how long a guest has to run for its past to be forgotten.
	steadyAfter = 10 * time.Minute
	// maxStarts is how often a guest that never ran in its binding is started
	// before the host gives it back.
	maxStarts = 5
)

// note remembers a failure and when to start the guest again.
func (m *Memory) note(f Failure, now time.Time) {
	if !m.StartedAt.IsZero() && now.Sub(m.StartedAt) >= steadyAfter {
		m.Failures = 0
	}
	wait := firstBackoff << min(m.Failures, 10)
	m.Failures++
	m.RetryAt = now.Add(min(wait, lastBackoff))
	m.Failure = f
	m.Expected = false
}

// note remembers that the step failed, and when to take it again. One that went
// well for as long as the longest back-off has its past forgotten.
func (t *Attempt) note(step Step, f Failure, now time.Time) {
	if t.Step != step || now.Sub(t.RetryAt) >= lastBackoff {
		*t = Attempt{Step: step}
	}
	wait := firstBackoff << min(t.Failures, 10)
	t.Failures++
	t.RetryAt = now.Add(min(wait, lastBackoff))
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

func unfit(format string, args ...any) *Rejection {
	return &Rejection{Reason: v1alpha1.ReasonHostUnfit, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *Rejection {
	return &Rejection{Reason: v1alpha1.ReasonInvalidDomain, Message: fmt.Sprintf(format, args...)}
}

// errNoted ends a turn's steps after a failure that was noted and waits for its
// time to be tried again.
var errNoted = errors.New("noted, to be tried again")

// defineFailure says what an error of libvirt's Define means for the binding.
// Parameters and results are startFailure's.
func defineFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrTimeout):
		return nil, nil
	case errors.Is(err, libvirt.ErrInvalidDomain):
		return invalid("libvirt does not accept the domain: %v", err), nil
	case errors.Is(err, libvirt.ErrAlreadyExists):
		// libvirt names that domain, which may be another namespace's.
		return unfit("another domain has this name or UUID: undefine it on the host if it is not needed"), nil
	case errors.Is(err, libvirt.ErrMissingResource), errors.Is(err, libvirt.ErrUnsupported):
		return unfit("the host cannot define it: %v", err), nil
	case !ran && failures >= maxStarts:
		return unfit("it could not be defined in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// clearFailure says what it means that other guests could not be kept off the
// CPUs that a guest has to itself. Parameters and results are startFailure's.
func clearFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable):
		return nil, nil
	case !ran && failures >= maxStarts:
		return unfit("it could not be started in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// startFailure says what an error of libvirt's Start means. failures counts
// this one and those before it; ran says whether the guest has run in this
// binding, in which case the host keeps it. All nil means: it says nothing of
// the guest, try again.
func startFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	switch {
	case errors.Is(err, libvirt.ErrUnavailable), errors.Is(err, libvirt.ErrTimeout), errors.Is(err, libvirt.ErrNotFound):
		return nil, nil
	case ran:
	case errors.Is(err, libvirt.ErrInvalidDomain):
		return invalid("libvirt cannot start the domain: %v", err), nil
	case errors.Is(err, libvirt.ErrMissingResource):
		return unfit("the host lacks something the domain names: %v", err), nil
	case failures >= maxStarts:
		return unfit("it did not start in %d attempts: %v", failures, err), nil
	}
	return nil, &Failure{Reason: v1alpha1.ReasonStartFailed, Message: err.Error()}
}

// saysNothing is for an error that says nothing of the guest: try again.
func saysNothing(error, int, bool) (*Rejection, *Failure) { return nil, nil }

// boundStartFailure is startFailure for a guest to which the placement gives
// cells or devices of this very host: of one that is not there libvirt says what
// it says of a domain that no host can run.
func boundStartFailure(err error, failures int, ran bool) (*Rejection, *Failure) {
	if errors.Is(err, libvirt.ErrInvalidDomain) && !ran {
		return unfit("the host cannot give it the cells or devices it was placed on: %v", err), nil
	}
	return startFailure(err, failures, ran)
}
