//! The control sockets: one JSON object a line in, one out.
//!
//! Every process that loaded the module listens at `PATH.PID`; the one that holds the lock of `PATH.lock` also at `PATH`. The lock goes
//! with the process, and then the next one that waits for it takes `PATH` over. Whoever gets a command changes the ledger, which all
//! read, and nudges the others at their `PATH.PID`.
//! Holds: the threads here never call into a partition in a way that a fault can reach.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    command::{self, After},
    config::beside,
    module::Module,
};

/// This process's own socket, not yet served.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    own: UnixListener,
}

impl Control {
    /// Listens at `PATH.PID`; who connects waits until `start`.
    ///
    /// # Errors
    /// It can't be bound.
    pub(crate) fn bind(path: PathBuf) -> io::Result<Self> {
        let own = listen(&beside(&path, &format!(".{}", process::id())))?;
        Ok(Self { path, own })
    }

    /// Serves that socket, and `PATH` as soon as no other process does; at once if none does now.
    ///
    /// # Errors
    /// The lock or the socket can't be made, or no thread.
    pub(crate) fn start(self, module: &'static Module) -> io::Result<()> {
        let lock = File::options().write(true).create(true).truncate(false).open(beside(&self.path, ".lock"))?;
        let first = match lock.try_lock() {
            Ok(()) => Some(listen(&self.path)?),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let Self { path, own } = self;
        let shared = path.clone();
        spawn(move || accept(&own, module, &path))?;
        spawn(move || {
            let listener = first.map_or_else(|| lock.lock().and_then(|()| listen(&shared)), Ok);
            match listener {
                Ok(listener) => accept(&listener, module, &shared),
                Err(error) => eprintln!("holdfast-sim-hsm: control: {error}"),
            }
            // It is held as long as the process lives.
            drop(lock);
        })
    }
}

/// The processes that listen beside `path`, without this one.
pub(crate) fn siblings(path: &Path) -> io::Result<Vec<u32>> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?.file_name();
        let pid: Option<u32> = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        found.extend(pid.filter(|pid| *pid != process::id()));
    }
    Ok(found)
}

/// What the process with this id answers to `message`; nothing if it is gone. One that answers that it crashes is waited for.
///
/// # Errors
/// It is there and does not answer.
pub(crate) fn ask(path: &Path, pid: u32, message: &Value) -> io::Result<Option<Value>> {
    let socket = beside(path, &format!(".{pid}"));
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            // Left behind by a process that ended. It may be gone by now, which is as well.
            let _gone = fs::remove_file(&socket);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let sent = stream.write_all(format!("{message}\n").as_bytes());
    let mut answers = BufReader::new(stream);
    match sent.and_then(|()| answers.read_line(&mut line)) {
        Ok(0) => Ok(None),
        Ok(_) => {
            let answer: Value = serde_json::from_str(&line)?;
            if answer["crashes"] == true {
                // The connection ends with the process, in one way or another.
                let _ended = answers.read_line(&mut line);
            }
            Ok(Some(answer))
        }
        // It died just now.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(None),
        Err(error) => Err(error),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => UnixListener::bind(path),
    }
}

fn accept(listener: &UnixListener, module: &'static Module, path: &Path) {
    for stream in listener.incoming() {
        let path = path.to_owned();
        let served = stream.and_then(|stream| spawn(move || serve(stream, module, &path)));
        if let Err(error) = served {
            eprintln!("holdfast-sim-hsm: control: {error}");
            // Out of files or threads: not for ever, and not worth a busy loop.
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Serves one connection until its end. A client that is gone needs no answer.
fn serve(mut stream: UnixStream, module: &'static Module, path: &Path) {
    let Ok(lines) = stream.try_clone() else { return };
    for line in BufReader::new(lines).lines() {
        let Ok(line) = line else { return };
        let (answer, after) = command::answer(module, path, &line);
        let written = stream.write_all(format!("{answer}\n").as_bytes());
        match after {
            After::Crash => process::abort(),
            After::Nothing if written.is_err() => return,
            After::Nothing => {}
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("sim-hsm-control".to_owned()).spawn(work).map(|_| ())
}

/// How long another process may take to answer a nudge.
const PATIENCE: Duration = Duration::from_secs(2);
