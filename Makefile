# evshim: build, check and install. `make help` lists the targets.
#
# cargo builds the library; this file gives it the names that a C linker and loader look for, and
# holds the checks that a plain `cargo test` cannot make (C programs, sanitizers, installed trees).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := build

CARGO ?= cargo
CARGOFLAGS ?=
CARGO_TARGET_DIR ?= target
BUILD := build

PREFIX ?= /usr/local
DESTDIR ?=
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/evshim
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR ?= $(LIBDIR)/cmake/evshim

INSTALL ?= install

# Extra words for ctests/run, for instance CTESTS_ARGS=ctests/ports/send.c.
CTESTS_ARGS ?=
VALGRIND := valgrind --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
	--child-silent-after-fork=no --num-callers=30 --suppressions=scripts/valgrind.supp -q \
	--fair-sched=try

# For install and uninstall alone: exported to everything, names like these would reach the makefiles of the
# programs that check-clients builds.
WHERE = PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' BINDIR='$(BINDIR)' LIBDIR='$(LIBDIR)' \
	INCLUDEDIR='$(INCLUDEDIR)' MANDIR='$(MANDIR)' DOCDIR='$(DOCDIR)' PKGCONFIGDIR='$(PKGCONFIGDIR)' \
	CMAKEDIR='$(CMAKEDIR)' INSTALL='$(INSTALL)'
export CARGO

.PHONY: build demo check check-c check-rust check-loom check-headers check-symbols check-smoke check-consumers \
	check-command check-valgrind check-asan check-tsan check-oldkernel check-clients check-clients-full \
	check-model check-oracle oracle-fuzz check-stress soak fuzz bench bench-redis bench-docs \
	install install-libkqueue-compat uninstall clean help

##@ Building

# rustc and not build: cargo drops the profile's LTO where the crate types include rlib, which the unit tests need.
build: ## build/lib/libevshim.{so,so.0,a} and build/bin/evshim (the default)
	$(CARGO) rustc --release --locked -p evshim --lib --crate-type cdylib,staticlib $(CARGOFLAGS)
	scripts/stage-libs.sh $(CARGO_TARGET_DIR)/release $(BUILD)/lib
	scripts/stage-command.sh $(BUILD)/bin

demo: build ## build and show the library at work
	scripts/setup.sh demo
	scripts/demo.sh

##@ Checking

check: ## everything that needs no special tool: C tests, Rust tests, headers, symbols, one consumer
	scripts/setup.sh check
	$(MAKE) --no-print-directory build
	$(MAKE) --no-print-directory check-headers
	$(MAKE) --no-print-directory check-symbols
	$(MAKE) --no-print-directory check-command
	$(MAKE) --no-print-directory check-smoke
	$(MAKE) --no-print-directory check-rust
	$(MAKE) --no-print-directory check-oracle
	$(MAKE) --no-print-directory check-c

check-c: build ## the C tests against the shared and the static library, with LD_PRELOAD and dlopened
	@status=0; for mode in shared static preload dlopen; do \
		printf '\n== C tests: %s\n' $$mode; \
		ctests/run -m $$mode $(CTESTS_ARGS) || status=1; \
	done; exit $$status

check-rust: ## the Rust unit tests
	$(CARGO) test --locked -p evshim --lib $(CARGOFLAGS)

check-loom: ## models of the lock-free parts, every interleaving (builds loom)
	RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom $(CARGO) test --locked --release --test loom
	@echo "the same with a re-check left out, which must be found:"
	@if RUSTFLAGS="--cfg loom --cfg evshim_planted" CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/loom-planted $(CARGO) test \
		--locked --release --test loom pins_are_waited_for >$(CARGO_TARGET_DIR)/loom-planted.log 2>&1; \
	then echo "loom did not find it"; exit 1; \
	else grep -q 'pins_are_waited_for ... FAILED' $(CARGO_TARGET_DIR)/loom-planted.log && echo "found"; fi

check-headers: ## the public headers, alone, together and with options, in every C and C++ standard
	scripts/check-headers.sh

