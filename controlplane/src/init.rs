//! Making a data directory, and making what a node needs to join.
//!
//! Always holds: `init` writes the mark `unfinished` before anything else, and makes it `format` when all is there; a directory counts
//! once it has that. Only what lies beside the first mark is ever removed: a data directory that lost its `format`, such as one that is
//! half restored, is left alone. `enroll` needs only the authority, so that it works beside a running control plane: a node is
//! registered when it first connects.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_proto::{
    seal::{Seal, SealFailed, SealRing},
    secret::Secret,
};
use tokio::runtime;

use crate::{
    access::password::{HashFailed, generate},
    clock::now_ms,
    core::{
        CoreError,
        demo::{DemoCredential, DemoOptions, promise},
        users::new_user,
    },
    files::{self, FileError},
    names::{BadName, NodeName, UserName},
    pki::{self, Authority, PkiError},
    store::{
        CommitError, Store,
        entry::{Entry, EntryChange, Role},
        seal::ControlSeal,
        sled::{OpenError, SledStore},
    },
};

/// What a new control plane is to be like.
#[derive(Clone, Debug, Default)]
pub struct InitOptions {
    /// Host names and addresses in its server certificate, beside `localhost`, 127.0.0.1 and ::1.
    pub server_names: Vec<String>,
    /// Of the user `admin`; none: generated.
    pub admin_password: Option<Secret>,
    /// A key store to try things out.
    pub demo: Option<DemoOptions>,
}

/// What was made. The secrets in it are shown this once.
#[derive(Clone, Debug)]
pub struct InitReport {
    /// Of the user `admin`.
    pub admin_password: Secret,
    /// The demo, if one was asked for. It serves as soon as a data plane is connected.
    pub demo: Option<DemoCredential>,
    /// Protects the control plane's secrets.
    pub control_seal: PathBuf,
    /// Protects all local keys: losing it loses them.
    pub key_seal: PathBuf,
    /// Signs what admins and nodes connect to.
    pub ca: PathBuf,
}

/// What a node is handed.
#[derive(Clone, Debug, Default)]
pub struct EnrollOptions {
    /// Host names and addresses in its XKS certificate, beside `localhost`, 127.0.0.1 and ::1.
    pub xks_names: Vec<String>,
    /// The key seal to hand out; none: the one in the data directory.
    pub key_seal: Option<PathBuf>,
    /// The text of its `dataplane.toml`.
    pub dataplane_toml: String,
}

/// Why a directory was not made, or a node not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The directory or its store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its folder has something in it that no `init` left unfinished.
    #[error("{} is not empty, and was left as it is", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// A certificate.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A value that was given.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A seal.
    #[error(transparent)]
    Seal(#[from] SealFailed),
    /// A password.
    #[error(transparent)]
    Hash(#[from] HashFailed),
    /// A name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The first entries.
    #[error("the store's first entries were not written")]
    Commit(#[from] CommitError),
    /// No thread to write with.
    #[error("can't start a thread")]
    Runtime(#[source] io::Error),
}

/// Makes a data directory: authority, server certificate, both seals, the user `admin`, and on request a demo. Blocks.
///
/// # Errors
/// [`InitError`], `Open(Initialised)` where there is one already; `Occupied` where `dir` has anything in it that was not left by an
/// `init` that did not get to its end.
pub fn init(dir: &Path, options: InitOptions) -> Result<InitReport, InitError> {
    match initialised(dir) {
        Ok(()) => return Err(OpenError::Initialised { dir: dir.into() }.into()),
        Err(OpenError::NotInitialised { .. }) => {}
        Err(unreadable) => return Err(unreadable.into()),
    }
    files::make_dir(dir)?;
    begin(dir)?;
    files::take_over(dir)?;
    let admin_password = match options.admin_password {
        Some(given) => given,
        None => generate()?,
    };
    let admin = new_user(UserName::try_from(ADMIN)?, &admin_password, vec![Role::Admin])?;
    let control_seal = Seal::generate()?;
    files::write_secret(&dir.join(files::CONTROL_SEAL), &control_seal.to_text())?;
    files::write_secret(&dir.join(files::KEY_SEAL), &Seal::generate()?.to_text())?;
    let seal = ControlSeal::new(Arc::new(SealRing::new(control_seal, Vec::new())));
    let demo = options.demo.map(|demo| promise(&seal, demo)).transpose()?;

    let authority = Authority::generate()?;
    let server = authority.control_plane(&options.server_names)?;
    files::write_public(&dir.join(files::CA), authority.certificate_pem())?;
    files::write_secret(&dir.join(files::CA_KEY), authority.key_pem())?;
    files::write_public(&dir.join(files::SERVER), &server.certificate_pem)?;
    files::write_secret(&dir.join(files::SERVER_KEY), &server.key_pem)?;

    let (promised, shown) = demo.unzip();
    let entries = [Entry::User(admin)].into_iter().chain(promised.map(Box::new).map(Entry::Demo));
    first_entries(dir, entries.map(EntryChange::put).collect())?;
    complete(dir)?;
    Ok(InitReport {
        admin_password,
        demo: shown,
        control_seal: dir.join(files::CONTROL_SEAL),
        key_seal: dir.join(files::KEY_SEAL),
        ca: dir.join(files::CA),
    })
}

/// The name that nodes should look for in the certificate of the control plane in `dir`: its own, which no node's certificate has; none where
/// that certificate is from before it had one. Blocks.
///
/// # Errors
/// [`InitError`] where it can't be read.
pub fn sync_name(dir: &Path) -> Result<Option<&'static str>, InitError> {
    initialised(dir)?;
    Ok(pki::names_control_plane(&files::read(&dir.join(files::SERVER))?).then_some(pki::CONTROL_PLANE))
}

/// Makes the folder `out` with all that a node needs: certificate, key, CA, key seal, an XKS certificate to try things out, and its
/// configuration. Blocks; works beside a running control plane.
///
/// # Errors
/// [`InitError`]; `Occupied` where `out` isn't empty.
pub fn enroll(dir: &Path, name: &NodeName, out: &Path, options: EnrollOptions) -> Result<(), InitError> {
    initialised(dir)?;
    let authority = Authority::from_pem(&files::read(&dir.join(files::CA))?, &files::read(&dir.join(files::CA_KEY))?)?;
    let key_seal = files::read(&options.key_seal.unwrap_or_else(|| dir.join(files::KEY_SEAL)))?;
    let (node, xks) = (authority.node(name)?, authority.server(&options.xks_names)?);
    files::make_dir(out)?;
    let mut present = fs::read_dir(out).map_err(|cause| FileError::Read { path: out.into(), cause })?;
    if present.next().is_some() {
        return Err(InitError::Occupied { dir: out.into() });
    }
    files::take_over(out)?;
    files::write_public(&out.join(files::CA), authority.certificate_pem())?;
    files::write_public(&out.join(files::NODE), &node.certificate_pem)?;
    files::write_secret(&out.join(files::NODE_KEY), &node.key_pem)?;
    files::write_public(&out.join(files::XKS), &xks.certificate_pem)?;
    files::write_secret(&out.join(files::XKS_KEY), &xks.key_pem)?;
    files::write_secret(&out.join(files::KEY_SEAL), &key_seal)?;
    Ok(files::write_public(&out.join(files::DATAPLANE_TOML), &options.dataplane_toml)?)
}

/// Refuses a directory that `init` did not finish.
pub(crate) fn initialised(dir: &Path) -> Result<(), OpenError> {
    match dir.join(COMPLETE).try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::NotInitialised { dir: dir.into() }),
        Err(cause) => Err(OpenError::Io { dir: dir.into(), cause }),
    }
}

