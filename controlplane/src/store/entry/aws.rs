//! What there is in AWS: custom key stores and keys as AWS last told them, what was begun there, and the jobs that look.
//!
//! Always holds: a linked key store or HYOK key has its entry here under its own id, one that is not linked has none; what is begun in AWS
//! is committed here as `doing` before AWS is asked, so that a crash leaves a trace of it. These entries never reach a data plane.

mod jobs;
mod key;
mod store;
mod told;

pub use self::{
    jobs::{JobRanEntry, JobRunEntry, SyncJobEntry, SyncStatus},
    key::{AwsKeyEntry, AwsKeyKind, ImportEntry, KeyRotationJobEntry, KeyStep, MaterialEntry, NewKeySpec, UploadedFrom},
    store::{AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, ConnectionState, KeyStoreStep},
    told::{KeyInAws, KeyInRegion, MultiRegionInAws, RotationInAws},
};
