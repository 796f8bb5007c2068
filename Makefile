# Domus: `make help` lists what can be made.
SHELL := /bin/bash
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
TOOLS := $(BIN)/tools
DEMO := .run/demo
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
KUBECTL = $(or $(shell command -v kubectl),$(TOOLS)/kubectl)

# The tag opens libvirt's library at run time: no headers are needed to build.
TAGS := libvirt_dlopen
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

# The version of k8s.io/kubernetes in go.mod; its programs say it as their own.
KUBERNETES := $(shell sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\).*|\1|p' go.mod)
K8S_VERSION_PACKAGE := k8s.io/component-base/version
K8S_LDFLAGS := -X $(K8S_VERSION_PACKAGE).gitVersion=$(KUBERNETES) \
	-X $(K8S_VERSION_PACKAGE).gitMajor=$(word 1,$(subst ., ,$(KUBERNETES:v%=%))) \
	-X $(K8S_VERSION_PACKAGE).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES:v%=%)))

GOLANGCI_LINT_VERSION := v2.13.2
CONTROLLER_GEN_VERSION := v0.23.0

GO_TEST := go test -tags $(TAGS)

##@ Try it

.PHONY: demo
demo: deps-run build tools guest ## Bring up a cluster with 2 real guests and 30 VMs on 20 simulated hosts.
	$(SUDO) $(BIN)/domus-dev up --dir $(DEMO) --samples
	@hack/demo-tour.sh "$(KUBECTL)" $(DEMO)

.PHONY: demo-down
demo-down: ## End the demo and remove all of it.
	@if [ -x $(BIN)/domus-dev ]; then $(SUDO) $(BIN)/domus-dev down --dir $(DEMO) --purge; else echo "there is no demo"; fi

##@ Build

.PHONY: build
build: ## Build the programs into bin/.
	go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/domus-dev ./cmd/vm-executor ./cmd/virtctl
	ln -sf virtctl $(BIN)/kubectl-vm
	ln -sf virtctl $(BIN)/kubectl_complete-vm
	go build -trimpath -tags $(TAGS) -ldflags '$(LDFLAGS) $(K8S_LDFLAGS)' -o $(BIN)/ ./cmd/vm-scheduler

PACKAGES := $(BIN)/packages

.PHONY: deb
deb: $(TOOLS)/nfpm ## Build Debian packages for hosts and people into bin/packages.
	hack/packages/build.sh deb $(PACKAGES)

.PHONY: rpm
rpm: $(TOOLS)/nfpm ## Build the same packages for RPM.
	hack/packages/build.sh rpm $(PACKAGES)

$(TOOLS)/nfpm: hack/packages/go.mod hack/packages/go.sum
	mkdir -p $(TOOLS)
	go build -C hack/packages -trimpath -o $@ github.com/goreleaser/nfpm/v2/cmd/nfpm

IMAGES := $(BIN)/images
IMAGE_TAG ?= dev
REGISTRY ?=

# vm-scheduler is pure Go and its image has nothing but it. vm-executor is linked with
# libc, as what opens libvirt's library has to be.
.PHONY: images
images: ## Make the container images in bin/images, without a daemon; REGISTRY=host/path pushes them.
	CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '-s -w $(LDFLAGS) $(K8S_LDFLAGS)' -o $(IMAGES)/vm-scheduler.d/ ./cmd/vm-scheduler
	go build -trimpath -tags $(TAGS) -ldflags '-s -w $(LDFLAGS)' -o $(IMAGES)/vm-executor.d/ ./cmd/vm-executor
	hack/image-packages.sh $(IMAGES)/debs
	cd hack/images && go run . --programs $(IMAGES) --debs $(IMAGES)/debs --out $(IMAGES) --tag $(IMAGE_TAG) --push '$(REGISTRY)'

CHART_VERSION ?= 0.0.0-dev

.PHONY: chart
chart: $(TOOLS)/helm ## Package the Helm chart into bin/, as CHART_VERSION and for images of IMAGE_TAG.
	$(TOOLS)/helm package manifests/helm/domus --destination $(BIN) --version $(CHART_VERSION) --app-version $(IMAGE_TAG)

