package hostconfig

import (
	"net"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// TransferConfiguration is where a host exchanges the bytes of volumes.
type TransferConfiguration struct {
	// bindAddress is host and port to listen at; port 0 is any free one, since others
	// are told.
	BindAddress string `json:"bindAddress"`
	// advertiseAddress is what others reach that by, with a port of its own or
	// without; needed when bindAddress is all addresses of the machine.
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
}

func (t *TransferConfiguration) validate(path *field.Path) field.ErrorList {
	host, _, err := net.SplitHostPort(t.BindAddress)
	if err != nil {
		return field.ErrorList{field.Invalid(path.Child("bindAddress"), t.BindAddress, "must be a host and a port, such as 10.0.0.7:8445, or 0.0.0.0:8445 with advertiseAddress")}
	}
	if ip := net.ParseIP(host); (ip == nil || ip.IsUnspecified()) && t.AdvertiseAddress == "" {
		return field.ErrorList{field.Required(path.Child("advertiseAddress"), "others cannot be told to call "+t.BindAddress+": name the address or the host that they reach it by")}
	}
	return nil
}
