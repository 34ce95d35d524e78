# walletd. `make dev` runs the wallet on this machine, `make test` tests it; each installs what it lacks and says so.
SHELL := /bin/bash
GO ?= go
BIN := bin/walletd
DEV_FLAGS ?=
GOALS_FLAGS ?=
SOAK_SECONDS ?= 60
SEEDS ?= 10000
FUZZ_SECONDS ?= 30
ACCOUNTS ?= 1000000
RECOVERY_OUT ?=
FORM ?= inprocess
SEED ?=
SECONDS_MAX ?=
FAULTS_OUT ?=
LINT_VERSION ?= v2.15.0

.PHONY: help dev cluster build deps deps-dev test planted sim sim-test vet lint soak fuzz recovery faults bench goals clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

dev: deps-dev build ## run everything on this machine: shards, file journal, gateway, projector (DEV_FLAGS="--http 127.0.0.1:9080 …")
	@exec $(BIN) dev $(DEV_FLAGS)

cluster: deps build ## start ZooKeeper, Kafka and Redis on loopback, and a walletd of every role against them
	@exec $(BIN) cluster up $(DEV_FLAGS)

build: ## build bin/walletd
	@echo "building $(BIN)"
	@mkdir -p bin
	@$(GO) build -o $(BIN) .

deps-dev: ## install what `make dev` needs (redis-server)
	@bash deploy/local/install.sh redis

deps: ## install what the tests need (redis-server, ZooKeeper, Kafka's jars, an S3 server, PostgreSQL, spin, gcc and a JDK)
	@bash deploy/local/install.sh all

test: deps vet planted sim-test ## every test, on real servers, with the race detector
	$(GO) test -race -timeout 20m ./...

planted: ## the laboratory's own test: each bug of journal/planted, planted on purpose, must be found
	$(GO) test -tags planted -count 1 -timeout 10m -run Planted $$(grep -rl --include='*_test.go' '^//go:build planted' . | xargs -n1 dirname | sort -u)

vet: ## go vet and gofmt
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...

lint: ## golangci-lint with the set of .golangci.yml (installs it when it is missing: two minutes)
	@PATH="$$PATH:$$($(GO) env GOPATH)/bin"; command -v golangci-lint >/dev/null || \
		{ echo "installing golangci-lint (two minutes)"; $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION); }; \
		golangci-lint run ./...

soak: ## the fault scenarios of deploy/systemtest for longer: make soak SOAK_SECONDS=600
	WALLETD_SOAK_SECONDS=$(SOAK_SECONDS) $(GO) test -timeout 24h -count 1 ./deploy/systemtest

recovery: RUNS ?= 10
recovery: deps ## measure how long each kind of fault keeps users waiting: make recovery RUNS=10 ACCOUNTS=1000000 RECOVERY_OUT=times.md
	WALLETD_RECOVERY_RUNS=$(RUNS) WALLETD_RECOVERY_ACCOUNTS=$(ACCOUNTS) WALLETD_RECOVERY_OUT=$(RECOVERY_OUT) \
		$(GO) test -v -timeout 24h -count 1 -run TestRecoveryTimes ./deploy/systemtest

faults: RUNS ?= 100
faults: ## the fault laboratory: make faults RUNS=1000 [FORM=inprocess|kafka|dev|cluster] [SECONDS_MAX=900] [FAULTS_OUT=matrix.json], or SEED=n for one run
	WALLETD_FAULTS_RUNS=$(RUNS) WALLETD_FAULTS_FORM=$(FORM) WALLETD_FAULTS_SEED=$(SEED) WALLETD_FAULTS_SECONDS=$(SECONDS_MAX) WALLETD_FAULTS_OUT=$(abspath $(FAULTS_OUT)) \
		$(GO) test -timeout 24h -count 1 -v -run 'TestFaultSchedules$$' ./deploy/systemtest

sim: ## the production code in a simulated world: make sim SEEDS=100000, or SEED=7 to see one run step by step (no servers needed)
	WALLETD_SIM_SEEDS=$(SEEDS) WALLETD_SIM_SEED=$(SEED) $(GO) test -timeout 24h -count 1 -v -run TestSeeds ./deploy/systemtest/sim

sim-test: ## a thousand seeds of it, and what counts allocations, without the race detector
	$(GO) test ./deploy/systemtest/sim ./gateway

fuzz: ## every fuzz target for so long: make fuzz FUZZ_SECONDS=30. What it finds is kept in testdata/fuzz, and tried by every test
	@failed=; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "fuzzing $$target in $$pkg for $(FUZZ_SECONDS) s"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ_SECONDS)s $$pkg || failed="$$failed $$pkg/$$target"; \
		done; \
	done; [ -z "$$failed" ] || { echo "these have found something:$$failed"; exit 1; }

bench: build ## measure transfers against a wallet of its own (see README, "Measured")
	@$(BIN) bench transfer --own

goals: build ## hold a wallet of its own against what it was meant to cost (docs/bench.md); GOALS_FLAGS="--kafka --rounds 9"
	@$(BIN) bench goals $(GOALS_FLAGS)

clean: ## remove what was built
	@rm -rf bin
