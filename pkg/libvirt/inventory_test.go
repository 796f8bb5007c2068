package libvirt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domus.dev/domus/pkg/libvirt"
)

// The test driver begins with what its file says, on each connection.
const inventoryNode = `<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>web</name>
    <uuid>` + guestUUID + `</uuid>
    <memory>1048576</memory>
    <os><type>hvm</type></os>
    <test:domainsnapshot><name>before</name><creationTime>1</creationTime><state>running</state><domain><name>web</name><uuid>` + guestUUID + `</uuid><memory>1048576</memory><os><type>hvm</type></os></domain><active>1</active></test:domainsnapshot>
  </domain>
  <domain type='test'><name>db</name><memory>1048576</memory><os><type>hvm</type></os></domain>
  <network><name>lan</name><bridge name='virbr0'/><ip address='192.0.2.1' netmask='255.255.255.0'/></network>
  <pool type='dir'>
    <name>images</name><target><path>/images</path></target>
    <volume><name>web.img</name><capacity>1048576</capacity></volume>
  </pool>
</node>`

func inventoryURI(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "node.xml")
	if err := os.WriteFile(file, []byte(inventoryNode), 0o600); err != nil {
		t.Fatal(err)
	}
	return "test://" + file
}

func TestInventoryListsWhatIsDefined(t *testing.T) {
	uri := inventoryURI(t)
	every := []libvirt.Kind{libvirt.KindSnapshot, libvirt.KindVolume, libvirt.KindPool, libvirt.KindNetwork, libvirt.KindDomain}
	for name, test := range map[string]struct {
		inquiry libvirt.Inquiry
		want    string
	}{
		"everything, in a fixed order": {
			libvirt.Inquiry{Kinds: every},
			"domain/db domain/web network/lan pool/images volume/images/web.img domainsnapshot/web/before",
		},
		"one domain by name":       {libvirt.Inquiry{Kinds: every[4:], Domains: []string{"web"}}, "domain/web"},
		"one by UUID, in any case": {libvirt.Inquiry{Kinds: every[4:], Domains: []string{strings.ToUpper(guestUUID)}}, "domain/web"},
		"snapshots of one domain":  {libvirt.Inquiry{Kinds: every[:1], Domains: []string{"web"}}, "domainsnapshot/web/before"},
		"volumes alone":            {libvirt.Inquiry{Kinds: every[1:2]}, "volume/images/web.img"},
	} {
		documents, err := libvirt.Inventory(t.Context(), uri, test.inquiry)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, d := range documents {
			path := []string{string(d.Kind), d.Parent, d.Name}
			if d.Parent == "" {
				path = []string{string(d.Kind), d.Name}
			}
			got = append(got, strings.Join(path, "/"))
			if d.Err != nil || !strings.HasPrefix(d.XML, "<"+string(d.Kind)) {
				t.Errorf("%s: %s has XML %q, error %v", name, d.Name, d.XML, d.Err)
			}
		}
		if all := strings.Join(got, " "); all != test.want {
			t.Errorf("%s: %s, want %s", name, all, test.want)
		}
	}
}

// What a running domain is started with next is what counts: no ids, no paths
// that were made up for this life of its guest.
func TestInventoryTellsTheNextStart(t *testing.T) {
	documents, err := libvirt.Inventory(t.Context(), inventoryURI(t), libvirt.Inquiry{Kinds: []libvirt.Kind{libvirt.KindDomain}, Domains: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	if web := documents[0]; !web.Active || web.Transient || web.UUID != guestUUID || strings.Contains(web.XML, " id=") {
		t.Errorf("%+v", web)
	}
}

func TestInventorySaysWhatIsWrong(t *testing.T) {
	uri := inventoryURI(t)
	for name, test := range map[string]struct {
		uri     string
		inquiry libvirt.Inquiry
		want    error
	}{
		"no such domain": {uri, libvirt.Inquiry{Kinds: []libvirt.Kind{libvirt.KindDomain}, Domains: []string{"web", "mail"}}, libvirt.ErrNotFound},
		"no such driver": {"nothing:///system", libvirt.Inquiry{}, libvirt.ErrUnavailable},
		"no such socket": {"qemu+unix:///system?socket=/nonexistent/socket", libvirt.Inquiry{}, libvirt.ErrUnavailable},
		"no such file":   {"test:///nonexistent/node.xml", libvirt.Inquiry{}, libvirt.ErrUnavailable},
	} {
		if _, err := libvirt.Inventory(t.Context(), test.uri, test.inquiry); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := libvirt.Inventory(ctx, "qemu+ssh://192.0.2.1/system", libvirt.Inquiry{}); !errors.Is(err, libvirt.ErrTimeout) {
		t.Errorf("no answer: %v", err)
	}
}
