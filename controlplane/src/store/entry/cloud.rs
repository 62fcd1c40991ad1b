//! What describes AWS to us: connections, KMS containers, policy templates.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{SealedSecret, Stamps};

/// How to reach an AWS account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsConnectionEntry {
    /// The connection.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// The secret access key, under the control seal.
    pub secret: Option<SealedSecret>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A KMS container: one AWS account in some regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KmsContainerEntry {
    /// The container.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// The AWS account, 12 digits.
    pub account_id: String,
    /// In the order in which they were given.
    pub regions: Vec<String>,
    /// Its connection.
    pub connection: Uuid,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A key policy to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTemplateEntry {
    /// The template.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// When made and changed.
    pub stamps: Stamps,
}
