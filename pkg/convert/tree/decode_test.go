package tree_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"libvirt.org/go/libvirtxml"

	"domus.dev/domus/pkg/convert/tree"
)

var at = field.NewPath("spec", "domain")

func ptr[T any](v T) *T { return &v }

func TestDecodeReadsTheDocumentedStyle(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want libvirtxml.Domain
	}{
		"nothing": {raw: `{}`},
		"text, attributes and elements are keys alike": {
			raw: `{"vcpu": {"placement": "static", "value": 4}, "onPoweroff": "destroy"}`,
			want: libvirtxml.Domain{
				VCPU:       &libvirtxml.DomainVCPU{Placement: "static", Value: 4},
				OnPoweroff: "destroy",
			},
		},
		"a choice is an object with one variant": {
			raw: `{"devices": {"disks": [{"source": {"file": {"file": "/x"}}}]}}`,
			want: libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{{
				Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: "/x"}},
			}}}},
		},
		"an empty element is true": {
			raw: `{"devices": {"disks": [{"readOnly": true}]}, "features": {"acpi": true, "apic": {}}}`,
			want: libvirtxml.Domain{
				Devices: &libvirtxml.DomainDeviceList{Disks: []libvirtxml.DomainDisk{{
					ReadOnly: &libvirtxml.DomainDiskReadOnly{},
				}}},
				Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
			},
		},
		"digits in quotes stay text": {
			raw: `{"devices": {"disks": [{"serial": "000123"}]}}`,
			want: libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{
				Disks: []libvirtxml.DomainDisk{{Serial: "000123"}},
			}},
		},
		"a zero that can be told from nothing survives": {
			raw: `{"devices": {"controllers": [{"index": 0}]}}`,
			want: libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{
				Controllers: []libvirtxml.DomainController{{Index: ptr(uint(0))}},
			}},
		},
		"embedded structs are in line": {
			raw: `{"features": {"hyperV": {"spinlocks": {"state": "on", "retries": 8191}}}}`,
			want: libvirtxml.Domain{Features: &libvirtxml.DomainFeatureList{HyperV: &libvirtxml.DomainFeatureHyperV{
				Spinlocks: &libvirtxml.DomainFeatureHyperVSpinlocks{
					DomainFeatureState: libvirtxml.DomainFeatureState{State: "on"}, Retries: 8191,
				},
			}}},
		},
		"an IOMMU stands where libvirtxml puts it, twice": {
			raw: `{"devices": {"iommus": [{"model": "intel"}]}}`,
			want: libvirtxml.Domain{Devices: &libvirtxml.DomainDeviceList{
				IOMMU:  &libvirtxml.DomainIOMMU{Model: "intel"},
				IOMMUs: []libvirtxml.DomainIOMMU{{Model: "intel"}},
			}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, errs := tree.Decode[libvirtxml.Domain]([]byte(test.raw), at)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefusesWhatDoesNotFit(t *testing.T) {
	tests := map[string]struct {
		raw string
		// want are the errors; a word of the detail stands for it.
		want []string
	}{
		"a misspelt key suggests the right one": {
			raw:  `{"devices": {"disk": []}}`,
			want: []string{`spec.domain.devices.disk: Invalid value: unknown key: did you mean "disks"?`},
		},
		"a key in libvirt's own spelling suggests ours": {
			raw:  `{"on_poweroff": "destroy", "memtune": {}}`,
			want: []string{`spec.domain.on_poweroff: Invalid value: unknown key: did you mean "onPoweroff"?`, `spec.domain.memtune: Invalid value: unknown key: did you mean "memoryTune"?`},
		},
		"a key that resembles none lists those there are": {
			raw:  `{"vcpu": {"frobnicate": 1}}`,
			want: []string{"spec.domain.vcpu.frobnicate: Invalid value: unknown key: known here are placement, cpuSet, current, value"},
		},
		"a key in the wrong case": {
			raw:  `{"VCPU": {"value": 1}}`,
			want: []string{`spec.domain.VCPU: Invalid value: unknown key: did you mean "vcpu"?`},
		},
		"the XML's own name is no key": {
			raw:  `{"devices": {"disks": [{"xmlName": {"local": "hostdev"}}]}}`,
			want: []string{"spec.domain.devices.disks[0].xmlName: Invalid value: unknown key"},
		},
		"a number for a string": {
			raw:  `{"devices": {"disks": [{}, {"serial": 123}]}}`,
			want: []string{`spec.domain.devices.disks[1].serial: Invalid value: 123: must be a string: quote it, such as "123"`},
		},
		"yes and on of YAML for a string": {
			raw:  `{"os": {"bootMenu": {"enable": true}}}`,
			want: []string{`spec.domain.os.bootMenu.enable: Invalid value: true: must be a string: quote it, such as "yes" or "on"`},
		},
		"a string for a number": {
			raw:  `{"vcpu": {"value": "4"}}`,
			want: []string{`spec.domain.vcpu.value: Invalid value: "4": must be a whole number: remove the quotes`},
		},
		"a fraction for a whole number": {
			raw:  `{"vcpu": {"value": 1.0}, "ioThreads": 1e3}`,
			want: []string{"spec.domain.vcpu.value: Invalid value: 1.0: must be a whole number", "spec.domain.ioThreads: Invalid value: 1e3: must be a whole number"},
		},
		"numbers that do not fit": {
			raw: `{"vcpu": {"value": -1}, "ioThreads": 18446744073709551616, "id": 9223372036854775808}`,
			want: []string{
				"spec.domain.vcpu.value: Invalid value: -1: must be between 0 and 18446744073709551615",
				"spec.domain.ioThreads: Invalid value: 18446744073709551616: must be between 0 and 18446744073709551615",
				"spec.domain.id: Invalid value: 9223372036854775808: must be between -9223372036854775808 and 9223372036854775807",
			},
		},
		"one thing where a list belongs": {
			raw:  `{"devices": {"disks": {"device": "disk"}}}`,
			want: []string{"spec.domain.devices.disks: Invalid value: must be a list, even of one"},
		},
		"a scalar where an object belongs": {
			raw:  `{"vcpu": 4}`,
			want: []string{"spec.domain.vcpu: Invalid value: 4: must be an object with some of the keys placement, cpuSet, current, value"},
		},
		"false for an empty element": {
			raw:  `{"features": {"acpi": false, "pae": {}}}`,
			want: []string{"spec.domain.features.acpi: Invalid value: false: must be true", "spec.domain.features.pae: Invalid value: must be true"},
		},
		"null": {
			raw:  `{"devices": null}`,
			want: []string{"spec.domain.devices: Invalid value: null: must not be null"},
		},
		"a key twice": {
			raw:  `{"title": "a", "title": "b"}`,
			want: []string{"spec.domain.title: Duplicate value"},
		},
		"two variants of one choice": {
			raw:  `{"devices": {"disks": [{"source": {"file": {}, "volume": {"pool": "p", "volume": "v"}}}]}}`,
			want: []string{"spec.domain.devices.disks[0].source: Invalid value: must have only one of file, volume"},
		},
		"two kinds of address": {
			raw:  `{"devices": {"disks": [{"address": {"pci": {}, "usb": {}}}]}}`,
			want: []string{"spec.domain.devices.disks[0].address: Invalid value: must have only one of pci, usb"},
		},
		"a character that XML cannot hold": {
			raw:  `{"title": "a\u0000b"}`,
			want: []string{"must not contain the character U+0000"},
		},
		"not an object":   {raw: `[]`, want: []string{"spec.domain: Invalid value: must be an object"}},
		"no JSON":         {raw: `{"a":`, want: []string{"spec.domain: Invalid value: is not a JSON document"}},
		"two documents":   {raw: `{}{}`, want: []string{"spec.domain: Invalid value: is not a JSON document"}},
		"nothing at all":  {raw: ``, want: []string{"spec.domain: Invalid value: is not a JSON document"}},
		"not UTF-8":       {raw: "{\"title\": \"\xff\"}", want: []string{"spec.domain: Invalid value: is not UTF-8"}},
		"nested too deep": {raw: strings.Repeat(`{"x":`, 100) + "1" + strings.Repeat("}", 100), want: []string{"nested more than 64 levels"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, errs := tree.Decode[libvirtxml.Domain]([]byte(test.raw), at)
			if len(errs) != len(test.want) {
				t.Fatalf("got %d errors, want %d: %v", len(errs), len(test.want), errs)
			}
			for i, want := range test.want {
				if !strings.Contains(errs[i].Error(), want) {
					t.Errorf("error %d is\n  %s\nwant it to contain\n  %s", i, errs[i], want)
				}
			}
		})
	}
}

func TestDecodeStopsAfterManyErrors(t *testing.T) {
	var raw strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&raw, `,"key%d":1`, i)
	}
	_, errs := tree.Decode[libvirtxml.Domain]([]byte("{"+raw.String()[1:]+"}"), at)
	if len(errs) != 50 {
		t.Errorf("got %d errors, want 50", len(errs))
	}
}