.PHONY: guest
guest: ## Build the tiny guest images of the demo and the tests, without and with a guest agent.
	hack/guest-image.sh $(BIN)/guest/tiny.qcow2
	hack/guest-image.sh --agent $(BIN)/guest/agent.qcow2

.PHONY: guest-cloud
guest-cloud: ## Build the guest in which Debian's own cloud-init runs, for the tests.
	hack/guest-cloud-image.sh $(BIN)/guest/cloud.qcow2

.PHONY: tools
tools: $(TOOLS)/etcd $(TOOLS)/kube-apiserver $(if $(shell command -v kubectl),,$(TOOLS)/kubectl) ## Build etcd, kube-apiserver and, if there is none, kubectl (10 minutes the first time).

TOOL_SOURCES := hack/tools/go.mod hack/tools/go.sum

$(TOOLS)/etcd: $(TOOL_SOURCES)
	hack/build-tools.sh $@ go.etcd.io/etcd/server/v3

$(TOOLS)/kube-apiserver: $(TOOL_SOURCES)
	hack/build-tools.sh $@ k8s.io/kubernetes/cmd/kube-apiserver '$(K8S_LDFLAGS)'

$(TOOLS)/kubectl: $(TOOL_SOURCES)
	hack/build-tools.sh $@ k8s.io/kubernetes/cmd/kubectl '$(K8S_LDFLAGS)'

# For tests alone, in which it leads a Service's clients to guests.
$(TOOLS)/kube-proxy: $(TOOL_SOURCES)
	hack/build-tools.sh $@ k8s.io/kubernetes/cmd/kube-proxy '$(K8S_LDFLAGS)'

# 5 minutes the first time.
$(TOOLS)/helm: hack/tools/helm/go.mod hack/tools/helm/go.sum
	hack/build-tools.sh $@ helm.sh/helm/v4/cmd/helm '-X helm.sh/helm/v4/internal/version.version=v4.2.3' helm

.PHONY: deps
deps: ## Install what is missing from apt, tests included.
	hack/install-deps.sh

.PHONY: deps-run
deps-run:
	DOMUS_DEPS=run hack/install-deps.sh

##@ Test

# Everything is built first. The tests with real guests wait most of the time, and the
# others do not: they run side by side, and each says what it has to say when it is done.
.PHONY: test
test: deps build tools guest guest-cloud images $(TOOLS)/kube-proxy $(TOOLS)/helm $(TOOLS)/nfpm ## Install what is missing and run every test.
	$(MAKE) BUILT=yes --jobs=2 --output-sync=target test-guests test-rest

.PHONY: test-guests
test-guests:
	$(MAKE) --jobs=1 test-e2e

.PHONY: test-rest
test-rest:
	$(MAKE) --jobs=1 test-unit test-integration corpus test-placement-quick test-cni test-docs test-browser test-deploy test-packages $(SKEW) test-faults-quick

# What a test needs that make test has not built before.
needs = $(if $(BUILT),,$(1))

.PHONY: test-unit
test-unit: ## Run the unit tests.
	$(GO_TEST) ./cmd/... ./pkg/... ./manifests/... ./test/performance/... ./test/monitoring/... ./test/docs ./test/internal/pages ./hack/reference

.PHONY: test-race
test-race: ## Run the unit tests, and 50 random fleets, under Go's race detector; needs a C compiler.
	$(GO_TEST) -race ./cmd/... ./pkg/...
	$(GO_TEST) -race ./test/placement -timeout 30m -rapid.checks=50

CORPUS := $(BIN)/corpus

# Compiled first and run as root, since it asks a libvirtd of its own.
.PHONY: corpus
corpus: ## Fetch libvirt's own test documents, and bring each to YAML and back; needs root.
	hack/corpus.sh $(CORPUS)
	$(GO_TEST) -c -o $(BIN)/corpus.test ./test/corpus
	cd test/corpus && $(SUDO) $(BIN)/corpus.test -test.v -test.timeout 10m

FUZZTIME ?= 10m

.PHONY: fuzz
fuzz: ## Fuzz the conversion of XML in both directions, each for FUZZTIME (10m).
	hack/corpus.sh $(CORPUS)
	$(GO_TEST) -run '^$$' -fuzz '^FuzzXML$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 5s ./pkg/convert/document
	$(GO_TEST) -run '^$$' -fuzz '^FuzzTree$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 5s ./pkg/convert/document

