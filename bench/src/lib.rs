//! Load tools for any XKS proxy: an open-loop load generator, a floor server and the driver of `make bench`.
//!
//! Shares no SigV4, AAD or CDIV code with the product: requests are signed by `aws-sigv4`, and answers are
//! checked by code of this crate alone, so that a mistake cannot hide by being made on both sides.

pub mod connection;
pub mod driver;
pub mod floor;
pub mod load;
pub mod plan;
pub mod report;
pub mod signer;
pub mod target;
pub mod wrk;

mod lane;
mod message;
mod pinned;
mod schedule;
mod stalls;
mod worker;

pub use load::run;
pub use message::encrypt_body;
pub use plan::{Check, Connections, End, LoadPlan, Pace, Stalled, Workload};
pub use report::LoadReport;
pub use target::Target;

/// An error and its causes, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
