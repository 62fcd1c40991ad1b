//! Everything that AWS would keep: per region the key stores, keys and aliases, and the temporary access keys.
//!
//! Always holds: it is reached through [`crate::shared::Shared`] only, which locks it and writes it to the state file after each change;
//! times are milliseconds since 1970 on the simulator's clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use self::{key::*, store::*};

use crate::xks::ClientCa;

mod key;
mod store;

/// Everything that is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// How far the clock was moved forward.
    #[serde(default)]
    pub(crate) ahead_ms: i64,
    /// By name, like `eu-central-1`.
    #[serde(default)]
    pub(crate) regions: BTreeMap<String, Region>,
    /// What `AssumeRole` gave out, by access key id.
    #[serde(default)]
    pub(crate) sessions: BTreeMap<String, Session>,
    /// What issues the client certificate that proxies are shown.
    #[serde(default)]
    pub(crate) client_ca: Option<ClientCa>,
}

impl State {
    /// A region, made when it is first named.
    pub(crate) fn region(&mut self, name: &str) -> &mut Region {
        self.regions.entry(name.to_owned()).or_default()
    }
}

/// What one region holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Region {
    /// By id, `cks-…`.
    #[serde(default)]
    pub(crate) stores: BTreeMap<String, Store>,
    /// By key id: a UUID, or `mrk-…`.
    #[serde(default)]
    pub(crate) keys: BTreeMap<String, Key>,
    /// By name, `alias/…`.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Alias>,
    /// The account's CloudHSM clusters, made when they are first asked for.
    #[serde(default)]
    pub(crate) clusters: Vec<Cluster>,
}

/// A temporary access key.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) secret_access_key: String,
    pub(crate) session_token: String,
    /// `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub(crate) arn: String,
    /// `arn:aws:iam::<account>:role/<path><role>`; a state file of before has none.
    #[serde(default)]
    pub(crate) role_arn: Option<String>,
    /// `AROA…:<session>`.
    pub(crate) user_id: String,
    pub(crate) external_id: Option<String>,
    /// By the real clock, since clients compare it with theirs.
    pub(crate) expires_ms: i64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("arn", &self.arn).field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

/// A CloudHSM cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// `cluster-…`.
    pub(crate) id: String,
    /// `ACTIVE`, `UNINITIALIZED`, ….
    pub(crate) state: String,
    pub(crate) created_ms: i64,
    /// How many HSMs it has, each in an availability zone of its own.
    pub(crate) hsms: usize,
    /// PEM of the certificate that a key store must name as its trust anchor.
    pub(crate) trust_anchor: String,
    /// What `kmsuser` logs in with.
    pub(crate) kms_user_password: Password,
}
