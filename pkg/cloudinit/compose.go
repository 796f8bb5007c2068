package cloudinit

import (
	"cmp"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// ErrNoEntry is what a Lookup returns of a Secret that has no such entry.
var ErrNoEntry = errors.New("there is no such entry: add it, or name another")

// Lookup returns an entry of a Secret in the VM's namespace.
type Lookup func(entry v1alpha1.SecretEntry) ([]byte, error)

// Compose brings together what a VM's guest is told. dhcp is its network
// configuration where the user has none. Errors of lookup are returned as they
// are, with the field; a Secret's content that cannot be used is a *ContentError.
func Compose(vm *v1alpha1.VirtualMachine, dhcp []byte, lookup Lookup) (Content, error) {
	c := vm.Spec.CloudInit
	out := Content{InstanceID: c.InstanceID, Hostname: cmp.Or(c.Hostname, vm.Name), UserData: []byte(c.UserData), NetworkData: []byte(c.NetworkData)}
	var err error
	if c.UserDataFrom != nil {
		if out.UserData, err = read(Path.Child("userDataFrom"), c.UserDataFrom.SecretRef, lookup, checkUserData); err != nil {
			return Content{}, err
		}
	}
	if c.NetworkDataFrom != nil {
		if out.NetworkData, err = read(Path.Child("networkDataFrom"), c.NetworkDataFrom.SecretRef, lookup, checkNetworkData); err != nil {
			return Content{}, err
		}
	}
	if len(out.NetworkData) == 0 {
		out.NetworkData = dhcp
	}
	for i := range c.SSHAuthorizedKeys {
		keys, err := parseKeys([]byte(c.SSHAuthorizedKeys[i]))
		if err != nil {
			return Content{}, &ContentError{Path: Path.Child("sshAuthorizedKeys").Index(i), Why: err}
		}
		out.SSHKeys = append(out.SSHKeys, keys...)
	}
	for i, source := range c.SSHAuthorizedKeysFrom {
		at := Path.Child("sshAuthorizedKeysFrom").Index(i)
		data, err := read(at, source.SecretRef, lookup, func(data []byte) error { _, err := parseKeys(data); return err })
		if err != nil {
			return Content{}, err
		}
		keys, _ := parseKeys(data) // as was checked
		out.SSHKeys = append(out.SSHKeys, keys...)
	}
	out.SSHKeys = unique(out.SSHKeys)
	return out, nil
}

// ContentError says that what a Secret holds cannot be used. It holds none of it.
type ContentError struct {
	// Path is the field that names the Secret's entry.
	Path  *field.Path
	Entry v1alpha1.SecretEntry
	Why   error
}

func (e *ContentError) Error() string {
	if e.Entry.Name == "" {
		return fmt.Sprintf("%s: %v", e.Path, e.Why)
	}
	return fmt.Sprintf("%s: entry %s of Secret %s: %v", e.Path, e.Entry.Key, e.Entry.Name, e.Why)
}

// Unwrap returns why.
func (e *ContentError) Unwrap() error { return e.Why }

func read(at *field.Path, entry v1alpha1.SecretEntry, lookup Lookup, check func([]byte) error) ([]byte, error) {
	data, err := lookup(entry)
	if errors.Is(err, ErrNoEntry) {
		return nil, &ContentError{at, entry, err}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if len(data) > v1alpha1.MaxSecretCloudInit {
		return nil, &ContentError{at, entry, fmt.Errorf("it has %d bytes, and at most %d (1 MiB) are taken", len(data), v1alpha1.MaxSecretCloudInit)}
	}
	if err := check(data); err != nil {
		return nil, &ContentError{at, entry, err}
	}
	return data, nil
}
