package capacity

import (
	"encoding/json"
	"strings"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// domain is what of spec.domain matters for memory, by the names of
// docs/domain-yaml.md. To read all of libvirt's schema takes ten times as long,
// and the scheduler would do it each time it hears of a VM.
type domain struct {
	Type      string `json:"type"`
	IOThreads uint64 `json:"ioThreads"`
	OS        struct {
		Firmware string `json:"firmware"`
		Loader   struct {
			Type string `json:"type"`
		} `json:"loader"`
	} `json:"os"`
	Features struct {
		TCG struct {
			TBCache struct {
				Size int64  `json:"size"`
				Unit string `json:"unit"`
			} `json:"tbCache"`
		} `json:"tcg"`
	} `json:"features"`
	Devices struct {
		Disks       []disk         `json:"disks"`
		Interfaces  []netInterface `json:"interfaces"`
		Videos      []video        `json:"videos"`
		Hostdevs    []hostdev      `json:"hostdevs"`
		TPMs        []tpm          `json:"tpms"`
		Shmems      []shmem        `json:"shmems"`
		Graphics    []struct{}     `json:"graphics"`
		Filesystems []struct{}     `json:"filesystems"`
		Controllers []struct{}     `json:"controllers"`
		Serials     []struct{}     `json:"serials"`
		Parallels   []struct{}     `json:"parallels"`
		Consoles    []struct{}     `json:"consoles"`
		Channels    []struct{}     `json:"channels"`
		Inputs      []struct{}     `json:"inputs"`
		Sounds      []struct{}     `json:"sounds"`
		RNGs        []struct{}     `json:"rngs"`
		Watchdogs   []struct{}     `json:"watchdogs"`
		RedirDevs   []struct{}     `json:"redirDevs"`
		Smartcards  []struct{}     `json:"smartcards"`
		Crypto      []struct{}     `json:"crypto"`
	} `json:"devices"`
}

type (
	disk struct {
		Driver struct {
			Type          string `json:"type"`
			MetadataCache struct {
				MaxSize size `json:"maxSize"`
			} `json:"metadataCache"`
		} `json:"driver"`
		Source struct {
			NVME      variant `json:"nvme"`
			VHostVDPA variant `json:"vHostVDPA"`
		} `json:"source"`
	}
	netInterface struct {
		Source struct {
			Hostdev variant `json:"hostdev"`
			VDPA    variant `json:"vdpa"`
		} `json:"source"`
	}
	video struct {
		Model struct {
			Type   string `json:"type"`
			Heads  int64  `json:"heads"`
			RAM    int64  `json:"ram"`
			VRAM   int64  `json:"vRam"`
			VRAM64 int64  `json:"vRam64"`
		} `json:"model"`
	}
	hostdev struct {
		SubsysPCI  variant `json:"subsysPCI"`
		SubsysMDev variant `json:"subsysMDev"`
	}
	tpm struct {
		Backend struct {
			Emulator variant `json:"emulator"`
		} `json:"backend"`
	}
	shmem struct {
		Size size `json:"size"`
	}
	size struct {
		Value int64  `json:"value"`
		Unit  string `json:"unit"`
	}
	// variant is nil where another one is chosen.
	variant = json.RawMessage
)

// readDomain reads spec.domain; it is empty where it cannot be read.
func readDomain(spec *v1alpha1.VirtualMachineSpec) *domain {
	if spec.Domain == nil {
		return &domain{}
	}
	d := &domain{}
	if json.Unmarshal(spec.Domain.Raw, d) != nil {
		return &domain{}
	}
	return d
}

const (
	// mostBytes and mostThreads bound what a domain says, so that sums of it do
	// not overflow.
	mostBytes   = 1 << 40
	mostThreads = 1 << 20
)

// bytes is an amount in libvirt's unit in bytes, and other where it is not
// positive.
func bytes(amount int64, unit string, other int64) int64 {
	if amount <= 0 {
		return other
	}
	factor := factorOf(unit)
	if amount > mostBytes/factor {
		return mostBytes
	}
	return amount * factor
}

// factorOf is how many bytes one of libvirt's units is, in any case: 1 for b,
// bytes or none, 1024 for k and KiB, 1000 for KB, and so on up to E.
func factorOf(unit string) int64 {
	unit = strings.ToLower(unit)
	base := int64(1024)
	prefix, binary := strings.CutSuffix(unit, "ib")
	if !binary && len(unit) == 2 {
		prefix, base = strings.TrimSuffix(unit, "b"), 1000
	}
	factor := int64(1)
	for range max(strings.Index("bkmgtpe", prefix), 0) {
		factor *= base
	}
	return factor
}
