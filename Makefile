# The two commands of this repository: `make run` and `make test`.

# Compiled dependencies are kept outside of the clone, so that the next clone has them.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export CARGO_TARGET_DIR ?= $(CACHE)/matryx/target

# What `make run` hands to the server: make run ARGS="--server-name example.org"
ARGS ?=

.PHONY: help run test gen bench

help:
	@echo "make run    install what the build lacks, build the release and serve on this machine"
	@echo "            (make run ARGS=\"--server-name example.org\" hands flags to the server)"
	@echo "make test   install what build and tests lack, then run everything that CI runs"
	@echo "make gen    write the files that are made from the code"
	@echo "make bench  measure the release build"
	@echo "Builds are kept in $(CARGO_TARGET_DIR)."

run:
	@config/build-tools.sh build
	@echo "Building the release in $(CARGO_TARGET_DIR); the first time takes a while."
	@cargo build --locked --release --workspace --bin matryx
	@exec "$(CARGO_TARGET_DIR)/release/matryx" serve $(ARGS)

test:
	@config/build-tools.sh test
	@echo "Testing in $(CARGO_TARGET_DIR); the first time takes a while."
	@cargo xtask ci

gen:
	@config/build-tools.sh build
	@cargo xtask gen

bench:
	@config/build-tools.sh build
	@cargo xtask bench
