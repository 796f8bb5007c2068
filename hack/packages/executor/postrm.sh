#!/bin/sh
# After a purge the host's way to the cluster is gone. What guests use is not: seeds
# that their CD-ROM drives have, and what is known of their cards, stay in
# /var/lib/vm-executor, and consoles in /var/log/vm-executor.
set -e
unit=domus-executor.service
[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
case "$1" in
remove)
	! command -v deb-systemd-helper >/dev/null || deb-systemd-helper mask "$unit" >/dev/null || true
	;;
purge)
	if command -v deb-systemd-helper >/dev/null; then
		deb-systemd-helper purge "$unit" >/dev/null || true
		deb-systemd-helper unmask "$unit" >/dev/null || true
	fi
	rm -rf /var/lib/vm-executor/pki
	rm -f /etc/domus/kubeconfig
	rmdir --ignore-fail-on-non-empty /etc/domus 2>/dev/null || true
	# Only where nothing of guests is in them.
	rmdir --ignore-fail-on-non-empty /var/lib/vm-executor /var/log/vm-executor 2>/dev/null || true
	;;
esac
