//! The CPU time that a server, the load generator and everybody else take.
//!
//! Holds: a server's time is that of its process and of all that descend from it, so that what it does in processes of
//! its own counts too. Everything comes from `/proc`, in ticks of 10 ms.

use std::fs;
use std::time::Instant;

use super::DriverError;

/// CPU time so far: of a server with its descendants, of this process with its ended children, and of the whole machine.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    server: u64,
    client: u64,
    machine: u64,
    at: Instant,
}

impl Usage {
    /// Reads all three now. `server` is a process id.
    ///
    /// # Errors
    /// When the server's process is gone, or `/proc` is not Linux's.
    pub fn read(server: u32) -> Result<Self, DriverError> {
        let processes = processes()?;
        let own = std::process::id();
        let own = processes.iter().find(|process| process.id == own).ok_or_else(|| DriverError::Cpu { what: "this process".into() })?;
        Ok(Self {
            server: family(server, &processes).ok_or_else(|| DriverError::Cpu { what: format!("process {server}") })?,
            client: own.ticks,
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

/// One process of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    /// Its own time, and that of children that ended and were waited for.
    ticks: u64,
}

impl Process {
    /// Reads one line of `/proc/pid/stat` (proc(5)): process id, parent in field 4, times in fields 14 to 17.
    fn parse(stat: &str) -> Option<Self> {
        // The command's name, field 2, may hold spaces and brackets.
        let (before, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let times = fields.get(11..15)?;
        let times: Vec<u64> = times.iter().map_while(|time| time.parse().ok()).collect();
        Some(Self {
            id: before.split_ascii_whitespace().next()?.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: (times.len() == 4).then(|| times.iter().sum())?,
        })
    }
}

/// Every process that there is. One that ends while they are read is left out.
fn processes() -> Result<Vec<Process>, DriverError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit)) {
            found.extend(fs::read_to_string(path.join("stat")).ok().and_then(|stat| Process::parse(&stat)));
        }
    }
    Ok(found)
}

/// The time of a process and of all that descend from it; `None` when there is no such process.
///
/// A descendant that ends hands its time to the parent that waits for it, so the sum never falls.
fn family(root: u32, processes: &[Process]) -> Option<u64> {
    let mut members: Vec<&Process> = processes.iter().filter(|process| process.id == root).collect();
    let mut at = 0;
    while let Some(parent) = members.get(at).map(|member| member.id) {
        members.extend(processes.iter().filter(|process| process.parent == parent));
        at += 1;
    }
    (!members.is_empty()).then(|| members.iter().map(|member| member.ticks).sum())
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    fn a_name_with_brackets_and_spaces_hides_no_times() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 1 0 0 1 2 4 8 20 0 1 0 5";
        assert_eq!(Process::parse(stat), Some(Process { id: 7, parent: 3, ticks: 15 }));
        assert_eq!(Process::parse("7 (a) S 3 7"), None);
    }

    #[test]
    fn what_descends_from_a_server_counts_as_the_server() {
        let process = |id, parent, ticks| Process { id, parent, ticks };
        let processes = [process(4, 3, 1_000), process(3, 2, 100), process(2, 1, 10), process(1, 0, 1), process(9, 1, 5)];
        assert_eq!(family(2, &processes), Some(1_110));
        assert_eq!(family(9, &processes), Some(5));
        assert_eq!(family(8, &processes), None);
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
