//! A simulator of AWS KMS, CloudHSM v2 and STS that really calls an external key store proxy, so that one can be rehearsed without AWS.
//!
//! Always holds: it shares no code with the product, so that a mistake of the product is not made here as well; it is for tests and trials,
//! and keeps keys in the clear.

pub use crate::{
    control::{Control, Held, ProxyFaults, When},
    serve::{Sim, SimError},
    settings::SimSettings,
};

mod call;
mod clock;
mod cloudhsm;
mod control;
mod crypto;
mod draw;
mod error;
mod faults;
mod keys;
mod kms;
mod persist;
mod serve;
mod settings;
mod shared;
mod sigv4;
mod state;
mod stores;
mod sts;
mod switches;
mod xks;
