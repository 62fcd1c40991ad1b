//! The configuration file that `HOLDFAST_SIM_HSM` names, parsed into what the rest may trust.
//!
//! Holds: every partition has a serial of its own, texts fit their PKCS#11 fields, and key values are AES keys.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::digest;
use cryptoki_sys::{CK_MECHANISM_TYPE, CK_VERSION, CKM_AES_GCM, CKM_AES_KEY_GEN, CKR_ENCRYPTED_DATA_INVALID};
use serde::Deserialize;
use thiserror::Error;

use crate::{
    hex,
    key::KeyRecord,
    rv::{Rv, rv},
};

/// The whole file.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where to listen for faults.
    pub(crate) control: Option<PathBuf>,
    /// One token each, in slot order.
    pub(crate) partitions: Vec<PartitionConfig>,
}

/// One token.
#[derive(Debug)]
pub(crate) struct PartitionConfig {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) manufacturer: String,
    pub(crate) model: String,
    pub(crate) firmware: CK_VERSION,
    pub(crate) pin: String,
    /// Wrong PINs in a row after which the token locks; 0: never.
    pub(crate) pin_tries: u32,
    /// Most sessions at once; 0: any number.
    pub(crate) sessions: usize,
    pub(crate) latency: Latency,
    pub(crate) iv: IvRule,
    /// What a decryption with a wrong tag answers.
    pub(crate) bad_tag: Rv,
    pub(crate) mechanisms: Vec<Mechanism>,
    /// Where keys and PIN counts outlive the process.
    pub(crate) state: Option<PathBuf>,
    pub(crate) keys: Vec<ConfigKey>,
}

/// A key that the token has from the start.
#[derive(Debug)]
pub(crate) struct ConfigKey {
    pub(crate) record: KeyRecord,
    /// Whether the file gives its value; else the state file's, or a random one.
    pub(crate) given: bool,
}

/// How long calls take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    /// Each `C_Encrypt` and `C_Decrypt`.
    pub(crate) call: Duration,
    /// Each `C_EncryptInit` and `C_DecryptInit`.
    pub(crate) init: Duration,
    /// Added to `call`: a uniform draw from nothing to this.
    pub(crate) jitter: Duration,
}

/// Who makes the IV of an encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IvRule {
    /// The caller.
    Caller,
    /// The token, which writes it to the caller's buffer.
    Token,
    /// The token, which appends it to ciphertext and tag; so many bytes.
    Appended(usize),
}

impl IvRule {
    /// What a token calls its maker where the file says nothing: applications pick the IV rule by that.
    const fn manufacturer(self) -> &'static str {
        match self {
            Self::Caller => "Holdfast Simulator",
            Self::Token => "Holdfast Simulator (fills IV)",
            Self::Appended(_) => "Holdfast Simulator (appends IV)",
        }
    }
}

/// A mechanism that a partition may have.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Mechanism {
    #[serde(rename = "CKM_AES_GCM")]
    AesGcm,
    #[serde(rename = "CKM_AES_KEY_GEN")]
    AesKeyGen,
}

impl Mechanism {
    /// Its number.
    pub(crate) const fn code(self) -> CK_MECHANISM_TYPE {
        match self {
            Self::AesGcm => CKM_AES_GCM,
            Self::AesKeyGen => CKM_AES_KEY_GEN,
        }
    }
}

/// Why there is no configuration. One line each, naming the field.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("the environment variable {VARIABLE} names no configuration file")]
    NoVariable,
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}, line {line} ({text}): {reason}")]
    Parse { path: PathBuf, line: usize, text: String, reason: String },
    #[error("{field}: {reason}")]
    Field { field: String, reason: &'static str },
}

impl Config {
    /// Reads the file that the environment names.
    pub(crate) fn from_environment() -> Result<Self, ConfigError> {
        let path = env::var_os(VARIABLE).filter(|path| !path.is_empty()).ok_or(ConfigError::NoVariable)?;
        let path = PathBuf::from(path);
        let text = fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::parse(&path, &text)
    }

