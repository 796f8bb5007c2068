#!/usr/bin/env bash
# Installs what building, running and testing Domus needs from apt, on Debian 12
# or later and Ubuntu 22.04 or later. It says what is there already, installs
# only what is missing, and leaves the machine's own libvirt service alone:
# Domus runs a libvirtd of its own.
#
# DOMUS_DEPS=run installs only what `make demo` needs; the default, all, adds
# what `make test` and `make verify` need.
set -euo pipefail

want=${DOMUS_DEPS:-all}

# package<TAB>why. A package that apt does not offer is an error, with its name.
run_packages() {
	cat <<-'LIST'
		libvirt-daemon-system	libvirtd, which starts the guests
		libvirt-clients	virsh, to set up the demo host's storage pool
		qemu-system-x86	QEMU itself
		qemu-utils	qemu-img, to make the guest image
		gcc	the compiler for the one package that calls libvirt
		libc6-dev	headers for that compiler
		dnsmasq-base	gives guests on VirtualNetworks their addresses
		iproute2	libvirt shapes what goes through cards by its tc
		iptables	libvirt keeps networks apart by it
		fdisk	partitions the guest image
		cpio	packs the guest's initramfs
		kmod	finds which kernel modules the guest needs
		mtools	writes the guest image without mounting it
		syslinux	boots the guest image
		syslinux-common	its master boot record
		zstd	unpacks kernel modules on newer distributions
		xz-utils	the same on others
		ca-certificates	to fetch Go modules
	LIST
}
test_packages() {
	cat <<-'LIST'
		libxml2-utils	xmllint, by which virt-xml-validate holds domains against libvirt's schema
		e2fsprogs	makes the file system of the guest with cloud-init
		ovmf	UEFI firmware for guests
		swtpm	an emulated TPM for guests
		swtpm-tools	makes that TPM's first state
		containernetworking-plugins	CNI plugins, on whose networks guests have cards
		rpm	looks into packages for RPM
		linux-libc-dev	the numbers of system calls, by which a service is confined in tests
		man-db	shows the manual that packages have
		lvm2	stands for the commands of LVM in tests of logical pools
		prometheus	promtool, which tests alerts, and the Prometheus that tests ask
		shellcheck	checks the shell scripts
		yamllint	checks the YAML files
	LIST
	# Ubuntu has it under another name. Any that is there will do.
	if ! command -v chromium chromium-browser google-chrome >/dev/null; then
		local browser=chromium
		if grep -q '^ID=ubuntu' /etc/os-release; then browser=chromium-browser; fi
		printf '%s\tthe browser in which tests look at the placement map\n' "$browser"
	fi
	# Node.js need not come from apt; other packages of it bring npm along.
	command -v node >/dev/null || printf 'nodejs\tdirects that browser\n'
	command -v npm >/dev/null || printf 'npm\tfetches playwright-core, by which it does\n'
}

say() { printf 'deps: %s\n' "$*"; }

if ! command -v apt-get >/dev/null; then
	echo "deps: this script needs apt-get (Debian 12+, Ubuntu 22.04+). On another system install by hand:" >&2
	{ run_packages; test_packages; } | sed 's/^/  /' >&2
	exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "deps: run this as root, or install sudo" >&2; exit 1; }
	as_root=(sudo)
fi

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

list=$(run_packages)
if [ "$want" = all ]; then
	list+=$'\n'$(test_packages)
fi

missing=()
present=0
while IFS=$'\t' read -r package why; do
	if installed "$package"; then
		present=$((present + 1))
	else
		say "needs $package: $why"
		missing+=("$package")
	fi
done <<<"$list"
say "$present packages already there, ${#missing[@]} to install"

if [ ${#missing[@]} -gt 0 ]; then
	"${as_root[@]}" apt-get update -qq
	# --no-install-recommends: libvirt's recommendations bring network and
	# firewall services that Domus does not use.
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${missing[@]}"
	say "installed: ${missing[*]}"
	# Its package starts it, open to the network. Tests start one of their own.
	if [[ " ${missing[*]} " == *" prometheus "* ]] && [ -d /run/systemd/system ]; then
		"${as_root[@]}" systemctl disable --quiet --now prometheus.service
		say "switched prometheus.service off again"
	fi
fi

if ! command -v go >/dev/null; then
	echo "deps: Go is missing: install Go 1.26 or later from https://go.dev/dl and put it on PATH" >&2
	exit 1
fi
say "$(go version)"
