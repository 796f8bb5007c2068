package commands

import (
	"fmt"
	"os"
	"testing"
)

// env is the cluster in which all pages are walked through, one after another.
var env *cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	var err error
	if env, err = newCluster(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		return 1
	}
	defer func() {
		if code != 0 {
			env.ShowLogs()
		}
		if err := env.end(); err != nil {
			fmt.Fprintln(os.Stderr, "docs:", err)
			code = 1
		}
	}()
	if err := env.begin(); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		return 1
	}
	return m.Run()
}
