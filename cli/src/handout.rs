//! What `holdfast dev` hands to people and programs: `dev.json`, and the block that it prints.

use std::{
    fmt::Write as _,
    fs, io,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The contents of `dev.json`. It holds secrets: mode 0600.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Handout {
    pub(crate) xks: Xks,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<Api>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ops: Option<Ops>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_sim: Option<KmsSim>,
    /// Demo key stores on PKCS#11 tokens, one for each group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) partitions: Vec<PartitionDemo>,
}

/// A group of PKCS#11 partitions, and a key store on it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PartitionDemo {
    pub(crate) group: String,
    /// Labels of the group's tokens.
    pub(crate) labels: Vec<String>,
    pub(crate) xks: Xks,
}

/// A key store and how to reach it: what `holdfast conformance --target` takes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Xks {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The whole URI path, up to and with `/kms/xks/v1`.
    pub(crate) prefix: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) key_id: String,
    pub(crate) region: String,
    /// Absolute path of the PEM file of the CA.
    pub(crate) ca: PathBuf,
}

/// The admin API.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Api {
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) ca: PathBuf,
}

/// The ops port.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Ops {
    pub(crate) url: String,
}

/// The simulator of AWS KMS, CloudHSM v2 and STS.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KmsSim {
    pub(crate) url: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) region: String,
}

impl Handout {
    /// Reads a file that [`Handout::write`] wrote; none where there is no such file, or it is of another form.
    pub(crate) fn read(file: &Path) -> io::Result<Option<Self>> {
        match fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For a shell to read: after it AWS's own clients ask the simulator, where there is one, whatever the shell had of AWS before, and ask it
    /// themselves, whatever proxy it has. It names both planes, too.
    pub(crate) fn environment(&self) -> Option<String> {
        let (sim, api) = (self.kms_sim.as_ref()?, self.api.as_ref()?);
        let set = [
            ("AWS_ENDPOINT_URL", sim.url.as_str()),
            ("AWS_REGION", &sim.region),
            ("AWS_DEFAULT_REGION", &sim.region),
            ("AWS_ACCESS_KEY_ID", &sim.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &sim.secret_access_key),
            ("XKS_ENDPOINT", &self.xks.endpoint()),
            ("HOLDFAST_SERVER", &api.url),
            ("HOLDFAST_CA", &api.ca.display().to_string()),
        ];
        Some(FORGET.to_owned() + &set.map(|(name, value)| format!("export {name}={}\n", quoted(value))).concat() + ASK_THEMSELVES)
    }

    /// Writes the file whole or not at all, mode 0600.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        write_private(file, &(text + "\n"))
    }
}

impl Xks {
    /// Where AWS KMS would connect to.
    fn endpoint(&self) -> String {
        format!("https://{}:{}", self.host, self.port)
    }

    /// A line for a shell that encrypts with the key.
    pub(crate) fn curl(&self) -> String {
        let body = r#"{"requestMetadata":{"awsPrincipalArn":"arn:aws:iam::123456789012:user/alice","kmsOperation":"Encrypt","kmsRequestId":"4112f4d6-db54-4af4-ae30-c55a22a8dfae","kmsKeyArn":"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"},"plaintext":"aGVsbG8=","encryptionAlgorithm":"AES_GCM"}"#;
        format!(
            "curl --aws-sigv4 {} --user {} --cacert {} -H 'Content-Type: application/json' -d '{body}' {}",
            quoted(&format!("aws:amz:{}:kms-xks-proxy", self.region)),
            quoted(&format!("{}:{}", self.access_key_id, self.secret_access_key)),
            quoted(&self.ca.display().to_string()),
            quoted(&format!("https://{}:{}{}/keys/{}/encrypt", self.host, self.port, self.prefix, self.key_id)),
        )
    }
}

/// The block that a start of `dev` prints.
pub(crate) struct Block<'a> {
    pub(crate) handout: &'a Handout,
    pub(crate) file: &'a Path,
    pub(crate) key_seal: &'a Path,
    pub(crate) control_seal: &'a Path,
    /// The file of [`Handout::environment`].
    pub(crate) environment: &'a Path,
    /// What is new since the last start, one line each.
    pub(crate) notes: &'a [String],
}

