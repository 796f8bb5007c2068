#!/usr/bin/env bash
# Runs virsh commands from standard input on a QEMU driver of its own, in the
# folder $1: run by native_test.go as the first process of new mount and PID
# namespaces.
#
# QEMU ends as a child of the first process, which must take note of it or libvirt
# waits for it: this shell does. /dev/kvm is hidden, so that the same commands
# come out on hosts with and without it, and so that libvirt does not probe QEMU
# anew for each domain where the device is there and does not work.
set -eu
mount -t tmpfs none /dev
for device in 'null 3' 'zero 5' 'random 8' 'urandom 9'; do
	read -r name minor <<<"$device"
	mknod -m 666 "/dev/$name" c 1 "$minor"
done
exec 3<&0
virsh -q -c "qemu:///embed?root=$1" <&3 &
wait $!
