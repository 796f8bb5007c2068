#!/usr/bin/env bash
# Builds the vm-executor of the release before, as skew.sh OUT/vm-executor: that of the
# last tag before this commit, or of the commit in test/skew/previous while there is no
# tag. OUT/version says which. Sources are taken from git's store; nothing is checked out.
set -euo pipefail
out=${1:?usage: skew.sh OUT}
mkdir -p "$out"
out=$(readlink -f "$out")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

previous=$(git describe --tags --abbrev=0 --match 'v[0-9]*' HEAD^ 2>/dev/null || true)
[ -n "$previous" ] || previous=$(tr -d '[:space:]' <test/skew/previous)
if ! git cat-file -e "$previous^{commit}" 2>/dev/null; then
	echo "skew: $previous is not in this clone; getting it"
	if ! git fetch --quiet --depth=1 origin "$previous"; then
		echo "skew.sh: $previous, the release before, cannot be had: run git fetch --unshallow --tags, or name another commit in test/skew/previous" >&2
		exit 1
	fi
fi
commit=$(git rev-parse "$previous^{commit}")
if [ "$(cat "$out/version" 2>/dev/null)" = "$commit" ] && [ -x "$out/vm-executor" ]; then
	echo "skew: the vm-executor of $previous is there already"
	exit 0
fi
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT
git archive "$commit" | tar -x -C "$sources"
echo "skew: building the vm-executor of $previous"
go build -C "$sources" -trimpath -buildvcs=false -tags libvirt_dlopen -ldflags "-X main.version=$commit" -o "$out/vm-executor" ./cmd/vm-executor
echo "$commit" >"$out/version"
