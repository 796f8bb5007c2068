package libvirt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"
)

func TestABindingIsReadFromTheDomain(t *testing.T) {
	const gi = int64(1) << 30
	for name, c := range map[string]struct {
		parts string
		unit  int64
		want  Binding
	}{
		"bound to nothing": {parts: `<vcpu>2</vcpu>`},
		"a set of CPUs for all threads": {
			parts: `<vcpu cpuset='0-1,8'>2</vcpu>`,
			want:  Binding{VCPUs: map[int]string{0: "0-1,8", 1: "0-1,8"}, Emulator: "0-1,8"},
		},
		"threads with sets of their own beside it": {
			parts: `<vcpu cpuset='0-7'>3</vcpu><cputune><vcpupin vcpu='1' cpuset='4'/><emulatorpin cpuset='0'/></cputune>`,
			want:  Binding{VCPUs: map[int]string{0: "0-7", 1: "4", 2: "0-7"}, Emulator: "0"},
		},
		"some vCPUs pinned": {
			parts: `<vcpu>3</vcpu><cputune><vcpupin vcpu='2' cpuset='4'/></cputune>`,
			want:  Binding{VCPUs: map[int]string{2: "4"}},
		},
		"I/O threads": {
			parts: `<vcpu>1</vcpu><iothreads>3</iothreads><cputune><emulatorpin cpuset='1'/><iothreadpin iothread='2' cpuset='4-5'/></cputune>`,
			want:  Binding{Emulator: "1", IOThreads: []string{"4-5", "", ""}},
		},
		"I/O threads in the set of all threads": {
			parts: `<vcpu cpuset='0-7'>1</vcpu><iothreads>2</iothreads><cputune><iothreadpin iothread='1' cpuset='4'/></cputune>`,
			want:  Binding{VCPUs: map[int]string{0: "0-7"}, Emulator: "0-7", IOThreads: []string{"4", "0-7"}},
		},
		"all memory in one cell": {
			parts: `<numatune><memory mode='strict' nodeset='1'/></numatune>`,
			want:  Binding{Cells: []BoundMemory{{Cell: 1, Memory: 4 * gi}}},
		},
		"memory in cells of which it may leave each": {
			parts: `<numatune><memory mode='preferred' nodeset='1'/></numatune>`,
		},
		"memory that libvirt has a daemon place": {
			parts: `<numatune><memory mode='strict' placement='auto'/></numatune>`,
		},
		"memory in several cells is shared out by whole pages": {
			parts: `<numatune><memory mode='strict' nodeset='0,2-3'/></numatune>`, unit: gi,
			want: Binding{Cells: []BoundMemory{{Cell: 0, Memory: 2 * gi}, {Cell: 2, Memory: gi}, {Cell: 3, Memory: gi}}},
		},
		"fewer pages than cells": {
			parts: `<numatune><memory mode='strict' nodeset='0,2-3'/></numatune>`, unit: 2 * gi,
			want: Binding{Cells: []BoundMemory{{Cell: 0, Memory: 2 * gi}, {Cell: 2, Memory: 2 * gi}}},
		},
		"guest cells with cells of their own": {
			parts: `<numatune><memory mode='strict' nodeset='0-1'/><memnode cellid='0' mode='strict' nodeset='1'/><memnode cellid='1' mode='strict' nodeset='0'/></numatune>
				<cpu><numa><cell id='0' cpus='0' memory='3' unit='GiB'/><cell id='1' cpus='1' memory='1048576'/></numa></cpu>`,
			want: Binding{Cells: []BoundMemory{{Cell: 0, Memory: gi}, {Cell: 1, Memory: 3 * gi}}},
		},
		"a guest cell without one follows the domain": {
			parts: `<numatune><memory mode='strict' nodeset='0'/><memnode cellid='1' mode='preferred' nodeset='1'/></numatune>
				<cpu><numa><cell id='0' cpus='0' memory='3' unit='GiB'/><cell id='1' cpus='1' memory='1' unit='GiB'/></numa></cpu>`,
			want: Binding{Cells: []BoundMemory{{Cell: 0, Memory: 3 * gi}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var d libvirtxml.Domain
			if err := d.Unmarshal("<domain>" + c.parts + "</domain>"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, bindingOf(&d, 4*gi, max(c.unit, 1<<10))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