FLEETS ?= 10000

.PHONY: test-placement
test-placement: ## Hold the scheduler against an oracle on FLEETS (10,000) random fleets; half an hour.
	$(GO_TEST) -c -o $(BIN)/placement.test ./test/placement
	cd test/placement && $(BIN)/placement.test -test.v -test.timeout 3h -rapid.checks=$(FLEETS)

.PHONY: test-placement-quick
test-placement-quick: ## The same on 500 fleets, as make test does.
	$(MAKE) test-placement FLEETS=500

.PHONY: test-integration
test-integration: $(call needs,tools) ## Run the tests against a real API server.
	KUBEBUILDER_ASSETS=$(TOOLS) $(GO_TEST) -count=1 -timeout 30m ./test/integration/...

# Compiled first and run as root, since it brings up a host with real guests.
.PHONY: test-e2e
test-e2e: $(call needs,build tools $(TOOLS)/kube-proxy guest guest-cloud) ## Run the tests with real guests; needs root.
	$(GO_TEST) -c -o $(BIN)/e2e.test ./test/e2e
	cd test/e2e && $(SUDO) $(BIN)/e2e.test -test.v -test.timeout 75m

ROUNDS ?= 20

.PHONY: test-kills
test-kills: build tools $(TOOLS)/kube-proxy guest guest-cloud ## The part of it that kills again and again, in ROUNDS (20) rounds; an hour.
	$(GO_TEST) -c -o $(BIN)/e2e.test ./test/e2e
	cd test/e2e && $(SUDO) env DOMUS_E2E_ROUNDS=$(ROUNDS) $(BIN)/e2e.test -test.v -test.timeout 3h -test.run 'SurvivesKills|LeakNothing|LeaksNothing'

# Compiled first and run as root, since a page's commands are run where real guests are.
.PHONY: test-docs
test-docs: $(call needs,build tools guest) ## Run the commands of docs/ as the pages tell, and compare what is printed; needs root.
	$(GO_TEST) -c -o $(BIN)/docs.test ./test/docs/commands
	cd test/docs/commands && $(SUDO) $(BIN)/docs.test -test.v -test.timeout 20m

# Compiled first and run as root, since pods are played in namespaces of their own.
.PHONY: test-deploy
test-deploy: $(call needs,tools images $(TOOLS)/helm) ## Run what manifests and images say against a real API server; needs root.
	$(GO_TEST) -c -o $(BIN)/deploy.test ./test/deploy
	cd hack/images && go test -count=1 ./...
	cd test/deploy && $(SUDO) env "PATH=$$PATH" $(BIN)/deploy.test -test.v -test.timeout 20m

.PHONY: test-cni
test-cni: $(call needs,guest) ## Try cards of real CNI plugins in network namespaces; needs root.
	$(GO_TEST) -c -o $(BIN)/cni.test ./test/cni
	cd test/cni && $(SUDO) $(BIN)/cni.test -test.v -test.timeout 20m

# playwright-core is what the lock file says, to the byte; nothing of it is run when it
# is installed.
.PHONY: test-browser
test-browser: $(call needs,build tools) ## Look at the placement map in a real browser.
	npm ci --prefix test/browser --ignore-scripts --no-audit --no-fund
	$(GO_TEST) -c -o $(BIN)/browser.test ./test/browser
	cd test/browser && $(BIN)/browser.test -test.v -test.timeout 15m

# Compiled first and run as root. Packages are installed in a copy of this machine's file
# system, which is gone afterwards.
.PHONY: test-packages
test-packages: $(call needs,build tools guest $(TOOLS)/nfpm) ## Install the packages, and have a host join and keep its guest; needs root.
	$(GO_TEST) -c -o $(BIN)/packages.test ./test/packages
	cd test/packages && $(SUDO) env "PATH=$$PATH" ../../bin/packages.test -test.v -test.timeout 30m

# The release before is built from the history, which a shallow clone has not got.
SKEW = $(if $(shell git cat-file -e "$$(cat test/skew/previous)^{commit}" 2>/dev/null && echo yes),test-skew,no-skew)

