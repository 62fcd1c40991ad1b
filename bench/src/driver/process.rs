//! Servers under measurement and the CPU time that they and everybody else take.
//!
//! Holds: a server that was started here is killed and reaped when its `Server` drops; a peer that the user
//! runs is left alone. CPU time comes from `/proc`, in ticks of 10 ms.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DriverError;
use crate::target::Target;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The floor server.
    Floor,
    /// `holdfast dev`.
    Holdfast,
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
            Self::Peer => "peer",
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
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("target.json");
        let mut command = Command::new(program);
        command.arg("--target-out").arg(&file);
        Self::start(Kind::Floor, command, folder, &file)
    }

    /// Starts `holdfast dev` on an empty data directory and ports of its own.
    ///
    /// # Errors
    /// When it does not start or does not write its `dev.json` in time.
    pub fn holdfast(program: &Path) -> Result<Self, DriverError> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        let mut command = Command::new(program);
        command.arg("dev").arg("--data-dir").arg(&data);
        for listener in ["--xks-listen", "--api-listen", "--sync-listen", "--ops-listen"] {
            command.args([listener, &any]);
        }
        Self::start(Kind::Holdfast, command, folder, &data.join("dev.json"))
    }

    /// A proxy that runs already.
    #[must_use]
    pub const fn peer(target: Target, pid: u32) -> Self {
        Self { kind: Kind::Peer, target, pid, _child: None }
    }

    fn start(kind: Kind, mut command: Command, folder: TempDir, target: &Path) -> Result<Self, DriverError> {
        let log = folder.path().join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().map_err(|cause| DriverError::Start { program: PathBuf::from(command.get_program()), cause })?;
        let mut running = Running { child, _folder: folder };
        let target = running
            .wait_for(target)
            .ok_or_else(|| DriverError::NotReady { name: kind.as_str(), said: fs::read_to_string(&log).unwrap_or_default() })?;
        Ok(Self { kind, target, pid: running.child.id(), _child: Some(running) })
    }
}

/// A child process and the directory that it works in.
#[derive(Debug)]
struct Running {
    child: Child,
    _folder: TempDir,
}

impl Running {
    /// Waits until `file` is a target, whole; `None` when the process ends first or takes too long.
    fn wait_for(&mut self, file: &Path) -> Option<Target> {
        let until = Instant::now() + START_TIME;
        loop {
            if let Ok(target) = Target::read(file) {
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

/// CPU time so far: of a server, of this process with its ended children, and of the whole machine.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    server: u64,
    client: u64,
    machine: u64,
    at: Instant,
}

impl Usage {
    /// Reads all three now.
    ///
    /// # Errors
    /// When the server's process is gone, or `/proc` is not Linux's.
    pub fn read(server: u32) -> Result<Self, DriverError> {
        let own = process_ticks(&format!("/proc/{}/stat", std::process::id()))?;
        Ok(Self {
            server: process_ticks(&format!("/proc/{server}/stat"))?.own,
            client: own.own + own.children,
            machine: machine_ticks(&fs::read_to_string("/proc/stat")?)?,
            at: Instant::now(),
        })
    }

    /// What happened since `self`.
    #[must_use]
    pub fn until(self, later: Self) -> Spent {
        let cores = |ticks: u64| {
            let wall = later.at.saturating_duration_since(self.at).as_secs_f64();
            ticks as f64 / TICKS_PER_SECOND / wall.max(1e-3)
        };
        let server = later.server.saturating_sub(self.server);
        let client = later.client.saturating_sub(self.client);
        let machine = later.machine.saturating_sub(self.machine);
        Spent {
            server_us: server as f64 * 1e6 / TICKS_PER_SECOND,
            client_cores: cores(client),
            foreign_cores: cores(machine.saturating_sub(server + client)),
        }
    }
}

/// CPU time between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// The server's, in microseconds.
    pub server_us: f64,
    /// The generator's, in cores.
    pub client_cores: f64,
    /// Everybody else's, in cores: what disturbs a measurement.
    pub foreign_cores: f64,
}

struct Ticks {
    own: u64,
    children: u64,
}

/// utime + stime, and the same of ended children (proc(5), `/proc/pid/stat`, fields 14 to 17).
fn process_ticks(path: &str) -> Result<Ticks, DriverError> {
    let gone = || DriverError::Cpu { what: path.into() };
    let text = fs::read_to_string(path).map_err(|_| gone())?;
    // The command's name, field 2, may hold spaces and brackets.
    let (_, rest) = text.rsplit_once(')').ok_or_else(gone)?;
    let fields: Vec<u64> = rest.split_ascii_whitespace().skip(11).map_while(|f| f.parse().ok()).take(4).collect();
    match fields.as_slice() {
        [user, system, children_user, children_system] => Ok(Ticks { own: user + system, children: children_user + children_system }),
        _ => Err(gone()),
    }
}

/// user + nice + system + steal of all cores (proc(5), `/proc/stat`). Interrupts are left out: those of loopback
/// traffic are the measurement's own.
fn machine_ticks(text: &str) -> Result<u64, DriverError> {
    let fields: Vec<u64> = text.split_ascii_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    match fields.as_slice() {
        [user, nice, system, _idle, _iowait, _irq, _softirq, steal, ..] => Ok(user + nice + system + steal),
        _ => Err(DriverError::Cpu { what: "the machine".into() }),
    }
}

/// `USER_HZ`: what Linux shows to programs on every common architecture, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;
/// The first start of `holdfast dev` makes keys and hashes a password.
pub(super) const START_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_ticks_leave_out_idle_and_interrupts() {
        let text = "cpu  1 2 4 1000 1000 1000 1000 8 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(machine_ticks(text).unwrap(), 15);
        assert!(machine_ticks("cpu 1 2").is_err());
    }

    #[test]
    fn a_process_that_is_gone_has_no_usage() {
        assert!(Usage::read(u32::MAX).is_err());
        assert!(Usage::read(std::process::id()).is_ok());
    }

    #[test]
    fn what_neither_server_nor_client_used_is_foreign() {
        let at = Instant::now();
        let before = Usage { server: 0, client: 0, machine: 0, at };
        let at = at + Duration::from_secs(2);
        let after = Usage { server: 100, client: 60, machine: 200, at };
        let spent = before.until(after);
        assert!((spent.server_us - 1e6).abs() < 1e-6);
        assert!((spent.client_cores - 0.3).abs() < 1e-9);
        assert!((spent.foreign_cores - 0.2).abs() < 1e-9);
    }
}
