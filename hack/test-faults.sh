#!/usr/bin/env bash
# Holds the table of faults in PARTS parts and kills FAULTS processes at random, all
# at the same time, each in a cluster of its own: most of the time guests boot, or
# something is away. Usage, as root: hack/test-faults.sh FAULTS_TEST PARTS FAULTS SEED TABLE
#
# TABLE is what happened, as Markdown. What the tests say is beside it.
set -euo pipefail
test=$(readlink -f "$1") parts=$2 faults=$3 seed=$4 table=$(readlink -m "$5")
cd "$(dirname "${BASH_SOURCE[0]}")/../test/faults"
logs=$(dirname "$table")/faults
rm -rf "$logs" "$table"
mkdir -p "$logs"

names=() pids=()
run() {
	local name=$1
	shift
	"$test" -test.v -test.timeout 3h -table "$logs/$name.md" "$@" >"$logs/$name.log" 2>&1 &
	names+=("$name") pids+=($!)
	echo "faults: $name is under way, see $logs/$name.log"
}
for part in $(seq "$parts"); do
	run "part-$part" -test.run 'TestFaults$' -part "$part/$parts"
done
if [ "$faults" -gt 0 ]; then
	run random -test.run 'TestRandomFaults$' -faults "$faults" -seed "$seed"
fi

failed=0
for i in "${!pids[@]}"; do
	if wait "${pids[i]}"; then
		echo "faults: ${names[i]} is done"
		continue
	fi
	failed=1
	echo "faults: ${names[i]} failed: see $logs/${names[i]}.log"
	grep -E '^ *--- FAIL|_test\.go:[0-9]+: ' "$logs/${names[i]}.log" | grep -v ' | as expected' || true
done
for name in "${names[@]}"; do
	cat "$logs/$name.md" 2>/dev/null || true
done | tee "$table"
exit $failed
