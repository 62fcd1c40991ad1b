//! The driver of `make bench`: starts servers, measures them in turn, and judges what was found.
//!
//! Holds: servers are measured in interleaved rounds and compared by medians, so that a slow minute of the
//! machine falls on all of them; every process started here is ended here, by its id.

pub mod process;
pub mod series;
pub mod suite;
pub mod table;
pub mod token;
pub mod usage;
pub mod verdict;

use std::io;
use std::path::PathBuf;

use crate::load::LoadError;
use crate::target::TargetError;

/// Why the driver could not measure.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A program cannot be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A tool was not content.
    #[error("{} failed; it said: {said}", program.display())]
    Tool {
        /// The tool.
        program: PathBuf,
        /// What it printed.
        said: String,
    },
    /// A server did not become ready.
    #[error("{name} did not become ready; it said: {said}")]
    NotReady {
        /// Which server.
        name: &'static str,
        /// The end of what it printed.
        said: String,
    },
    /// wrk printed no result.
    #[error("wrk gave no result; it said: {said}")]
    Wrk {
        /// What it printed.
        said: String,
    },
    /// A `/proc` file reads otherwise than Linux writes it, or the process is gone.
    #[error("cannot read CPU time of {what}")]
    Cpu {
        /// The process or machine.
        what: String,
    },
    /// The target file of a server is wrong.
    #[error("cannot use a target")]
    Target(#[from] TargetError),
    /// A load run could not be carried out.
    #[error("cannot run a load")]
    Load(#[from] LoadError),
    /// A file or pipe failed.
    #[error("input or output failed")]
    Io(#[from] io::Error),
}
