// Package hostconfig is vm-executor's configuration file: which hosts it looks after,
// what of each the VMs may have, and where things are.
package hostconfig
