#!/usr/bin/env bash
# Builds packages: build.sh deb|rpm|deb,rpm OUT [executor|virtctl]...
# OUT is the folder for them. VERSION, SOURCE_DATE_EPOCH and ARCH (amd64, arm64) may be
# given in the environment; else they are what git says of the commit, and this
# machine's. The same commit gives the same bytes with the same compilers. For another
# ARCH a C compiler is needed that builds for it, named in CC.
set -euo pipefail
kind=${1:?usage: build.sh deb|rpm|deb,rpm OUT [executor|virtctl]...}
mkdir -p "${2:?usage: build.sh deb|rpm|deb,rpm OUT [executor|virtctl]...}"
out=$(readlink -f "$2")
shift 2
packages=("$@")
[ $# -gt 0 ] || packages=(executor virtctl)
cd "$(dirname "${BASH_SOURCE[0]}")"

export ARCH=${ARCH:-$(go env GOARCH)}
export VERSION=${VERSION:-$(./version.sh)}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
nfpm=$(readlink -f ../../bin/tools/nfpm)
ROOT=$(mktemp -d)
export ROOT
trap 'rm -rf "$ROOT"' EXIT
mkdir "$ROOT/completion"

build() { # what the host runs, or a program of this machine for what it says of itself
	CGO_ENABLED=1 GOARCH=$1 go build -C ../.. -trimpath -buildvcs=false -tags libvirt_dlopen -ldflags "-s -w -X main.version=$VERSION" -o "$2" "./cmd/$3"
}
native=$(go env GOHOSTARCH)
for package in "${packages[@]}"; do
	case $package in
	executor) program=vm-executor ;;
	virtctl) program=virtctl ;;
	*)
		echo "build.sh: there is no package $package: give executor or virtctl" >&2
		exit 1
		;;
	esac
	build "$ARCH" "$ROOT/$program" $program
	speaks=$ROOT/$program
	if [ "$ARCH" != "$native" ]; then
		speaks=$ROOT/native/$program
		mkdir -p "$ROOT/native"
		CC='' build "$native" "$speaks" $program
	fi
	"$speaks" completion bash >"$ROOT/completion/$program"
	case $package in
	executor) gzip -9 -n <executor/vm-executor.8 >"$ROOT/vm-executor.8.gz" ;;
	virtctl)
		"$speaks" completion zsh >"$ROOT/completion/_virtctl"
		"$speaks" completion fish >"$ROOT/completion/virtctl.fish"
		;;
	esac
	# All files have the commit's time, or the packages would tell when they were built.
	find "$ROOT" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	for k in ${kind//,/ }; do
		"$nfpm" package --config "$package.nfpm.yaml" --packager "$k" --target "$out/"
	done
done
