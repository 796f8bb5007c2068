#!/usr/bin/env bash
# Builds the guests that the demo and the tests boot: guest-image.sh [--agent] OUT.qcow2
#
# The guest is a distribution kernel, a static busybox and an /init of a few
# lines, in a bootable image of about 15 MB. It is made without mounts, loop
# devices or root. On the serial console (ttyS0, 115200) it prints
#   DOMUS-GUEST-UP <hostname> <uptime>
# and gives a root shell; it powers off when its ACPI power button is pressed. A
# key of its keyboard is told as DOMUS-GUEST-KEY <code>, the code being Linux's,
# and Ctrl-Alt-Del makes the kernel boot anew. CPUs and memory that are added
# while it runs are used within a second, without an agent. Its host name comes
# from the machine's UUID, since the image may be shared and read-only.
#
# Where a CD-ROM on virtio-scsi has a NoCloud seed it takes its host name from
# there, keeps the public keys in /etc/authorized_keys, and says so before:
#   DOMUS-GUEST-SEED <host name> <instance id> keys=<number> user-data=<MD5> network=<MD5>
#
# With --agent it also runs the distribution's QEMU guest agent, asks for an
# address by DHCP on eth0, and has a user, guest, with a password to be set and a
# home for SSH keys, and uses CPUs that are plugged in. That image is some 2 MB
# larger.
#
# The result is kept until this script changes, and what was downloaded beside it.
set -euo pipefail

agent=
if [ "${1:-}" = --agent ]; then
	agent=yes
	shift
