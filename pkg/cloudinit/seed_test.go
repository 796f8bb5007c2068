package cloudinit

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kdomanski/iso9660"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"
)

const (
	uid     = "0d0b6f4e-5b1c-4c1f-9d57-1f6ad1f0a001"
	keyLine = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDkC5tjIvEHl5E3cRkmKyHo5q1vGRfTjXCRxNAuTuk2w ops@example"
)

// mustSeed is the medium of a content.
func mustSeed(t interface{ Fatal(...any) }, c Content) []byte {
	seed, err := c.Seed(uid)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// files reads a medium with another's reader.
func files(t interface{ Fatal(...any) }, medium []byte) (string, map[string]string) {
	image, err := iso9660.OpenImage(bytes.NewReader(medium))
	if err != nil {
		t.Fatal(err)
	}
	label, err := image.Label()
	if err != nil {
		t.Fatal(err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range children {
		data, err := io.ReadAll(f.Reader())
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = string(data)
	}
	return strings.TrimRight(label, " "), out
}

func TestASeedHasTheFilesOfNoCloud(t *testing.T) {
	for name, test := range map[string]struct {
		content Content
		want    map[string]string
	}{
		"all of it": {
			Content{InstanceID: "i-1", Hostname: "web", UserData: []byte("#!/bin/sh\n"), NetworkData: []byte("version: 2\n"), SSHKeys: []string{keyLine, "b"}},
			map[string]string{
				"meta-data":      `{"instance-id":"i-1","local-hostname":"web","public-keys":["` + keyLine + `","b"]}` + "\n",
				"user-data":      "#!/bin/sh\n",
				"network-config": "version: 2\n",
			},
		},
		"a host name alone": {
			Content{InstanceID: "i-1", Hostname: "web"},
			map[string]string{"meta-data": `{"instance-id":"i-1","local-hostname":"web"}` + "\n", "user-data": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			label, got := files(t, mustSeed(t, test.content))
			if label != "cidata" {
				t.Errorf("label %q", label)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			var meta map[string]any
			if err := yaml.Unmarshal([]byte(got["meta-data"]), &meta); err != nil {
				t.Errorf("meta-data is no YAML: %v", err)
			}
		})
	}
}

// TestASeedIsWhatItIsMadeOf: whatever is put in comes out, and equal content is
// equal bytes.
func TestASeedIsWhatItIsMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := Content{
			InstanceID:  rapid.StringMatching(`[a-z0-9-]{1,20}`).Draw(t, "instance"),
			Hostname:    "web",
			UserData:    rapid.SliceOfN(rapid.Byte(), 0, 3*sector).Draw(t, "user data"),
			NetworkData: rapid.SliceOfN(rapid.Byte(), 0, 3*sector).Draw(t, "network data"),
		}
		medium := mustSeed(t, content)
		if !bytes.Equal(medium, mustSeed(t, content)) {
			t.Fatal("two seeds of one content differ")
		}
		if len(medium)%sector != 0 {
			t.Fatalf("%d bytes are no whole sectors", len(medium))
		}
		_, got := files(t, medium)
		if got["user-data"] != string(content.UserData) || got["network-config"] != string(content.NetworkData) {
			t.Fatal("the files are not what was put in")
		}
	})
}

func TestAnInstanceIsAnotherWhenAnythingIs(t *testing.T) {
	base := Content{Hostname: "web", UserData: []byte("a"), NetworkData: []byte("b"), SSHKeys: []string{"c", "d"}}
	seen := map[string]string{base.instanceID(uid): "the same"}
	for name, change := range map[string]func(*Content){
		"host name":                   func(c *Content) { c.Hostname = "web2" },
		"user data":                   func(c *Content) { c.UserData = []byte("A") },
		"network data":                func(c *Content) { c.NetworkData = nil },
		"a key":                       func(c *Content) { c.SSHKeys = []string{"c"} },
		"the order of keys":           func(c *Content) { c.SSHKeys = []string{"d", "c"} },
		"what moves between two keys": func(c *Content) { c.SSHKeys = []string{"cd", ""} },
		"what moves between parts":    func(c *Content) { c.UserData, c.NetworkData = []byte("ab"), nil },
	} {
		other := base
		change(&other)
		id := other.instanceID(uid)
		if twin, found := seen[id]; found {
			t.Errorf("%s: the instance is that of %s", name, twin)
		}
		seen[id] = name
		if !strings.HasPrefix(id, uid+"-") {
			t.Errorf("%s: %s", name, id)
		}
	}
	if got := base.instanceID(uid); got != base.instanceID(uid) || base.instanceID("other") == got {
		t.Error("an instance does not follow from its VM and content")
	}
	base.InstanceID = "mine"
	if got := base.instanceID(uid); got != "mine" {
		t.Errorf("the user's own instance is %q", got)
	}
}

func TestDHCP(t *testing.T) {
	if got := DHCP(nil); got != nil {
		t.Errorf("no interface has %s", got)
	}
	got := DHCP([]string{"52:54:00:00:00:01", "52:54:00:00:00:02"})
	want := `{"version":2,"ethernets":{"nic0":{"match":{"macaddress":"52:54:00:00:00:01"},"dhcp4":true},"nic1":{"match":{"macaddress":"52:54:00:00:00:02"},"dhcp4":true}}}` + "\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if err := checkNetworkData(got); err != nil {
		t.Error(err)
	}
}
