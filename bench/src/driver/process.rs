//! Servers under measurement.
//!
//! Holds: a server that was started here is killed and reaped when its `Server` drops; a peer that the user
//! runs is left alone.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DriverError;
use super::token::Token;
use crate::target::{Target, TargetError};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The floor server.
    Floor,
    /// `holdfast dev`.
    Holdfast,
    /// `holdfast dev` with the PKCS#11 module in a process of its own.
    Isolated,
    /// Another XKS proxy, which the user runs.
    Peer,
}

impl Kind {
    /// The name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Holdfast => "holdfast",
            Self::Isolated => "isolated",
            Self::Peer => "peer",
        }
    }

    /// Whether it is the product.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        match self {
            Self::Holdfast | Self::Isolated => true,
            Self::Floor | Self::Peer => false,
        }
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    /// Which it is.
    pub kind: Kind,
    /// Where it is reached.
    pub target: Target,
    /// Its process.
    pub pid: u32,
    _child: Option<Running>,
}

impl Server {
    /// Starts the floor server on a port of its own.
    ///
    /// # Errors
    /// When it does not start or does not listen in time.
    pub fn floor(program: &Path) -> Result<Self, DriverError> {
        Self::floor_with(program, &[])
    }

    /// Starts a floor server of which every answer waits until one of `threads` has slept for `nap` (whole milliseconds).
    ///
    /// # Errors
    /// When it does not start or does not listen in time.
    pub fn sleeping_floor(program: &Path, nap: Duration, threads: u32) -> Result<Self, DriverError> {
        Self::floor_with(program, &["--sleep-ms", &nap.as_millis().to_string(), "--sleepers", &threads.to_string()])
    }

    /// Starts `holdfast dev` with a local key, on an empty data directory and ports of its own.
    ///
    /// # Errors
    /// When it does not start or does not write its `dev.json` in time.
    pub fn holdfast(program: &Path) -> Result<Self, DriverError> {
        let folder = tempfile::tempdir()?;
        let (command, handout) = dev(program, folder.path());
        Self::start(Kind::Holdfast, command, Place { folder, target: handout, read: Target::read })
    }

    /// Starts `holdfast dev` with a key on a token that is made for it, and with `sessions` on that (its own default
    /// when not given).
    ///
    /// # Errors
    /// When the token cannot be made, or `holdfast` does not start or does not write its `dev.json` in time.
    pub fn on_token(program: &Path, token: &Token, sessions: Option<u32>, isolated: bool) -> Result<Self, DriverError> {
        let folder = tempfile::tempdir()?;
        let place = folder.path().join("token");
        fs::create_dir(&place)?;
        let made = token.make(&place)?;
        let (mut command, handout) = dev(program, folder.path());
        let sessions = sessions.map_or_else(String::new, |sessions| format!(",sessions={sessions}"));
        let (kind, isolation) = if isolated { (Kind::Isolated, ",isolation=process") } else { (Kind::Holdfast, "") };
        let (variable, file) = &made.environment;
        command.arg("--partition").arg(format!("{}{sessions}{isolation}", made.argument())).env(variable, file);
        Self::start(kind, command, Place { folder, target: handout, read: Target::read_partition })
    }

    /// A proxy that runs already.
    #[must_use]
    pub const fn peer(target: Target, pid: u32) -> Self {
        Self { kind: Kind::Peer, target, pid, _child: None }
    }

    fn floor_with(program: &Path, flags: &[&str]) -> Result<Self, DriverError> {
        let folder = tempfile::tempdir()?;
        let target = folder.path().join("target.json");
        let mut command = Command::new(program);
        command.arg("--target-out").arg(&target).args(flags);
        Self::start(Kind::Floor, command, Place { folder, target, read: Target::read })
    }

    fn start(kind: Kind, mut command: Command, place: Place) -> Result<Self, DriverError> {
        let log = place.folder.path().join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().map_err(|cause| DriverError::Start { program: PathBuf::from(command.get_program()), cause })?;
        let mut running = Running { child, place };
        let target = running
            .wait_for_target()
            .ok_or_else(|| DriverError::NotReady { name: kind.as_str(), said: fs::read_to_string(&log).unwrap_or_default() })?;
        Ok(Self { kind, target, pid: running.child.id(), _child: Some(running) })
    }
}

/// `holdfast dev` on any free ports, with its data in `folder`, and where it will write its `dev.json`.
fn dev(program: &Path, folder: &Path) -> (Command, PathBuf) {
    let data = folder.join("data");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
    let mut command = Command::new(program);
    command.arg("dev").arg("--data-dir").arg(&data);
    for listener in ["--xks-listen", "--api-listen", "--sync-listen", "--ops-listen"] {
        command.args([listener, &any]);
    }
    (command, data.join("dev.json"))
}

/// Where a server works, and where it says that it is ready.
#[derive(Debug)]
struct Place {
    folder: TempDir,
    target: PathBuf,
    read: fn(&Path) -> Result<Target, TargetError>,
}

/// A child process and the directory that it works in.
#[derive(Debug)]
struct Running {
    child: Child,
    place: Place,
}

impl Running {
    /// Waits until the target file is there, whole; `None` when the process ends first or takes too long.
    fn wait_for_target(&mut self) -> Option<Target> {
        let until = Instant::now() + START_TIME;
        loop {
            if let Ok(target) = (self.place.read)(&self.place.target) {
                return Some(target);
            }
            if Instant::now() > until || !matches!(self.child.try_wait(), Ok(None)) {
                return None;
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first start of `holdfast dev` makes keys and hashes a password.
pub(super) const START_TIME: Duration = Duration::from_secs(30);
