package plan

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

func TestWhatAGuestSaysIsTakenOverAsFarAsItCanBeShown(t *testing.T) {
	for name, c := range map[string]struct {
		said libvirt.GuestInfo
		want v1alpha1.GuestStatus
	}{
		"nothing": {},
		"a plain guest": {
			said: libvirt.GuestInfo{
				Hostname: "web-1",
				OS:       libvirt.GuestOS{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Kernel: "6.1.0-56-cloud-amd64"},
				Interfaces: []libvirt.GuestInterface{
					{Name: "lo", MAC: "00:00:00:00:00:00", Addresses: []string{"127.0.0.1", "::1"}},
					{Name: "eth0", MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15", "fec0::5054:ff:fe12:3456", "fe80::5054:ff:fe12:3456"}},
					{Name: "eth1", MAC: "52:54:00:12:34:57"},
				},
			},
			want: v1alpha1.GuestStatus{
				Hostname: "web-1",
				OS:       &v1alpha1.GuestOS{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12", Kernel: "6.1.0-56-cloud-amd64"},
				Interfaces: []v1alpha1.GuestInterface{
					{Name: "eth0", MAC: "52:54:00:12:34:56", Addresses: []string{"10.0.2.15", "fec0::5054:ff:fe12:3456", "fe80::5054:ff:fe12:3456"}},
					{Name: "eth1", MAC: "52:54:00:12:34:57"},
				},
				Addresses: "10.0.2.15,fec0::5054:ff:fe12:3456",
			},
		},
		"a loopback of another name": {
			said: libvirt.GuestInfo{Interfaces: []libvirt.GuestInterface{{Name: "Loopback Pseudo-Interface 1", Addresses: []string{"::1", "127.0.0.1"}}}},
		},
		"what would write on a terminal": {
			said: libvirt.GuestInfo{
				Hostname: "\x1b[31mroot@\x1b[0m host\r\n\x00",
				OS:       libvirt.GuestOS{Name: "safe\u202eexe.\u200b", ID: "\xff\xfe"},
			},
			want: v1alpha1.GuestStatus{Hostname: "[31mroot@[0m host", OS: &v1alpha1.GuestOS{Name: "safeexe."}},
		},
		"texts without end are cut where a character ends": {
			said: libvirt.GuestInfo{Hostname: strings.Repeat("ä", 1000), OS: libvirt.GuestOS{ID: strings.Repeat("x", 1<<20)}},
			want: v1alpha1.GuestStatus{Hostname: strings.Repeat("ä", 126), OS: &v1alpha1.GuestOS{ID: strings.Repeat("x", 63)}},
		},
		"addresses that are none, or twice there, or nobody's": {
			said: libvirt.GuestInfo{Interfaces: []libvirt.GuestInterface{{
				Name: "eth0", MAC: "<script>",
				Addresses: []string{"10.0.0.1", "10.0.0.1", "<script>", "", "10.0.0.256", "127.0.0.1", "0.0.0.0", "224.0.0.1", "fe80::1%eth0; rm -rf /"},
			}, {MAC: "52:54:00:12:34:56"}}},
			want: v1alpha1.GuestStatus{
				Interfaces: []v1alpha1.GuestInterface{{Name: "eth0", Addresses: []string{"10.0.0.1", "fe80::1"}}},
				Addresses:  "10.0.0.1",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&c.want, GuestStatus(c.said)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAGuestWithoutMeasureIsBounded(t *testing.T) {
	var said libvirt.GuestInfo
	for i := range 1000 {
		in := libvirt.GuestInterface{Name: fmt.Sprintf("%d%s", i, strings.Repeat("e", 100)), MAC: "52:54:00:12:34:56"}
		for j := range 1000 {
			in.Addresses = append(in.Addresses, fmt.Sprintf("2001:db8:1111:2222:3333:4444:%x:%x", i, j))
		}
		said.Interfaces = append(said.Interfaces, in)
	}
	got := GuestStatus(said)
	checkBounds(t, got)
	if len(got.Interfaces) != maxGuestInterfaces || len(got.Interfaces[0].Addresses) != maxInterfaceAddresses {
		t.Errorf("%d interfaces, %d addresses at the first", len(got.Interfaces), len(got.Interfaces[0].Addresses))
	}
	if !strings.HasPrefix(got.Addresses, "2001:db8:1111:2222:3333:4444::,") || !strings.HasSuffix(got.Addresses, ",...") {
		t.Errorf("in one line: %s", got.Addresses)
	}
}

// checkBounds holds a status against what its schema and its readers ask for.
func checkBounds(t *testing.T, got *v1alpha1.GuestStatus) {
	t.Helper()
	text := func(what, s string, most int) {
		if len(s) > most || !utf8.ValidString(s) || strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s is %q", what, s)
		}
	}
	text("hostname", got.Hostname, 253)
	text("addresses", got.Addresses, 253)
	if got.OS != nil {
		text("os.id", got.OS.ID, 63)
		text("os.name", got.OS.Name, 253)
		text("os.version", got.OS.Version, 253)
		text("os.kernel", got.OS.Kernel, 253)
	}
	if len(got.Interfaces) > 64 {
		t.Errorf("%d interfaces", len(got.Interfaces))
	}
	for _, in := range got.Interfaces {
		text("an interface", in.Name, 63)
		if in.Name == "" {
			t.Error("an interface has no name")
		}
		if _, err := net.ParseMAC(in.MAC); in.MAC != "" && (err != nil || len(in.MAC) > 63) {
			t.Errorf("mac is %q", in.MAC)
		}
		if len(in.Addresses) > 32 {
			t.Errorf("%d addresses", len(in.Addresses))
		}
		for _, a := range in.Addresses {
			if _, err := netip.ParseAddr(a); err != nil {
				t.Error(err)
			}
		}
	}
	if data, err := json.Marshal(got); err != nil || len(data) > 20<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func FuzzGuestStatus(f *testing.F) {
	f.Add("web-1", "eth0", "52:54:00:12:34:56", "10.0.2.15,fe80::1", uint8(1))
	f.Add("\x1b]0;x\x07", "\u202e", "0", "127.0.0.1,::ffff:127.0.0.1", uint8(3))
	f.Add(strings.Repeat("\xf0\x9f\x98\x80", 100), " ", "", "1.2.3.4,1.2.3.4,2001:db8::1%25", uint8(200))
	f.Fuzz(func(t *testing.T, word, name, mac, addresses string, n uint8) {
		said := libvirt.GuestInfo{Hostname: word, OS: libvirt.GuestOS{ID: name, Name: word, Version: mac, Kernel: addresses}}
		for i := range n {
			said.Interfaces = append(said.Interfaces, libvirt.GuestInterface{Name: name + word, MAC: mac, Addresses: strings.Split(addresses, ",")[min(int(i), strings.Count(addresses, ",")):]})
		}
		checkBounds(t, GuestStatus(said))
	})
}
