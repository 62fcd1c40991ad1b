//! What must be there before a control plane starts: files that open, addresses that are free.
//!
//! Always holds: all that is wrong is found and told at once.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use super::fault::{StartErrors, StartFault};
use crate::{
    api,
    audit::Audit,
    aws::Aws,
    core::jobs::BackupPlace,
    files,
    init::initialised,
    settings::Settings,
    store::{Store, seal::ControlSeal, sled::SledStore},
};

/// What must be there before anything starts.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) seal: ControlSeal,
    pub(super) server: Server,
    pub(super) api_tls: axum_server::tls_rustls::RustlsConfig,
    pub(super) audit: Audit,
    pub(super) aws: Arc<Aws>,
    pub(super) sockets: Sockets,
}

pub(super) struct Server {
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: zeroize::Zeroizing<String>,
}

pub(super) struct Sockets {
    pub(super) api: TcpListener,
    pub(super) sync: TcpListener,
    pub(super) ops: Option<TcpListener>,
}

impl Parts {
    pub(super) fn gather(settings: &Settings) -> Result<Self, StartErrors> {
        let dir = &settings.data_dir;
        // Nothing else can be right in a directory that isn't ours.
        initialised(dir).map_err(|fault| StartErrors(vec![fault.into()]))?;
        let mut faults = Vec::new();
        let store = keep(&mut faults, SledStore::open(dir));
        let seal = keep(&mut faults, control_seal(settings));
        let server = keep(&mut faults, Server::read(settings));
        let api_tls = server.as_ref().and_then(|server| keep(&mut faults, api_tls(settings, server)));
        let audit_dir = settings.audit_dir.clone().unwrap_or_else(|| dir.join("audit"));
        let audit = keep(&mut faults, Audit::open(&audit_dir).map_err(|cause| StartFault::Audit { dir: audit_dir, cause }));
        let aws = keep(&mut faults, Aws::new(settings.aws.clone()));
        if let Some(place) = BackupPlace::of(settings) {
            keep(&mut faults, place.prepare());
        }
        let api = keep(&mut faults, bind("API", settings.api_listen));
        let sync = keep(&mut faults, bind("sync", settings.sync_listen));
        let ops = settings.ops_listen.and_then(|addr| keep(&mut faults, bind("ops", addr)));
        match (store, seal, server, api_tls, audit, aws, api, sync) {
            (Some(store), Some(seal), Some(server), Some(api_tls), Some(audit), Some(aws), Some(api), Some(sync)) if faults.is_empty() => {
                Ok(Self { store: Arc::new(store), seal, server, api_tls, audit, aws: Arc::new(aws), sockets: Sockets { api, sync, ops } })
            }
            _ => Err(StartErrors(faults)),
        }
    }
}

impl Server {
    fn read(settings: &Settings) -> Result<Self, StartFault> {
        let read = |name| files::read(&settings.data_dir.join(name));
        Ok(Self { ca: read(files::CA)?.to_string(), certificate: read(files::SERVER)?.to_string(), key: read(files::SERVER_KEY)? })
    }
}

fn api_tls(settings: &Settings, server: &Server) -> Result<axum_server::tls_rustls::RustlsConfig, StartFault> {
    Ok(match &settings.api_certificate {
        Some(given) => api::tls(&files::read(&given.chain)?, &files::read(&given.key)?)?,
        None => api::tls(&server.certificate, &server.key)?,
    })
}

fn control_seal(settings: &Settings) -> Result<ControlSeal, StartFault> {
    let ring = match settings.control_seals.split_first() {
        Some((first, others)) => files::read_seals(first, others)?,
        None => files::read_seals(&settings.data_dir.join(files::CONTROL_SEAL), &[])?,
    };
    Ok(ControlSeal::new(Arc::new(ring)))
}

fn bind(what: &'static str, addr: SocketAddr) -> Result<TcpListener, StartFault> {
    let bound = TcpListener::bind(addr).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
    bound.map_err(|cause| StartFault::Listen { what, addr, cause })
}

pub(super) fn tokio_listener(socket: TcpListener) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(socket)
}

fn keep<T, E: Into<StartFault>>(faults: &mut Vec<StartFault>, result: Result<T, E>) -> Option<T> {
    result.map_err(|fault| faults.push(fault.into())).ok()
}
