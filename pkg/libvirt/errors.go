package libvirt

import (
	"context"
	"errors"
	"fmt"

	lv "libvirt.org/go/libvirt"
)

// What can go wrong, by what a caller can do about it.
var (
	// ErrNotFound: there is no such domain.
	ErrNotFound = errors.New("no such domain")
	// ErrAlreadyExists: the name or UUID belongs to another domain.
	ErrAlreadyExists = errors.New("a domain of that name or UUID is there already")
	// ErrInvalidDomain: libvirt does not accept the document, here or anywhere.
	ErrInvalidDomain = errors.New("libvirt does not accept the domain")
	// ErrMissingResource: the domain names a network, pool, volume or device
	// that this host does not have.
	ErrMissingResource = errors.New("the host lacks something the domain names")
	// ErrWrongState: the domain is not in a state in which this can be done.
	ErrWrongState = errors.New("the domain's state does not allow it")
	// ErrNeedsReset: QEMU has met an error in which the guest's CPUs cannot go on
	// unless it is reset.
	ErrNeedsReset = errors.New("the guest cannot go on")
	// ErrUnsupported: this libvirt cannot do it.
	ErrUnsupported = errors.New("libvirt does not support it")
	// ErrAgentUnavailable: the domain has no guest agent, or it does not answer.
	ErrAgentUnavailable = errors.New("the guest agent does not answer")
	// ErrAgentUnanswered, an ErrAgentUnavailable: there is a channel to the agent, and
	// what it was asked may wait there: it may yet do it.
	ErrAgentUnanswered = fmt.Errorf("%w, and may yet do what it was asked", ErrAgentUnavailable)
	// ErrUnknownKey: no keyboard has a key of that name.
	ErrUnknownKey = errors.New("there is no such key")
	// ErrNoScreen: the domain has no video device.
	ErrNoScreen = errors.New("the domain has no screen")
	// ErrUnavailable: libvirt cannot be reached. It says nothing about guests.
	ErrUnavailable = errors.New("libvirt is not reachable")
	// ErrAgentSilent: the agent in the guest is not there or does not answer.
	ErrAgentSilent = errors.New("the guest's agent does not answer")
	// ErrTimeout: libvirt did not answer in time; the call may still take
	// effect.
	ErrTimeout = errors.New("libvirt did not answer in time")
	// ErrBusy, an ErrTimeout: what was asked before has not been answered, and so
	// libvirt was not asked.
	ErrBusy = fmt.Errorf("%w, and is not asked more", ErrTimeout)
)

// kinds maps libvirt's error codes to what they mean here. Code 1 is missing
// on purpose: libvirt says it for an invalid document, a lack of hugepages and
// a dead QEMU alike. Source: include/libvirt/virterror.h, and trials with
// libvirt 9.0.0.
var kinds = map[lv.ErrorNumber]error{
	lv.ERR_NO_DOMAIN:             ErrNotFound,
	lv.ERR_DOM_EXIST:             ErrAlreadyExists,
	lv.ERR_XML_ERROR:             ErrInvalidDomain,
	lv.ERR_XML_DETAIL:            ErrInvalidDomain,
	lv.ERR_XML_INVALID_SCHEMA:    ErrInvalidDomain,
	lv.ERR_CONFIG_UNSUPPORTED:    ErrInvalidDomain,
	lv.ERR_OS_TYPE:               ErrInvalidDomain,
	lv.ERR_INVALID_MAC:           ErrInvalidDomain,
	lv.ERR_INVALID_ARG:           ErrInvalidDomain,
	lv.ERR_NO_NETWORK:            ErrMissingResource,
	lv.ERR_NO_STORAGE_POOL:       ErrMissingResource,
	lv.ERR_NO_STORAGE_VOL:        ErrMissingResource,
	lv.ERR_NO_NODE_DEVICE:        ErrMissingResource,
	lv.ERR_NO_INTERFACE:          ErrMissingResource,
	lv.ERR_NO_NWFILTER:           ErrMissingResource,
	lv.ERR_NO_SECRET:             ErrMissingResource,
	lv.ERR_DEVICE_MISSING:        ErrMissingResource,
	lv.ERR_OPERATION_INVALID:     ErrWrongState,
	lv.ERR_NO_SUPPORT:            ErrUnsupported,
	lv.ERR_ARGUMENT_UNSUPPORTED:  ErrUnsupported,
	lv.ERR_OPERATION_UNSUPPORTED: ErrUnsupported,
	lv.ERR_AGENT_UNRESPONSIVE:    ErrAgentSilent,
	lv.ERR_AGENT_UNSYNCED:        ErrAgentSilent,
	lv.ERR_AGENT_COMMAND_TIMEOUT: ErrAgentSilent,
	lv.ERR_OPERATION_TIMEOUT:     ErrTimeout,
	lv.ERR_NO_CONNECT:            ErrUnavailable,
	lv.ERR_INVALID_CONN:          ErrUnavailable,
	lv.ERR_RPC:                   ErrUnavailable,
}

// Error is what libvirt said, with what it means here.
type Error struct {
	// Doing is what was tried, a gerund: "starting domain <uuid>".
	Doing string
	// Code is libvirt's error number, 0 when libvirt was not asked.
	Code int
	// Message is libvirt's own.
	Message string
	kind    error
}

// Error says what was tried and what libvirt answered.
func (e *Error) Error() string { return e.Doing + ": " + e.Message }

// Unwrap returns the sentinel of this package, or nil for libvirt errors that
// none stands for.
func (e *Error) Unwrap() error { return e.kind }

// explain turns an error of the binding into an *Error.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return err
	}
	var e lv.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	kind := kinds[e.Code]
	// The RPC layer reports a connection that died under a call as an internal
	// or a system error of its own.
	if (e.Code == lv.ERR_INTERNAL_ERROR || e.Code == lv.ERR_SYSTEM_ERROR) && (e.Domain == lv.FROM_RPC || e.Domain == lv.FROM_REMOTE) {
		kind = ErrUnavailable
	}
	return &Error{Doing: doing, Code: int(e.Code), Message: e.Message, kind: kind}
}

func timedOut(ctx context.Context, doing string) error {
	return &Error{Doing: doing, Message: fmt.Sprintf("%v (%v)", ErrTimeout, context.Cause(ctx)), kind: ErrTimeout}
}

func unavailable(doing, why string) error {
	return &Error{Doing: doing, Message: fmt.Sprintf("%v: %s", ErrUnavailable, why), kind: ErrUnavailable}
}

// As returns the error as one of a kind of the caller's, for errors.Is.
func (e Error) As(kind error) *Error {
	e.kind = kind
	return &e
}