impl Block<'_> {
    pub(crate) fn text(&self) -> String {
        let xks = &self.handout.xks;
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a String can't fail.
            let _ = writeln!(text, "  {name:<13} {value}");
        };
        row("endpoint", &xks.endpoint());
        row("path", &xks.prefix);
        row("access key", &xks.access_key_id);
        row("key id", &xks.key_id);
        if let Some(api) = &self.handout.api {
            row("admin API", &format!("{} (user {}, password in dev.json)", api.url, api.username));
        }
        if let Some(ops) = &self.handout.ops {
            row("ops", &ops.url);
        }
        if let Some(sim) = &self.handout.kms_sim {
            row("AWS KMS", &format!("{} (a simulator; its KMS container is kms-sim)", sim.url));
        }
        for demo in &self.handout.partitions {
            row(
                &format!("group {}", demo.group),
                &format!("{} (key {}, token {})", demo.xks.prefix, demo.xks.key_id, demo.labels.join(", ")),
            );
        }
        row("key seal", &format!("{}  losing it loses every local key", self.key_seal.display()));
        row("control seal", &format!("{}  losing it loses every credential's secret", self.control_seal.display()));
        row("for programs", &self.file.display().to_string());
        let mut notes: String = self.notes.iter().map(|note| format!("  {note}\n")).collect();
        if !notes.is_empty() {
            notes.push('\n');
        }
        let sim = match &self.handout.kms_sim {
            Some(_) => {
                let file = quoted(&self.environment.display().to_string());
                format!("Have AWS's own clients ask the simulator; deploy/docs/laptop.md goes on from there:\n\n. {file}\n\n")
            }
            None => String::new(),
        };
        format!("Holdfast is up.\n\n{text}\n{notes}{sim}Encrypt with it:\n\n{}\n", xks.curl())
    }
}

/// Writes a file whole or not at all, mode 0600.
pub(crate) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = file.to_owned();
    unfinished.as_mut_os_string().push(".new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    fs::rename(&unfinished, file)
}

/// An address as clients of this machine reach it: the name in the certificate, and the port.
pub(crate) fn local_url(scheme: &str, host: &str, addr: SocketAddr) -> String {
    format!("{scheme}://{host}:{}", addr.port())
}

/// What would send AWS's clients elsewhere.
const FORGET: &str = "unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE AWS_IGNORE_CONFIGURED_ENDPOINT_URLS \
    AWS_ENDPOINT_URL_KMS AWS_ENDPOINT_URL_CLOUDHSM_V2 AWS_ENDPOINT_URL_STS\n";
/// Programs look for either spelling.
const ASK_THEMSELVES: &str = "export no_proxy=\"localhost,127.0.0.1,${no_proxy:-${NO_PROXY:-}}\"\nexport NO_PROXY=\"$no_proxy\"\n";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, process::Command};

    use super::*;

    fn handout() -> Handout {
        let xks = Xks {
            host: "localhost".into(),
            port: 8443,
            prefix: "/p/kms/xks/v1".into(),
            access_key_id: "AKIDAKIDAKIDAKIDAKID".into(),
            secret_access_key: "s".repeat(43),
            key_id: "key".into(),
            region: "us-east-1".into(),
            ca: "/it's/ca.crt".into(),
        };
        Handout { xks, api: None, ops: None, kms_sim: None, partitions: Vec::new() }
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dev.json");
        handout().write(&file).unwrap();
        handout().write(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Handout::read(&file).unwrap().unwrap().xks.prefix, "/p/kms/xks/v1");
        assert!(Handout::read(&folder.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn a_shell_that_reads_the_environment_has_nothing_left_of_another_aws() {
        let sim =
            KmsSim { url: "http://u".into(), access_key_id: "AKIA".into(), secret_access_key: "s".into(), region: "us-east-1".into() };
        let api = Api { url: "https://a".into(), username: "admin".into(), password: "p".into(), ca: "/ca.crt".into() };
        let text = Handout { api: Some(api), kms_sim: Some(sim), ..handout() }.environment().unwrap();
        let (unset, set) = text.split_once("\nexport AWS_ENDPOINT_URL='http://u'\n").unwrap();
        let unset: Vec<_> = unset.split_whitespace().collect();
        for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_KMS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] {
            assert!(unset[0] == "unset" && unset.contains(&name), "{text}");
        }
        let shell = |before: &str| {
            let script = format!("{before}\n{set}\necho \"$NO_PROXY\"");
            let told = Command::new("sh").env_clear().args(["-uc", &script]).output().unwrap();
            String::from_utf8(told.stdout).unwrap()
        };
        assert_eq!(shell(""), "localhost,127.0.0.1,\n");
        assert_eq!(shell("NO_PROXY=.corp"), "localhost,127.0.0.1,.corp\n");
        assert_eq!(shell("NO_PROXY=.corp no_proxy=.own"), "localhost,127.0.0.1,.own\n");
        assert!(text.contains("export AWS_REGION='us-east-1'\nexport AWS_DEFAULT_REGION='us-east-1'\n"), "{text}");
    }

    #[test]
    fn the_curl_line_survives_a_quote_in_a_path() {
        assert!(handout().xks.curl().contains(r"--cacert '/it'\''s/ca.crt'"));
    }
}
