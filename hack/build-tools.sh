#!/usr/bin/env bash
# Builds one program from the tools module, or from a module below it:
# build-tools.sh OUT PACKAGE [LDFLAGS [MODULE]]
# The first build of kube-apiserver takes some 8 minutes on 2 cores.
set -euo pipefail

out=${1:?usage: build-tools.sh OUT PACKAGE [LDFLAGS [MODULE]]}
package=${2:?usage: build-tools.sh OUT PACKAGE [LDFLAGS [MODULE]]}
ldflags=${3:-}

cd "$(dirname "${BASH_SOURCE[0]}")/tools/${4:-.}"
mkdir -p "$(dirname "$out")"
echo "tools: building $(basename "$out") from $package; the first time takes minutes"
# Built beside and renamed: a build that is broken off leaves no half program,
# and one that runs is not overwritten.
go build -trimpath -ldflags "-s -w $ldflags" -o "$out.new" "$package"
mv "$out.new" "$out"
