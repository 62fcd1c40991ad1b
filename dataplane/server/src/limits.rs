//! A key store's limits on one node: requests per second, and requests in flight.
//!
//! Holds: a new snapshot never refills a bucket nor forgets what is in flight; only a changed quota starts a new bucket.
//! Spent by the request path, after authentication, so that a stranger can't spend a customer's quota.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use holdfast_proto::records::StoreHeader;

/// The limits of one key store. Shared between snapshots, see [`Limits::carry`].
pub struct Limits {
    rate: Option<Rate>,
    cap: Option<NonZeroU32>,
    /// Shared by all makings of a store's limits.
    in_flight: Arc<AtomicU32>,
}

/// A request in flight; it counts until this drops.
#[derive(Debug)]
pub struct InFlight(Arc<AtomicU32>);

/// Why a request was not let in. Both answer `ThrottlingException`, 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    /// The quota of this second is spent.
    #[error("the key store's quota on this node is spent")]
    Quota,
    /// As many are in flight as may be.
    #[error("the key store's requests in flight on this node are at their cap")]
    InFlight,
}

impl Limits {
    /// The limits that `header` asks for, with what `old` had counted so far.
    #[must_use]
    pub fn carry(old: Option<&Self>, header: &StoreHeader) -> Self {
        Self {
            rate: header.quota.map(|quota| Rate::carry(old.and_then(|old| old.rate.as_ref()), quota)),
            cap: header.in_flight,
            in_flight: old.map_or_else(Arc::default, |old| Arc::clone(&old.in_flight)),
        }
    }

    /// Spends one request of the quota.
    ///
    /// # Errors
    /// [`Throttled::Quota`].
    pub fn spend(&self) -> Result<(), Throttled> {
        match &self.rate {
            Some(rate) => rate.bucket.check().map_err(|_| Throttled::Quota),
            None => Ok(()),
        }
    }

    /// Lets one more request in, under the store's own cap or else `default`.
    ///
    /// # Errors
    /// [`Throttled::InFlight`].
    pub fn enter(&self, default: u32) -> Result<InFlight, Throttled> {
        let cap = self.cap.map_or(default, NonZeroU32::get);
        let entered = InFlight(Arc::clone(&self.in_flight));
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < cap { Ok(entered) } else { Err(Throttled::InFlight) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("quota", &self.rate.as_ref().map(|r| r.quota)).field("cap", &self.cap).finish_non_exhaustive()
    }
}

struct Rate {
    quota: NonZeroU32,
    bucket: Arc<DefaultDirectRateLimiter>,
}

impl Rate {
    fn carry(old: Option<&Self>, quota: NonZeroU32) -> Self {
        let kept = old.filter(|old| old.quota == quota).map(|old| Arc::clone(&old.bucket));
        Self { quota, bucket: kept.unwrap_or_else(|| Arc::new(RateLimiter::direct(Quota::per_second(quota)))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_proto::{
        ids::{StoreId, UriPath},
        records::{PartitionKey, SourceKey},
    };

    fn header(quota: u32, in_flight: u32) -> StoreHeader {
        StoreHeader {
            id: StoreId(uuid::Uuid::nil()),
            name: "a".into(),
            uri_path: UriPath::try_from("/kms/xks/v1").unwrap(),
            region: "us-east-1".into(),
            blocked: false,
            mtls_enabled: false,
            success_audit: false,
            quota: NonZeroU32::new(quota),
            in_flight: NonZeroU32::new(in_flight),
            max_snapshot_age: None,
            health_key: SourceKey::Partition(PartitionKey { group: String::new(), cka_id: Box::default(), label: String::new() }),
        }
    }

    #[test]
    fn a_push_does_not_refill_a_bucket() {
        let limits = Limits::carry(None, &header(1, 0));
        assert_eq!(limits.spend(), Ok(()));
        assert_eq!(limits.spend(), Err(Throttled::Quota));
        let carried = Limits::carry(Some(&limits), &header(1, 5));
        assert_eq!(carried.spend(), Err(Throttled::Quota));
        let raised = Limits::carry(Some(&carried), &header(2, 5));
        assert_eq!(raised.spend(), Ok(()));
    }

    #[test]
    fn without_a_quota_nothing_is_refused() {
        let limits = Limits::carry(None, &header(0, 0));
        assert!((0..10_000).all(|_| limits.spend().is_ok()));
    }

    #[test]
    fn what_is_in_flight_counts_over_a_push_and_until_it_drops() {
        let limits = Limits::carry(None, &header(0, 0));
        let first = limits.enter(2).unwrap();
        let carried = Limits::carry(Some(&limits), &header(0, 2));
        let second = carried.enter(9).unwrap();
        assert_eq!(carried.enter(9).unwrap_err(), Throttled::InFlight);
        drop(first);
        let third = carried.enter(9).unwrap();
        assert!(limits.enter(2).is_err());
        drop((second, third));
        assert!(limits.enter(1).is_ok());
    }
}
