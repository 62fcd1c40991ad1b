//! A whole data plane, over real TLS on loopback: what AWS KMS sees, and what strangers see.
#![cfg(test)]

mod client;
mod draining;
mod framing;
mod identities;
mod limits;
mod numbers;
mod operations;
mod process;
mod reloads;
mod rig;
mod secrets;
mod simulated;
mod softhsm;
mod tokens;
