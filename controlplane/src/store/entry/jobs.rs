//! Scheduled jobs.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Stamps;

/// What runs when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobConfigEntry {
    /// The job configuration.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// When made and changed.
    pub stamps: Stamps,
}
