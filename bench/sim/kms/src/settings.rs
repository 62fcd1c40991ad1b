//! How a simulator is set up.
//!
//! Always holds: the access key is drawn afresh unless the caller gives one; its secret is never printed by `Debug`.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::draw;

/// How a simulator is set up.
#[derive(Clone)]
pub struct SimSettings {
    /// Where it listens, on loopback; `127.0.0.1:0` lets the system choose a port.
    pub listen: SocketAddr,
    /// The public half of the account's one long-lived access key.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// The account, 12 digits.
    pub account_id: String,
    /// The region that is printed for clients; requests may name any.
    pub region: String,
    /// PEM certificates that a proxy's certificate must chain to; the host's roots without them.
    pub proxy_ca: Option<Vec<u8>>,
    /// Whether a client certificate is shown to proxies.
    pub client_certificate: bool,
    /// How long one call to a proxy may take, connecting included. The specification's 250 ms, unless a test is about something else and
    /// must not depend on how fast its machine is.
    pub proxy_patience: Duration,
    /// How many cryptographic requests a second an external key store takes; the rest is throttled. AWS's 1,800, unless a test means to
    /// meet the limit.
    pub requests_per_second: u32,
    /// How long a key store is CONNECTING and DISCONNECTING.
    pub connect_delay: Duration,
    /// How often the health of each connected proxy is asked for.
    pub health_interval: Duration,
    /// Where everything is kept between runs; nowhere without it.
    pub state_file: Option<PathBuf>,
}

impl SimSettings {
    /// The usual settings, on a free port of loopback, with a fresh access key.
    #[must_use]
    pub fn new(proxy_ca: Option<Vec<u8>>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            access_key_id: draw::access_key_id("AKIA"),
            secret_access_key: draw::secret_access_key(),
            account_id: "111122223333".into(),
            region: "eu-central-1".into(),
            proxy_ca,
            client_certificate: false,
            proxy_patience: Duration::from_millis(250),
            requests_per_second: 1800,
            connect_delay: Duration::from_millis(200),
            health_interval: Duration::from_secs(60),
            state_file: None,
        }
    }
}

impl fmt::Debug for SimSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSettings")
            .field("listen", &self.listen)
            .field("access_key_id", &self.access_key_id)
            .field("account_id", &self.account_id)
            .field("region", &self.region)
            .field("client_certificate", &self.client_certificate)
            .field("proxy_patience", &self.proxy_patience)
            .field("proxy_patience", &self.proxy_patience)
            .field("requests_per_second", &self.requests_per_second)
            .field("connect_delay", &self.connect_delay)
            .field("health_interval", &self.health_interval)
            .field("state_file", &self.state_file)
            .finish_non_exhaustive()
    }
}
