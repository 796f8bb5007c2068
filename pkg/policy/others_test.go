package policy_test

import (
	"testing"

	"domus.dev/domus/pkg/api/v1alpha1"
)

func TestWhatNoKeyNamesIsForThePrivileged(t *testing.T) {
	const notAllowed = "not allowed at policy level restricted"
	for name, test := range map[string]struct{ domain, path, privileged, andThen string }{
		"the domain":                     {domain: `{other: [{attributes: {a: b}}]}`, path: "spec.domain.other"},
		"an object that is allowed":      {domain: `{devices: {disks: [{device: disk, driver: {type: raw}, source: {volume: {pool: default, volume: demo.a}}, target: {dev: vda, bus: virtio}, other: [{attributes: {a: b}}]}]}}`, path: "spec.domain.devices.disks[0].other"},
		"an object allowed with all":     {domain: `{cpu: {mode: host-passthrough, other: [{attributes: {a: b}}]}}`, path: "spec.domain.cpu.other"},
		"what a key says":                {domain: `{other: [{elements: ["<title>a</title>"]}]}`, path: "spec.domain.other", privileged: "spec.domain.other: Invalid value: must hold only what no other key says"},
		"what is changed by a field":     {domain: `{title: a, other: [{at: title, text: b}]}`, path: "spec.domain.other", privileged: "spec.domain.title: Invalid value: has no place in libvirt's XML here", andThen: "spec.domain.other: Invalid value: must hold only"},
		"an element that is not there":   {domain: `{other: [{at: os, attributes: {a: b}}]}`, path: "spec.domain.other", privileged: `spec.domain.other[0].at: Invalid value: there is no element "os" here`},
		"what is not written as libvirt": {domain: `{other: [{elements: ["no"]}]}`, path: "spec.domain.other", privileged: `spec.domain.other[0].elements: Invalid value: line 1:1: is not XML`},
	} {
		t.Run(name, func(t *testing.T) {
			vm := machine(t, test.domain)
			compare(t, vm, v1alpha1.PolicyRestricted, test.path+": Forbidden: "+notAllowed)
			var want []string
			for _, err := range []string{test.privileged, test.andThen} {
				if err != "" {
					want = append(want, err)
				}
			}
			compare(t, vm, v1alpha1.PolicyPrivileged, want...)
		})
	}
	compare(t, machine(t, `{metadata: {xml: <a/>, other: [{attributes: {a: b}}]}}`), v1alpha1.PolicyPrivileged,
		"spec.domain.metadata: Forbidden: is not the user's to set", "spec.domain.metadata.other: Forbidden: is not the user's to set")
}
