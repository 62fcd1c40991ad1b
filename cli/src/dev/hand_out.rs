//! What a start of `dev` gives to its user: waits until every demo serves, writes `dev.json` and prints the block.
//!
//! Holds: a secret that is in `dev.json` stays good; one that is lost is replaced by a new credential, and that is said.

use std::{net::SocketAddr, time::Duration};

use holdfast_controlplane::{ControlPlane, DemoCredential, DemoOptions, ExistingKey, InitReport, PartitionDemo as NewPartitionDemo};
use holdfast_dataplane::DataPlane;

use super::{
    Found, HOST, Start,
    kms_sim::KmsSim,
    partitions::{DemoGroup, DemoKeys},
};
use crate::{
    failure::Failure,
    handout::{Api, Block, Handout, Ops, PartitionDemo, Xks, local_url, write_private},
    output,
    partition::EnsuredKey,
};

/// Both planes, started.
#[derive(Clone, Copy)]
pub(super) struct Planes<'p> {
    pub(super) control: &'p ControlPlane,
    pub(super) data: &'p DataPlane,
}

impl Start {
    /// Hands everything out.
    pub(super) async fn hand_out(&self, found: Found<'_>, planes: Planes<'_>) -> Result<(), Failure> {
        let (Planes { control, data }, Found { first, groups, kms_sim }) = (planes, found);
        if !control.demo_served(PATIENCE).await.map_err(Failure::from_error)? {
            return Err(not_served("the demo key"));
        }
        let known = self.handed_out()?;
        let before = known.as_ref().map(|known| known.partitions.clone()).unwrap_or_default();
        let mut notes = Vec::new();
        if kms_sim.is_some() && !self.args.with_kms_sim {
            notes.push("the simulator of AWS KMS runs again: what is linked in this data directory is linked to it".to_owned());
        }
        let (mut xks, password) = match (first, known) {
            (Some(InitReport { admin_password, demo: Some(demo), .. }), _) => (Xks::from(demo), admin_password.expose().to_owned()),
            (_, Some(Handout { xks, api: Some(api), .. })) => (xks, api.password),
            (_, _) => {
                notes.push("dev.json was not there: demo key stores have new credentials, and admin a new password.".to_owned());
                let demo = control.demo_credential().await.map_err(Failure::from_error)?;
                let password = control.reset_admin_password().await.map_err(Failure::from_error)?;
                (Xks::from(demo), password.expose().to_owned())
            }
        };
        if let Some(region) = self.args.region.as_ref().filter(|region| **region != xks.region) {
            return Err(Failure::new(format!(
                "--region {region}: the demo key store in this data directory is in {}; leave the flag out, or use another --data-dir",
                xks.region
            )));
        }
        let ca = self.dir.control_plane().join("ca.crt");
        let port = data.xks_addrs().first().map_or(0, SocketAddr::port);
        let mut partitions = Vec::with_capacity(groups.len());
        for group in groups {
            notes.extend(group.unreachable.iter().map(|why| format!("{why}; it is connected when it comes back")));
            let known = before.iter().find(|known| known.group == group.name).map(|known| known.xks.clone());
            let mut xks = self.partition_demo(control, (group, &xks.region), known).await?;
            (xks.port, xks.ca) = (port, ca.clone());
            partitions.push(PartitionDemo { group: group.name.clone(), labels: group.labels.clone(), xks });
        }
        control.set_demo_quota(self.args.xks_quota.0).await.map_err(Failure::from_error)?;
        (xks.port, xks.ca) = (port, ca.clone());
        let api = Api { url: local_url("https", HOST, control.api_addr()), username: "admin".into(), password, ca };
        let ops = data.ops_addr().map(|addr| Ops { url: format!("http://{addr}") });
        if let Some(sim) = kms_sim {
            control.keep_demo_kms(sim.container()).await.map_err(Failure::from_error)?;
        }
        let handout = Handout { xks, api: Some(api), ops, kms_sim: kms_sim.map(KmsSim::handed_out), partitions };
        let file = self.dir.handout();
        let environment = self.dir.kms_sim().join("env");
        if let Some(text) = handout.environment() {
            write_private(&environment, &text).map_err(|cause| Failure::file("write", &environment, &cause))?;
        }
        handout.write(&file).map_err(|cause| Failure::file("write", &file, &cause))?;
        let block = Block {
            handout: &handout,
            file: &file,
            key_seal: &self.dir.node().join("key-seal"),
            control_seal: &self.dir.control_plane().join("control-seal"),
            environment: &environment,
            notes: &notes,
        };
        output::line(&block.text())?;
        Ok(())
    }

    /// The demo of a group: made where there is none, `known` where its secret is.
    async fn partition_demo(&self, control: &ControlPlane, group: (&DemoGroup, &str), known: Option<Xks>) -> Result<Xks, Failure> {
        let (group, region) = group;
        if !group.unreachable.is_empty() {
            // While a token is away its keys' names are not all known: a demo that is there is taken as it is.
            let there = match known.clone() {
                Some(known) => Some(known),
                None => control.partition_demo_credential(&group.name).await.ok().map(Xks::from),
            };
            if let Some(there) = there {
                return Ok(there);
            }
        }
        let Some(keys) = &group.keys else { return Err(Failure::new(group.unreachable.join("\n"))) };
        let options = DemoOptions { region: region.into(), quota: self.args.xks_quota.0 };
        let made = control.make_partition_demo(new_demo(&group.name, keys)?, options, PATIENCE).await.map_err(Failure::from_error)?;
        let xks = match (made, known) {
            (Some(made), _) => Xks::from(made),
            (None, Some(known)) => return Ok(known),
            (None, None) => Xks::from(control.partition_demo_credential(&group.name).await.map_err(Failure::from_error)?),
        };
        if !control.partition_demo_served(&group.name, PATIENCE).await.map_err(Failure::from_error)? {
            return Err(not_served(&format!("the demo key of group {}", group.name)));
        }
        Ok(xks)
    }
}

fn new_demo(group: &str, keys: &DemoKeys) -> Result<NewPartitionDemo, Failure> {
    let key = |key: &EnsuredKey| ExistingKey::new(&key.cka_id, &key.label).map_err(Failure::from_error);
    Ok(NewPartitionDemo { group: group.into(), health: key(&keys.health)?, key: key(&keys.demo)? })
}

fn not_served(what: &str) -> Failure {
    Failure::new(format!("{what} did not serve within {} s; the log says why", PATIENCE.as_secs()))
}

impl From<DemoCredential> for Xks {
    /// The port and the CA's file are the caller's to fill in.
    fn from(demo: DemoCredential) -> Self {
        Self {
            host: HOST.into(),
            port: 0,
            prefix: demo.uri_path.to_string(),
            access_key_id: demo.access_key_id.to_string(),
            secret_access_key: demo.secret.expose().to_owned(),
            key_id: demo.external_id.to_string(),
            region: demo.region,
            ca: std::path::PathBuf::new(),
        }
    }
}

/// Making two keys and pushing them takes milliseconds; a machine that swaps may take its time.
const PATIENCE: Duration = Duration::from_secs(30);
