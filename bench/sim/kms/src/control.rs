//! The simulator's switches, for tests in the same process. `POST /_sim/…` is the same on the wire.
//!
//! Always holds: operations are named as AWS names them, without the service: `CreateKey`, `DescribeClusters`, `AssumeRole`.

use std::{sync::Arc, time::Duration};

pub use crate::faults::{Held, ProxyFaults, When};
use crate::shared::Shared;

/// The simulator's switches.
#[derive(Clone, Debug)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The next call of `operation` is held, unanswered, before or after it was done. Several holds are met one after another.
    #[must_use]
    pub fn hold(&self, operation: &str, when: When) -> Held {
        self.shared.faults.hold(operation, when)
    }

    /// The next `times` calls of `operation` fail with this error name of AWS.
    pub fn refuse(&self, operation: &str, code: &str, times: u32) {
        self.shared.faults.refuse(operation, code, times);
    }

    /// The next `times` calls of `operation` are answered `ThrottlingException`.
    pub fn throttle(&self, operation: &str, times: u32) {
        self.shared.faults.throttle(operation, times);
    }

    /// Calls of `operation` are refused and throttled no more.
    pub fn accept(&self, operation: &str) {
        self.shared.faults.accept(operation);
    }

    /// Moves the simulator's clock forward: deletions, expiry of material, rotation. Signatures go by the real clock.
    pub fn advance(&self, by: Duration) {
        self.shared.advance(by);
    }

    /// What goes wrong on the way to proxies from now on.
    pub fn proxy(&self, faults: ProxyFaults) {
        self.shared.faults.set_proxy(faults);
    }

    /// The next `ConnectCustomKeyStore` ends as FAILED with this `ConnectionErrorCode`.
    pub fn fail_next_connect(&self, code: &str) {
        self.shared.faults.fail_connect(code);
    }

    /// The operations called so far with a good signature, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.shared.faults.calls()
    }

    /// Whether a client certificate is shown to proxies from now on.
    pub fn client_certificate(&self, on: bool) {
        self.shared.show_certificate(on);
    }
}