/// Removes what lies beside the mark `unfinished`, then the mark, and the directory unless it `was_there` before.
pub(crate) fn undo(dir: &Path, was_there: bool) -> Result<(), InitError> {
    begin(dir)?;
    let removed = fs::remove_file(dir.join(UNFINISHED)).and_then(|()| if was_there { Ok(()) } else { fs::remove_dir(dir) });
    Ok(removed.map_err(|cause| FileError::Write { path: dir.into(), cause })?)
}

/// Marks an empty directory as unfinished, or removes what lies beside that mark; refuses anything else.
pub(crate) fn begin(dir: &Path) -> Result<(), InitError> {
    let failed = |cause| FileError::Read { path: dir.into(), cause };
    let ours = [files::CA, files::CA_KEY, files::SERVER, files::SERVER_KEY, files::CONTROL_SEAL, files::KEY_SEAL, "store", "lock"];
    let entries = fs::read_dir(dir).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if entries.is_empty() {
        return Ok(files::write_public(&dir.join(UNFINISHED), "holdfast-controlplane\n")?);
    }
    let (mark, others): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.file_name() == UNFINISHED);
    let is_ours = |name: &std::ffi::OsStr| ours.iter().any(|ours| name == *ours) || files::is_further_control_seal(name);
    if mark.is_empty() || others.iter().any(|entry| !is_ours(&entry.file_name())) {
        return Err(InitError::Occupied { dir: dir.into() });
    }
    for entry in others {
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|cause| FileError::Write { path, cause })?;
    }
    Ok(())
}

/// Makes the one mark the other: at no time are there both, or neither.
pub(crate) fn complete(dir: &Path) -> Result<(), FileError> {
    let path = dir.join(COMPLETE);
    let renamed = fs::rename(dir.join(UNFINISHED), &path).and_then(|()| fs::File::open(dir)?.sync_all());
    renamed.map_err(|cause| FileError::Write { path, cause })
}

fn first_entries(dir: &Path, changes: Vec<EntryChange>) -> Result<(), InitError> {
    let store = SledStore::create(dir, now_ms())?;
    // A thread of its own, so that this can be called from within a runtime, too.
    std::thread::scope(|scope| {
        let write = scope.spawn(|| {
            let runtime = runtime::Builder::new_current_thread().build().map_err(InitError::Runtime)?;
            runtime.block_on(async { store.commit(store.head().revision(), changes).await })?;
            Ok(())
        });
        write.join().unwrap_or_else(|_| Err(InitError::Runtime(io::Error::other("the writing thread broke down"))))
    })
}

/// The first user.
pub(crate) const ADMIN: &str = "admin";
/// Comes first and goes last: what lies beside it was not finished, and nobody has used it.
const UNFINISHED: &str = "unfinished";
/// Comes last: without it the directory is not initialised.
const COMPLETE: &str = "format";
