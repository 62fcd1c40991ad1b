//! The four bodies that AWS KMS sends and the four that it gets.
//!
//! Owns: which member must be there, of which type and size, and which refusal each breach is ("which
//! 400" in the protocol). Holds: a request that exists obeys every rule that needs no key; unknown
//! members are ignored at any level, doubled ones too; plaintext is wiped when dropped and never shown by `Debug`.
//!
//! Breaches are looked for in this order, so that one body always gets one answer: the JSON and its
//! members in the order of the tables in the specification, then algorithms, then sizes. A `null` is
//! read as an absent member, as encoders write it that leave nothing out.

mod bytes;
mod members;
mod request;
mod response;

pub use self::bytes::{Payload, Plaintext, Short};
pub use self::request::{DecryptRequest, EncryptRequest, HealthRequest, MetadataRequest, RequestMetadata};
pub use self::response::{
    DecryptResponse, EkmFleetDetail, EkmHealth, EncryptResponse, HealthResponse, KeyStatus, KeyUsages, MetadataResponse,
};
