# `make test` does everything that a change must pass on a machine with Rust and a C compiler;
# what else it needs it installs from Debian, by name.

.PHONY: test soak bench bench-hsm bench-programs packages schemathesis aws-clients test-kryoptic

test: packages schemathesis aws-clients
	cargo build --workspace --bins
	cargo test --workspace

# Longer runs of what `make test` does a little of.
soak: packages
	cargo test -p holdfast-controlplane --test killed_while_writing -- --rounds 200

bench: bench-programs
	target/release/holdfast-bench all $(BENCH)
	cargo bench -p holdfast-bench

# The part of it that is about keys on PKCS#11 tokens.
bench-hsm: bench-programs
	target/release/holdfast-bench hsm $(BENCH)
	cargo bench -p holdfast-bench --bench pkcs11

bench-programs: packages
	cargo build --release --workspace --bins
	cargo build --release -p holdfast-sim-hsm

# Optional: needs packages that nothing else does, and minutes to build.
test-kryoptic:
	@.ci/test-kryoptic

# What asks the REST API everything that its description allows.
schemathesis: packages
	@.ci/schemathesis

# AWS's own clients, which drive the simulator of AWS KMS.
aws-clients: packages
	@.ci/aws-clients

packages:
	@.ci/packages