    /// What `text`, which came from `path`, says.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml_edit::de::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
            let shown = text.lines().nth(line).unwrap_or_default().trim().to_owned();
            let reason = error.message().lines().collect::<Vec<_>>().join(", ");
            ConfigError::Parse { path: path.to_owned(), line: line + 1, text: shown, reason }
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let control = raw.control.map(|control| base.join(control));
        if control.as_ref().is_some_and(|path| path.as_os_str().len() > SOCKET_PATH_MAX) {
            return Err(field("control", "the path is too long for a Unix socket (at most 96 bytes)"));
        }
        if raw.partition.is_empty() {
            return Err(field("partition", "at least one is needed"));
        }
        let mut serials = BTreeSet::new();
        let mut partitions = Vec::new();
        for (index, raw) in raw.partition.into_iter().enumerate() {
            let partition = raw.check(index, base)?;
            if !serials.insert(partition.serial.clone()) {
                return Err(field(format!("partition[{index}].serial"), "another partition has it"));
            }
            partitions.push(partition);
        }
        Ok(Self { control, partitions })
    }
}

impl RawPartition {
    fn check(self, index: usize, base: &Path) -> Result<PartitionConfig, ConfigError> {
        let wrong = |name: &str, reason| Err(field(format!("partition[{index}].{name}"), reason));
        if self.label.is_empty() || self.label.len() > 32 {
            return wrong("label", "1 to 32 bytes are needed");
        }
        let serial = self.serial.unwrap_or_else(|| format!("HFSIM{:04}", index + 1));
        let plain = serial.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if serial.is_empty() || serial.len() > 16 || !plain {
            return wrong("serial", "1 to 16 letters, digits, '-' or '_' are needed");
        }
        let iv = match (self.iv.unwrap_or(RawIv::Caller), self.iv_len) {
            (RawIv::Caller, None) => IvRule::Caller,
            (RawIv::Token, None) => IvRule::Token,
            (RawIv::Appended, None) => IvRule::Appended(16),
            (RawIv::Appended, Some(len @ (12 | 16))) => IvRule::Appended(len),
            (RawIv::Appended, Some(_)) => return wrong("iv_len", "12 or 16 is needed"),
            (RawIv::Caller | RawIv::Token, Some(_)) => return wrong("iv_len", "it goes with iv = \"appended\" only"),
        };
        let manufacturer = self.manufacturer.unwrap_or_else(|| iv.manufacturer().to_owned());
        if manufacturer.len() > 32 {
            return wrong("manufacturer", "at most 32 bytes fit");
        }
        let model = self.model.unwrap_or_else(|| "sim-hsm".to_owned());
        if model.len() > 16 {
            return wrong("model", "at most 16 bytes fit");
        }
        let Some(firmware) = version(self.firmware.as_deref().unwrap_or("1.0")) else {
            return wrong("firmware", "two numbers below 256 with a dot between them are needed");
        };
        if self.pin.is_empty() || self.pin.len() > 64 {
            return wrong("pin", "1 to 64 bytes are needed");
        }
        let mut keys: Vec<ConfigKey> = Vec::new();
        for (at, key) in self.key.into_iter().enumerate() {
            let mut key = key.check(&format!("partition[{index}].key[{at}]"))?;
            let twins = keys.iter().filter(|k| k.record.id == key.record.id && k.record.label == key.record.label).count();
            key.record.uid = format!("config:{}:{}:{twins}", hex::write(&key.record.id), key.record.label);
            keys.push(key);
        }
        Ok(PartitionConfig {
            label: self.label,
            serial,
            manufacturer,
            model,
            firmware,
            pin: self.pin,
            pin_tries: self.pin_tries.unwrap_or(10),
            sessions: self.sessions,
            latency: Latency {
                call: Duration::from_millis(u64::from(self.latency_ms)) + Duration::from_micros(u64::from(self.latency_us)),
                init: Duration::from_micros(u64::from(self.init_latency_us)),
                jitter: Duration::from_micros(u64::from(self.jitter_us)),
            },
            iv,
            bad_tag: self.bad_tag.unwrap_or(rv(CKR_ENCRYPTED_DATA_INVALID)),
            mechanisms: self.mechanisms.unwrap_or_else(|| vec![Mechanism::AesKeyGen, Mechanism::AesGcm]),
            state: self.state.map(|path| base.join(path)),
            keys,
        })
    }
}

