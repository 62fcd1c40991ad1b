//! SigV4 as XKS 1.0.3 uses it: which signatures are acceptable, and the proof that one was checked.
//!
//! Owns: the `Authorization` grammar, the canonical request, the replay window, signing keys.
//! Holds: only [`Claim::verify`] makes an [`Authenticated`]; what it covers is exactly the method, path,
//! signed headers and body that it was given; signatures are compared in constant time.
//!
//! ```text
//! claim(head) ─▶ Claim ─▶ look the access key up ─▶ check_scope ─▶ SigningKey ─▶ verify ─▶ Authenticated
//! ```

mod canonical;
mod claim;
mod error;
mod key;
mod timestamp;

pub use self::claim::{Authenticated, Claim, Head, claim};
pub use self::error::AuthError;
pub use self::key::SigningKey;
pub use self::timestamp::{ClockOffset, Day};
