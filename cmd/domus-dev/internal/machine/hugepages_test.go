package machine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMountsOfHugepagesAreFound(t *testing.T) {
	const table = `/dev/vda1 / ext4 rw,relatime 0 0
hugetlbfs /dev/hugepages hugetlbfs rw,nosuid,nodev,relatime,pagesize=2M 0 0
tmpfs /hugetlbfs tmpfs rw,relatime 0 0
none /mnt/big\040pages hugetlbfs rw,relatime,pagesize=1024M 0 0
`
	if diff := cmp.Diff([]string{"/mnt/big pages", "/dev/hugepages"}, hugetlbfs(table)); diff != "" {
		t.Error(diff)
	}
}

func TestPoolsOfHugepagesAreNamedByTheSize(t *testing.T) {
	tests := map[string]struct {
		want int64
		is   bool
	}{
		"hugepages-2048kB":    {2048, true},
		"hugepages-1048576kB": {1048576, true},
		"hugepages":           {0, false},
		"hugepages-2MB":       {0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, is := pageKiB(name); is != tc.is || is && got != tc.want {
				t.Errorf("got %d, %t", got, is)
			}
		})
	}
}
