//! Why a control plane does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    access::login::AccessError, api::ApiError, aws::AwsSettingsFault, files::FileError, publish::StartError, store::sled::OpenError,
};

/// Why a control plane did not start: everything that was found wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub struct StartErrors(pub Vec<StartFault>);

/// One thing that keeps a control plane from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// An address is taken, or not ours.
    #[error("can't listen on {addr} ({what})")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The audit folder.
    #[error("can't write the audit file in {}", dir.display())]
    Audit {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Where AWS is.
    #[error(transparent)]
    Aws(#[from] AwsSettingsFault),
    /// Access.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] StartError),
}

fn list(faults: &[StartFault]) -> String {
    let texts: Vec<_> = faults.iter().map(with_causes).collect();
    texts.join("; ")
}

/// An error in a list has no source that a caller could print, so that its causes are in its text.
fn with_causes(fault: &StartFault) -> String {
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
