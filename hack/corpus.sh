#!/usr/bin/env bash
# Fetches libvirt's own test documents: corpus.sh DIR
#
# They come with the source package of the distribution's libvirt. apt fetches it
# from the mirrors that this machine uses for the rest, and verifies it by the
# archive's signature; its lists and files lie in DIR, so neither root nor a
# deb-src line in /etc/apt is needed. DIR/libvirt/tests holds the documents,
# DIR/libvirt/schemas libvirt's schemas, DIR/libvirt/version the version.
#
# What is there already is kept: remove DIR to fetch it anew.
set -euo pipefail

dir=${1:?usage: corpus.sh DIR}
mkdir -p "$dir"
dir=$(readlink -f "$dir")
say() { printf 'corpus: %s\n' "$*"; }

if [ -s "$dir/libvirt/version" ]; then
	say "libvirt $(cat "$dir/libvirt/version") is there already"
	exit 0
fi
for tool in apt-get tar xz gzip; do
	command -v "$tool" >/dev/null || { echo "corpus: $tool is missing: run make deps" >&2; exit 1; }
done

# shellcheck source=/dev/null
. /etc/os-release
signed=
keyring=/usr/share/keyrings/$ID-archive-keyring.gpg
[ -r "$keyring" ] && signed="[signed-by=$keyring] "
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/package"
# The release that runs here, from the mirrors that it is configured with.
# shellcheck disable=SC2016
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
	awk -v release="$VERSION_CODENAME" -v signed="$signed" \
		'$3 == "main" && ($2 == release || $2 == release "-updates" || $2 == release "-security") { print "deb-src " signed $1, $2, $3 }' |
	sort -u >"$dir/apt/sources.list"
if ! [ -s "$dir/apt/sources.list" ]; then
	echo "corpus: apt has no mirror of $ID $VERSION_CODENAME: add one to /etc/apt" >&2
	exit 1
fi

options=(
	-o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$dir/apt/lists" -o "Dir::Cache=$dir/apt/cache"
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
	-o Debug::NoLocking=true -o Acquire::Retries=2 -o Acquire::http::Timeout=30
	-o "APT::Sandbox::User=$(id -un)"
)
say "fetching the source package of libvirt from $(awk '{ print $(NF - 2) }' "$dir/apt/sources.list" | sort -u | paste -sd' ')"
if ! apt-get "${options[@]}" update -qq ||
	! (cd "$dir/package" && apt-get "${options[@]}" source -qq --download-only --only-source libvirt); then
	echo "corpus: libvirt's test documents are not here yet, and could not be fetched: run make corpus where the mirrors can be reached" >&2
	exit 1
fi

dsc=$(find "$dir/package" -name 'libvirt_*.dsc' | sort -V | tail -n 1)
tarball=$(find "$dir/package" -name 'libvirt_*.orig.tar.*' ! -name '*.asc' | sort -V | tail -n 1)
rm -rf "$dir/libvirt.new" "$dir/libvirt"
mkdir "$dir/libvirt.new"
tar -xf "$tarball" -C "$dir/libvirt.new" --strip-components=1 --wildcards --no-wildcards-match-slash '*/tests' '*/src/conf/schemas'
mkdir "$dir/libvirt"
mv "$dir/libvirt.new/tests" "$dir/libvirt/tests"
mv "$dir/libvirt.new/src/conf/schemas" "$dir/libvirt/schemas"
find "$dir/libvirt/tests" -type f ! -name '*.xml' -delete
rm -rf "$dir/libvirt.new" "$dir/apt"
version=$(basename "$dsc" .dsc)
printf '%s\n' "${version#libvirt_}" >"$dir/libvirt/version"
say "libvirt ${version#libvirt_} is in $dir/libvirt"
