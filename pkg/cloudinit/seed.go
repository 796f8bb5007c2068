// Package cloudinit makes what a guest's cloud-init is told, spec.cloudInit of a
// VirtualMachine, into the medium on which cloud-init's datasource NoCloud looks
// for it. It is pure but for the medium, which is written where it is told to, and
// nowhere else. No error of it holds any of the content.
package cloudinit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
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

// Seed is what the medium has: its files by name.
type Seed map[string][]byte

// Seed is what the guest of the VM of the UID finds.
func (c Content) Seed(uid string) (Seed, error) {
	meta, err := json.Marshal(struct {
		InstanceID string   `json:"instance-id"`
		Hostname   string   `json:"local-hostname"`
		PublicKeys []string `json:"public-keys,omitempty"`
	}{c.instanceID(uid), c.Hostname, c.SSHKeys})
	if err != nil {
		return nil, fmt.Errorf("writing meta-data: %w", err)
	}
	seed := Seed{
		"meta-data": append(meta, '\n'), // JSON is YAML
		"user-data": c.UserData,         // must be there, and may be empty
	}
	if len(c.NetworkData) > 0 {
		seed["network-config"] = c.NetworkData
	}
	return seed, nil
}

// Digest is another as soon as anything of the seed is. A secret that can be
// guessed can be found by it: it is for nobody who may not read the seed.
func (s Seed) Digest() string {
	var parts [][]byte
	for _, name := range slices.Sorted(maps.Keys(s)) {
		parts = append(parts, []byte(name), s[name])
	}
	return hex.EncodeToString(digest(parts))
}

// instanceID is the one that was asked for, or one that is another as soon as
// anything is.
func (c Content) instanceID(uid string) string {
	if c.InstanceID != "" {
		return c.InstanceID
	}
	parts := [][]byte{[]byte(c.Hostname), c.UserData, c.NetworkData}
	for _, key := range c.SSHKeys {
		parts = append(parts, []byte(key))
	}
	// The digest says whether something is another, and is read by whoever reads
	// the guest's logs: it is too short to find what is secret by.
	return uid + "-" + hex.EncodeToString(digest(parts)[:4])
}

// digest is SHA-256 of the parts and their lengths, which keep them apart.
func digest(parts [][]byte) []byte {
	h := sha256.New()
	for _, part := range parts {
		// A hash does not fail.
		_, _ = fmt.Fprintf(h, "%d:", len(part))
		_, _ = h.Write(part)
	}
	return h.Sum(nil)
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