.PHONY: no-skew
no-skew:
	@echo "the history of this clone is cut off before $$(cat test/skew/previous): test-skew is left out; git fetch --unshallow mends that"

.PHONY: test-skew
test-skew: $(call needs,build tools guest) ## Run vm-executor of the release before with this vm-scheduler; needs root.
	hack/skew.sh $(BIN)/previous
	$(GO_TEST) -c -o $(BIN)/skew.test ./test/skew
	cd test/skew && $(SUDO) $(BIN)/skew.test -test.v -test.timeout 30m

FAULTS ?= 200
SEED ?= 0
TABLE ?= .run/faults.md
# Parts of the table are held at the same time, each in a cluster of its own, which
# takes up to 2 GiB.
PARTS ?= 3

.PHONY: test-faults
test-faults: build tools guest ## Hurt real guests in every known way, and kill FAULTS (200) processes at random; needs root.
	$(GO_TEST) -c -o $(BIN)/faults.test ./test/faults
	$(SUDO) hack/test-faults.sh $(BIN)/faults.test $(PARTS) $(FAULTS) $(SEED) "$(abspath $(TABLE))"

.PHONY: test-faults-quick
test-faults-quick: $(call needs,build tools guest) ## The part of it that make test runs: QEMU, libvirtd and vm-executor are killed.
	$(GO_TEST) -c -o $(BIN)/faults.test ./test/faults
	cd test/faults && $(SUDO) $(BIN)/faults.test -test.v -test.timeout 15m -test.short

# The scheduler of pods, of the very version that is embedded.
$(TOOLS)/kube-scheduler: go.mod
	go build -trimpath -ldflags '-s -w $(K8S_LDFLAGS)' -o $@ k8s.io/kubernetes/cmd/kube-scheduler

NODES ?= 1000
WORKLOADS ?= 2000
PAIRS ?= 5
SHAPES ?= plain,single-cell,anti-affinity,spread,unschedulable,preemption
MODE ?= backlog
OUT ?= .run/bench.json
BENCH_ARGS ?=

.PHONY: bench
bench: build tools $(TOOLS)/kube-scheduler ## Compare with kube-scheduler: NODES, WORKLOADS, PAIRS, SHAPES, MODE, OUT; a quarter of an hour.
	go build -tags $(TAGS) -o $(BIN)/bench ./test/performance/bench
	mkdir -p "$(dir $(OUT))"
	$(BIN)/bench --nodes $(NODES) --workloads $(WORKLOADS) --pairs $(PAIRS) --shapes $(SHAPES) --mode $(MODE) --out "$(OUT)" --markdown "$(OUT:.json=.md)" $(BENCH_ARGS)
	$(BIN)/bench check "$(OUT)"

TIMES ?= 20

.PHONY: bench-startstop
bench-startstop: build tools guest ## Start and stop a real guest TIMES (20) times through Domus and by libvirt alone; needs root and a machine at rest.
	go build -tags $(TAGS) -o $(BIN)/bench ./test/performance/bench
	$(SUDO) $(BIN)/bench startstop --times $(TIMES)

.PHONY: bench-convert
bench-convert: ## Time the conversion of XML to YAML's tree and back.
	$(GO_TEST) -run '^$$' -bench . -benchtime 3s ./pkg/convert/document

##@ Change it

.PHONY: generate
generate: $(TOOLS)/.controller-gen-$(CONTROLLER_GEN_VERSION) ## Generate code, CustomResourceDefinitions, dashboards, tables of metrics and docs/reference.
	hack/generate.sh .

.PHONY: verify
verify: deps $(TOOLS)/.controller-gen-$(CONTROLLER_GEN_VERSION) $(TOOLS)/.golangci-lint-$(GOLANGCI_LINT_VERSION) ## Check formatting, lint, generated files, scripts and YAML.
	hack/verify.sh

$(TOOLS)/.controller-gen-$(CONTROLLER_GEN_VERSION):
	GOBIN=$(TOOLS) go install sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION)
	touch $@

$(TOOLS)/.golangci-lint-$(GOLANGCI_LINT_VERSION):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	touch $@

.PHONY: clean
clean: ## Remove what was built, tools included.
	rm -rf $(BIN)

.PHONY: help
help: ## Show this.
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
