#!/usr/bin/env bash
# What the scripts that build guests share. It is sourced, with
#   out    the image that is made
#   work   a folder to work in, with kernel/ in it
#   root   the tree of the initramfs
#   debs   where packages are downloaded to
# and sets kernel in find_kernel and kernel_version in copy_modules.
# shellcheck disable=SC2154

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
# when the folder is private. apt passes over what is there already.
fetch() { (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root "$@"); }

# unpack PACKAGE INTO; of several versions that were downloaded it takes the newest.
unpack() {
	local deb
	deb=$(find "$debs" -name "$1_*.deb" | sort -V | tail -n 1)
	dpkg-deb -x "$deb" "$2"
}

# need_tools TOOL... has PATH lead to the tools, or says which is missing.
need_tools() {
	local tool
	for tool in apt-get dpkg-deb cpio modprobe depmod sfdisk mformat mcopy syslinux qemu-img "$@"; do
		command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin
		command -v "$tool" >/dev/null || { echo "guest image: $tool is missing: run make deps" >&2; exit 1; }
	done
}

# find_kernel finds the kernel package, once apt knows of any: afterwards it can be
# asked for other packages too.
find_kernel() {
	kernel=$(kernel_package) || { refresh; kernel=$(kernel_package); } || {
		echo "guest image: apt offers no kernel package; is a standard Debian or Ubuntu source configured?" >&2
		exit 1
	}
}

# gather INTO PACKAGE... downloads the kernel, busybox and the packages, and unpacks
# them: the kernel into kernel/ and busybox into busybox/ of $work, the others INTO.
gather() {
	local into=$1 package packages
	shift
	packages=("$kernel" busybox-static "$@")
	# Ubuntu keeps the modules in a package of their own.
	if apt-cache show "linux-modules-${kernel#linux-image-}" >/dev/null 2>&1; then
		packages+=("linux-modules-${kernel#linux-image-}")
	fi
	echo "guest image: fetching ${#packages[@]} packages, among them $kernel"
	fetch "${packages[@]}" || { refresh; kernel=$(kernel_package); packages[0]=$kernel; fetch "${packages[@]}"; }
	for package in "${packages[@]}"; do
		case $package in
		linux-*) unpack "$package" "$work/kernel" ;;
		busybox-static) unpack "$package" "$work/busybox" ;;
		*) unpack "$package" "$into" ;;
		esac
	done
}

# copy_modules NAME... copies kernel modules, those that they need before them,
# into the initramfs, with a list of their order; what is built into the kernel is
# passed over.
copy_modules() {
	local tree=$work/kernel module path name
	[ -d "$tree/lib/modules" ] || tree=$work/kernel/usr # merged /usr
	kernel_version=$(basename "$(find "$tree/lib/modules" -mindepth 1 -maxdepth 1 -type d | head -n 1)")
	depmod -b "$tree" "$kernel_version"
	for module in "$@"; do
		# 'insmod PATH' lines, a module's dependencies before it; 'builtin NAME' otherwise.
		modprobe -d "$tree" -S "$kernel_version" --show-depends "$module" 2>/dev/null || true
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
}

# pack_initramfs FILE packs the initramfs.
pack_initramfs() { (cd "$root" && find . -print0 | LC_ALL=C sort -z | cpio -o -0 -H newc --quiet -R 0:0 | gzip -9) >"$1"; }

# boot_partition RAW SECTORS has the FAT partition of so many sectors, 1 MiB into
# the disk, boot the kernel and the initramfs $work/initrd.gz.
boot_partition() {
	local raw=$1 sectors=$2
	dd if=/usr/lib/syslinux/mbr/mbr.bin of="$raw" bs=440 count=1 conv=notrunc status=none
	export MTOOLS_SKIP_CHECK=1
	mformat -i "$raw@@1M" -T "$sectors" -h 64 -s 32 -H 2048 ::
	syslinux --install -t 1048576 "$raw"
	cat >"$work/syslinux.cfg" <<-'CFG'
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
}
