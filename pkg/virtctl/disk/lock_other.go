//go:build !unix

package disk

import "os"

// lock does nothing where files cannot be locked by flock(2).
func lock(*os.File) error { return nil }
