//! `controlplane.toml` → the control plane's settings.

use std::{ops::RangeInclusive, path::Path, time::Duration};

use holdfast_controlplane::{
    Settings,
    aws::AwsSettings,
    connections::{API_CAPS, ConnectionCaps, OPS_CAPS, SYNC_CAPS},
    settings::ApiCertificate,
};

use super::{ConfigError, Section, Source};
use crate::logging::LogSettings;

/// What the file says.
#[derive(Debug)]
pub(crate) struct ControlPlaneConfig {
    pub(crate) settings: Settings,
    pub(crate) log: LogSettings,
}

/// Reads `file`; an error lists everything that is wrong with it.
pub(crate) fn read(file: &Path) -> Result<ControlPlaneConfig, ConfigError> {
    let source = Source::load(file)?;
    let config = config(&source.root());
    source.into_result()?;
    // Without a fault nothing is missing.
    config.ok_or(ConfigError::Faults { faults: Vec::new() })
}

fn config(root: &Section<'_>) -> Option<ControlPlaneConfig> {
    let data_dir = root.required("data_dir", Section::path);

    let (backup_dir, backup_passphrase_file) = (root.path("backup_dir"), root.path("backup_passphrase_file"));
    if backup_dir.is_some() != backup_passphrase_file.is_some() {
        root.refuse(
            if backup_dir.is_some() { "backup_dir" } else { "backup_passphrase_file" },
            "needs the other of backup_dir and backup_passphrase_file",
        );
    }

    let api = root.section("api");
    let api_listen = api.required("listen", Section::address);
    let api_certificate = match (api.path("chain"), api.path("key")) {
        (Some(chain), Some(key)) => Some(ApiCertificate { chain, key }),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            api.refuse("chain", "and api.key go together");
            None
        }
    };
    let renew_hours = api.number("renew_hours", 1..=MOST_RENEW_HOURS);
    let api_connections = connections(&api, (1, API_CAPS));
    api.finish();

    let sync = root.section("sync");
    let sync_listen = sync.required("listen", Section::address);
    // A node that comes back may hold its old connection for a while.
    let sync_connections = connections(&sync, (2, SYNC_CAPS));
    sync.finish();

    let ops = root.section("ops");
    let ops_listen = if ops.is_there() { ops.required("listen", Section::address) } else { None };
    let ops_connections = connections(&ops, (1, OPS_CAPS));
    ops.finish();

    let keys = root.section("keys");
    let rotate_at = keys.number("rotate_local_after", FEWEST_ENCRYPTIONS..=MOST_ENCRYPTIONS);
    let control_seals = keys.paths("control_seals");
    keys.finish();

    let audit = root.section("audit");
    let audit_dir = if audit.is_there() { audit.required("dir", Section::path) } else { None };
    audit.finish();

    let aws = aws(&root.section("aws"));

    let log = super::log(root);
    root.finish();

    let mut settings = Settings::new(data_dir?, api_listen?, sync_listen?);
    settings.ops_listen = ops_listen;
    settings.api_certificate = api_certificate;
    settings.audit_dir = audit_dir;
    (settings.backup_dir, settings.backup_passphrase_file) = (backup_dir, backup_passphrase_file);
    settings.control_seals = control_seals.unwrap_or_default();
    settings.rotate_at = rotate_at.unwrap_or(settings.rotate_at);
    settings.aws = aws;
    (settings.api_connections, settings.sync_connections, settings.ops_connections) = (api_connections, sync_connections, ops_connections);
    settings.renew_for = renew_hours.map_or(settings.renew_for, Duration::from_hours);
    Some(ControlPlaneConfig { settings, log })
}

/// How many connections a listener holds, if not as many as it does by itself.
fn connections(section: &Section<'_>, (fewest, caps): (u64, ConnectionCaps)) -> ConnectionCaps {
    let read = |key, cap| section.number(key, fewest..=MOST_CONNECTIONS).and_then(|n| usize::try_from(n).ok()).unwrap_or(cap);
    ConnectionCaps { all: read("connections", caps.all), peer: read("connections_per_peer", caps.peer) }
}

/// Where AWS is, if not where it usually is.
fn aws(section: &Section<'_>) -> AwsSettings {
    let usual = AwsSettings::new();
    let attempt = section.number("attempt_timeout_seconds", ATTEMPT_SECONDS).map_or(usual.attempt_timeout, Duration::from_secs);
    // What is asked may be done for as long as a try takes.
    let settled = section.number("settled_after_seconds", attempt.as_secs()..=MOST_SETTLED_SECONDS).map(Duration::from_secs);
    let aws = AwsSettings {
        kms_endpoint: section.url("kms_endpoint"),
        cloudhsmv2_endpoint: section.url("cloudhsmv2_endpoint"),
        sts_endpoint: section.url("sts_endpoint"),
        ca_file: section.path("ca_file"),
        attempt_timeout: attempt,
        settled_after: settled.unwrap_or(usual.settled_after),
    };
    section.finish();
    aws
}

