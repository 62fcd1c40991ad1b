//! The simulator of AWS KMS that runs beside the planes: their AWS, and whom their users ask instead of AWS.
//!
//! Always holds: its access key is the one in `dev.json` where that has one, so that what was set up with it goes on working; it has
//! threads of its own, so that it does not hold up what it measures.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use holdfast_controlplane::{DemoKms, aws::AwsSettings};
use holdfast_proto::secret::Secret;
use holdfast_sim_kms::{Sim, SimSettings};
use tokio::runtime::Runtime;

use super::not_started;
use crate::{failure::Failure, handout::KmsSim as Handed, runtime};

/// A running simulator.
pub(super) struct KmsSim {
    sim: Sim,
    runtime: Runtime,
    client_ca: PathBuf,
}

/// What a simulator needs.
pub(super) struct Beside {
    pub(super) listen: SocketAddr,
    /// Made where it is missing.
    pub(super) folder: PathBuf,
    /// PEM file of whom it trusts as the data plane's authority.
    pub(super) ca: PathBuf,
    /// For clients that name none.
    pub(super) region: String,
    /// What an earlier start handed out.
    pub(super) known: Option<Handed>,
}

impl KmsSim {
    pub(super) fn start(beside: Beside) -> Result<Self, Failure> {
        let Beside { listen, folder, ca, region, known } = beside;
        fs::create_dir_all(&folder).map_err(|cause| Failure::file("make", &folder, &cause))?;
        let mut settings = SimSettings::new(Some(fs::read(&ca).map_err(|cause| Failure::file("read", &ca, &cause))?));
        (settings.listen, settings.region) = (listen, region);
        settings.state_file = Some(folder.join(STATE));
        if let Some(known) = known {
            (settings.access_key_id, settings.secret_access_key) = (known.access_key_id, known.secret_access_key);
        }
        let runtime = runtime()?;
        let sim = runtime.block_on(Sim::start(settings)).map_err(not_started)?;
        let client_ca = folder.join("client-ca.crt");
        fs::write(&client_ca, sim.client_ca()).map_err(|cause| Failure::file("write", &client_ca, &cause))?;
        Ok(Self { sim, runtime, client_ca })
    }

    /// For the control plane: this is AWS.
    pub(super) fn aws(&self) -> AwsSettings {
        let url = Some(self.sim.url());
        AwsSettings { kms_endpoint: url.clone(), cloudhsmv2_endpoint: url.clone(), sts_endpoint: url, ..AwsSettings::new() }
    }

    /// PEM file of the authority of the client certificate that it shows when it is told to.
    pub(super) fn client_ca(&self) -> &Path {
        &self.client_ca
    }

    /// For programs, and for AWS's own clients.
    pub(super) fn handed_out(&self) -> Handed {
        let settings = self.sim.settings();
        Handed {
            url: self.sim.url(),
            access_key_id: settings.access_key_id.clone(),
            secret_access_key: settings.secret_access_key.clone(),
            region: settings.region.clone(),
        }
    }

    /// The KMS container that stands for it.
    pub(super) fn container(&self) -> DemoKms {
        let settings = self.sim.settings();
        let mut regions = vec![settings.region.clone()];
        regions.extend(REGIONS.iter().filter(|known| **known != settings.region).map(ToString::to_string));
        DemoKms {
            name: CONTAINER.into(),
            account_id: settings.account_id.clone(),
            access_key_id: settings.access_key_id.clone(),
            secret_access_key: Secret::new(settings.secret_access_key.clone()),
            regions,
        }
    }

    /// Ends it: everything is in its state file.
    pub(super) fn stop(self) {
        self.runtime.block_on(self.sim.stop());
    }
}

/// Its state file, in its folder.
pub(super) const STATE: &str = "state.json";
/// Name of the connection and of the KMS container.
const CONTAINER: &str = "kms-sim";
/// So that replicas can be tried out.
const REGIONS: [&str; 4] = ["us-east-1", "us-west-2", "eu-central-1", "eu-west-1"];
