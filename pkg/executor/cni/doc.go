// Package cni gives a VM's cards networks of CNI plugins, as a kubelet's runtime
// gives them to pods. A VM has a network namespace of its own, into which plugins
// put its cards by the host's own configurations; package wire leads a guest's
// frames between a tap and such a card, and package dhcp tells the guest the address
// that the plugin gave it.
//
// What is done is written down before it is begun and struck out when it is undone
// (record.go), so that a process that dies at any point leaves nothing that is not
// found again.
package cni
