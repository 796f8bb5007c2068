package libvirt

import (
	"context"
	"errors"
	"testing"
	"time"
)

const isolatedNetwork = `<network>
  <name>shop.lan.vn-0b1c2d3e4f50</name>
  <uuid>b4a590ab-1fd8-4d8a-967f-de5b1cd6e1de</uuid>
  <metadata><d:network xmlns:d="https://domus.dev/v1alpha1" uid="u"/></metadata>
  <bridge name='vn0b1c2d3e4f50'/>
  <ip address='192.168.77.1' netmask='255.255.255.0'><dhcp><range start='192.168.77.10' end='192.168.77.99'/></dhcp></ip>
</network>`

// The test driver's networks are libvirt's own, metadata included.
func TestNetworksOfASimulatedHost(t *testing.T) {
	host, err := Simulate(t.TempDir(), "a", Simulation{CPUs: 1, Memory: 1 << 30, Interfaces: []HostInterface{{Name: "br0", Bridge: true}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := host.Events(ctx)
	for e := range heard {
		if e.Kind == EventConnected {
			break
		}
	}
	const name = "shop.lan.vn-0b1c2d3e4f50"
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	one := func() Network {
		t.Helper()
		all, err := host.Networks(ctx)
		if err != nil || len(all) != 1 {
			t.Fatalf("%v, %+v", err, all)
		}
		return all[0]
	}
	if err := host.StartNetwork(ctx, name); !errors.Is(err, ErrNoNetwork) {
		t.Errorf("starting one that is not there: %v", err)
	}
	must("defining", host.DefineNetwork(ctx, isolatedNetwork))
	must("defining again", host.DefineNetwork(ctx, isolatedNetwork))
	if n := one(); n.Name != name || n.Active || n.Bridge != "vn0b1c2d3e4f50" || n.Metadata == "" || n.Defined == "" {
		t.Errorf("%+v", n)
	}
	must("starting", host.StartNetwork(ctx, name))
	must("starting again", host.StartNetwork(ctx, name))
	if !one().Active {
		t.Error("it is not active")
	}
	for e := range heard {
		if e.Kind == EventNetwork && e.Name == name {
			break
		}
	}
	for range 2 {
		must("stopping", host.StopNetwork(ctx, name))
	}
	for range 2 {
		must("undefining", host.UndefineNetwork(ctx, name))
	}
	if all, err := host.Networks(ctx); err != nil || len(all) > 0 {
		t.Errorf("%v, %+v", err, all)
	}
	if all, err := host.HostInterfaces(ctx); err != nil || len(all) != 1 || all[0].Name != "br0" {
		t.Errorf("%v, %+v", err, all)
	}
	if err := host.DefineNetwork(ctx, "<network><name>"); !errors.Is(err, ErrInvalidDomain) {
		t.Errorf("a document that is none: %v", err)
	}
}
