package executor

import "golang.org/x/sys/unix"

// kernelVersion is the running kernel's release, such as 6.1.0-18-amd64. A
// simulated host has none.
func kernelVersion(simulated bool) string {
	var u unix.Utsname
	if simulated || unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