impl RawKey {
    fn check(self, name: &str) -> Result<ConfigKey, ConfigError> {
        let wrong = |part: &str, reason| Err(field(format!("{name}.{part}"), reason));
        let Some(id) = hex::parse(&self.id) else {
            return wrong("id", "an even number of hexadecimal digits is needed");
        };
        let len = match self.bits.unwrap_or(256) {
            128 => 16,
            192 => 24,
            256 => 32,
            _ => return wrong("bits", "128, 192 or 256 is needed"),
        };
        let value = match (self.value, self.seed) {
            (Some(_), Some(_)) => return wrong("seed", "it does not go with a value"),
            (Some(value), None) => match hex::parse(&value).filter(|bytes| [16, 24, 32].contains(&bytes.len())) {
                Some(bytes) if self.bits.is_none() || bytes.len() == len => Some(bytes),
                Some(_) => return wrong("value", "its length differs from bits"),
                None => return wrong("value", "16, 24 or 32 bytes in hexadecimal are needed"),
            },
            (None, Some(seed)) => {
                let digest = digest::digest(&digest::SHA256, format!("holdfast-sim-hsm key {seed}").as_bytes());
                Some(digest.as_ref().iter().copied().take(len).collect())
            }
            (None, None) => None,
        };
        let fresh = KeyRecord::random(len);
        let sensitive = self.sensitive.unwrap_or(true);
        let extractable = self.extractable.unwrap_or(false);
        let given = value.is_some();
        let record = KeyRecord {
            id,
            label: self.label,
            value: value.unwrap_or(fresh.value),
            encrypt: self.encrypt.unwrap_or(true),
            decrypt: self.decrypt.unwrap_or(true),
            sensitive,
            extractable,
            always_sensitive: sensitive,
            never_extractable: !extractable,
            ..fresh
        };
        Ok(ConfigKey { record, given })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    control: Option<PathBuf>,
    #[serde(default)]
    partition: Vec<RawPartition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPartition {
    label: String,
    serial: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    firmware: Option<String>,
    pin: String,
    pin_tries: Option<u32>,
    #[serde(default)]
    sessions: usize,
    #[serde(default)]
    latency_ms: u32,
    #[serde(default)]
    latency_us: u32,
    #[serde(default)]
    init_latency_us: u32,
    #[serde(default)]
    jitter_us: u32,
    iv: Option<RawIv>,
    iv_len: Option<usize>,
    bad_tag: Option<Rv>,
    mechanisms: Option<Vec<Mechanism>>,
    state: Option<PathBuf>,
    #[serde(default)]
    key: Vec<RawKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawIv {
    Caller,
    Token,
    Appended,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    id: String,
    label: String,
    value: Option<String>,
    seed: Option<String>,
    bits: Option<u32>,
    encrypt: Option<bool>,
    decrypt: Option<bool>,
    sensitive: Option<bool>,
    extractable: Option<bool>,
}

fn field(name: impl Into<String>, reason: &'static str) -> ConfigError {
    ConfigError::Field { field: name.into(), reason }
}

fn version(text: &str) -> Option<CK_VERSION> {
    let (major, minor) = text.split_once('.')?;
    Some(CK_VERSION { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// The path of `control` with `suffix` behind its last name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

const VARIABLE: &str = "HOLDFAST_SIM_HSM";
/// A Unix socket's path has 107 bytes on Linux; `.` and a process id come behind this.
const SOCKET_PATH_MAX: usize = 96;
