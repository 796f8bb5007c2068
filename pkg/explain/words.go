package explain

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// hosts is a number of hosts in words.
func hosts(n int) string {
	if n == 1 {
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

// exactly says bytes exactly: rounded they would say that more fits than does.
func exactly(n int64) string { return resource.NewQuantity(n, resource.BinarySI).String() }

func vcpus(n int64) string {
	if n == 1 {
		return "1 vCPU"
	}
	return fmt.Sprintf("%d vCPUs", n)
}
