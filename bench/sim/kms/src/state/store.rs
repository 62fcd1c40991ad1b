//! A custom key store, as AWS keeps it.
//!
//! Always holds: the connection state says nothing of whether the proxy answers now, only how the last connect or disconnect ended.

use serde::{Deserialize, Serialize};

/// A custom key store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    /// `cks-` and 17 hexadecimal digits.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_ms: i64,
    pub(crate) connection: Connection,
    /// Counts connects and disconnects, so that each ends only itself.
    #[serde(default)]
    pub(crate) attempt: u64,
    pub(crate) kind: StoreKind,
}

/// What is behind a custom key store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum StoreKind {
    /// `AWS_CLOUDHSM`.
    CloudHsm {
        /// `cluster-…`.
        cluster_id: String,
        /// PEM.
        trust_anchor: String,
        /// What AWS was told; the cluster may have another.
        password: Password,
    },
    /// `EXTERNAL_KEY_STORE`.
    External(External),
}

/// What `kmsuser` of a CloudHSM cluster logs in with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Password(pub(crate) String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

/// An external key store's proxy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct External {
    /// `https://host`, with a port where the simulator was given one.
    pub(crate) endpoint: String,
    /// `…/kms/xks/v1`.
    pub(crate) path: String,
    pub(crate) connectivity: Connectivity,
    /// With `VPC_ENDPOINT_SERVICE` only.
    pub(crate) vpc_service: Option<String>,
    /// The account that has the VPC endpoint service, where it was told.
    #[serde(default)]
    pub(crate) vpc_owner: Option<String>,
    pub(crate) credential: ProxyCredential,
    /// The one before, for the fault of a stale credential.
    #[serde(default)]
    pub(crate) previous: Option<ProxyCredential>,
}

/// What requests to the proxy are signed with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProxyCredential {
    /// 20–30 characters of `[A-Z2-7]`.
    pub(crate) access_key_id: String,
    /// 43–64 characters of `[A-Za-z0-9+/=]`.
    pub(crate) secret: String,
}

impl std::fmt::Debug for ProxyCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyCredential").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// How a proxy is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Connectivity {
    PublicEndpoint,
    VpcEndpointService,
}

/// How the last connect or disconnect ended, or which one is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Connection {
    Connected,
    Connecting,
    Disconnected,
    Disconnecting,
    /// With AWS's `ConnectionErrorCode`.
    Failed(String),
}

impl Connection {
    /// AWS's `ConnectionState`.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Connected => "CONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Disconnected => "DISCONNECTED",
            Self::Disconnecting => "DISCONNECTING",
            Self::Failed(_) => "FAILED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_text_and_not_printed() {
        let kind = StoreKind::CloudHsm { cluster_id: "cluster-a".into(), trust_anchor: "pem".into(), password: Password("secret".into()) };
        assert!(!format!("{kind:?}").contains("secret"));
        assert!(serde_json::to_string(&kind).unwrap().contains("\"password\":\"secret\""));
    }
}
