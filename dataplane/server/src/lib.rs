//! The data plane: answers AWS KMS.

pub mod limits;
pub mod metrics;
pub mod settings;
pub(crate) mod tls;
