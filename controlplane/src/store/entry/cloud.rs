//! What describes AWS to us: connections, KMS containers, policy templates.
//!
//! Always holds: what a client must get back as it sent it is kept as it was sent; an optional text that is empty is absent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{KmsAction, SealedSecret, Stamps};

/// How to reach an AWS account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsConnectionEntry {
    /// The connection.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// The public half of an access key; none: what the host has.
    pub access_key_id: Option<String>,
    /// The secret access key, under the control seal.
    pub secret: Option<SealedSecret>,
    /// A role to take on.
    pub assume_role: AssumeRole,
    /// Where STS is asked.
    pub region: Option<String>,
    /// Which of STS's endpoints is asked.
    pub sts_endpoints: StsEndpoints,
    /// AWS's partition.
    pub cloud: AwsCloud,
    /// IAM Roles Anywhere instead of an access key.
    pub role_anywhere: Option<RoleAnywhereEntry>,
    /// Free text pairs.
    pub labels: BTreeMap<String, String>,
    /// The client's own.
    pub meta: Map<String, Value>,
    /// What the connection is for.
    pub products: Vec<String>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A role that is taken on to act in AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssumeRole {
    /// The role.
    pub arn: Option<String>,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
}

/// How AWS last answered by a connection. A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionUsedEntry {
    /// The connection.
    pub connection: Uuid,
    /// When it answered, nanoseconds since 1970.
    pub at_ns: u64,
    /// Why it was not reached, or did not let us in; none: it did.
    pub failure: Option<String>,
}

/// How a certificate stands for an AWS role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAnywhereEntry {
    /// The role.
    pub role_arn: String,
    /// PEM.
    pub certificate: String,
    /// The profile.
    pub profile_arn: String,
    /// The trust anchor.
    pub trust_anchor_arn: String,
    /// The certificate's private key, under the control seal.
    pub private_key: Option<SealedSecret>,
}

/// Which endpoints of STS are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StsEndpoints {
    /// The global one, for the regions that had it first.
    #[default]
    Legacy,
    /// The region's own.
    Regional,
}

/// A partition of AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AwsCloud {
    /// The commercial regions.
    #[default]
    #[serde(rename = "aws")]
    Commercial,
    /// GovCloud (US).
    #[serde(rename = "aws-us-gov")]
    UsGov,
    /// China.
    #[serde(rename = "aws-cn")]
    China,
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
    /// The connection's name or id, as the client named it.
    pub connection_as_sent: String,
    /// Of its connection, when that was set: names the partition in ARNs.
    pub cloud: AwsCloud,
    /// A role to take on in this account.
    pub assume_role: AssumeRole,
    /// Who was allowed what.
    pub acls: Vec<AclEntry>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What one user or group may do in a KMS container. Served, not enforced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclEntry {
    /// Who.
    pub subject: AclSubject,
    /// What was granted, never nothing; what this lets them view besides is not in it.
    pub granted: BTreeSet<KmsAction>,
}

/// Whom an ACL is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AclSubject {
    /// A user, by the client's name for it.
    User(String),
    /// A group.
    Group(String),
}

/// A key policy to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyTemplateEntry {
    /// The template.
    pub id: Uuid,
    /// Unique.
    pub name: String,
    /// The AWS account, 12 digits.
    pub account_id: String,
    /// Its KMS container.
    pub kms: Option<Uuid>,
    /// The container's name or id, as the client named it.
    pub kms_as_sent: Option<String>,
    /// The partition in its ARNs.
    pub cloud: AwsCloud,
    /// What the policy says.
    pub content: PolicyContent,
    /// A key in AWS has had it.
    #[serde(default)]
    pub verified: bool,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyContent {
    /// Only that the account may do anything.
    Default,
    /// What the client wrote, not empty.
    Given(Map<String, Value>),
    /// Made for these; not all lists are empty.
    People(PolicyPeople),
}

/// Whom a policy names, by the names that the client used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyPeople {
    /// Other AWS accounts that may use the key.
    pub external_accounts: Vec<String>,
    /// Users that administer it.
    pub key_admins: Vec<String>,
    /// Roles that administer it.
    pub key_admins_roles: Vec<String>,
    /// Users that use it.
    pub key_users: Vec<String>,
    /// Roles that use it.
    pub key_users_roles: Vec<String>,
}

impl AwsCloud {
    /// As it stands in ARNs and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::UsGov => "aws-us-gov",
            Self::China => "aws-cn",
        }
    }
}

impl StsEndpoints {
    /// As it stands in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Regional => "regional",
        }
    }
}

impl PolicyPeople {
    /// It names nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let Self { external_accounts, key_admins, key_admins_roles, key_users, key_users_roles } = self;
        external_accounts.is_empty()
            && key_admins.is_empty()
            && key_admins_roles.is_empty()
            && key_users.is_empty()
            && key_users_roles.is_empty()
    }
}
