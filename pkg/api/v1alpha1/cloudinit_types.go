package v1alpha1

// CloudInit is what the guest's cloud-init is told, on a read-only CD-ROM of its
// own with the label cidata: the datasource NoCloud. It takes effect at the
// guest's next start.
type CloudInit struct {
	// bus is the CD-ROM's. Default: scsi (with a virtio-scsi controller) where a
	// disk in domain is on virtio or scsi, and otherwise what the machine has
	// itself: ide on pc, sata on q35, scsi on others.
	// +optional
	Bus CloudInitBus `json:"bus,omitempty"`

	// instanceID tells cloud-init whether it has seen this guest before: with
	// another one it does again what it does once for each instance, new SSH host
	// keys included. Default: the VM's UID and a digest of all the rest, so that
	// whatever is changed here is carried out at the next start.
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	// +kubebuilder:validation:MaxLength=128
	// +optional
	InstanceID string `json:"instanceID,omitempty"`

	// hostname is the guest's, with or without its domain. Default: the VM's name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Hostname string `json:"hostname,omitempty"`

	// userData is what cloud-init is to do: begins with #cloud-config, #! or
	// another header that cloud-init knows, and has at most 16 KiB. Whoever reads
	// the VM reads it: passwords and keys belong into a Secret (userDataFrom).
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	UserData string `json:"userData,omitempty"`

	// userDataFrom has the user data in a Secret, at most 1 MiB, instead of
	// userData.
	// +optional
	UserDataFrom *CloudInitSource `json:"userDataFrom,omitempty"`

	// networkData is the guest's network configuration, version 1 or 2 of
	// cloud-init's, at most 16 KiB. Default: DHCP on each interface in domain,
	// where all of them have their MAC address there; otherwise cloud-init's own,
	// DHCP on the first interface that it finds.
	// +kubebuilder:validation:MaxLength=16384
	// +optional
	NetworkData string `json:"networkData,omitempty"`

	// networkDataFrom has the network configuration in a Secret, instead of
	// networkData.
	// +optional
	NetworkDataFrom *CloudInitSource `json:"networkDataFrom,omitempty"`

	// sshAuthorizedKeys are public keys that cloud-init lets into its default
	// user, as lines of authorized_keys. The user data stays as it is.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=8192
	// +listType=atomic
	// +optional
	SSHAuthorizedKeys []string `json:"sshAuthorizedKeys,omitempty"`

	// sshAuthorizedKeysFrom are Secrets with more of them, in the format of
	// authorized_keys.
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	SSHAuthorizedKeysFrom []CloudInitSource `json:"sshAuthorizedKeysFrom,omitempty"`
}

// CloudInitBus is where the CD-ROM of the seed is attached.
// +kubebuilder:validation:Enum=ide;sata;scsi;usb
type CloudInitBus string

// Buses of the seed's CD-ROM.
const (
	CloudInitIDE  CloudInitBus = "ide"
	CloudInitSATA CloudInitBus = "sata"
	CloudInitSCSI CloudInitBus = "scsi"
	CloudInitUSB  CloudInitBus = "usb"
)

// CloudInitSource says where a part of the seed is.
type CloudInitSource struct {
	// secretRef is one entry of a Secret in the VM's namespace.
	SecretRef SecretEntry `json:"secretRef"`
}

// SecretEntry names one entry of a Secret.
type SecretEntry struct {
	// name is the Secret's.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key is the entry's.
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`
}

// ReasonSeedUnavailable is of status.host: what cloud-init is told cannot be made
// or written, as when a Secret is missing; tried again.
const ReasonSeedUnavailable = "SeedUnavailable"

// Bounds of what a seed is made of, in bytes.
const (
	// MaxInlineCloudInit is for spec.cloudInit.userData and networkData.
	MaxInlineCloudInit = 16 * 1024
	// MaxSecretCloudInit is for an entry of a Secret.
	MaxSecretCloudInit = 1 << 20
)

// Secrets lists the entries of Secrets that c names, in the order of its fields;
// none where c is nil.
func (c *CloudInit) Secrets() []SecretEntry {
	if c == nil {
		return nil
	}
	var out []SecretEntry
	for _, source := range []*CloudInitSource{c.UserDataFrom, c.NetworkDataFrom} {
		if source != nil {
			out = append(out, source.SecretRef)
		}
	}
	for _, source := range c.SSHAuthorizedKeysFrom {
		out = append(out, source.SecretRef)
	}
	return out
}

// References is what of c names Secrets, alone; nil where nothing does.
func (c *CloudInit) References() *CloudInit {
	if len(c.Secrets()) == 0 {
		return nil
	}
	return &CloudInit{UserDataFrom: c.UserDataFrom, NetworkDataFrom: c.NetworkDataFrom, SSHAuthorizedKeysFrom: c.SSHAuthorizedKeysFrom}
}