fi
out=${1:?usage: guest-image.sh [--agent] OUT.qcow2}
self=$(readlink -f "${BASH_SOURCE[0]}")
stamp=$out.made-by
common=$(dirname "$self")/guest-common.sh
sum="$(cat "$self" "$common" | sha256sum)$agent"
if [ -s "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
	echo "guest image: $out is up to date"
	exit 0
fi

# Modules to load, in this order; what is built into the kernel is passed over.
# A seed of cloud-init's is on a CD-ROM on virtio-scsi. The balloon gives memory
# back; DHCP needs packet sockets; pvpanic tells the host of a panic.
modules="virtio_pci virtio_blk virtio_net virtio_console virtio_balloon virtio_scsi sr_mod isofs button evdev${agent:+ af_packet pvpanic-mmio}"

mkdir -p "$(dirname "$out")"
out=$(readlink -f "$(dirname "$out")")/$(basename "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/kernel" "$work/busybox" "$work/root" "$work/agent"
debs=$(dirname "$out")/debs
mkdir -p "$debs"
kernel_version=
# shellcheck disable=SC1090,SC1091 # it is checked by itself
. "$common"
need_tools objdump
find_kernel

packages=()
if [ -n "$agent" ]; then
	# The agent and every library that it says it depends on.
	mapfile -t libraries < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances --no-pre-depends qemu-guest-agent |
		sed -n 's/^\(lib[a-z0-9.+-]*\)$/\1/p' | sort -u)
	packages+=(qemu-guest-agent "${libraries[@]}")
fi
gather "$work/agent" "${packages[@]}"

# --- the initramfs -----------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,dev,etc,modules,proc,run,sys,tmp}
cp "$(find "$work/busybox" -type f -path "*bin/busybox" | head -n 1)" "$root/bin/busybox"
for applet in sh mount insmod ip hostname cat cut head echo sleep ls ps free getty poweroff reboot sed grep vi ping uptime dmesg dd od mkdir mkfifo md5sum umount; do
	ln -s busybox "$root/bin/$applet"
done

# needs prints the shared libraries that a program or a library names.
needs() { objdump -p "$1" | sed -n 's/^ *NEEDED *//p'; }

# bring copies a library of the agent's, and those that it needs, into the guest.
bring() {
	local found library
	[ ! -e "$root/lib/$1" ] || return 0
	found=$(find "$work/agent" -name "$1" | head -n 1)
	[ -n "$found" ] || { echo "guest image: no package of the agent's brings $1" >&2; return 1; }
	cp -L "$found" "$root/lib/$1"
	for library in $(needs "$found"); do bring "$library"; done
}

if [ -n "$agent" ]; then
	for applet in killall udhcpc kill readlink id chown mkpasswd; do ln -s busybox "$root/bin/$applet"; done
	mkdir -p "$root"/{lib,lib64,sbin,home/guest,var/run}
	cp "$work/agent/usr/sbin/qemu-ga" "$root/bin/qemu-ga"
	for library in $(needs "$root/bin/qemu-ga"); do bring "$library"; done
	# Programs name their loader by its path.
	ln -s ../lib/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
	cat >"$root/etc/os-release" <<-'OSRELEASE'
		ID=domus-guest
		NAME="Domus guest"
		PRETTY_NAME="Domus guest 1 (with an agent)"
		VERSION_ID="1"
		VERSION="1 (with an agent)"
	OSRELEASE
	printf '%s\n' 'root:x:0:0:root:/:/bin/sh' 'guest:x:1000:1000:guest:/home/guest:/bin/sh' >"$root/etc/passwd"
	printf '%s\n' 'root:x:0:' 'guest:x:1000:' >"$root/etc/group"
	# No password opens either.
	printf '%s\n' 'root:!:19000:0:99999:7:::' 'guest:!:19000:0:99999:7:::' >"$root/etc/shadow"
	chmod 600 "$root/etc/shadow"
	# The agent switches the guest off or resets it through this.
	cat >"$root/sbin/shutdown" <<-'SHUTDOWN'
		#!/bin/sh
		echo "DOMUS-GUEST-OFF $(hostname)" >/dev/ttyS0
		case " $* " in
		*" -r "*) exec /bin/reboot -f ;;
		esac
		exec /bin/poweroff -f
	SHUTDOWN
	# The agent sets passwords through this; busybox has no such applet here.
	cat >"$root/bin/chpasswd" <<-'CHPASSWD'
		#!/bin/sh
		while IFS=: read -r user password; do
			grep -q "^$user:" /etc/shadow || { echo "chpasswd: there is no user $user" >&2; exit 1; }
			[ "$1" = -e ] || password=$(printf '%s' "$password" | mkpasswd -P 0 -m sha512)
			sed -i "s|^$user:[^:]*:|$user:$password:|" /etc/shadow
		done
	CHPASSWD
	cat >"$root/etc/dhcp" <<-'DHCP'
		#!/bin/sh
		case $1 in
		deconfig) ip -4 address flush dev "$interface" ;;
		bound | renew)
			ip address replace "$ip/${mask:-24}" dev "$interface"
			[ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface"
			;;
		esac
	DHCP
	# What /init runs before it gives a shell.
	cat >"$root/etc/agent" <<-'AGENT'
		#!/bin/sh
		chown -R 1000:1000 /home/guest
		if [ -e /sys/class/net/eth0 ]; then
			ip link set eth0 up
			udhcpc -b -S -i eth0 -s /etc/dhcp >/dev/null 2>&1
		fi
		# There is no udev to have CPUs used that are plugged in.
		while sleep 1; do
			for cpu in /sys/devices/system/cpu/cpu*/online; do
				read -r online <"$cpu" && [ "$online" = 1 ] || echo 1 >"$cpu"
			done
		done 2>/dev/null &
		# Nor to name ports. A port has its name a moment after it is there.
		mkdir -p /dev/virtio-ports
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			for port in /sys/class/virtio-ports/*; do
				[ "$(cat "$port/name" 2>/dev/null)" = org.qemu.guest_agent.0 ] || continue
				ln -sf "../${port##*/}" /dev/virtio-ports/org.qemu.guest_agent.0
				exec qemu-ga --method virtio-serial --path /dev/virtio-ports/org.qemu.guest_agent.0 --statedir /run --pidfile /run/qemu-ga.pid
			done
			sleep 1
		done
	AGENT
	chmod 755 "$root/sbin/shutdown" "$root/bin/chpasswd" "$root/etc/dhcp" "$root/etc/agent"
