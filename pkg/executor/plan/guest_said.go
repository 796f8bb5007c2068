package plan

import (
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/libvirt"
)

// Bounds of what is taken over from a guest; those of lengths and of interfaces
// are the schema's. Together they keep it below 20 KiB.
const (
	maxGuestText       = 253
	MaxGuestWord       = 63
	maxGuestInterfaces = 64
	// maxInterfaceAddresses is for each interface, maxGuestAddresses for all.
	maxInterfaceAddresses = 32
	maxGuestAddresses     = 128
)

// GuestStatus is what of a guest's words goes into the API. They are anybody's:
// what is kept is short, can be printed, and is of the kind that it claims to
// be; the rest is left out. It is pure.
func GuestStatus(said libvirt.GuestInfo) *v1alpha1.GuestStatus {
	out := &v1alpha1.GuestStatus{Hostname: Printable(said.Hostname, maxGuestText)}
	os := v1alpha1.GuestOS{
		ID:      Printable(said.OS.ID, MaxGuestWord),
		Name:    Printable(said.OS.Name, maxGuestText),
		Version: Printable(said.OS.Version, maxGuestText),
		Kernel:  Printable(said.OS.Kernel, maxGuestText),
	}
	if os != (v1alpha1.GuestOS{}) {
		out.OS = &os
	}
	left := maxGuestAddresses
	var summary []string
	for _, in := range said.Interfaces {
		if len(out.Interfaces) == maxGuestInterfaces {
			break
		}
		addresses, loopback := guestAddresses(in.Addresses, min(left, maxInterfaceAddresses))
		name := Printable(in.Name, MaxGuestWord)
		if name == "" || name == "lo" || loopback {
			continue
		}
		left -= len(addresses)
		i := v1alpha1.GuestInterface{Name: name, MAC: hardwareAddress(in.MAC)}
		for _, a := range addresses {
			i.Addresses = append(i.Addresses, a.String())
			if !a.IsLinkLocalUnicast() {
				summary = append(summary, a.String())
			}
		}
		out.Interfaces = append(out.Interfaces, i)
	}
	out.Addresses = oneLine(summary)
	return out
}

// guestAddresses are at most so many of the texts that are addresses by which
// others reach the guest, each once; loopback says that it has addresses and all
// are its own to itself.
func guestAddresses(texts []string, most int) (out []netip.Addr, loopback bool) {
	seen := map[netip.Addr]bool{}
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		a = a.WithZone("") // the guest's own name for an interface
		if a.IsLoopback() {
			loopback = true
		}
		if a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || seen[a] || len(out) >= most {
			continue
		}
		seen[a] = true
		out = append(out, a)
	}
	return out, loopback && len(out) == 0
}

// hardwareAddress is empty where the text is none, or is that of a loopback.
func hardwareAddress(text string) string {
	mac, err := net.ParseMAC(text)
	if err != nil {
		return ""
	}
	return mac.String()
}

// oneLine joins as many as fit, and says by dots that there are more.
func oneLine(addresses []string) string {
	const more = ",..."
	line := strings.Join(addresses, ",")
	if len(line) <= maxGuestText {
		return line
	}
	line = line[:maxGuestText-len(more)+1]
	return line[:strings.LastIndexByte(line, ',')] + more
}

// Printable keeps of a text what can be seen in a line, at most so many bytes.
// Control characters would let a guest write on the terminal of who reads it,
// and those that turn the direction of writing would hide what it says.
func Printable(text string, most int) string {
	var b strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > most {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
