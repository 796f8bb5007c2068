#!/usr/bin/env bash
# Says what each QEMU process takes beside its guest's memory, in MiB:
# qemu-overhead.sh [PID...], by default all there are. Needs root.
#
#   overhead  resident memory less the guest's; private is it without what
#             others share (Pss)
#   code      of it, translated guest code; 0 with KVM
#   tables    page tables of the process, which no resident size counts
#   guest     what is resident of the guest's memory
set -euo pipefail

if [ $# -eq 0 ]; then
	mapfile -t pids < <(pgrep -f '^[^ ]*qemu-system-' || true)
	set -- "${pids[@]}"
fi

printf '%-24s %8s %9s %8s %6s %7s %7s\n' GUEST PID OVERHEAD PRIVATE CODE TABLES GUEST
for pid in "$@"; do
	command=$(tr '\0' '\n' <"/proc/$pid/cmdline")
	name=$(sed -n 's/^guest=\([^,]*\).*/\1/p' <<<"$command" | head -n 1)
	# Guest memory is one mapping for each memory backend, known by its size.
	sizes=$(grep -o '"qom-type":"memory-backend-[^}]*"size":[0-9]*' <<<"$command" | sed 's/.*://') || true
	if [ -z "$sizes" ]; then
		echo "qemu-overhead: process $pid has no memory backend: was it started by libvirt?" >&2
		exit 1
	fi
	tables=$(awk '/^VmPTE:/ { print $2 }' "/proc/$pid/status")
	awk -v name="${name:-?}" -v pid="$pid" -v tables="$tables" -v sizes="$sizes" '
		BEGIN { n = split(sizes, list, "\n"); for (i = 1; i <= n; i++) backend[list[i] / 1024]++ }
		/^[0-9a-f]+-[0-9a-f]+ / { code = $2 ~ /x/ && NF < 6; next }
		$1 == "Size:" { ram = backend[$2] > 0; if (ram) { backend[$2]--; n-- } }
		$1 == "Rss:" { if (ram) guest += $2; else rss += $2; if (code) translated += $2 }
		$1 == "Pss:" { if (!ram) pss += $2 }
		END {
			if (n > 0) { print "qemu-overhead: guest memory of process " pid " not found" >"/dev/stderr"; exit 1 }
			printf "%-24s %8d %9.1f %8.1f %6.1f %7.1f %7.1f\n", name, pid, rss / 1024, pss / 1024, translated / 1024, tables / 1024, guest / 1024
		}' "/proc/$pid/smaps"
done
