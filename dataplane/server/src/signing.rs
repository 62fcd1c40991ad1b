//! Derived SigV4 signing keys, kept so that a request costs one HMAC and not five.
//!
//! Holds: a key is kept only after a signature verified under it, so that strangers can't fill the cache (the decoy has one place a
//! day); for two days at most; and no longer than the snapshot keeps its credential, since the swap that drops a credential purges its
//! keys. It is never asked whether a credential is live: the request path looked that up in its snapshot before. Keys wipe themselves
//! when they drop.

use std::{collections::HashSet, sync::Arc, time::SystemTime};

use dashmap::DashMap;
use holdfast_proto::{ids::CredentialId, records::Credential};
use holdfast_wire::{
    limits::MAX_CLOCK_OFFSET_SECONDS,
    sigv4::{AuthError, Authenticated, Claim, Day, Head, SigningKey},
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The cache. One per data plane.
pub struct SigningKeys {
    keys: DashMap<Slot, Kept>,
    /// Stands in for a credential that isn't there, so that looking for one shows in neither text nor time.
    decoy: Decoy,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Slot {
    credential: CredentialId,
    /// Moves with the secret.
    generation: u64,
    day: Day,
}

struct Kept {
    region: Box<str>,
    key: Arc<SigningKey>,
}

struct Decoy {
    id: CredentialId,
    secret: Zeroizing<String>,
}

/// A key to verify with, and whether it is still to be kept.
struct Found {
    key: Arc<SigningKey>,
    kept: bool,
}

impl SigningKeys {
    /// Verifies a claim against the credential that its access key id named, or against nothing.
    ///
    /// # Errors
    /// [`AuthError::WrongSignature`], or [`AuthError::UnknownAccessKey`] after just as much work.
    pub(crate) fn verify<'r>(
        &self,
        claim: Claim<'r>,
        credential: Option<&Credential>,
        request: &Request<'_, 'r>,
    ) -> Result<Authenticated<'r>, AuthError> {
        // The claim's region is the key store's, or the scope is wrong whoever signs.
        let offset = claim.check_scope(request.region, request.now)?;
        let day = claim.day();
        let slot = credential.map_or(Slot { credential: self.decoy.id, generation: 0, day }, |credential| Slot {
            credential: credential.id,
            generation: credential.generation,
            day,
        });
        let secret = credential.map_or(self.decoy.secret.as_str(), |credential| credential.secret.expose());
        let found = self.find(slot, secret, request.region);
        let verified = claim.verify(request.head, &found.key, request.body, offset);
        if credential.is_none() {
            if !found.kept {
                // Or the second unknown access key would take longer than the second bad signature. It has one place a day.
                self.keys.insert(slot, Kept { region: request.region.into(), key: found.key });
            }
            return Err(AuthError::UnknownAccessKey);
        }
        if verified.is_ok() && !found.kept {
            self.keep(slot, Kept { region: request.region.into(), key: found.key }, request.now);
        }
        verified
    }

    /// Forgets the keys of credentials that are gone or have another secret.
    ///
    /// Called on threads of low priority: it locks requests out only for as long as one removal takes, not while it looks.
    pub fn purge(&self, dropped: &[CredentialId]) {
        if dropped.is_empty() {
            return;
        }
        let dropped: HashSet<CredentialId> = dropped.iter().copied().collect();
        let matching: Vec<Slot> = self.keys.iter().map(|kept| *kept.key()).filter(|slot| dropped.contains(&slot.credential)).collect();
        for slot in matching {
            self.keys.remove(&slot);
        }
    }

    fn find(&self, slot: Slot, secret: &str, region: &str) -> Found {
        let kept = self.keys.get(&slot).filter(|kept| *kept.region == *region).map(|kept| Arc::clone(&kept.key));
        match kept {
            Some(key) => Found { key, kept: true },
            None => Found { key: Arc::new(SigningKey::derive(secret, slot.day, region)), kept: false },
        }
    }

    fn keep(&self, slot: Slot, kept: Kept, now: SystemTime) {
        // The only days that a scope can name now.
        let skew = std::time::Duration::from_secs(MAX_CLOCK_OFFSET_SECONDS);
        let days = [now.checked_sub(skew), now.checked_add(skew)].map(|at| Day::of(at.unwrap_or(now)));
        self.keys.retain(|slot, _| days.contains(&slot.day));
        self.keys.insert(slot, kept);
    }
}

