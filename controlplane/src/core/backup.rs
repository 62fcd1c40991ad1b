//! Backups: a consistent copy of the store, with what nodes and secrets need to go on under another roof.
//!
//! Always holds: the store is held while its entries are copied, and no longer; a backup has no key seal in it, and names those that its
//! local keys need.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use holdfast_proto::{records::SourceKey, seal::sealed_under, secret::Secret};
use uuid::Uuid;

use super::{Core, CoreError};
use crate::{
    access::{Administer, Permit},
    backup::{Backup, Header, Kdf, Record},
    clock::now_ns,
    files::{self, FileError},
    store::{View, seal::ControlSeal, sled::FORMAT},
};

/// Where what a backup holds beside the store's entries lies.
#[derive(Clone, Debug)]
pub struct BackedUpFiles {
    data_dir: PathBuf,
}

impl BackedUpFiles {
    /// Those of a data directory.
    #[must_use]
    pub const fn of(data_dir: PathBuf) -> Self {
        Self { data_dir }
    }
}

impl Core {
    /// A copy of everything, sealed under `passphrase`.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for a passphrase that is too short; [`CoreError::Read`]; [`CoreError::Files`] where the data directory can't be
    /// read; [`CoreError::State`] where there is none.
    pub async fn backup(&self, _permit: &Permit<Administer>, passphrase: &Secret) -> Result<Backup, CoreError> {
        if passphrase.expose().chars().count() < FEWEST_CHARACTERS {
            let detail = format!("must have at least {FEWEST_CHARACTERS} characters");
            return Err(CoreError::Invalid { field: "passphrase", detail });
        }
        let Some(files) = self.files.clone() else {
            return Err(CoreError::State("this control plane keeps nothing on disk".into()));
        };
        let view = self.view().await?;
        let (seal, passphrase) = (self.seal.clone(), passphrase.clone());
        let made = tokio::task::spawn_blocking(move || {
            let mut records = beside(&files.data_dir, &seal)?;
            let header = header(&view, &seal)?;
            records.extend(view.copy()?.into_iter().map(Record::Entry));
            drop(view);
            Ok(Backup::new(header, records, &passphrase)?)
        });
        made.await.unwrap_or_else(|_| Err(CoreError::State("the backup was broken off".into())))
    }
}

fn beside(data_dir: &Path, seal: &ControlSeal) -> Result<Vec<Record>, FileError> {
    let mut records = Vec::new();
    for name in files::BACKED_UP {
        records.push(Record::File(name.into(), files::read(&data_dir.join(name))?));
    }
    records.extend(seal.texts().into_iter().map(Record::ControlSeal));
    Ok(records)
}

fn header(view: &View, seal: &ControlSeal) -> Result<Header, CoreError> {
    Ok(Header {
        software: env!("CARGO_PKG_VERSION").into(),
        store_format: FORMAT,
        revision: view.revision(),
        created_ms: now_ns() / 1_000_000,
        control_seals: seal.ids(),
        key_seals: key_seals(view)?.into_iter().collect(),
        kdf: Kdf::draw()?,
    })
}

/// The seals that local keys lie under.
fn key_seals(view: &View) -> Result<BTreeSet<Uuid>, CoreError> {
    let blobs = view.source_keys()?.into_iter().filter_map(|source| match source.key {
        SourceKey::Local(blob) => sealed_under(&blob.sealed),
        SourceKey::Partition(_) => None,
    });
    Ok(blobs.collect())
}

/// Of a passphrase: whoever has the file can try as many as they like.
const FEWEST_CHARACTERS: usize = 12;
