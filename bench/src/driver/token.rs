//! PKCS#11 tokens for Holdfast under measurement: each in a directory of its own, made anew.
//!
//! Holds: nothing is read or written outside that directory, and the process's own environment stays as it is: whoever
//! loads the module must be given [`Made::environment`].

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::DriverError;

/// A token that can be made.
#[derive(Clone, Debug)]
pub enum Token {
    /// An empty one of SoftHSM 2, by its `softhsm2-util`.
    SoftHsm {
        /// SoftHSM's shared library.
        module: PathBuf,
    },
    /// One of the simulator, with the two keys that `holdfast dev` asks for, as many sessions as wanted, and a control
    /// socket.
    Simulator {
        /// The simulator's shared library.
        module: PathBuf,
        /// How long each `C_Encrypt` and `C_Decrypt` takes, in whole microseconds.
        latency: Duration,
    },
}

/// A token that is there, or will be.
#[derive(Clone, Debug)]
pub struct Made {
    /// The shared library that reaches it.
    pub module: PathBuf,
    /// The file that holds its user PIN.
    pub pin_file: PathBuf,
    /// The environment variable that the module reads, and the file that it must name.
    pub environment: (&'static str, PathBuf),
}

impl Token {
    /// Makes the token in `folder`, which is there and empty.
    ///
    /// # Errors
    /// When a file cannot be written, or `softhsm2-util` does not run or is not content.
    pub fn make(&self, folder: &Path) -> Result<Made, DriverError> {
        let made = self.made(folder);
        let (variable, configuration) = &made.environment;
        private(&made.pin_file, PIN)?;
        match self {
            Self::SoftHsm { module } => {
                let tokens = folder.join("tokens");
                fs::create_dir(&tokens)?;
                let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
                private(configuration, &text)?;
                let mut command = Command::new(SOFTHSM_UTIL);
                command.args(["--init-token", "--free", "--label", LABEL, "--so-pin", PIN, "--pin", PIN, "--module"]);
                run(command.arg(module).env(variable, configuration))?;
            }
            Self::Simulator { latency, .. } => {
                let text = format!(
                    "control = \"{CONTROL}\"\n[[partition]]\nlabel = \"{LABEL}\"\npin = \"{PIN}\"\nlatency_us = {}\n\
                     [[partition.key]]\nid = \"01\"\nlabel = \"{HEALTH_KEY}\"\nseed = \"1\"\n\
                     [[partition.key]]\nid = \"02\"\nlabel = \"holdfast-demo\"\nseed = \"2\"\n",
                    latency.as_micros()
                );
                private(configuration, &text)?;
            }
        }
        Ok(made)
    }

    /// What [`Self::make`] gives for `folder`, without making it.
    #[must_use]
    pub fn made(&self, folder: &Path) -> Made {
        let (module, variable) = match self {
            Self::SoftHsm { module } => (module, "SOFTHSM2_CONF"),
            Self::Simulator { module, .. } => (module, "HOLDFAST_SIM_HSM"),
        };
        Made { module: module.clone(), pin_file: folder.join("pin"), environment: (variable, folder.join("module.conf")) }
    }
}

impl Made {
    /// The argument of `holdfast dev --partition`.
    #[must_use]
    pub fn argument(&self) -> String {
        format!("module={},token={LABEL},pin-file={}", self.module.display(), self.pin_file.display())
    }
}

/// Runs a tool to its end.
fn run(command: &mut Command) -> Result<(), DriverError> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().map_err(|cause| DriverError::Start { program: program.clone(), cause })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    Err(DriverError::Tool { program, said })
}

/// Writes a file that others may not read: a PIN file that they may is refused.
fn private(path: &Path, text: &str) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut { file }, text.as_bytes())
}

/// The label of every token made here.
pub const LABEL: &str = "holdfast-bench";
/// The user PIN, and SoftHSM's other one.
pub const PIN: &str = "1234";
/// The label of the key that Holdfast's health checks use.
pub const HEALTH_KEY: &str = "holdfast-health";
/// The simulator's control socket, in the token's directory.
pub const CONTROL: &str = "control";
/// Comes with SoftHSM.
const SOFTHSM_UTIL: &str = "softhsm2-util";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_not_there_is_reported_in_the_tools_words() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::SoftHsm { module: folder.path().join("none.so") };
        let error = token.make(folder.path()).unwrap_err();
        let DriverError::Tool { said, .. } = error else { panic!("{error}") };
        assert!(said.contains("Could not load"), "{said}");
    }

    #[test]
    fn a_token_is_made_where_it_was_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::SoftHsm { module: SOFTHSM.into() };
        let made = token.make(folder.path()).unwrap();
        assert_eq!(made.argument(), token.made(folder.path()).argument());
        assert!(made.environment.1.exists());
        // A token is a directory in `tokens`.
        assert_eq!(fs::read_dir(folder.path().join("tokens")).unwrap().count(), 1);
    }

    const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";
}