/// As on a data plane.
const MOST_CONNECTIONS: u64 = 1_000_000;
/// AWS tries the proxy before it answers CreateCustomKeyStore; clients of ours wait three minutes for all tries.
const ATTEMPT_SECONDS: RangeInclusive<u64> = 5..=60;
/// An hour.
const MOST_SETTLED_SECONDS: u64 = 3600;
/// A year.
const MOST_RENEW_HOURS: u64 = 365 * 24;
/// One block that a node reserves (design §6).
const FEWEST_ENCRYPTIONS: u64 = 1 << 20;
/// NIST SP 800-38D §8.3, random IVs of 96 bits.
const MOST_ENCRYPTIONS: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/controlplane.toml");
    const DOCUMENTED: &str = include_str!("../../../deploy/docs/configuration.md");

    #[test]
    fn the_shipped_example_has_no_fault() {
        let config = read(Path::new(SHIPPED)).unwrap();
        assert!(config.settings.data_dir.ends_with("deploy/controlplane"));
    }

    fn written(text: &str) -> Result<ControlPlaneConfig, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    const LISTENERS: [&str; 3] = ["api", "sync", "ops"];

    fn with_connections(listeners: impl IntoIterator<Item = (&'static str, String)>) -> Result<ControlPlaneConfig, ConfigError> {
        let sections: String =
            listeners.into_iter().map(|(name, settings)| format!("[{name}]\nlisten = \"127.0.0.1:0\"\n{settings}\n")).collect();
        written(&format!("data_dir = \"d\"\n{sections}"))
    }

    #[test]
    fn each_listener_holds_as_many_connections_as_it_is_told_to() {
        let caps = |config: ControlPlaneConfig| {
            let settings = config.settings;
            [settings.api_connections, settings.sync_connections, settings.ops_connections].map(|caps| (caps.all, caps.peer))
        };
        let untold = with_connections(LISTENERS.map(|name| (name, String::new()))).unwrap();
        assert_eq!(caps(untold), [API_CAPS, SYNC_CAPS, OPS_CAPS].map(|caps| (caps.all, caps.peer)));
        let told = LISTENERS.into_iter().zip(2..).map(|(name, n)| (name, format!("connections = {n}0\nconnections_per_peer = {n}")));
        assert_eq!(caps(with_connections(told).unwrap()), [(20, 2), (30, 3), (40, 4)]);
    }

    #[test]
    fn connections_out_of_bounds_are_all_named() {
        let odd = [("api", "connections = 0"), ("sync", "connections_per_peer = 1"), ("ops", "connections = 1000001")];
        let error = with_connections(odd.map(|(name, odd)| (name, odd.to_owned()))).unwrap_err().to_string();
        let faults = [
            "api.connections must be a whole number from 1 to 1000000",
            "sync.connections_per_peer must be a whole number from 2 to 1000000",
            "ops.connections must be a whole number from 1 to 1000000",
        ];
        assert!(faults.iter().all(|fault| error.contains(fault)) && error.lines().count() == 3, "{error}");
    }

    #[test]
    fn a_time_for_aws_that_is_too_short_or_too_long_is_refused_by_its_name() {
        let told = |lines: &str| {
            let rest = "data_dir = \"d\"\n[api]\nlisten = \"127.0.0.1:0\"\n[sync]\nlisten = \"127.0.0.1:0\"\n";
            written(&format!("{rest}[aws]\n{lines}\n")).map(|config| config.settings.aws)
        };
        for seconds in [5, 60] {
            let aws = told(&format!("attempt_timeout_seconds = {seconds}")).unwrap();
            assert_eq!(aws.attempt_timeout, Duration::from_secs(seconds));
        }
        for seconds in [0, 4, 61] {
            let refused = told(&format!("attempt_timeout_seconds = {seconds}")).unwrap_err().to_string();
            assert!(refused.contains("aws.attempt_timeout_seconds must be a whole number from 5 to 60"), "{refused}");
        }
        let settled = told("settled_after_seconds = 20").unwrap();
        assert_eq!((settled.attempt_timeout, settled.settled_after), (Duration::from_secs(20), Duration::from_secs(20)));
        let refused = told("attempt_timeout_seconds = 30\nsettled_after_seconds = 29").unwrap_err().to_string();
        assert!(refused.contains("aws.settled_after_seconds must be a whole number from 30 to 3600"), "{refused}");
    }

    #[test]
    fn every_setting_is_documented() {
        let odd =
            "odd = 1\n[api]\nodd = 1\n[sync]\nodd = 1\n[ops]\nodd = 1\n[keys]\nodd = 1\n[aws]\nodd = 1\n[audit]\nodd = 1\n[log]\nodd = 1\n";
        let known = super::super::known_settings(odd, |file| read(file).unwrap_err());
        assert!(known.len() > 12, "{known:?}");
        let plane = DOCUMENTED.split_once("## Control plane").unwrap().1;
        for name in known.iter().filter(|name| !["format", "level", "log"].contains(&name.as_str())) {
            let forms = [format!("`{name}`"), format!("[{name}]"), format!(".{name}]")];
            assert!(forms.iter().any(|form| plane.contains(form)), "{name} is not documented");
        }
    }
}
