#!/usr/bin/env bash
# Generates deep copies and CustomResourceDefinitions into a tree: generate.sh DIR
# DIR is the project itself, or a folder that is compared with it.
set -euo pipefail

into=$(readlink -f "${1:?usage: generate.sh DIR}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p "$into/pkg/api/v1alpha1" "$into/manifests/base/crd"
bin/tools/controller-gen object paths=./pkg/api/v1alpha1 output:object:dir="$into/pkg/api/v1alpha1"
bin/tools/controller-gen crd paths=./pkg/api/v1alpha1 output:crd:dir="$into/manifests/base/crd"
