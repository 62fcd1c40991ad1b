//! Keys on PKCS#11 tokens, in groups of partitions that can't hang the proxy (design §5).
//!
//! From the request inward: [`Groups`] → `group` (which member, one retry, proofs) → `front` (a partition's queue and condition) →
//! `partition` (supervisor, sessions, generations), or `isolation` where that runs in a process of its own → `token` (one module, one
//! token, safe calls) → `ffi` (the only `unsafe`).
//!
//! Always holds: blocking C code runs on threads of a partition alone; nothing here waits for a token without a deadline; an HSM's
//! fault is never told as the caller's.

pub mod admin;
mod clocks;
mod crew;
mod desk;
mod durable;
mod errands;
mod fault;
#[expect(unsafe_code, reason = "the C calls of a request; each block says what makes it sound")]
mod ffi;
mod front;
mod gate;
mod group;
mod groups;
mod handles;
mod health;
mod isolation;
mod job;
mod keeper;
mod key;
mod login;
mod module;
mod objects;
mod partition;
mod pin;
mod preflight;
mod probe;
mod proof;
mod prove;
mod reference;
mod reports;
mod route;
mod seen;
mod session;
pub mod settings;
pub mod start;
mod state;
pub mod status;
mod steward;
mod token;
mod traffic;
mod turns;
mod vendor;
mod watch;
mod worker;

pub use admin::TokenAdmin;
pub use group::Group;
pub use groups::Groups;
pub use health::{HealthState, MemberHealth};
pub use isolation::{KeyhostError, keyhost};
pub use key::{GroupKey, ToDecrypt, ToEncrypt, TokenSealed};
pub use start::Pkcs11Fault;
