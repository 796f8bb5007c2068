#!/usr/bin/env bash
# Generates deep copies, CustomResourceDefinitions, dashboards, Prometheus Operator's
# rules, the tables of metrics and docs/reference into a tree: generate.sh DIR
# DIR is the project itself, or a folder that is compared with it.
set -euo pipefail

# Kinds on which nothing acts yet: they are not part of the installation.
preview=(storagepools)

into=$(readlink -f "${1:?usage: generate.sh DIR}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "$into/pkg/api/v1alpha1" "$into/manifests/base/crd" "$into/manifests/preview/crd"
bin/tools/controller-gen object paths=./pkg/api/v1alpha1 output:object:dir="$into/pkg/api/v1alpha1"
bin/tools/controller-gen crd paths=./pkg/api/v1alpha1 output:crd:dir="$into/manifests/base/crd"
for plural in "${preview[@]}"; do
	mv "$into/manifests/base/crd/domus.dev_$plural.yaml" "$into/manifests/preview/crd/"
done
go run -tags libvirt_dlopen ./hack/dashboards "$into"
go run -tags libvirt_dlopen ./hack/reference "$into"
go run ./hack/prometheusrules "$into"
