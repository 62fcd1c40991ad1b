//! Compiles the protocol files with protox, so that no protoc is needed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=holdfast");
    let files = ["holdfast/sync/v1/sync.proto", "holdfast/admin/v1/admin.proto"];
    let descriptors = protox::compile(files, ["."])?;
    // Whoever opens a stream brings the transport: this crate does no I/O.
    tonic_prost_build::configure().build_transport(false).skip_debug(WITH_SECRETS).compile_fds(descriptors)?;
    Ok(())
}

/// Messages with a secret in them; `src/unprinted.rs` says what is shown of each.
const WITH_SECRETS: [&str; 6] = [
    ".holdfast.sync.v1.Credential",
    ".holdfast.admin.v1.LoginRequest",
    ".holdfast.admin.v1.LoginResponse",
    ".holdfast.admin.v1.CreateKeyStoreRequest",
    ".holdfast.admin.v1.CreateKeyStoreResponse",
    ".holdfast.admin.v1.CreateCredentialResponse",
];
