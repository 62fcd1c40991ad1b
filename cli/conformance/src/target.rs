//! What a run is aimed at: one key store of one XKS proxy, and the facts that reach it.
//!
//! Owns: the target file's format, the same `xks` object that `holdfast dev` writes.
//! Holds: a `Target` has been checked against the formats of the XKS specification; everything that is
//! wrong with a file is said at once. `Debug` never shows the secret.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// One key store of one XKS proxy, with a credential and a key that are good there.
#[derive(Clone)]
pub struct Target {
    /// Host name or address; it is what TLS verifies and what the `Host` header says.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The whole URI path up to and with `/kms/xks/v1`, without a slash at its end.
    pub prefix: String,
    /// `SigV4` access key id.
    pub access_key_id: String,
    /// `SigV4` secret access key.
    pub secret_access_key: String,
    /// External id of an enabled key.
    pub key_id: String,
    /// Region of the credential scope.
    pub region: String,
    /// PEM file of the authority that signed the server's certificate; the system's authorities if absent.
    pub ca: Option<PathBuf>,
    /// PEM files of a client certificate chain and its key, for a proxy that asks for one.
    pub client: Option<ClientCertificate>,
}

/// A client certificate, as the files that hold it.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// PEM file of the chain, the client's own certificate first.
    pub chain: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file can't be read.
    #[error("cannot read target file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not JSON.
    #[error("target file {path} is not JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Fields that are missing or wrong, all of them.
    #[error("the target is not usable: {}", .0.join("; "))]
    Fields(Vec<String>),
}

impl Target {
    /// Reads an `xks` object, or an object that has one as its member `xks`.
    ///
    /// # Errors
    /// The file can't be read, is not JSON, or has missing or wrong fields; these are all listed.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TargetError> {
        Self::from_file_with(path, &Map::new())
    }

    /// As [`Target::from_file`], with members of `overrides` taking the place of the file's.
    ///
    /// # Errors
    /// As [`Target::from_file`].
    pub fn from_file_with(path: impl AsRef<Path>, overrides: &Map<String, Value>) -> Result<Self, TargetError> {
        let path = path.as_ref().to_path_buf();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(TargetError::Read { path, source }),
        };
        let whole: Value = match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(source) => return Err(TargetError::Json { path, source }),
        };
        let mut xks = match whole {
            Value::Object(mut members) => match members.remove("xks") {
                Some(Value::Object(xks)) => xks,
                Some(_) => return Err(TargetError::Fields(vec!["xks: not an object".into()])),
                None => members,
            },
            _ => return Err(TargetError::Fields(vec!["not an object".into()])),
        };
        for (name, value) in overrides {
            xks.insert(name.clone(), value.clone());
        }
        Self::from_members(&xks)
    }

    /// Reads the members of an `xks` object.
    ///
    /// # Errors
    /// [`TargetError::Fields`] with every member that is missing or wrong.
    pub fn from_members(members: &Map<String, Value>) -> Result<Self, TargetError> {
        let mut reader = Reader { members, wrong: Vec::new() };
        let target = Self {
            host: reader.text("host", |s| !s.is_empty(), "not empty"),
            port: reader.port(),
            prefix: reader.text("prefix", is_prefix, "10 to 128 characters of [a-zA-Z0-9/_-], ending in /kms/xks/v1"),
            access_key_id: reader.text(
                "access_key_id",
                |s| (20..=30).contains(&s.len()) && s.bytes().all(is_access_key_byte),
                "20 to 30 characters of [A-Z2-7]",
            ),
            secret_access_key: reader.text(
                "secret_access_key",
                |s| (43..=64).contains(&s.len()) && s.bytes().all(is_secret_byte),
                "43 to 64 characters of [A-Za-z0-9+/=]",
            ),
            key_id: reader.text("key_id", is_key_id, "1 to 128 characters of [A-Za-z0-9._-]"),
            region: reader.text("region", |s| !s.is_empty(), "not empty"),
            ca: reader.path("ca"),
            client: reader.client(),
        };
        if reader.wrong.is_empty() { Ok(target) } else { Err(TargetError::Fields(reader.wrong)) }
    }

    /// The `Host` header: with the port unless it is the one that HTTPS implies.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            HTTPS => host,
            port => format!("{host}:{port}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("prefix", &self.prefix)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Takes members out one by one and notes what is wrong with each.
struct Reader<'m> {
    members: &'m Map<String, Value>,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn text(&mut self, name: &str, good: impl Fn(&str) -> bool, rule: &str) -> String {
        match self.members.get(name) {
            Some(Value::String(text)) if good(text) => return text.clone(),
            Some(Value::String(_)) => self.wrong.push(format!("{name}: must be {rule}")),
            Some(_) => self.wrong.push(format!("{name}: not a string")),
            None => self.wrong.push(format!("{name}: missing")),
        }
        String::new()
    }

    fn port(&mut self) -> u16 {
        let Some(value) = self.members.get("port") else {
            self.wrong.push("port: missing".into());
            return 0;
        };
        let port = value.as_u64().and_then(|port| u16::try_from(port).ok());
        match port {
            Some(port) if port > 0 => port,
            Some(_) | None => {
                self.wrong.push("port: not a number from 1 to 65535".into());
                0
            }
        }
    }

    fn path(&mut self, name: &str) -> Option<PathBuf> {
        match self.members.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(path)) if !path.is_empty() => Some(PathBuf::from(path)),
            Some(_) => {
                self.wrong.push(format!("{name}: not a file name"));
                None
            }
        }
    }

    fn client(&mut self) -> Option<ClientCertificate> {
        match (self.path("client_cert"), self.path("client_key")) {
            (Some(chain), Some(key)) => Some(ClientCertificate { chain, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.wrong.push("client_cert, client_key: one without the other".into());
                None
            }
        }
    }
}

