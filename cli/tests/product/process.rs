//! The real binary as a child process. Its lines are read as they come, so that a test waits for what it needs to see, not for time.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A running `holdfast`; killed when dropped.
pub(crate) struct Holdfast {
    child: Child,
    lines: Receiver<Line>,
    /// Everything that came on either stream so far.
    pub(crate) seen: String,
    /// Where it listens, by the listener's name.
    pub(crate) listening: BTreeMap<String, SocketAddr>,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

struct Line(String);

impl Holdfast {
    /// Starts `holdfast` with `args`.
    pub(crate) fn start<S: AsRef<OsStr>>(args: &[S]) -> Self {
        Self::start_with(args, &[])
    }

    /// Starts `holdfast` with `args` and more environment.
    pub(crate) fn start_with<S: AsRef<OsStr>>(args: &[S], environment: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_holdfast")).args(args).envs(environment.iter().copied()))
    }

    /// Starts what becomes `holdfast`.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let streams: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if send.send(Line(line)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, seen: String::new(), listening: BTreeMap::new() }
    }

    /// Waits for a line that holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        self.wait_until(&format!("a line with {text:?}"), |_, line| line.contains(text));
    }

    /// Waits until the listener `name` is bound.
    pub(crate) fn wait_for_listener(&mut self, name: &str) -> SocketAddr {
        if !self.listening.contains_key(name) {
            self.wait_until(&format!("listener {name}"), |this, _| this.listening.contains_key(name));
        }
        self.listening[name]
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, SIGHUP or the like.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, then its exit status; all its output is in what comes back.
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        while let Ok(Line(line)) = self.lines.recv() {
            self.note(&line);
        }
        (status, std::mem::take(&mut self.seen))
    }

    fn wait_until(&mut self, what: &str, good: impl Fn(&Self, &str) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Line(line)) => {
                    self.note(&line);
                    if good(self, &line) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("waited {PATIENCE:?} for {what}; saw:\n{}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("ended before {what}; saw:\n{}", self.seen),
            }
        }
    }

    fn note(&mut self, line: &str) {
        self.seen.push_str(line);
        self.seen.push('\n');
        let Ok(json) = serde_json::from_str::<Value>(line) else { return };
        if let (Some(name), Some(addr)) = (json["listener"].as_str(), json["addr"].as_str()) {
            self.listening.insert(name.into(), addr.parse().unwrap());
        }
    }
}

impl Drop for Holdfast {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// For a test that loads the machine, or counts on answers in time under load: it runs while no other such test does.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that failed while it held this has left nothing half done: its processes are its own.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `holdfast` with `args` to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: &[S]) -> Ended {
    run_with(args, &[])
}

/// Runs `holdfast` with `args` and more environment to its end.
pub(crate) fn run_with<S: AsRef<OsStr>>(args: &[S], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(args).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap();
    Ended { status: output.status, stdout: String::from_utf8(output.stdout).unwrap(), stderr: String::from_utf8(output.stderr).unwrap() }
}

/// Far longer than anything that a test waits for should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