/// What is verified, beside the claim.
pub(crate) struct Request<'h, 'r> {
    /// The head that the claim was read from.
    pub(crate) head: &'h Head<'h>,
    /// The whole body.
    pub(crate) body: &'r [u8],
    /// The key store's region.
    pub(crate) region: &'h str,
    /// Our clock.
    pub(crate) now: SystemTime,
}

impl Default for SigningKeys {
    fn default() -> Self {
        let random = Zeroizing::new(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
        Self { keys: DashMap::new(), decoy: Decoy { id: CredentialId(Uuid::new_v4()), secret: random } }
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("kept", &self.keys.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn slot(credential: u8, now: SystemTime) -> Slot {
        Slot { credential: CredentialId(Uuid::from_bytes([credential; 16])), generation: 1, day: Day::of(now) }
    }

    fn kept(region: &str, now: SystemTime) -> Kept {
        Kept { region: region.into(), key: Arc::new(SigningKey::derive("secret", Day::of(now), region)) }
    }

    #[test]
    fn a_new_day_ends_the_one_before_the_last() {
        let keys = SigningKeys::default();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 43_200);
        let day = Duration::from_secs(86_400);
        for now in [noon, noon + day, noon + 2 * day] {
            keys.keep(slot(1, now), kept("a", now), now);
            assert_eq!(keys.keys.len(), 1);
        }
        let midnight = noon + day / 2;
        keys.keep(slot(1, midnight - Duration::from_secs(1)), kept("a", noon), midnight);
        keys.keep(slot(1, midnight), kept("a", midnight), midnight);
        assert_eq!(keys.keys.len(), 2);
    }

    #[test]
    fn an_unknown_access_key_costs_no_more_than_a_bad_signature() {
        let keys = SigningKeys::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 43_200);
        let mut headers = http::HeaderMap::new();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20241004/a/kms-xks-proxy/aws4_request, SignedHeaders=host;x-amz-date, Signature={}",
            "A".repeat(20),
            "0".repeat(64)
        );
        for (name, value) in [("host", "localhost"), ("x-amz-date", "20241004T120000Z"), ("authorization", &authorization)] {
            headers.insert(name, value.parse().unwrap());
        }
        let head = Head { method: "POST", path: "/kms/xks/v1/health", authority: None, headers: &headers };
        let request = Request { head: &head, body: b"", region: "a", now };
        let decoy = Slot { credential: keys.decoy.id, generation: 0, day: Day::of(now) };
        for _ in 0..2 {
            let refused = keys.verify(holdfast_wire::sigv4::claim(&head).unwrap(), None, &request);
            assert_eq!(refused.unwrap_err(), AuthError::UnknownAccessKey);
            assert!(keys.find(decoy, "", "a").kept);
            assert_eq!(keys.keys.len(), 1);
        }
    }

    #[test]
    fn a_dropped_credential_takes_its_keys_along() {
        let keys = SigningKeys::default();
        let now = SystemTime::now();
        keys.keep(slot(1, now), kept("a", now), now);
        keys.keep(slot(2, now), kept("a", now), now);
        keys.purge(&[CredentialId(Uuid::from_bytes([1; 16]))]);
        assert!(!keys.find(slot(1, now), "secret", "a").kept);
        assert!(keys.find(slot(2, now), "secret", "a").kept);
    }

    #[test]
    fn a_purge_locks_no_request_out_where_there_is_nothing_to_forget() {
        let keys = Arc::new(SigningKeys::default());
        let now = SystemTime::now();
        keys.keep(slot(1, now), kept("a", now), now);
        let reading = keys.keys.get(&slot(1, now)).unwrap();
        let (done, purged) = std::sync::mpsc::channel();
        std::thread::spawn({
            let keys = Arc::clone(&keys);
            move || {
                keys.purge(&[CredentialId(Uuid::from_bytes([2; 16]))]);
                done.send(()).unwrap();
            }
        });
        purged.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(reading);
        assert!(keys.find(slot(1, now), "secret", "a").kept);
    }

    #[test]
    fn a_key_serves_its_own_region_only() {
        let keys = SigningKeys::default();
        let now = SystemTime::now();
        keys.keep(slot(1, now), kept("a", now), now);
        assert!(keys.find(slot(1, now), "secret", "a").kept);
        assert!(!keys.find(slot(1, now), "secret", "b").kept);
    }
}
