#!/usr/bin/env bash
# Checks what a reviewer should not have to: formatting, lint, generated files,
# scripts, YAML and module files. Every check runs; the exit code is 1 if any fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

failed=()
check() {
	local name=$1
	shift
	echo "verify: $name"
	"$@" || failed+=("$name")
}

formatted() {
	local files
	files=$(gofmt -l cmd pkg manifests test hack)
	[ -z "$files" ] || { printf 'not formatted, run gofmt -w:\n%s\n' "$files"; return 1; }
}

generated() {
	local dir code=0
	dir=$(mktemp -d)
	hack/generate.sh "$dir" || code=1
	diff -u "$dir/pkg/api/v1alpha1/zz_generated.deepcopy.go" pkg/api/v1alpha1/zz_generated.deepcopy.go || code=1
	diff -ru "$dir/manifests/base/crd" manifests/base/crd || code=1
	diff -ru "$dir/manifests/preview/crd" manifests/preview/crd || code=1
	diff -ru "$dir/manifests/monitoring/dashboards" manifests/monitoring/dashboards || code=1
	diff -u "$dir/manifests/monitoring/operator/prometheusrules.yaml" manifests/monitoring/operator/prometheusrules.yaml || code=1
	diff -u "$dir/docs/metrics.md" docs/metrics.md || code=1
	diff -ru "$dir/docs/reference" docs/reference || code=1
	rm -rf "$dir"
	[ $code -eq 0 ] || { echo "run make generate"; return 1; }
}

check "formatting" formatted
check "go vet" go vet -tags libvirt_dlopen ./...
check "golangci-lint" bin/tools/golangci-lint run --allow-parallel-runners ./...
check "generated files" generated
check "shell scripts" shellcheck hack/*.sh hack/packages/*.sh hack/packages/executor/*.sh .ci/run
check "YAML" yamllint --strict manifests hack/packages .yamllint.yaml
check "go.mod" go mod tidy -diff
check "hack/tools/go.mod" env -C hack/tools go mod tidy -diff
check "hack/packages/go.mod" env -C hack/packages go mod tidy -diff
check "hack/tools/helm/go.mod" env -C hack/tools/helm go mod tidy -diff
check "hack/images/go.mod" env -C hack/images go mod tidy -diff

if [ ${#failed[@]} -gt 0 ]; then
	printf 'verify: failed: %s\n' "${failed[@]}"
	exit 1
fi
echo "verify: all is well"
