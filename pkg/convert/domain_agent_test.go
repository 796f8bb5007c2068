package convert_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert"
)

func TestAGuestHasItsAgentsChannelUnlessChannelsAreListed(t *testing.T) {
	channel := func(name string) libvirtxml.DomainChannel {
		return libvirtxml.DomainChannel{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: name}},
		}
	}
	agents := []libvirtxml.DomainChannel{channel("org.qemu.guest_agent.0")}
	for name, c := range map[string]struct {
		domain string
		host   string
		want   []libvirtxml.DomainChannel
	}{
		"nothing is said":                 {host: "qemu", want: agents},
		"other devices are listed":        {domain: `devices: {serials: [{source: {pty: {}}}]}`, host: "kvm", want: agents},
		"an empty list is none":           {domain: `devices: {channels: []}`, host: "kvm", want: []libvirtxml.DomainChannel{}},
		"a list of other channels stays":  {domain: `devices: {channels: [{source: {unix: {}}, target: {virtIO: {name: other.0}}}]}`, host: "kvm", want: []libvirtxml.DomainChannel{channel("other.0")}},
		"a list with it is not added to":  {domain: `devices: {channels: [{source: {unix: {}}, target: {virtIO: {name: org.qemu.guest_agent.0}}}]}`, host: "kvm", want: agents},
		"a simulated guest has no agent":  {host: "test"},
		"the user's type is what decides": {domain: `type: test`, host: "kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(machine(t, c.domain))
			in.Host.DomainType = c.host
			domain, err := convert.Domain(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, domain.Devices.Channels); diff != "" {
				t.Error(diff)
			}
			document, err := convert.Marshal(domain)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(document, "<channel "); got != len(c.want) {
				t.Errorf("%d channels in\n%s", got, document)
			}
		})
	}
}
