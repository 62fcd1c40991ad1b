# `make test` does everything that a change must pass on a machine with Rust and a C compiler;
# what else it needs it installs from Debian, by name.

.PHONY: test bench packages

test: packages
	cargo build --workspace --bins
	cargo test --workspace

bench: packages
	cargo build --release --workspace --bins
	target/release/holdfast-bench --holdfast target/release/holdfast --floor target/release/holdfast-floor $(BENCH)
	cargo bench -p holdfast-bench

packages:
	@.ci/packages
