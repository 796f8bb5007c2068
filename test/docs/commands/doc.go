// Package commands runs what the pages tell to run, in order, in a cluster as make
// demo brings it up, and compares what is printed with what the pages show. It needs
// root and the programs of bin/: make test-docs.
package commands
