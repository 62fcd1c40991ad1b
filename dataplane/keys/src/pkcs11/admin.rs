//! What an operator asks of one partition, beside the data plane or without it. Blocks; never on a request's thread.

use std::{fmt, io, path::Path};

use holdfast_proto::records::KeyUsage;

use super::{
    fault::CallError,
    gate::Gate,
    login,
    objects::GenerateError,
    preflight::{self, Connected},
    seen,
    settings::PartitionSettings,
    start::Pkcs11Fault,
    status::{KeyAttributes, NewKey, TokenFacts},
};

/// A token, logged in.
pub struct TokenAdmin {
    connected: Connected,
    facts: TokenFacts,
}

/// Why a token did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The token failed. The text names the call and its code.
    #[error("the token failed: {0}")]
    Token(String),
    /// It can't be done. The text says why.
    #[error("{0}")]
    Refused(String),
}

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Most sessions of one process; none: no limit, or none told.
    pub sessions: Option<u32>,
    /// The row of the vendor table in use.
    pub vendor: &'static str,
    /// Whether tests of Holdfast run against tokens of this vendor.
    pub vendor_tested: bool,
}

impl TokenAdmin {
    /// Connects and logs in. The key for health checks may be missing. A PIN that was refused earlier is not tried.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn open(settings: &PartitionSettings, state_dir: &Path) -> Result<Self, Vec<Pkcs11Fault>> {
        let connected = preflight::connect(settings, state_dir, Gate::open())?;
        let facts = connected.facts.clone();
        Ok(Self { connected, facts })
    }

    /// What the token says of itself.
    #[must_use]
    pub const fn facts(&self) -> &TokenFacts {
        &self.facts
    }

    /// What the token allows.
    #[must_use]
    pub fn limits(&self) -> TokenLimits {
        let vendor = self.connected.token.vendor();
        TokenLimits { sessions: self.connected.token.max_sessions(), vendor: vendor.name, vendor_tested: vendor.tested }
    }

    /// All secret keys.
    ///
    /// # Errors
    /// [`AdminError::Token`].
    pub fn keys(&self) -> Result<Vec<KeyAttributes>, AdminError> {
        Ok(self.connected.anchor.list()?)
    }

    /// Makes an AES-256 key that never leaves the token. One with this `CKA_ID` and these properties is the result.
    ///
    /// # Errors
    /// [`AdminError::Refused`] where another key has the id, or the token does not make such keys.
    pub fn generate(&self, cka_id: &[u8], label: &str, usage: KeyUsage) -> Result<KeyAttributes, AdminError> {
        let new = NewKey { cka_id: cka_id.into(), label: label.into(), encrypt: usage.encrypt, decrypt: usage.decrypt };
        self.connected.anchor.generate(&new).map_err(|error| match error {
            GenerateError::Refused(why) => AdminError::Refused(why),
            GenerateError::Call(call) => call.into(),
        })
    }
}

impl fmt::Debug for TokenAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenAdmin({:?})", self.facts.label)
    }
}

impl From<CallError> for AdminError {
    fn from(call: CallError) -> Self {
        Self::Token(call.to_string())
    }
}

/// Lets a PIN that the token refused be tried again, once: `holdfast partition retry-login`. The token is not touched; a data plane that
/// runs notices. False: nothing was refused.
///
/// # Errors
/// The state directory can't be read or written.
pub fn forget_refused_pin(settings: &PartitionSettings, state_dir: &Path) -> io::Result<bool> {
    // A token that was never seen was never asked.
    seen::id(settings, state_dir).map_or(Ok(false), |id| login::forget(state_dir, id))
}
