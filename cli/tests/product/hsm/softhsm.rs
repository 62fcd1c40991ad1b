//! SoftHSM tokens of a test's own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A folder of tokens. What runs on it needs [`SoftHsm::environment`].
pub(crate) struct SoftHsm {
    folder: TempDir,
    conf: PathBuf,
}

impl SoftHsm {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = folder.path().join("softhsm2.conf");
        fs::write(&conf, format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display())).unwrap();
        fs::write(folder.path().join("pin"), format!("{PIN}\n")).unwrap();
        Self { folder, conf }
    }

    /// With an empty token for each label.
    pub(crate) fn with_tokens(labels: &[&str]) -> Self {
        let this = Self::new();
        for label in labels {
            this.util(&["--init-token", "--free", "--label", label, "--so-pin", "5678", "--pin", PIN]);
        }
        this
    }

    /// Puts an AES-256 key of known material on a token.
    pub(crate) fn import(&self, token: &str, label: &str, material: &[u8; 32]) {
        let file = self.folder.path().join("material");
        fs::write(&file, material).unwrap();
        // A CKA_ID of its own for each label.
        let id: String = label.bytes().map(|byte| format!("{byte:02x}")).collect();
        let file = file.display().to_string();
        self.util(&["--import", &file, "--aes", "--token", token, "--label", label, "--id", &id, "--pin", PIN]);
    }

    pub(crate) fn environment(&self) -> (&'static str, String) {
        ("SOFTHSM2_CONF", self.conf.display().to_string())
    }

    /// `--partition` of a token, with more fields.
    pub(crate) fn spec(&self, label: &str, more: &str) -> String {
        format!("module={MODULE},token={label},pin-file={}{more}", self.pin().display())
    }

    pub(crate) fn pin(&self) -> PathBuf {
        self.path().join("pin")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn util(&self, arguments: &[&str]) -> Output {
        let (name, value) = self.environment();
        let output = Command::new("softhsm2-util").args(arguments).env(name, value).output();
        let output = output.unwrap_or_else(|error| panic!("softhsm2-util: {error}; `make packages` installs softhsm2"));
        assert!(output.status.success(), "{output:?}");
        output
    }
}

/// Where Debian's `softhsm2` has it.
pub(crate) const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "1234";
