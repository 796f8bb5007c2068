package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"domus.dev/domus/cmd/domus-dev/internal/layout"
)

// hugepagePools is where the kernel has a folder for each size of hugepages.
const hugepagePools = "/sys/kernel/mm/hugepages"

// mountHugepages gives the host a hugetlbfs of its own for each size of pages,
// where libvirt looks for them by itself: in the table of mounts. The pages are
// the machine's; its mounts are not seen, since its own libvirt may have guests
// of the same names there.
func mountHugepages(l layout.Layout) error {
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	for _, at := range hugetlbfs(string(table)) {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("hiding %s: %w", at, err)
		}
	}
	pools, err := os.ReadDir(hugepagePools)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without hugepages
	}
	if err != nil {
		return fmt.Errorf("listing sizes of hugepages: %w", err)
	}
	for _, pool := range pools {
		kib, ok := pageKiB(pool.Name())
		if !ok {
			continue
		}
		at := l.Host(pool.Name())
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", at, err)
		}
		if err := unix.Mount("hugetlbfs", at, "hugetlbfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("mode=0755,pagesize=%dK", kib)); err != nil {
			return fmt.Errorf("mounting hugepages at %s: %w", at, err)
		}
	}
	return nil
}

// pageKiB is the size of the pages of a pool, in KiB, by the name of its folder.
func pageKiB(pool string) (int64, bool) {
	size, ok := strings.CutPrefix(pool, "hugepages-")
	size, kB := strings.CutSuffix(size, "kB")
	kib, err := strconv.ParseInt(size, 10, 64)
	return kib, ok && kB && err == nil
}

// hugetlbfs lists where file systems of hugepages are mounted, the last one
// first, by a table as in proc_mounts(5).
func hugetlbfs(table string) []string {
	var at []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "hugetlbfs" {
			continue
		}
		// The table writes blanks as \040, just as Go does.
		if path, err := strconv.Unquote(`"` + fields[1] + `"`); err == nil {
			at = append([]string{path}, at...)
		}
	}
	return at
}
