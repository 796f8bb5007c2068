// Package packages installs what is shipped for hosts without a kubelet, and runs it:
// in a copy of this machine's file system that is gone when the test ends, and under
// the confinement that its unit asks of systemd.
package packages