check-symbols: build ## the exported symbols against the headers and the list of interposed names
	scripts/check-symbols.sh $(BUILD)/lib

check-command: build ## the evshim command, from the build tree
	scripts/check-command.sh $(BUILD)/bin/evshim

check-smoke: build ## one consumer of an installed and then moved tree
	scripts/check-consumers.sh smoke

check-consumers: build ## consumers with pkg-config, CMake, Meson and autotools, shared and static
	scripts/setup.sh consumers
	scripts/check-consumers.sh full

check-valgrind: build ## the C tests (shared) under valgrind's memcheck
	scripts/setup.sh valgrind
	EVSHIM_TEST_VALGRIND=1 EVSHIM_TEST_SLOW=$${EVSHIM_TEST_SLOW:-5} ctests/run -m shared -w "$(VALGRIND)" \
		$(CTESTS_ARGS)

check-asan: ## the C tests under AddressSanitizer: linked, and preloaded after libasan
	scripts/check-asan.sh $(CTESTS_ARGS)

check-tsan: ## the C tests under ThreadSanitizer
	scripts/check-tsan.sh $(CTESTS_ARGS)

check-model: ## random programs against models of the rules (EVSHIM_MODEL_STEPS of each, EVSHIM_MODEL_SEED)
	$(CARGO) test --locked --test model $(CARGOFLAGS)

check-oracle: build ## kqueue: what a FreeBSD kernel answered to random sequences (EVSHIM_ORACLE: the traces' folder)
	scripts/check-oracle.sh

SEEDS ?= 1
oracle-fuzz: build ## kqueue: SEEDS new sets of random sequences against a model of the rules (EVSHIM_ORACLE_SEED)
	scripts/check-oracle.sh fuzz $(SEEDS)

check-stress: build ## the stress programs, EVSHIM_STRESS_SECONDS each
	ctests/run ctests/life/stress.c ctests/life/stress_wake.c

soak: ## the stress programs for an hour
	EVSHIM_STRESS_SECONDS=3600 $(MAKE) --no-print-directory check-stress

FUZZ_SECONDS ?= 60
FUZZ_TARGET ?= model
fuzz: ## cargo fuzz drives a model: FUZZ_TARGET=model (ports) or kqueue (needs cargo-fuzz)
	$(CARGO) fuzz run -s none $(FUZZ_TARGET) -- -max_total_time=$(FUZZ_SECONDS) -max_len=2048 -timeout=10

check-oldkernel: build ## the C tests where newer system calls answer ENOSYS, then EPERM
	scripts/check-oldkernel.sh $(CTESTS_ARGS)

check-clients: build ## real programs built on event ports, the quick set
	scripts/setup.sh clients
	scripts/clients.sh quick

check-clients-full: build ## real programs built on event ports, all of them
	scripts/setup.sh clients
	scripts/clients.sh full

##@ Measuring

bench: build ## ratios against raw epoll: a table (BENCH_QUICK=1, BENCH_ROWS="..."; see bench/README.md)
	@bench/run.py

bench-redis: build ## redis on event ports against redis on epoll (scripts/clients.sh build redis makes them)
	@bench/redis.py

bench-docs: ## docs/performance.svg and the table of docs/performance.md from the last full results
	@bench/report.py

##@ Installing

install: build ## into PREFIX (/usr/local) below DESTDIR; LIBDIR, INCLUDEDIR, MANDIR can be set
	@$(WHERE) scripts/install.sh

install-libkqueue-compat: ## beside an installed evshim: libkqueue.so.0, its header and libkqueue.pc, for programs built with libkqueue
	@$(WHERE) CC='$(CC)' scripts/install-libkqueue.sh

uninstall: ## remove what `make install` with the same variables put there
	@$(WHERE) scripts/uninstall.sh

##@ Other

clean: ## remove build/ and cargo's target directory
	rm -rf $(BUILD)
	$(CARGO) clean

help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-20s %s\n", $$1, $$2 }' Makefile
