//! The XKS protocol (API specification 1.0.3) and SigV4 verification as pure functions on bytes.
//!
//! Owns: which paths exist, what a signature must cover, what a body may say, which bytes AES-GCM
//! authenticates, and how every refusal looks on the wire.
//! Holds: no I/O, no clock (`now` is a parameter), no panic on any input, nothing of ours below it.
//! Called by the data plane's request path, in this order: [`path::parse`], [`sigv4::claim`],
//! [`sigv4::Claim::check_scope`], [`sigv4::Claim::verify`], a parser of [`message`], [`aad`], and a
//! response of [`message`] or [`refusal::Refusal::body`].

pub mod aad;
pub mod limits;
pub mod message;
pub mod path;
pub mod refusal;
pub mod sigv4;
