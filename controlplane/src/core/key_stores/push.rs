//! Changes of linked key stores that AWS must take as well (UpdateCustomKeyStore API).
//!
//! Always holds: what AWS refuses is as it was here, too; a new path is on all connected data planes, and a new credential on all that are
//! not away, before AWS is told of it. Between the two, AWS finds nothing at its old path: a moment, as a path is one here and there.

use holdfast_proto::ids::{CredentialId, Revision, StoreId};

use super::{KeyStorePatch, Operation, allowed, link::as_it_was, standing};
use crate::{
    access::Trail,
    aws::stores::{self, ProxyForAws},
    clock::now_ns,
    core::{
        Core, CoreError,
        aws_key_stores::{self, begun, idle, put},
        credentials::{NewCredential, addable, sealed},
        write::Plan,
    },
    store::{
        View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, Entry, EntryChange, KeyStoreEntry, KeyStoreStep, Stamps},
    },
};

/// What AWS is to take.
struct Push {
    entry: AwsKeyStoreEntry,
    aws_id: String,
    proxy: ProxyForAws,
}

/// What data planes must have before AWS is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::core) enum Needs {
    /// Nothing new.
    Nothing,
    /// A path, on all that are connected.
    Path,
    /// A credential, on all that are not away.
    Credential,
}

impl Core {
    /// Has AWS take what a patch changes of a linked key store, and has it here then; the rest of the patch is left to be done.
    pub(super) async fn push_update(
        &self,
        trail: &Trail,
        patch: &KeyStorePatch,
        intended: impl Fn(&View) -> Result<(KeyStoreEntry, KeyStoreEntry), CoreError> + Send + Sync,
    ) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let (before, after) = intended(view)?;
            let planned = self.planned(view, patch, (&before, after))?;
            Ok(planned.unwrap_or_else(|| Plan { changes: Vec::new(), answer: None }))
        };
        let (Some(push), revision) = self.writer.change(trail, plan).await? else { return Ok(()) };
        let needs = match &push.proxy {
            ProxyForAws { credential: Some(_), .. } => Needs::Credential,
            ProxyForAws { uri_path: Some(_), .. } => Needs::Path,
            ProxyForAws { .. } => Needs::Nothing,
        };
        self.told_when_there(trail, (&push.entry, &push.aws_id), (push.proxy, needs, revision)).await.map(drop)
    }

    /// Tells AWS of a change that is begun once data planes have what it needs; undoes it here where that can't be, or AWS refuses.
    pub(in crate::core) async fn told_when_there(
        &self,
        trail: &Trail,
        (entry, aws_id): (&AwsKeyStoreEntry, &str),
        (proxy, needs, revision): (ProxyForAws, Needs, Revision),
    ) -> Result<Revision, CoreError> {
        let there = match needs {
            Needs::Nothing => Ok(()),
            Needs::Path => self.on_connected(revision, "the new path").await,
            Needs::Credential => self.on_all(revision, "the new credential").await,
        };
        if let Err(late) = there {
            self.undo(trail, entry.id, &late).await?;
            return Err(late);
        }
        let kms = self.kms_or_undo(trail, entry).await?;
        let asked = self.ask_of_store(entry.id, stores::update_proxy(&kms, aws_id, proxy)).await.map(|()| None);
        self.settle(trail, entry.id, asked).await
    }

    /// The commit that begins it; none: AWS need not be told of anything.
    fn planned(
        &self,
        view: &View,
        patch: &KeyStorePatch,
        (before, after): (&KeyStoreEntry, KeyStoreEntry),
    ) -> Result<Option<Plan<Option<Push>>>, CoreError> {
        let proxy = ProxyForAws {
            name: Some(after.name.clone()).filter(|name| *name != before.name),
            address: Some(after.address.clone()).filter(|address| *address != before.address),
            uri_path: Some(after.uri_path.to_string()).filter(|_| after.uri_path != before.uri_path),
            credential: patch.credential.clone(),
        };
        if proxy.name.is_none() && proxy.address.is_none() && proxy.uri_path.is_none() && proxy.credential.is_none() {
            return Ok(None);
        }
        if let Some(address) = &proxy.address {
            self.linkable(address, after.kms.is_some())?;
        }
        let entry = aws_key_stores::found(view, before.id.0)?;
        allowed(Operation::Update, standing(view, before)?)?;
        idle(&entry)?;
        let aws_id = entry.custom_key_store_id.clone().ok_or_else(|| CoreError::State("AWS does not have the key store yet".into()))?;
        let mut changes = Vec::new();
        let mut step = KeyStoreStep::Update;
        if let Some((access_key_id, secret)) = &patch.credential {
            addable(view, before, access_key_id)?;
            let (access_key_id, version) = (access_key_id.clone(), before.credential_version);
            let new = NewCredential { access_key_id, secret, version, stamps: Stamps::new(now_ns()) };
            let credential = sealed(&self.seal, before.id, new)?;
            step = KeyStoreStep::RotateCredential(credential.id.0);
            changes.push(EntryChange::put(Entry::Credential(credential)));
        }
        let entry = AwsKeyStoreEntry { before: Some(as_it_was(before)), ..begun(&entry, step) };
        changes.push(put(entry.clone()));
        let stamps = before.stamps.touched(now_ns());
        let (name, address, uri_path) = (after.name, after.address, after.uri_path);
        changes.push(EntryChange::put(Entry::KeyStore(KeyStoreEntry { name, address, uri_path, stamps, ..before.clone() })));
        Ok(Some(Plan { changes, answer: Some(Push { entry, aws_id, proxy }) }))
    }
}

/// Whether AWS signs with a credential, may do so, or is being told to.
pub(in crate::core) fn is_used_by_aws(entry: Option<&AwsKeyStoreEntry>, store: StoreId, id: CredentialId) -> bool {
    let Some(entry) = entry.filter(|entry| entry.id == store.0) else { return false };
    let signs = matches!(entry.kind, AwsKeyStoreKind::Linked { credential: Some(its) } if its == id.0);
    signs || entry.unsure_credentials.contains(&id.0) || entry.doing == Some(KeyStoreStep::RotateCredential(id.0))
}
