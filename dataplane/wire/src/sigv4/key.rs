//! Signing keys: one per credential, day and region, derived once and cached by the caller.

use std::fmt;

use aws_lc_rs::hmac::{HMAC_SHA256, Key};
use aws_sigv4::sign::v4::generate_signing_key;

use super::timestamp::Day;
use crate::limits::SERVICE;

/// The SigV4 key of one credential for one day and region, ready to use: the HMAC's inner and outer
/// states are computed. It never prints; aws-lc wipes the states when it drops.
pub struct SigningKey {
    hmac: Key,
}

impl SigningKey {
    /// Derives the key from a credential's secret, for the service `kms-xks-proxy`. What `aws-sigv4`
    /// computes on the way lies on its stack and heap for a moment and is not wiped by it.
    #[must_use]
    pub fn derive(secret: &str, day: Day, region: &str) -> Self {
        Self::for_service(secret, day, region, SERVICE)
    }

    pub(super) fn for_service(secret: &str, day: Day, region: &str, service: &str) -> Self {
        let derived = generate_signing_key(secret, day.start(), region, service);
        Self { hmac: Key::new(HMAC_SHA256, derived.as_ref()) }
    }

    pub(super) const fn hmac(&self) -> &Key {
        &self.hmac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}
