//! What a rig may have besides the usual.

use std::time::Duration;

/// How a rig is set up.
pub(crate) struct Setup {
    /// How many data planes.
    pub(crate) nodes: usize,
    /// More lines in each `dataplane.toml`.
    pub(crate) node_config: String,
    /// More environment of each data plane.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// How long the simulator takes to connect or disconnect a key store.
    pub(crate) connect_delay: Duration,
    /// How long the simulator waits for a data plane.
    pub(crate) proxy_patience: Duration,
    /// How long the control plane waits for an answer of AWS.
    pub(crate) attempt_seconds: u64,
    /// How long the control plane waits for what it does not see in AWS: less than it does by itself, since the simulator shows at once what
    /// it has done.
    pub(crate) settled_seconds: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            nodes: 1,
            node_config: String::new(),
            environment: Vec::new(),
            connect_delay: Duration::from_millis(50),
            proxy_patience: PROXY_PATIENCE,
            attempt_seconds: ATTEMPT_SECONDS,
            settled_seconds: ATTEMPT_SECONDS,
        }
    }
}

/// Half of what it is where nothing is said.
const ATTEMPT_SECONDS: u64 = 10;
/// Where how fast a data plane answers is not what is tested.
pub(crate) const PROXY_PATIENCE: Duration = Duration::from_secs(5);
/// The XKS specification's.
pub(crate) const AWS_PATIENCE: Duration = Duration::from_millis(250);
