#!/usr/bin/env bash
# Downloads the Debian packages that vm-executor's image is made of, and what they
# need, in the versions that this machine's apt would install on an empty system:
# image-packages.sh DIR
# apt checks what it downloads. The folder has these packages afterwards and no others.
set -euo pipefail

dir=${1:?usage: image-packages.sh DIR}
# libvirt's client library, and the authorities by whose certificates images are fetched.
wanted=(libvirt0 ca-certificates)
# ca-certificates needs these for its script alone, which is not run.
needless='^(openssl|debconf|perl-base|dpkg|tar|debianutils|libdebconfclient0)$'

mkdir -p "$dir"
cd "$dir"
plan=$(apt-get install --print-uris -qq -o Dir::State::status=/dev/null -o APT::Install-Recommends=false "${wanted[@]}")
list=()
while read -r _ file _; do
	name=${file%%_*}
	if [[ $name =~ $needless ]]; then continue; fi
	version=${file#*_}
	version=${version%_*}
	list+=("$name=${version//%3a/:}")
	keep[${#list[@]}]=$file
done <<<"$plan"
[ ${#list[@]} -gt 0 ] || { echo "image-packages: apt offers no ${wanted[*]}: run apt-get update" >&2; exit 1; }

stale=$(comm -23 <(find . -name '*.deb' -printf '%f\n' | sort) <(printf '%s\n' "${keep[@]}" | sort))
if [ -n "$stale" ]; then xargs -d '\n' rm -f <<<"$stale"; fi
missing=()
for i in "${!list[@]}"; do
	[ -e "${keep[$((i + 1))]}" ] || missing+=("${list[$i]}")
done
[ ${#missing[@]} -eq 0 ] || apt-get download -qq -o APT::Sandbox::User=root "${missing[@]}"
echo "image-packages: ${#list[@]} packages in $dir, ${#missing[@]} of them new"
