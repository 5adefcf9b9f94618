# make demo: builds the program and runs the main job. make test: every check. Both install the Debian packages that the build needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
TARGET := $(or $(CARGO_TARGET_DIR),target)
FLINK := $(abspath $(TARGET))/release/flink
DEMO := $(abspath $(TARGET))/demo

.PHONY: demo test tools

# Beside Rust the build needs C and C++ compilers (RocksDB, SQLite, zstd and Lua are compiled in) and libclang (RocksDB's bindings); the
# tests need Python, for environments of their own with programs from PyPI.
tools:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust, https://rustup.rs" >&2; exit 1; }
	@missing=; \
	echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 || missing="gcc libc6-dev"; \
	echo '#include <vector>' | c++ -x c++ -E - >/dev/null 2>&1 || missing="$$missing g++"; \
	[ -n "$${LIBCLANG_PATH:-}" ] || ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* 2>/dev/null | grep -qv clang-cpp \
	  || missing="$$missing libclang-dev"; \
	python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$$missing python3-venv python3-pip"; \
	if [ -n "$$missing" ]; then \
	  as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	  echo "installing what the build needs: $$missing"; \
	  $$as_root apt-get update -q && $$as_root apt-get install -qy $$missing; \
	fi

# The story of examples/flights/demo.sh in a copy of its directory.
demo: tools
	cargo build --release
	@rm -rf "$(DEMO)" && mkdir -p "$(DEMO)" && cp -r examples/flights/. "$(DEMO)"
	@export FLINK_STATE_DIR="$(DEMO)/state" FLINK_RUNTIME_DIR="$$(mktemp -d)"; \
	  "$(DEMO)/demo.sh" "$(FLINK)"; \
	  rm -rf "$$FLINK_RUNTIME_DIR"
	@echo; echo "Everything is in $(DEMO): the totals in flights.db, checkpoints and savepoints beside it."

test: tools
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps
	cargo test --release