fn is_prefix(path: &str) -> bool {
    (10..=128).contains(&path.len())
        && path.starts_with('/')
        && path.ends_with("/kms/xks/v1")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
}

fn is_key_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

const fn is_access_key_byte(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'2'..=b'7')
}

const fn is_secret_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// The port that a `Host` header leaves out.
const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "host": "localhost", "port": 8443, "prefix": "/demo/kms/xks/v1",
            "access_key_id": "ABCDEFGHIJKLMNOPQRST",
            "secret_access_key": "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq",
            "key_id": "k1", "region": "us-east-1", "ca": "/etc/ca.pem"
        })
    }

    fn written(value: &Value) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), value.to_string()).unwrap();
        file
    }

    #[test]
    fn a_bare_object_and_one_in_a_member_read_alike() {
        for value in [good(), json!({"xks": good(), "api": {}})] {
            let target = Target::from_file(written(&value).path()).unwrap();
            assert_eq!(target.authority(), "localhost:8443");
            assert_eq!(target.prefix, "/demo/kms/xks/v1");
            assert_eq!(target.ca, Some(PathBuf::from("/etc/ca.pem")));
        }
    }

    #[test]
    fn everything_wrong_is_listed_at_once() {
        let bad = json!({"port": 0, "prefix": "/kms/xks/v2", "access_key_id": 5,
                         "secret_access_key": "short", "key_id": "a/b", "client_cert": "x"});
        let Err(TargetError::Fields(wrong)) = Target::from_members(bad.as_object().unwrap()) else {
            panic!("a bad target was taken");
        };
        let names: Vec<_> = wrong.iter().filter_map(|w| w.split(':').next()).collect();
        assert_eq!(names, ["host", "port", "prefix", "access_key_id", "secret_access_key", "key_id", "region", "client_cert, client_key"]);
    }

    #[test]
    fn an_override_takes_the_place_of_a_member() {
        let file = written(&good());
        let mut overrides = Map::new();
        overrides.insert("port".into(), json!(443));
        let target = Target::from_file_with(file.path(), &overrides).unwrap();
        assert_eq!(target.authority(), "localhost");
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        let target = Target::from_members(good().as_object().unwrap()).unwrap();
        assert!(!format!("{target:?}").contains(&target.secret_access_key));
    }
}
