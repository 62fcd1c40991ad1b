//! The data plane: answers AWS KMS.
//!
//! Owns the request path (design §4), from the listener to the key, and what it needs beside it: settings, TLS, limits, metrics, audit
//! and the ops port. Holds: a request is answered from one snapshot, in time, and never waits for the control plane. [`DataPlane`]
//! puts everything together; `live` holds the snapshot, `sync` brings it.

pub mod cache;
pub mod limits;
pub mod live;
pub mod metrics;
pub mod seals;
pub mod settings;
pub mod signing;
pub mod sync;
pub mod tasks;

mod audit;
mod authorize;
mod background;
mod body;
mod chain;
mod deadline;
mod drain;
mod forever;
mod listen;
mod ops;
mod ops_port;
mod plane;
mod request;
mod start;
mod tls;
mod trail;

pub use self::{
    audit::AuditError,
    plane::DataPlane,
    settings::Settings,
    start::{StartError, StartErrors},
    tls::{BadPattern, TlsError},
};
