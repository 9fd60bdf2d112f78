# The one door: make demo, make test, make bench. Each installs what it needs and says what it installs.

SHELL := /bin/sh
CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
RELEVO := $(TARGET)/release/relevo

# Packages of Debian 12.
NEED_BUILD := gcc libc6-dev
NEED_LAB   := iproute2 curl
NEED_TEST  := $(NEED_LAB) qemu-system-x86 linux-image-cloud-amd64 busybox-static cpio udhcpc bind9-dnsutils dnsmasq-base procps util-linux tcpdump tshark nftables keepalived haproxy apache2 libapache2-mod-php apache2-utils nginx nghttp2-client nghttp2-server openssl pebble
NEED_BENCH := haproxy util-linux iproute2 nftables

.PHONY: help demo test bench build lint unit lab-test fuzz toolchain

help:
	@echo 'make demo    build, bring up a whole cluster on this machine, kill its director, report what a client noticed'
	@echo '             (DEMO=keep make demo: it stays up for you to play with)'
	@echo 'make test    every test: rooms, simulation, real clusters out of network namespaces, real keepalived and Apache'
	@echo 'make bench   CPU time per request beside HAProxy; writes target/bench/summary.json (BENCH=--quick make bench: one pair each)'
	@echo 'make build   the release binary, $(RELEVO)'

toolchain:
	@command -v $(CARGO) >/dev/null || { echo 'make: no Rust toolchain: see https://rustup.rs' >&2; exit 2; }

build: toolchain
	@scripts/need.sh $(NEED_BUILD)
	$(CARGO) build --release --package relevo

demo: build
	@scripts/need.sh $(NEED_LAB)
	@$(RELEVO) demo $(if $(filter keep,$(DEMO)),--keep)

test: toolchain
	@scripts/need.sh $(NEED_BUILD) $(NEED_TEST)
	@$(MAKE) --no-print-directory lint unit fuzz lab-test

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --document-private-items --quiet
	$(CARGO) xtask tidy

# cargo-nextest where it is there: it runs each test in a process of its own. Else cargo's own runner. The program is built
# before, as tests that start it would build it, in the time that a test has.
unit:
	@$(CARGO) build --quiet --package relevo
	@if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --workspace; \
	else $(CARGO) test --workspace -- --skip lab_; fi

lab-test:
	@$(CARGO) build --quiet --package relevo
	@if $(CARGO) nextest --version >/dev/null 2>&1; then $(CARGO) nextest run --workspace --profile lab; \
	else $(CARGO) test --workspace lab_ -- --test-threads=1; fi

fuzz:
	@fuzz/run.sh 10

bench: build
	@scripts/need.sh $(NEED_BENCH)
	@$(RELEVO) bench compare --with haproxy $(BENCH)
