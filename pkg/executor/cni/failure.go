package cni

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// What can be told apart of what goes wrong. Each says what to do next.
var (
	// ErrInvalid is an attachment or a configuration that nobody can carry out.
	ErrInvalid = errors.New("invalid")
	// ErrNoNetwork is a configuration that the host does not have.
	ErrNoNetwork = errors.New("this host has no such CNI configuration")
	// ErrNotAllowed is one that is not for VMs.
	ErrNotAllowed = errors.New("this host does not offer the CNI configuration to VMs")
	// ErrUnsupported is a plugin that works for pods only.
	ErrUnsupported = errors.New("the plugin does not work without a Pod")
	// ErrNoPlugin is a program that the host does not have.
	ErrNoPlugin = errors.New("a plugin is not installed")
	// ErrExhausted is a pool without a free address.
	ErrExhausted = errors.New("no address is free")
	// ErrTimeout is a plugin that did not end in time and was ended.
	ErrTimeout = errors.New("a plugin did not end in time and was ended")
	// ErrPlugin is any other error that a plugin gave.
	ErrPlugin = errors.New("a plugin failed")
	// ErrGone says that what was attached is not there any more.
	ErrGone = errors.New("the card is gone: stop the VM and start it again")
)

// Reason is a word for a condition of the VM's, or "" for an error that is not of
// this package's kinds.
func Reason(err error) string {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrInvalid, "CNIInvalid"}, {ErrNoNetwork, "CNINetworkNotFound"}, {ErrNotAllowed, "CNINetworkNotAllowed"},
		{ErrUnsupported, "CNIPluginUnsupported"}, {ErrNoPlugin, "CNIPluginMissing"}, {ErrExhausted, "CNIAddressesExhausted"},
		{ErrTimeout, "CNIPluginTimeout"}, {ErrGone, "CNICardGone"}, {ErrPlugin, "CNIPluginFailed"},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	return ""
}

// exhausted are the words of host-local, which gives no code of its own to it
// (plugins/ipam/host-local/backend/allocator).
const exhausted = "no IP addresses available"

// failure sorts what libcni gives back of a verb.
func failure(ctx context.Context, verb, network string, err error) error {
	if err == nil {
		return nil
	}
	kind := ErrPlugin
	var given *types.Error
	switch {
	case errors.Is(err, ErrTimeout), ctx.Err() != nil && !errors.As(err, &given):
		kind = ErrTimeout
	case strings.Contains(err.Error(), exhausted):
		kind = ErrExhausted
	case strings.Contains(err.Error(), "failed to find plugin"): // invoke.FindInPath
		kind = ErrNoPlugin
	}
	if errors.Is(err, kind) {
		return fmt.Errorf("CNI %s on %s: %w", verb, network, err)
	}
	return fmt.Errorf("CNI %s on %s: %w: %w", verb, network, kind, err)
}
