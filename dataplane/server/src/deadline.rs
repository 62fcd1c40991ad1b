//! How long a request may take. One value, passed down.

use std::time::{Duration, Instant};

/// When a request must be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    started: Instant,
    ends: Instant,
}

impl Deadline {
    /// The clock starts now.
    pub(crate) fn start(budget: Duration) -> Self {
        let started = Instant::now();
        Self { started, ends: started + budget }
    }

    /// When the clock started.
    pub(crate) const fn started(self) -> Instant {
        self.started
    }

    /// When it ends.
    pub(crate) const fn ends(self) -> Instant {
        self.ends
    }

    /// It has ended.
    pub(crate) fn passed(self) -> bool {
        Instant::now() >= self.ends
    }
}

/// The budget of the first request on a connection whose TLS handshake took `handshake` on our side. KMS's 250 ms run from before the
/// TCP handshake, and its round trips are about three times what we see of them (design §4).
pub(crate) fn first_budget(handshake: Duration) -> Duration {
    NEW_CONNECTION.saturating_sub(handshake.saturating_mul(3)).clamp(LEAST, BUDGET)
}

/// KMS gives up after 250 ms (XKS, transport); we answer before.
pub(crate) const BUDGET: Duration = Duration::from_millis(200);
const NEW_CONNECTION: Duration = Duration::from_millis(240);
const LEAST: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_handshake_leaves_less_but_never_nothing() {
        let budget = |millis| first_budget(Duration::from_millis(millis)).as_millis();
        assert_eq!([budget(0), budget(13), budget(20), budget(60), budget(5_000)], [200, 200, 180, 60, 60]);
    }
}
