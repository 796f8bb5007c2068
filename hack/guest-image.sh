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
sum="$(sha256sum <"$self")$agent"
if [ -s "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
	echo "guest image: $out is up to date"
	exit 0
fi

for tool in apt-get dpkg-deb objdump cpio modprobe depmod sfdisk mformat mcopy syslinux qemu-img; do
	command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin
	command -v "$tool" >/dev/null || { echo "guest image: $tool is missing: run make deps" >&2; exit 1; }
done

# Modules to load, in this order; what is built into the kernel is passed over.
# The balloon gives memory back; DHCP needs packet sockets; pvpanic tells the host
# of a panic.
modules="virtio_pci virtio_blk virtio_net virtio_console virtio_balloon button evdev${agent:+ af_packet pvpanic-mmio}"

mkdir -p "$(dirname "$out")"
out=$(readlink -f "$(dirname "$out")")/$(basename "$out")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/kernel" "$work/busybox" "$work/root" "$work/agent"
# apt passes over what is there already.
debs=$(dirname "$out")/debs
mkdir -p "$debs"

# kernel_package prints the newest kernel image package that apt offers: the
# small one for clouds where there is one.
kernel_package() {
	local meta package
	for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-amd64; do
		package=$(apt-cache depends "$meta" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
		if [ -n "$package" ]; then
			echo "$package"
			return
		fi
	done
	return 1
}

# refresh brings the package lists up to date, which only root may do.
refresh() {
	local as_root=()
	[ "$(id -u)" -eq 0 ] || as_root=(sudo)
	"${as_root[@]}" apt-get update -qq
}

# Downloading as the current user is enough; apt warns about its sandbox user
# when the folder is private.
fetch() { (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@"); }

kernel=$(kernel_package) || { refresh; kernel=$(kernel_package); } || {
	echo "guest image: apt offers no kernel package; is a standard Debian or Ubuntu source configured?" >&2
	exit 1
}
packages=("$kernel" busybox-static)
if [ -n "$agent" ]; then
	# The agent and every library that it says it depends on.
	mapfile -t libraries < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances --no-pre-depends qemu-guest-agent |
		sed -n 's/^\(lib[a-z0-9.+-]*\)$/\1/p' | sort -u)
	packages+=(qemu-guest-agent "${libraries[@]}")
fi
# Ubuntu keeps the modules in a package of their own.
if apt-cache show "linux-modules-${kernel#linux-image-}" >/dev/null 2>&1; then
	packages+=("linux-modules-${kernel#linux-image-}")
fi
echo "guest image: fetching ${packages[*]}"
fetch "${packages[@]}" || { refresh; kernel=$(kernel_package); packages[0]=$kernel; fetch "${packages[@]}"; }

# unpack PACKAGE INTO; of several versions that were downloaded it takes the newest.
unpack() {
	local deb
	deb=$(find "$debs" -name "$1_*.deb" | sort -V | tail -n 1)
	dpkg-deb -x "$deb" "$2"
}
for package in "${packages[@]}"; do
	case $package in
	linux-*) unpack "$package" "$work/kernel" ;;
	busybox-static) unpack "$package" "$work/busybox" ;;
	*) unpack "$package" "$work/agent" ;;
	esac
done

# --- the initramfs -----------------------------------------------------------
root=$work/root
mkdir -p "$root"/{bin,dev,etc,modules,proc,run,sys,tmp}
cp "$(find "$work/busybox" -type f -path "*bin/busybox" | head -n 1)" "$root/bin/busybox"
for applet in sh mount insmod ip hostname cat cut head echo sleep ls ps free getty poweroff reboot sed grep vi ping uptime dmesg dd od mkfifo; do
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
	for applet in killall udhcpc kill mkdir readlink id chown mkpasswd; do ln -s busybox "$root/bin/$applet"; done
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

tree=$work/kernel
[ -d "$tree/lib/modules" ] || tree=$work/kernel/usr # merged /usr
version=$(basename "$(find "$tree/lib/modules" -mindepth 1 -maxdepth 1 -type d | head -n 1)")
depmod -b "$tree" "$version"
for module in $modules; do
	# 'insmod PATH' lines, a module's dependencies before it; 'builtin NAME' otherwise.
	modprobe -d "$tree" -S "$version" --show-depends "$module" 2>/dev/null || true
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/order"
while read -r path; do
	name=$(basename "$path")
	case $name in
	*.zst) name=${name%.zst}; zstd -q -d -c "$path" >"$root/modules/$name" ;;
	*.xz) name=${name%.xz}; xz -d -c "$path" >"$root/modules/$name" ;;
	*.gz) name=${name%.gz}; gzip -d -c "$path" >"$root/modules/$name" ;;
	*) cp "$path" "$root/modules/$name" ;;
	esac
	echo "$name" >>"$root/modules/order"
done <"$work/order"
touch "$root/modules/order"

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
(cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio -o -0 -H newc --quiet -R 0:0 | gzip -9) >"$work/initrd.gz"

# --- a disk with one bootable FAT partition, 1 MiB in ------------------------
sectors=$((47 * 2048))
raw=$work/guest.raw
truncate -s 48M "$raw"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$raw" bs=440 count=1 conv=notrunc status=none
echo "2048,$sectors,c,*" | sfdisk -q "$raw"
export MTOOLS_SKIP_CHECK=1
mformat -i "$raw@@1M" -T "$sectors" -h 64 -s 32 -H 2048 ::
syslinux --install -t 1048576 "$raw"
cat >"$work/syslinux.cfg" <<'CFG'
SERIAL 0 115200
DEFAULT guest
PROMPT 0
TIMEOUT 1
LABEL guest
 KERNEL vmlinuz
 APPEND initrd=initrd.gz console=ttyS0,115200 net.ifnames=0 quiet panic=5
CFG
mcopy -i "$raw@@1M" "$(find "$work/kernel" -path '*boot/vmlinuz-*' | head -n 1)" ::vmlinuz
mcopy -i "$raw@@1M" "$work/initrd.gz" ::initrd.gz
mcopy -i "$raw@@1M" "$work/syslinux.cfg" ::syslinux.cfg

qemu-img convert -c -O qcow2 -o compat=1.1 "$raw" "$work/guest.qcow2"
mv "$work/guest.qcow2" "$out"
echo "$sum" >"$stamp"
echo "guest image: made $out ($(du -h "$out" | cut -f1), kernel $version)"
