//! `dataplane.toml` → the data plane's settings.

use std::{
    iter,
    path::{Path, PathBuf},
    time::Duration,
};

use holdfast_dataplane::settings::{
    CertificateFiles, ClientCertificates, KeySeal, ListenerSettings, MAX_CONNECTIONS, PER_PEER, Settings, SyncSettings,
};

use super::{ConfigError, Section, Source};
use crate::logging::LogSettings;

/// What the file says.
#[derive(Debug)]
pub(crate) struct DataPlaneConfig {
    pub(crate) settings: Settings,
    pub(crate) log: LogSettings,
}

/// Reads `file`; an error lists everything that is wrong with it.
pub(crate) fn read(file: &Path) -> Result<DataPlaneConfig, ConfigError> {
    let source = Source::load(file)?;
    let config = config(&source.root());
    source.into_result()?;
    // Without a fault nothing is missing.
    config.ok_or(ConfigError::Faults { faults: Vec::new() })
}

fn config(root: &Section<'_>) -> Option<DataPlaneConfig> {
    let state_dir = root.required("state_dir", Section::path);
    let drain_delay = root.number("drain_delay_seconds", 0..=600).unwrap_or(DRAIN_DELAY);
    let xks = root.sections("xks");
    if xks.is_empty() {
        root.refuse("xks", "needs at least one listener, [[xks]]");
    }
    let listeners: Vec<_> = xks.iter().map(listener).collect();

    let ops_section = root.section("ops");
    let ops = if ops_section.is_there() { ops_section.required("listen", Section::address) } else { None };
    ops_section.finish();

    let sync_section = root.section("sync");
    let sync = if sync_section.is_there() { sync(&sync_section) } else { None };

    let key_seals = key_seals(&root.section("keys"));
    let partitions = super::pkcs11::partitions(root);

    let limits = root.section("limits");
    let max_connections = limits.number("connections", 1..=1_000_000);
    let per_peer = limits.number("connections_per_peer", 1..=1_000_000);
    limits.finish();

    let audit = root.section("audit");
    let audit_dir = if audit.is_there() { audit.required("dir", Section::path) } else { None };
    audit.finish();

    let log = super::log(root);
    root.finish();

    let mut settings = Settings::new(state_dir?);
    settings.listeners = listeners.into_iter().collect::<Option<_>>()?;
    settings.ops = ops;
    settings.sync = sync;
    settings.key_seals = key_seals?;
    settings.pkcs11.partitions = partitions?;
    settings.pkcs11.state_dir.clone_from(&settings.state_dir);
    settings.pkcs11.keyhost = keyhost(&log);
    settings.audit_dir = audit_dir;
    settings.drain_delay = Duration::from_secs(drain_delay);
    settings.max_connections = size(max_connections, MAX_CONNECTIONS);
    settings.per_peer = size(per_peer, PER_PEER);
    Some(DataPlaneConfig { settings, log })
}

/// Files that hold a seal, then files whose seal lies under a key on a partition.
fn key_seals(keys: &Section<'_>) -> Option<Vec<KeySeal>> {
    let plain = keys.paths("seals").unwrap_or_default().into_iter().map(KeySeal::File);
    let sealed: Vec<_> = keys.sections("partition_seal").iter().map(partition_seal).collect();
    if !keys.has("seals") && sealed.is_empty() {
        keys.refuse("seals", "is missing");
    } else if plain.len() + sealed.len() == 0 {
        keys.refuse("seals", "needs at least one file");
    }
    keys.finish();
    plain.map(Some).chain(sealed).collect()
}

fn partition_seal(section: &Section<'_>) -> Option<KeySeal> {
    let file = section.required("file", Section::path);
    let group = section.required("group", Section::text);
    let label = section.required("label", Section::text);
    section.finish();
    Some(KeySeal::OnPartition { file: file?, group: group?, label: label? })
}

/// How partitions with a process of their own are run: by this very program, which logs as this one does.
pub(crate) fn keyhost(log: &LogSettings) -> Vec<PathBuf> {
    // The program that runs, not the one that an upgrade may have put in its place: both ends must be of one version.
    let program = PathBuf::from("/proc/self/exe");
    let words = ["keyhost", "--log-format", log.format.as_str()].into_iter().chain(log.level.map(|_| "--log-level")).chain(log.level);
    iter::once(program).chain(words.map(PathBuf::from)).collect()
}

