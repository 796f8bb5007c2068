// Package networks looks after the libvirt networks of the VirtualNetworks that VMs
// on one host have cards on: it makes, changes and removes them, says which there
// are, and tells guests' starts what their cards are connected to.
//
// A network that is ours carries a mark in its metadata, and everything is found
// out by looking: whatever ends this process, the next one goes on.
package networks

import (
	"time"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// User is who needs a network on the host.
type User struct {
	// VM is the VirtualMachine, or a word for a domain that is none's.
	VM string
	// Guest says that a guest has a card on it, running or saved: the network cannot
	// be taken from under it.
	Guest bool
}

// Memory is what is remembered of a network between two looks; it is lost with the
// process.
type Memory struct {
	// Failures counts those in a row, RetryAt is when to try again, Message says what
	// happened last, and Unfit that another host may do better. All of it is about
	// the Aim: another one is tried at once.
	Aim      string
	Failures int
	RetryAt  time.Time
	Message  string
	Unfit    bool
}

// Situation is all that Plan decides by.
type Situation struct {
	// Network is nil when the VirtualNetwork is not there, or is another one of the
	// same name.
	Network *v1alpha1.VirtualNetwork
	// Found is the libvirt network of the VirtualNetwork; nil when there is none.
	Found *Found
	// Want is how the host is to have it; nil when it cannot be said, for Refused.
	Want    *Definition
	Refused string
	// Lacks is what the host does not have for it, in words; empty when it has all.
	Lacks  string
	Users  []User
	Memory Memory
	Now    time.Time
}

// Found is a libvirt network that carries a mark of ours.
type Found struct {
	libvirt.Network
	// Mark is that of the network as it is; Defined is the print of the definition
	// that it has at its next start.
	Mark    Mark
	Defined string
	// Hosts are the cards that always get the same address, as it is.
	Hosts []DHCPHost
}

// Step is one thing to do. Every step may be repeated.
type Step string

// Steps.
const (
	// StepDefine stores the definition that is wanted.
	StepDefine Step = "Define"
	// StepStart starts the network.
	StepStart Step = "Start"
	// StepStop ends it.
	StepStop Step = "Stop"
	// StepUndefine removes its definition.
	StepUndefine Step = "Undefine"
	// StepSetHosts has the cards that always get the same address be those that are
	// wanted, while guests use the network.
	StepSetHosts Step = "SetHosts"
)

// Decision is what to do now.
type Decision struct {
	// Steps in order; the first that fails ends it.
	Steps []Step
	// Active says that guests can have cards on the network, and Message what is
	// wrong with it; Unfit that the host cannot have it, while another may.
	Active  bool
	Message string
	Unfit   bool
	// Again asks for another look right after the steps.
	Again bool
	// RequeueAfter, when positive, asks for another look then.
	RequeueAfter time.Duration
}
