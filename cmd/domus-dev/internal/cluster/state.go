// Package cluster brings an embedded cluster up and down: it starts the
// components in order, waits until each answers, and ends exactly what it
// started.
package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// state is what a cluster's folder remembers between runs.
type state struct {
	Ports component.Ports `json:"ports"`
	// RealHost and SimulatedHosts are the hosts as of the last up.
	RealHost       bool `json:"realHost"`
	SecondRealHost bool `json:"secondRealHost,omitempty"`
	SimulatedHosts int  `json:"simulatedHosts"`
	// DomainType is auto, kvm or qemu, as of the last up.
	DomainType string `json:"domainType"`
	// DefinitionPlugins are as of the last up.
	DefinitionPlugins []string `json:"definitionPlugins,omitempty"`
}

// loadState returns nil when the folder holds no cluster.
func loadState(l layout.Layout) (*state, error) {
	content, err := os.ReadFile(l.State())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's state: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(content, s); err != nil {
		return nil, fmt.Errorf("reading %s: %w; remove the folder to start anew", l.State(), err)
	}
	return s, nil
}

// Saved fills what the user left open with what the cluster in the folder was
// last brought up with, if there is one. chosen says whether the user gave a
// flag of that name.
func (o *Options) Saved(chosen func(flag string) bool) error {
	s, err := loadState(o.Layout)
	if err != nil || s == nil {
		return err
	}
	if !chosen(FlagRealHost) {
		o.RealHost = s.RealHost
	}
	if !chosen(FlagSecondRealHost) {
		o.SecondRealHost = s.SecondRealHost && o.RealHost
	}
	if !chosen(FlagSimulatedHosts) {
		o.SimulatedHosts = s.SimulatedHosts
	}
	if !chosen(FlagDomainType) {
		o.DomainType = s.DomainType
	}
	if !chosen(FlagDefinitionPlugins) {
		o.DefinitionPlugins = s.DefinitionPlugins
	}
	return nil
}

func (s *state) save(l layout.Layout) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.State()+".new", content, 0o644); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	return os.Rename(l.State()+".new", l.State())
}

// Ports are chosen below Linux's ephemeral range (32768 and up), from which
// connections of other programs would take them while a component is down.
const (
	firstPort = 20000
	lastPort  = 32000
)

// choosePorts finds free ports on loopback for those of p that are none yet.
func choosePorts(p component.Ports) (component.Ports, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	candidate := firstPort + rand.IntN(lastPort-firstPort)
	tries := 0
	for _, port := range []*int{&p.Etcd, &p.EtcdPeer, &p.APIServer, &p.Scheduler, &p.Webhook, &p.RealHealth, &p.RealMetrics, &p.SimulatedHealth, &p.SimulatedMetrics, &p.SecondHealth, &p.SecondMetrics} {
		for *port == 0 {
			if tries++; tries > lastPort-firstPort {
				return p, fmt.Errorf("finding free ports between %d and %d on 127.0.0.1: all are taken", firstPort, lastPort)
			}
			candidate++
			if candidate >= lastPort {
				candidate = firstPort
			}
			if l, err := net.Listen("tcp", component.Address(candidate)); err == nil {
				held = append(held, l)
				*port = candidate
			}
		}
	}
	return p, nil
}

// lock keeps two runs from changing one cluster at once.
func lock(l layout.Layout) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(l.Lock()), 0o755); err != nil {
		return nil, fmt.Errorf("making the cluster's folder: %w", err)
	}
	f, err := os.OpenFile(l.Lock(), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking the cluster: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w; another domus-dev is at work there, wait for it", l.Dir, err)
	}
	return func() { _ = f.Close() }, nil
}
