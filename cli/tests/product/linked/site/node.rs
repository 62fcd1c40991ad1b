//! One data plane of the rig.

use std::path::PathBuf;

use crate::{process::Holdfast, site::keep_ports};

/// A data plane.
pub(crate) struct Node {
    pub(super) config: PathBuf,
    /// None while it is stopped.
    pub(super) process: Option<Holdfast>,
    /// What `xks_proxy_uri_endpoint` says of it.
    pub(crate) endpoint: String,
}

impl Node {
    pub(super) fn start(config: PathBuf, environment: &[(&'static str, String)]) -> Self {
        let mut this = Self { config, process: None, endpoint: String::new() };
        this.run(environment);
        this
    }

    pub(super) fn run(&mut self, environment: &[(&'static str, String)]) {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let arguments = ["dataplane".as_ref(), "--config".as_ref(), self.config.as_os_str()];
        let mut process = Holdfast::start_with(&arguments, &environment);
        let xks = process.wait_for_listener("xks");
        process.wait_for_listener("ops");
        keep_ports(&self.config, &process);
        self.endpoint = format!("https://localhost:{}", xks.port());
        self.process = Some(process);
    }
}