fn listener(section: &Section<'_>) -> Option<ListenerSettings> {
    let addr = section.required("listen", Section::address);
    let choices = [ClientCertificates::Off, ClientCertificates::Request, ClientCertificates::Require].map(|mode| (mode.as_str(), mode));
    let mode = section.choice("client_certificates", &choices).unwrap_or_default();
    let client_ca = section.paths("client_ca").unwrap_or_default();
    if mode != ClientCertificates::Off && client_ca.is_empty() {
        section.refuse("client_ca", "must name the roots of client certificates unless client_certificates is \"off\"");
    }
    let names = section.texts("client_names");
    let tables = section.sections("certificate");
    if tables.is_empty() {
        section.refuse("certificate", "needs at least one server certificate, [[xks.certificate]]");
    }
    // Each is read before any is given up on, so that all faults show.
    let certificates: Vec<_> = tables.iter().map(certificate).collect();
    section.finish();

    let mut settings = ListenerSettings::new(addr?, certificates.into_iter().collect::<Option<_>>()?);
    settings.client_certificates = mode;
    settings.client_ca = client_ca;
    if let Some(names) = names {
        settings.client_cn_patterns = names;
    }
    Some(settings)
}

fn certificate(section: &Section<'_>) -> Option<CertificateFiles> {
    let chain = section.required("chain", Section::path);
    let key = section.required("key", Section::path);
    section.finish();
    Some(CertificateFiles { chain: chain?, key: key? })
}

fn sync(section: &Section<'_>) -> Option<SyncSettings> {
    let endpoint = section.required("endpoint", Section::text);
    let host = endpoint.as_deref().and_then(host_of_https);
    if endpoint.is_some() && host.is_none() {
        section.refuse("endpoint", "must be https://HOST:PORT");
    }
    let server_name = section.text("server_name").or_else(|| host.map(ToOwned::to_owned));
    let certificate = section.required("certificate", Section::path);
    let key = section.required("key", Section::path);
    let ca = section.required("ca", Section::path);
    section.finish();
    Some(SyncSettings { endpoint: endpoint?, server_name: server_name?, certificate: certificate?, key: key?, ca: ca? })
}

/// The host of `https://HOST:PORT`, without an IPv6 address's brackets.
pub(crate) fn host_of_https(endpoint: &str) -> Option<&str> {
    let (host, port) = endpoint.strip_prefix("https://")?.trim_end_matches('/').rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
    (is_host && port.parse::<u16>().is_ok()).then_some(host)
}

fn size(number: Option<u64>, default: usize) -> usize {
    number.and_then(|n| usize::try_from(n).ok()).unwrap_or(default)
}

/// Long enough for a load balancer with ten-second health checks to see two of them fail.
const DRAIN_DELAY: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/dataplane.toml");
    const DOCUMENTED: &str = include_str!("../../../deploy/docs/configuration.md");

    #[test]
    fn the_shipped_example_has_no_fault() {
        let config = read(Path::new(SHIPPED)).unwrap();
        assert_eq!(config.settings.listeners.len(), 1);
        assert_eq!(config.settings.sync.unwrap().server_name, "control-plane.holdfast.internal");
    }

    #[test]
    fn every_setting_is_documented() {
        let odd = "odd = 1\n[[xks]]\nodd = 1\n[[xks.certificate]]\nodd = 1\n[ops]\nodd = 1\n[sync]\nodd = 1\n[keys]\nodd = 1\n[limits]\nodd = 1\n[audit]\nodd = 1\n[log]\nodd = 1\n[[module]]\nodd = 1\n[[partition]]\nodd = 1\n[[group]]\nodd = 1\n[[keys.partition_seal]]\nodd = 1\n";
        let known = super::super::known_settings(odd, |file| read(file).unwrap_err());
        for setting in ["listen", "token_serial", "health_key", "label", "level"] {
            assert!(known.iter().any(|name| name == setting), "{setting} is not in {known:?}");
        }
        for name in known {
            let forms = [format!("`{name}`"), format!("[{name}]"), format!(".{name}]")];
            assert!(forms.iter().any(|form| DOCUMENTED.contains(form)), "{name} is not documented");
        }
    }

    #[test]
    fn every_fault_of_every_section_is_listed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dataplane.toml");
        std::fs::write(
            &file,
            "[[xks]]\nlisten = \"x\"\nclient_certificates = \"require\"\n[[xks.certificate]]\n[sync]\nendpoint = \"http://h\"\n",
        )
        .unwrap();
        let text = read(&file).unwrap_err().to_string();
        for fault in [
            "state_dir is missing",
            "xks.listen must be",
            "xks.client_ca must name",
            "xks.certificate.chain is missing",
            "xks.certificate.key is missing",
            "sync.endpoint must be https://HOST:PORT",
            "sync.ca is missing",
            "keys.seals is missing",
        ] {
            assert!(text.contains(fault), "{fault} in\n{text}");
        }
    }
}
