#!/usr/bin/env bash
# Builds a guest in which the distribution's own cloud-init runs, for the tests:
# guest-cloud-image.sh OUT.qcow2
#
# It is made of Debian's packages as they are: cloud-init, the Python that it is
# written in, and what both depend on, on a file system of their own. Booting a
# whole Debian takes minutes where guests are emulated, so that there is no systemd:
# a small init runs cloud-init's four stages, one after the other, as systemd's units
# would. Like the other guests it is made without mounts, loop devices or root, and
# what the guest writes is gone when it is switched off.
#
# On the serial console (ttyS0, 115200) it prints
#   DOMUS-GUEST-UP <uptime>               before cloud-init is started
#   DOMUS-CLOUD-INIT <uptime> <what is asked for>   when it is done: the host name,
#   the instance, the datasource, the keys of the default user
# and what cloud-init's log has of warnings.
#
# The result is kept until this script changes, and what was downloaded beside it.
set -euo pipefail

out=${1:?usage: guest-cloud-image.sh OUT.qcow2}
self=$(readlink -f "${BASH_SOURCE[0]}")
common=$(dirname "$self")/guest-common.sh
stamp=$out.made-by
sum="$(cat "$self" "$common" | sha256sum)"
if [ -s "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
	echo "guest image: $out is up to date"
	exit 0
fi

mkdir -p "$(dirname "$out")"
out=$(readlink -f "$(dirname "$out")")/$(basename "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/kernel" "$work/busybox" "$work/root" "$work/system"
debs=$(dirname "$out")/debs
mkdir -p "$debs"
kernel_version=
# shellcheck disable=SC1090,SC1091 # it is checked by itself
. "$common"
need_tools mke2fs
find_kernel

# depends PACKAGE... prints the packages and all that they depend on.
depends() {
	apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
		--no-enhances "$@" | sed -n 's/^\([a-z0-9][a-z0-9.+-]*\)$/\1/p' | sort -u
}
# Left out is what is there for installing and configuring packages, and for
# partitions, which this guest has none of to grow.
unneeded='^(perl|perl-.*|libperl.*|lib.*-perl|debconf.*|cdebconf|libdebian-installer4|libnewt.*|libslang2|libtextwrap1|locales|libc-l10n|dpkg|tar|install-info|init-system-helpers|usrmerge|usr-is-merged|lsb-.*|mailcap|media-types|mime-support|gdisk|fdisk|eject|sysvinit-utils|libelogind0|libdb5.3|libgdbm.*|ca-certificates|openssl|gcc-.*-base|isc-dhcp-client|readline-common|systemd.*|udev)$'
mapfile -t needed < <(depends cloud-init bash dash coreutils util-linux mount passwd login hostname grep sed base-files iproute2 procps | grep -Ev "$unneeded")
gather "$work/system" "${needed[@]}"

# --- the system --------------------------------------------------------------
system=$work/system
# Folders of the root that are merged into /usr on a system that was installed.
for dir in bin sbin lib lib64 lib32 libx32; do
	if [ -L "$system/$dir" ] || [ ! -d "$system/$dir" ]; then continue; fi
	mkdir -p "$system/usr/$dir"
	cp -a "$system/$dir/." "$system/usr/$dir/"
	rm -rf "${system:?}/$dir"
done
for dir in bin sbin lib lib64; do
	mkdir -p "$system/usr/$dir"
	ln -sfn "usr/$dir" "$system/$dir"
done
rm -rf "${system:?}"/usr/share/{doc,man,locale,i18n,info,lintian,bug,perl,zoneinfo,bash-completion} "$system"/usr/lib/x86_64-linux-gnu/gconv \
	"$system"/usr/lib/python3*/{test,idlelib,lib2to3,pydoc_data,ensurepip} "${system:?}"/boot
mkdir -p "$system"/{dev,proc,sys,run,tmp,root,home,etc/network/interfaces.d,var/lib/cloud,var/log}
ln -sfn dash "$system/usr/bin/sh"
cp "$(find "$work/busybox" -type f -path "*bin/busybox" | head -n 1)" "$system/usr/bin/busybox"
for applet in poweroff reboot ip getty; do
	[ -e "$system/usr/sbin/$applet" ] || ln -sf ../bin/busybox "$system/usr/sbin/$applet"
done
# There is no udev: what it would wait for is there.
ln -sf true "$system/usr/bin/udevadm"

# What the packages' scripts would have made when they were installed.
printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin' >"$system/etc/passwd"
for group in root:0 adm:4 tty:5 disk:6 dialout:20 cdrom:24 floppy:25 sudo:27 audio:29 dip:30 video:44 plugdev:46 netdev:102 nogroup:65534; do
	printf '%s:x:%s:\n' "${group%:*}" "${group#*:}"
done >"$system/etc/group"
printf 'root:*:19000:0:99999:7:::\n' >"$system/etc/shadow"
: >"$system/etc/gshadow"
chmod 600 "$system/etc/shadow" "$system/etc/gshadow"
cp "$system/usr/share/base-files/nsswitch.conf" "$system/etc/nsswitch.conf" 2>/dev/null || true
printf '127.0.0.1 localhost\n' >"$system/etc/hosts"
printf 'localhost\n' >"$system/etc/hostname"
# There is no SSH server, and cloud-init need make no key for one.
mkdir -p "$system/etc/ssh"
touch "$system/etc/ssh/ssh_host_ed25519_key"
# Python's compiled files are made when its packages are installed; without them it
# would compile all of itself at each start.
loader=$(find "$system/usr/lib64" -name 'ld-linux-x86-64.so.2' | head -n 1)
python=$(basename "$(find "$system/usr/bin" -name 'python3.[0-9]*' | head -n 1)")
(cd "$system" && PYTHONHOME=$system/usr "$(readlink -f "$loader")" --library-path "$system/usr/lib/x86_64-linux-gnu" \
	"usr/bin/$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$system" -p / \
	"$system/usr/lib/$python" "$system/usr/lib/python3" >/dev/null) || { echo "guest image: Python could not be compiled" >&2; exit 1; }
ln -sfn "$python" "$system/usr/bin/python3"

# The stages have fewer modules than a whole Debian's: those for what the tests look
# at. NoCloud is the one datasource, so that no network is waited for.
cat >"$system/etc/cloud/cloud.cfg.d/90_domus.cfg" <<'CFG'
datasource_list: [NoCloud]
ssh_deletekeys: false
ssh_genkeytypes: [ed25519]
cloud_init_modules: [write-files, set_hostname, update_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
CFG

cat >"$system/usr/sbin/guest-init" <<'INIT'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
uptime() { cut -d' ' -f1 /proc/uptime; }
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mkdir -p /run/lock
ip link set lo up
hostname localhost
for device in /dev/input/event*; do
	[ -c "$device" ] || continue
	(busybox head -c 1 "$device" >/dev/null && echo "DOMUS-GUEST-OFF" >/dev/ttyS0 && busybox poweroff -f) &
done
echo "DOMUS-GUEST-UP $(uptime)"
cloud-init init --local >/run/stages 2>&1
cloud-init init >>/run/stages 2>&1
cloud-init modules --mode=config >>/run/stages 2>&1
cloud-init modules --mode=final >>/run/stages 2>&1
grep -hE 'WARNING|ERROR|Traceback' /var/log/cloud-init.log /run/stages | head -n 20
echo "DOMUS-CLOUD-INIT $(uptime) hostname=$(hostname) instance=$(cat /var/lib/cloud/data/instance-id) keys=$(cat /home/*/.ssh/authorized_keys 2>/dev/null | grep -c '^[a-z]') $(tr -d ' \n' </run/cloud-init/result.json)"
[ ! -e /run/seen ] || echo "DOMUS-SEEN $(cat /run/seen)"
while :; do busybox getty -n -l /bin/sh 115200 ttyS0; sleep 1; done
INIT
chmod 755 "$system/usr/sbin/guest-init"

# --- the initramfs -----------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,dev,modules,proc,sys,lower,upper,new}
cp "$system/usr/bin/busybox" "$root/bin/busybox"
for applet in sh mount insmod mkdir switch_root sleep; do ln -s busybox "$root/bin/$applet"; done
copy_modules virtio_pci virtio_blk virtio_net virtio_scsi ata_piix sr_mod isofs nls_utf8 overlay button evdev
cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t ext4 -o ro /dev/vda2 /lower
mount -t tmpfs upper /upper
mkdir /upper/upper /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/upper,workdir=/upper/work overlay /new
mount -o move /proc /new/proc
mount -o move /sys /new/sys
mount -o move /dev /new/dev
exec switch_root /new /usr/sbin/guest-init
INIT
chmod +x "$root/init"
pack_initramfs "$work/initrd.gz"

# --- a disk: a FAT partition to boot from, 1 MiB in, and the system behind it ----
boot=$((31 * 2048)) # sectors
size=$(($(du -sm "$system" | cut -f1) * 5 / 4 + 16)) # MiB
truncate -s "${size}M" "$work/system.ext4"
mke2fs -q -F -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d "$system" "$work/system.ext4"
raw=$work/guest.raw
truncate -s "$((33 + size))M" "$raw"
printf '2048,%d,c,*\n%d,%d,83\n' "$boot" "$((32 * 2048))" "$((size * 2048))" | sfdisk -q "$raw"
boot_partition "$raw" "$boot"
dd if="$work/system.ext4" of="$raw" bs=1M seek=32 conv=notrunc,sparse status=none
qemu-img convert -c -O qcow2 -o compat=1.1 "$raw" "$work/guest.qcow2"
mv "$work/guest.qcow2" "$out"
echo "$sum" >"$stamp"
echo "guest image: made $out ($(du -h "$out" | cut -f1), kernel $kernel_version, cloud-init $(dpkg-deb -f "$(find "$debs" -name 'cloud-init_*.deb' | sort -V | tail -n 1)" Version))"
