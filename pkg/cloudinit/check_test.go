package cloudinit

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// secret is in what must not be shown.
const secret = "hush-hush"

func TestValidate(t *testing.T) {
	from := &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: "s", Key: "k"}}
	for name, test := range map[string]struct {
		c *v1alpha1.CloudInit
		// want begins the errors.
		want []string
	}{
		"none":                       {nil, nil},
		"an empty one":               {&v1alpha1.CloudInit{}, nil},
		"cloud-config":               {&v1alpha1.CloudInit{UserData: "#cloud-config\npassword: " + secret + "\n"}, nil},
		"cloud-config of nothing":    {&v1alpha1.CloudInit{UserData: "#cloud-config\n"}, nil},
		"a script":                   {&v1alpha1.CloudInit{UserData: "#!/bin/sh\n: unclosed [\n"}, nil},
		"a template of cloud-config": {&v1alpha1.CloudInit{UserData: "## template: jinja\n#cloud-config\n{% if x %}\n"}, nil},
		"several parts":              {&v1alpha1.CloudInit{UserData: "Content-Type: multipart/mixed; boundary=x\n"}, nil},
		"an archive":                 {&v1alpha1.CloudInit{UserData: "#cloud-config-archive\n- type: text/plain\n"}, nil},
		"networks":                   {&v1alpha1.CloudInit{NetworkData: "network: {version: 1, config: []}"}, nil},
		"Secrets":                    {&v1alpha1.CloudInit{UserDataFrom: from, NetworkDataFrom: from, SSHAuthorizedKeysFrom: []v1alpha1.CloudInitSource{*from}}, nil},
		"keys":                       {&v1alpha1.CloudInit{SSHAuthorizedKeys: []string{keyLine, "restrict " + keyLine}}, nil},

		"no header": {&v1alpha1.CloudInit{UserData: "password: " + secret}, []string{
			`spec.cloudInit.userData: Invalid value: "19 bytes": must begin with a header that cloud-init knows, in its first line: #cloud-config for YAML, #! for a script`}},
		"a byte order mark": {&v1alpha1.CloudInit{UserData: "\xef\xbb\xbf#cloud-config\n"}, []string{
			`spec.cloudInit.userData: Invalid value: "17 bytes": begins with a byte order mark`}},
		"a header behind an empty line": {&v1alpha1.CloudInit{UserData: "\n#cloud-config\n"}, []string{`spec.cloudInit.userData: Invalid value: "15 bytes": must begin with a header`}},
		"YAML that is none": {&v1alpha1.CloudInit{UserData: "#cloud-config\na: 1\n\tpassword: " + secret}, []string{
			`spec.cloudInit.userData: Invalid value: "39 bytes": begins with #cloud-config and is no such thing: it is not valid YAML near line 3: correct its indentation, quotes and tabs`}},
		"a list": {&v1alpha1.CloudInit{UserData: "#cloud-config\n- " + secret}, []string{
			`spec.cloudInit.userData: Invalid value: "25 bytes": begins with #cloud-config and is no such thing: it must be YAML with keys and values`}},
		"both": {&v1alpha1.CloudInit{UserData: "#!" + secret, UserDataFrom: from, NetworkData: "{version: 2}", NetworkDataFrom: from}, []string{
			"spec.cloudInit.userData: Forbidden: there is userDataFrom already: say one of the two",
			"spec.cloudInit.networkData: Forbidden: there is networkDataFrom already: say one of the two"}},
		"too long": {&v1alpha1.CloudInit{UserData: "#!" + strings.Repeat("ä", 8192)}, []string{
			"spec.cloudInit.userData: Too long: may not be more than 16384 bytes: put it into a Secret, and name that in userDataFrom"}},
		"no network configuration":        {&v1alpha1.CloudInit{NetworkData: "ethernets: {}"}, []string{`spec.cloudInit.networkData: Invalid value: "13 bytes": must say version: 1 or version: 2`}},
		"network configuration of a list": {&v1alpha1.CloudInit{NetworkData: "[" + secret + "]"}, []string{`spec.cloudInit.networkData: Invalid value: "11 bytes": is no network configuration: it must be YAML`}},
		"keys that are none": {&v1alpha1.CloudInit{SSHAuthorizedKeys: []string{keyLine, secret, keyLine + "\n" + keyLine, ""}}, []string{
			"spec.cloudInit.sshAuthorizedKeys[1]: Invalid value", "spec.cloudInit.sshAuthorizedKeys[2]: Invalid value", "spec.cloudInit.sshAuthorizedKeys[3]: Invalid value"}},
	} {
		t.Run(name, func(t *testing.T) {
			errs := Validate(test.c, Path)
			if len(errs) != len(test.want) {
				t.Fatalf("got %v, want %v", errs, test.want)
			}
			for i, err := range errs {
				if !strings.HasPrefix(err.Error(), test.want[i]) {
					t.Errorf("got %s\nwant %s", err, test.want[i])
				}
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it says what it was told: %s", err)
				}
			}
		})
	}
}