fi

# shellcheck disable=SC2086 # the names are words
copy_modules $modules

cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
uuid=$(cat /sys/class/dmi/id/product_uuid 2>/dev/null)
hostname "guest-$(echo "${uuid:-unknown}" | cut -d- -f1)"
ip link set lo up

# What cloud-init would do, of what these guests can. JSON is as Domus writes it.
seeded() {
	mkdir -p /seed
	mount -t iso9660 -o ro /dev/sr0 /seed 2>/dev/null || return 1
	meta=$(cat /seed/meta-data)
	value() { echo "$meta" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
	sum() { [ ! -e "$1" ] || md5sum "$1" | cut -d' ' -f1; }
	hostname "$(value local-hostname)"
	echo "$meta" | grep -o '"\(ssh\|ecdsa\)-[^"]*"' | sed 's/"//g' >/etc/authorized_keys
	echo "DOMUS-GUEST-SEED $(hostname) $(value instance-id) keys=$(grep -c . /etc/authorized_keys) user-data=$(sum /seed/user-data) network=$(sum /seed/network-config)"
	umount /seed
}
# A controller looks for its drives beside everything else.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -e /sys/class/scsi_host/host0 ] || break
	[ ! -e /dev/sr0 ] || { seeded; break; }
	sleep 0.3
done

# Where input comes from tells what it means: KEY_POWER (116) of an ACPI button is
# the power button, and what the keyboard says is told and no more.
listen() {
	exec 3<"$2"
	# struct input_event: 16 bytes of time, then type, code and value, of which EV_KEY
	# is 1 and a press 1.
	while set -- "$1" $(dd bs=24 count=1 <&3 2>/dev/null | od -An -v -tu2 -j16) && [ $# = 5 ]; do
		case "$1 $2 $3 $4" in
		"Power Button 1 116 1")
			echo "DOMUS-GUEST-OFF $(hostname)" >/dev/ttyS0
			exec poweroff -f
			;;
		*" Keyboard"*" 1 $3 1" | *" keyboard 1 $3 1") echo "DOMUS-GUEST-KEY $3" >/dev/ttyS0 ;;
		esac
	done
}
for device in /dev/input/event*; do
	[ -c "$device" ] || continue
	listen "$(cat "/sys/class/input/${device##*/}/device/name")" "$device" &
done

# Nobody else has added memory and CPUs used. The loop starts no process: it waits
# for a line that never comes.
echo online >/sys/devices/system/memory/auto_online_blocks 2>/dev/null
mkfifo /tmp/never
(
	exec 3<>/tmp/never
	while :; do
		for online in /sys/devices/system/cpu/cpu[0-9]*/online; do
			{ read -r is <"$online"; } 2>/dev/null && [ "$is" = 0 ] && echo 1 >"$online"
		done
		read -r -t 1 _ <&3
	done
) 2>/dev/null &

[ ! -x /etc/agent ] || /etc/agent &

echo "DOMUS-GUEST-UP $(hostname) $(cut -d' ' -f1 /proc/uptime)"
# The shell is started again when someone leaves it: init must not end.
while :; do getty -n -l /bin/sh 115200 ttyS0; sleep 1; done
INIT
chmod +x "$root/init"
pack_initramfs "$work/initrd.gz"

# --- a disk with one bootable FAT partition, 1 MiB in ------------------------
sectors=$((47 * 2048))
raw=$work/guest.raw
truncate -s 48M "$raw"
echo "2048,$sectors,c,*" | sfdisk -q "$raw"
boot_partition "$raw" "$sectors"

qemu-img convert -c -O qcow2 -o compat=1.1 "$raw" "$work/guest.qcow2"
mv "$work/guest.qcow2" "$out"
echo "$sum" >"$stamp"
echo "guest image: made $out ($(du -h "$out" | cut -f1), kernel $kernel_version)"
