//! Users and what they sign in with.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{SealedSecret, Stamps};
use crate::names::UserName;

/// A user of the admin API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// Stands in tokens.
    pub id: Uuid,
    /// Stands at login.
    pub name: UserName,
    /// PHC string (Argon2id, RFC 9106).
    pub password_hash: String,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// May not sign in, and what was signed in is refused.
    #[serde(default)]
    pub disabled: bool,
    /// Moves with the password and when the user is disabled: all sign-ins before are refused.
    #[serde(default)]
    pub generation: u64,
    /// When made and changed.
    pub stamps: Stamps,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Key stores, credentials and keys.
    KeyAdmin,
    /// Block, unblock and rotate.
    KeyUser,
    /// Reads.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Admin, Self::KeyAdmin, Self::KeyUser, Self::Auditor];

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::KeyAdmin => "key-admin",
            Self::KeyUser => "key-user",
            Self::Auditor => "auditor",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A token of a tool, which acts for the user who made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiTokenEntry {
    /// The token's id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub owner: UserName,
    /// What it may do; never more than its owner may.
    pub roles: Vec<Role>,
    /// SHA-256 over the token.
    pub hash: [u8; 32],
    /// From then on it is refused, milliseconds since 1970.
    pub expires_ms: Option<u64>,
    /// When made and changed.
    pub stamps: Stamps,
}

/// A user's sign-ins that can be renewed without the password. A note, since there are many: a crash may lose the last of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInsEntry {
    /// The user.
    pub user: Uuid,
    /// The oldest first.
    pub sign_ins: Vec<SignIn>,
}

/// One sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The id of what renews it.
    pub id: Uuid,
    /// SHA-256 over what renews it.
    pub hash: [u8; 32],
    /// The user's generation when it was made: refused once that has moved.
    pub generation: u64,
    /// From then on it is refused, milliseconds since 1970.
    pub expires_ms: u64,
}

/// A key that signs sign-in tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyEntry {
    /// The key's id, as it stands in tokens.
    pub id: Uuid,
    /// PKCS#8 as PEM, under the control seal.
    pub secret: SealedSecret,
    /// When made and changed.
    pub stamps: Stamps,
}

/// When a tool's token was last used. A note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsedEntry {
    /// The token.
    pub token: Uuid,
    /// When, milliseconds since 1970.
    pub used_ms: u64,
}
