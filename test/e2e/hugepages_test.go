package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// guestPages is how many hugepages of 2 MiB the tests' guests need at once, and
// some more.
const guestPages = 192

// pagePool is where the kernel is told how many hugepages of 2 MiB to have.
const pagePool = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"

// setPagesAside has the machine set aside so many hugepages more, and returns
// what undoes it. A kernel whose memory is in pieces gives fewer than it is
// asked for, and more when asked again.
func setPagesAside(more int) (undo func() error, err error) {
	before, err := pages()
	if err != nil {
		return nil, fmt.Errorf("reading the number of hugepages: %w; the kernel must have hugepages of 2 MiB (CONFIG_HUGETLBFS)", err)
	}
	undo = func() error { return setPages(before) }
	got := before
	for range 10 {
		if err := setPages(before + more); err != nil {
			return nil, err
		}
		if got, err = pages(); err != nil {
			return nil, err
		}
		if got >= before+more {
			return undo, nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err := undo(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the kernel set aside %d of %d hugepages of 2 MiB: free memory, "+
		"or have it set them aside at boot, with hugepages=%d on its command line", got-before, more, before+more)
}

func pages() (int, error) {
	content, err := os.ReadFile(pagePool)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

func setPages(n int) error {
	if err := os.WriteFile(pagePool, []byte(strconv.Itoa(n)), 0o600); err != nil {
		return fmt.Errorf("setting the number of hugepages: %w", err)
	}
	return nil
}