func vmWith(c v1alpha1.CloudInit) *v1alpha1.VirtualMachine {
	return &v1alpha1.VirtualMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web"}, Spec: v1alpha1.VirtualMachineSpec{CloudInit: &c}}
}

func entry(key string) *v1alpha1.CloudInitSource {
	return &v1alpha1.CloudInitSource{SecretRef: v1alpha1.SecretEntry{Name: "s", Key: key}}
}

func TestCompose(t *testing.T) {
	other := strings.Replace(keyLine, "ops@", "dev@", 1)
	secrets := map[string]string{
		"user": "#cloud-config\npassword: " + secret, "network": "{version: 1}",
		"keys": "# of the team\n" + other + "\n\n" + keyLine + "\n",
	}
	lookup := func(e v1alpha1.SecretEntry) ([]byte, error) {
		data, found := secrets[e.Key]
		if !found {
			return nil, ErrNoEntry
		}
		return []byte(data), nil
	}
	for name, test := range map[string]struct {
		c    v1alpha1.CloudInit
		want Content
	}{
		"defaults": {v1alpha1.CloudInit{}, Content{Hostname: "web", UserData: []byte{}, NetworkData: []byte("dhcp")}},
		"what the VM says": {
			v1alpha1.CloudInit{InstanceID: "i", Hostname: "h", UserData: "#!", NetworkData: "{version: 2}", SSHAuthorizedKeys: []string{keyLine}},
			Content{InstanceID: "i", Hostname: "h", UserData: []byte("#!"), NetworkData: []byte("{version: 2}"), SSHKeys: []string{keyLine}},
		},
		"what Secrets say, keys each once": {
			v1alpha1.CloudInit{UserDataFrom: entry("user"), NetworkDataFrom: entry("network"), SSHAuthorizedKeys: []string{keyLine}, SSHAuthorizedKeysFrom: []v1alpha1.CloudInitSource{*entry("keys"), *entry("keys")}},
			Content{Hostname: "web", UserData: []byte(secrets["user"]), NetworkData: []byte("{version: 1}"), SSHKeys: []string{keyLine, other}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Compose(vmWith(test.c), []byte("dhcp"), lookup)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBeComposedIsSaidWithoutItsContent(t *testing.T) {
	away := errors.New("the API server is away")
	for name, test := range map[string]struct {
		c    v1alpha1.CloudInit
		data string
		err  error
		want string
	}{
		"user data without a header": {v1alpha1.CloudInit{UserDataFrom: entry("k")}, secret, nil, "spec.cloudInit.userDataFrom: entry k of Secret s: must begin with a header"},
		"user data that is too long": {v1alpha1.CloudInit{UserDataFrom: entry("k")}, "#!" + strings.Repeat(secret, 200_000), nil,
			"spec.cloudInit.userDataFrom: entry k of Secret s: it has 1800002 bytes, and at most 1048576 (1 MiB) are taken"},
		"networks": {v1alpha1.CloudInit{NetworkDataFrom: entry("k")}, secret + ": [", nil, "spec.cloudInit.networkDataFrom: entry k of Secret s: is no network configuration: it is not valid YAML"},
		"keys": {v1alpha1.CloudInit{SSHAuthorizedKeysFrom: []v1alpha1.CloudInitSource{*entry("k")}}, keyLine + "\n" + secret, nil,
			"spec.cloudInit.sshAuthorizedKeysFrom[0]: entry k of Secret s: line 2 is no public key"},
		"too many keys": {v1alpha1.CloudInit{SSHAuthorizedKeysFrom: []v1alpha1.CloudInitSource{*entry("k")}}, strings.Repeat(keyLine+"\n", 257), nil,
			"spec.cloudInit.sshAuthorizedKeysFrom[0]: entry k of Secret s: there are 257 public keys, and at most 256 are taken"},
		"no such entry":               {v1alpha1.CloudInit{UserDataFrom: entry("k")}, "", ErrNoEntry, "spec.cloudInit.userDataFrom: entry k of Secret s: there is no such entry: add it, or name another"},
		"a Secret that cannot be had": {v1alpha1.CloudInit{UserDataFrom: entry("k")}, "", away, "spec.cloudInit.userDataFrom: the API server is away"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compose(vmWith(test.c), nil, func(v1alpha1.SecretEntry) ([]byte, error) { return []byte(test.data), test.err })
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			var content *ContentError
			if errors.As(err, &content) == errors.Is(err, away) {
				t.Errorf("%T", err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, content), secret) {
				t.Errorf("it says what it was told: %v", err)
			}
		})
	}
}
