//! A child as a process: started, killed, and collected when it has ended.
//!
//! Holds: the child has a process group of its own, so that a signal to the parent's group does not end it before the parent has
//! drained; it is killed through its handle, never by a bare number; whoever drops it has killed it.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::{
            net::UnixStream,
            process::{CommandExt as _, ExitStatusExt as _},
        },
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A child that runs, or is ending.
pub(super) struct Process(Child);

impl Process {
    /// Starts it. The stream is the parent's end of its standard input. Its log lines go where the parent's go; it has the parent's
    /// environment, which may configure the module and hold its PIN.
    pub(super) fn start(keyhost: &[PathBuf]) -> io::Result<(Self, UnixStream)> {
        let Some((program, arguments)) = keyhost.split_first() else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no program was named"));
        };
        let (ours, theirs) = UnixStream::pair()?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok((Self(child), ours))
    }

    /// Process id, for log lines.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Ends it, now.
    pub(super) fn kill(&mut self) {
        // Fails only for one that was collected.
        let _ = self.0.kill();
    }

    /// How it ended, if nothing of it is left. Never waits.
    pub(super) fn ended(&mut self) -> Option<End> {
        match self.0.try_wait() {
            Ok(status) => status.map(|status| match status.signal() {
                Some(KILL) => End::Killed,
                Some(_) | None => End::Itself(status.to_string()),
            }),
            // Somebody else collected it.
            Err(error) => Some(End::Itself(error.to_string())),
        }
    }
}

/// How a process ended.
pub(super) enum End {
    /// By the signal that ends it here, too.
    Killed,
    /// By a crash, or an exit that nobody asked for.
    Itself(String),
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.ended();
    }
}

/// `SIGKILL`.
const KILL: i32 = rustix::process::Signal::KILL.as_raw();
