//! The node's side of configuration: the stream to the control plane, what is kept on disk, and the reports that go back.

mod backoff;
pub mod session;
pub(crate) mod status;
