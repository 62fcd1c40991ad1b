//! `controlplane.toml` → the control plane's settings.

use std::{path::Path, time::Duration};

use holdfast_controlplane::{Settings, aws::AwsSettings, settings::ApiCertificate};

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
    api.finish();

    let sync = root.section("sync");
    let sync_listen = sync.required("listen", Section::address);
    sync.finish();

    let ops = root.section("ops");
    let ops_listen = if ops.is_there() { ops.required("listen", Section::address) } else { None };
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
    settings.renew_for = renew_hours.map_or(settings.renew_for, Duration::from_hours);
    Some(ControlPlaneConfig { settings, log })
}

/// Where AWS is, if not where it usually is.
fn aws(section: &Section<'_>) -> AwsSettings {
    let aws = AwsSettings {
        kms_endpoint: section.url("kms_endpoint"),
        cloudhsmv2_endpoint: section.url("cloudhsmv2_endpoint"),
        sts_endpoint: section.url("sts_endpoint"),
        ca_file: section.path("ca_file"),
    };
    section.finish();
    aws
}

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
