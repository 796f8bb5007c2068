#!/bin/sh
# Before removal the executor ends; guests are libvirt's, and run on. Before an upgrade
# it runs on, until the new one has been unpacked.
set -e
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac
[ ! -d /run/systemd/system ] || systemctl stop domus-executor.service || true
