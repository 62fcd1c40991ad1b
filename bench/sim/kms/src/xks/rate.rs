//! The request quota of an external key store: AWS's is 1,800 cryptographic requests a second.
//!
//! Always holds: a store may use a second's worth at once; health checks and key metadata are not counted.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// The buckets of all stores, by id.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: f64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Rates {
    /// With so many requests a second for each store.
    pub(crate) fn of(per_second: u32) -> Self {
        Self { per_second: per_second.into(), buckets: Mutex::default() }
    }

    /// Takes one request of a store's quota; `false` if there is none left at `now`.
    pub(crate) fn take(&self, store_id: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(store_id.to_owned()).or_insert(Bucket { tokens: self.per_second, filled: now });
        let passed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = passed.mul_add(self.per_second, bucket.tokens).min(self.per_second);
        bucket.filled = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_store_has_1800_requests_a_second_and_no_more() {
        let (rates, start) = (Rates::of(1800), Instant::now());
        assert!((0..1800).all(|_| rates.take("cks-a", start)));
        assert!(!rates.take("cks-a", start));
        assert!(rates.take("cks-b", start));
        let later = start + Duration::from_millis(500);
        assert_eq!((0..1800).filter(|_| rates.take("cks-a", later)).count(), 900);
    }
}
