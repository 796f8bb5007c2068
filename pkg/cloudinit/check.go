package cloudinit

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// Path is where a VirtualMachine holds it.
var Path = field.NewPath("spec", "cloudInit")

// Validate says what is wrong with what a VM says of cloud-init, at at; nil when
// nothing is. What is in Secrets the host checks, when it has them. Values are
// left out of all errors: they may be secret.
func Validate(c *v1alpha1.CloudInit, at *field.Path) field.ErrorList {
	if c == nil {
		return nil
	}
	var errs field.ErrorList
	for _, part := range []struct {
		name   string
		inline string
		from   *v1alpha1.CloudInitSource
		check  func([]byte) error
	}{
		{"userData", c.UserData, c.UserDataFrom, checkUserData},
		{"networkData", c.NetworkData, c.NetworkDataFrom, checkNetworkData},
	} {
		here := at.Child(part.name)
		switch {
		case part.inline == "":
		case part.from != nil:
			errs = append(errs, field.Forbidden(here, fmt.Sprintf("there is %sFrom already: say one of the two", part.name)))
		case len(part.inline) > v1alpha1.MaxInlineCloudInit:
			errs = append(errs, field.TooLong(here, "", v1alpha1.MaxInlineCloudInit))
			errs[len(errs)-1].Detail += fmt.Sprintf(": put it into a Secret, and name that in %sFrom", part.name)
		default:
			if err := part.check([]byte(part.inline)); err != nil {
				errs = append(errs, field.Invalid(here, size(len(part.inline)), err.Error()))
			}
		}
	}
	for i, line := range c.SSHAuthorizedKeys {
		here := at.Child("sshAuthorizedKeys").Index(i)
		if keys, err := parseKeys([]byte(line)); err != nil || len(keys) != 1 {
			errs = append(errs, field.Invalid(here, size(len(line)), "must be one public key, a line of authorized_keys such as ~/.ssh/id_ed25519.pub has it"))
		}
	}
	return errs
}

func size(n int) string { return fmt.Sprintf("%d bytes", n) }

// cloudConfig is the header of what is YAML.
const cloudConfig = "#cloud-config"

// headers are what user data begins with: cloud-init passes over any other.
// Source: cloud-init's handlers (INCLUSION_TYPES_MAP), and cloudbase-init's for
// Windows.
var headers = []string{
	cloudConfig, "#!", "#include", "#cloud-boothook", "#part-handler", "#cloud-config-archive", "#cloud-config-jsonp",
	"## template: jinja", "Content-Type:", "MIME-Version:", "#ps1", "rem cmd",
}

// gzipped is how compressed user data begins: RFC 1952.
var gzipped = []byte{0x1f, 0x8b}

// byteOrderMark is what some editors begin UTF-8 with.
var byteOrderMark = []byte("\xef\xbb\xbf")

// checkUserData refuses what cloud-init would pass over, or stop at.
func checkUserData(data []byte) error {
	if len(data) == 0 || bytes.HasPrefix(data, gzipped) {
		return nil
	}
	if bytes.HasPrefix(data, byteOrderMark) {
		return errors.New("begins with a byte order mark, behind which cloud-init does not see what it is: save it as UTF-8 without one")
	}
	known := false
	for _, header := range headers {
		known = known || bytes.HasPrefix(data, []byte(header))
	}
	if !known {
		return errors.New("must begin with a header that cloud-init knows, in its first line: #cloud-config for YAML, #! for a script, Content-Type: or MIME-Version: for several parts, #include, #cloud-boothook, #cloud-config-archive, #part-handler or ## template: jinja")
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if strings.TrimSpace(string(first)) != cloudConfig {
		return nil
	}
	if _, err := mapping(data); err != nil {
		return fmt.Errorf("begins with #cloud-config and is no such thing: %w", err)
	}
	return nil
}

// checkNetworkData refuses what is no network configuration.
func checkNetworkData(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	keys, err := mapping(data)
	if err != nil {
		return fmt.Errorf("is no network configuration: %w", err)
	}
	if inner, wrapped := keys["network"].(map[string]any); wrapped {
		keys = inner
	}
	switch keys["version"] {
	case float64(1), float64(2):
		return nil
	}
	return errors.New("must say version: 1 or version: 2, and then what cloud-init's network configuration of that version has")
}

// yamlLine finds where a parser stumbled.
var yamlLine = regexp.MustCompile(`line (\d+)`)

// mapping reads YAML with keys and values. Its errors quote nothing.
func mapping(data []byte) (map[string]any, error) {
	var doc any
	if err := yaml.Unmarshal(data, &doc); err != nil {
		if at := yamlLine.FindStringSubmatch(err.Error()); at != nil {
			return nil, fmt.Errorf("it is not valid YAML near line %s: correct its indentation, quotes and tabs", at[1])
		}
		return nil, errors.New("it is not valid YAML: correct its indentation, quotes and tabs")
	}
	switch keys := doc.(type) {
	case map[string]any:
		return keys, nil
	case nil:
		return nil, nil
	}
	return nil, errors.New("it must be YAML with keys and values, such as `hostname: web`")
}

// maxKeys bounds the keys of one seed, whatever their Secrets hold.
const maxKeys = 256

// parseKeys reads lines of authorized_keys, comments and empty ones left out.
func parseKeys(data []byte) ([]string, error) {
	var out []string
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line)); err != nil {
			return nil, fmt.Errorf("line %d is no public key: write lines as ~/.ssh/id_ed25519.pub has them", i+1)
		}
		out = append(out, line)
	}
	if len(out) > maxKeys {
		return nil, fmt.Errorf("there are %d public keys, and at most %d are taken", len(out), maxKeys)
	}
	return out, nil
}
