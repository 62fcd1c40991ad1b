//! Wire types and the checked configuration model, shared by both planes. No I/O, no runtime.
//!
//! [`sync`] and [`admin`] are generated from `holdfast/**.proto`; nothing in them has been checked.
//! [`snapshot`] holds the checked model: both planes build and check a configuration with the same code.

pub mod admin_client;
pub mod ids;
pub mod kinds;
pub mod records;
pub mod seal;
pub mod secret;
pub mod snapshot;
pub mod state;

mod codec;
mod unprinted;

/// Generated: the stream between a data plane and the control plane.
#[allow(missing_docs, reason = "generated code; the protocol file is the documentation")]
pub mod sync {
    tonic::include_proto!("holdfast.sync.v1");
}

/// Generated: the admin API.
#[allow(missing_docs, reason = "generated code; the protocol file is the documentation")]
pub mod admin {
    tonic::include_proto!("holdfast.admin.v1");
}

/// The files of [`admin`] as an encoded `google.protobuf.FileDescriptorSet`, for gRPC reflection.
pub const ADMIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin.descriptors"));
