#!/bin/sh
# For deb ($1 is configure, $2 the version before) and rpm ($1 counts what is installed).
set -e
unit=domus-executor.service

case "$1" in
configure) [ -n "$2" ] && upgrade=yes || upgrade= ;;
1) upgrade= ;;
[2-9]*) upgrade=yes ;;
*) exit 0 ;;
esac

if command -v deb-systemd-helper >/dev/null; then
	# It remembers what an administrator has disabled, also without systemd.
	deb-systemd-helper unmask "$unit" >/dev/null || true
	if deb-systemd-helper --quiet was-enabled "$unit"; then
		deb-systemd-helper enable "$unit" >/dev/null || true
	else
		deb-systemd-helper update-state "$unit" >/dev/null || true
	fi
elif [ -z "$upgrade" ]; then
	systemctl --no-reload preset "$unit" >/dev/null 2>&1 || true
fi

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload || true
if [ -x /usr/sbin/policy-rc.d ]; then
	code=0
	/usr/sbin/policy-rc.d "$unit" restart >/dev/null 2>&1 || code=$?
	[ $code -eq 0 ] || [ $code -eq 104 ] || exit 0
fi
# Not waited for: it is ready when the cluster and libvirt are. Guests run on.
if [ -n "$upgrade" ]; then
	systemctl --no-block try-restart "$unit" || true
elif systemctl --quiet is-enabled "$unit"; then
	systemctl --no-block start "$unit" || true
fi
