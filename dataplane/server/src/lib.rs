//! The data plane: answers AWS KMS.

pub mod limits;
pub mod live;
pub mod metrics;
pub mod settings;
pub mod signing;
pub(crate) mod tls;
