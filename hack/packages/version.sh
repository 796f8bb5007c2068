#!/usr/bin/env bash
# Says the version that packages have: version.sh [DESCRIBED [SECONDS]]
# DESCRIBED is what `git describe --tags --always --dirty` says, SECONDS when the
# commit was made. The version is valid for Debian and RPM alike, and later commits
# sort after earlier ones: a candidate before its release (~), a commit after the tag
# behind it (+). Without a tag, which a shallow clone has not, the commit's time counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
described=${1:-$(git describe --tags --always --dirty)}
seconds=${2:-$(git log -1 --format=%ct)}

dirty=
if [[ $described == *-dirty ]]; then
	dirty=.dirty
	described=${described%-dirty}
fi
after=
if [[ $described =~ ^(.*)-([0-9]+)-g([0-9a-f]+)$ ]]; then
	described=${BASH_REMATCH[1]}
	after=+${BASH_REMATCH[2]}.g${BASH_REMATCH[3]}
fi
if [[ $described =~ ^v([0-9]+\.[0-9]+\.[0-9]+)(-([0-9A-Za-z.]+))?$ ]]; then
	version=${BASH_REMATCH[1]}${BASH_REMATCH[3]:+\~${BASH_REMATCH[3]}}$after
elif [[ $described =~ ^[0-9a-f]+$ ]]; then
	version=0.0.0~$(date -u -d "@$seconds" +%Y%m%d%H%M%S).g$described
else
	echo "version.sh: $described is neither a commit nor a tag like v1.2.3 or v1.2.3-rc.1" >&2
	exit 1
fi
if [ -n "$dirty" ]; then
	[[ $version == *+* || $version == *~*.g* ]] && version+=$dirty || version+=+dirty
fi
printf '%s\n' "$version"
