// Package cloudinit makes what a guest's cloud-init is told, spec.cloudInit of a
// VirtualMachine, into the medium on which cloud-init's datasource NoCloud looks
// for it. It is pure: equal content is equal bytes, and nothing of it is written
// anywhere. No error of it holds any of the content.
package cloudinit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Label is the volume by which cloud-init finds the medium.
const Label = "cidata"

// Content is what one guest is told. UserData and NetworkData are as the user
// wrote them; NetworkData is empty where cloud-init is to decide.
type Content struct {
	// InstanceID is empty where it shall follow from the rest.
	InstanceID            string
	Hostname              string
	UserData, NetworkData []byte
	// SSHKeys are lines of authorized_keys, each once.
	SSHKeys []string
}

// Seed is the medium, in bytes, for the VM of the UID.
func (c Content) Seed(uid string) ([]byte, error) {
	meta, err := json.Marshal(struct {
		InstanceID string   `json:"instance-id"`
		Hostname   string   `json:"local-hostname"`
		PublicKeys []string `json:"public-keys,omitempty"`
	}{c.instanceID(uid), c.Hostname, c.SSHKeys})
	if err != nil {
		return nil, fmt.Errorf("writing meta-data: %w", err)
	}
	files := []file{
		{"meta-data", append(meta, '\n')}, // JSON is YAML
		{"user-data", c.UserData},         // must be there, and may be empty
	}
	if len(c.NetworkData) > 0 {
		files = append(files, file{"network-config", c.NetworkData})
	}
	return image(Label, files), nil
}

// instanceID is the one that was asked for, or one that is another as soon as
// anything is.
func (c Content) instanceID(uid string) string {
	if c.InstanceID != "" {
		return c.InstanceID
	}
	digest := sha256.New()
	parts := [][]byte{[]byte(c.Hostname), c.UserData, c.NetworkData}
	for _, key := range c.SSHKeys {
		parts = append(parts, []byte(key))
	}
	for _, part := range parts {
		// Lengths keep parts apart. A hash does not fail.
		_, _ = fmt.Fprintf(digest, "%d:", len(part))
		_, _ = digest.Write(part)
	}
	// The digest says whether something is another, and is read by whoever reads
	// the guest's logs: it is too short to find what is secret by.
	return uid + "-" + hex.EncodeToString(digest.Sum(nil)[:4])
}

// file is one of the medium.
type file struct {
	name string
	data []byte
}

// DHCP is a network configuration, version 2, that asks for an IPv4 address on
// each interface, by their MAC addresses. It is empty for none.
func DHCP(macs []string) []byte {
	if len(macs) == 0 {
		return nil
	}
	type match struct {
		MAC string `json:"macaddress"`
	}
	type ethernet struct {
		Match match `json:"match"`
		DHCP4 bool  `json:"dhcp4"`
	}
	doc := struct {
		Version   int                 `json:"version"`
		Ethernets map[string]ethernet `json:"ethernets"`
	}{2, map[string]ethernet{}}
	for i, mac := range macs {
		doc.Ethernets[fmt.Sprintf("nic%d", i)] = ethernet{match{mac}, true}
	}
	out, _ := json.Marshal(doc) // of strings and numbers
	return append(out, '\n')
}

// unique keeps the first of equal lines.
func unique(lines []string) []string {
	var out []string
	for _, line := range lines {
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}
