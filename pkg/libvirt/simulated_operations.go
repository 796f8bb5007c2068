package libvirt

import "context"

// The test driver resets, presses keys and has a picture of its own. What it says
// of the rest is made up, since no guest runs: that is refused.

// SetPassword implements Host.
func (s *simulated) SetPassword(_ context.Context, uuid, _, _ string) error {
	return noAgent("setting a password in domain " + uuid)
}

// AuthorizeKeys implements Host.
func (s *simulated) AuthorizeKeys(_ context.Context, uuid, _ string, _ []string) error {
	return noAgent("adding SSH keys in domain " + uuid)
}

// Counters implements Host.
func (s *simulated) Counters(_ context.Context, uuid string) (Counters, error) {
	return Counters{}, &Error{Doing: "measuring domain " + uuid, Message: "on a simulated host no guest runs that could be measured", kind: ErrUnsupported}
}

func noAgent(doing string) error {
	return &Error{Doing: doing, Message: "on a simulated host no guest runs, and no agent in it", kind: ErrAgentUnavailable}
}
