//! One step with a custom key store: committed as begun, asked of AWS, and its outcome committed.
//!
//! Always holds: whoever calls this has the store's turn; what AWS did is finished here and what it did not is undone here, each in one
//! commit; while neither is known the step stays for `follow`.

use aws_sdk_kms::Client;
use holdfast_proto::ids::{CredentialId, Revision, StoreId};
use uuid::Uuid;

use super::{
    outcome::{Told, concluded},
    verdict::{Seen, Verdict, verdict},
};
use crate::{
    access::Trail,
    aws::{
        AwsError, AwsFault,
        stores::{self, Behind, StoreInAws},
    },
    clock::now_ns,
    core::{Core, CoreError, write::Plan},
    store::{
        View,
        entry::{AwsKeyStoreEntry, AwsKeyStoreKind, Entry, EntryChange, KeyStoreStep},
    },
};

/// What AWS is asked.
pub(in crate::core) type Asked = Result<Option<String>, AwsError>;

impl Core {
    /// KMS of a key store's account and region.
    pub(in crate::core) async fn kms_of_store(&self, entry: &AwsKeyStoreEntry) -> Result<Client, CoreError> {
        let view = self.view().await?;
        let container = view.kms_container(entry.kms)?.ok_or(CoreError::NotFound("KMS container"))?;
        let account = self.account_of(&view, &container)?;
        drop(view);
        Ok(self.aws.kms(&account, &entry.region))
    }

    /// The same for a step that is begun: where nobody can be asked, it is undone.
    pub(in crate::core) async fn kms_or_undo(&self, trail: &Trail, entry: &AwsKeyStoreEntry) -> Result<Client, CoreError> {
        match self.kms_of_store(entry).await {
            Ok(kms) => Ok(kms),
            Err(error) => {
                self.undo(trail, entry.id).await?;
                Err(error)
            }
        }
    }

    /// Commits what AWS's answer to the step that was begun means; the answer to a new store is its id. Where AWS's answer is not known it
    /// is looked what it did.
    ///
    /// # Errors
    /// What AWS refused, which is undone; what kept it from answering, and then the step may stay.
    pub(in crate::core) async fn settle(&self, trail: &Trail, id: Uuid, asked: Asked) -> Result<Revision, CoreError> {
        match asked {
            Ok(made) => self.conclude(trail, id, (Verdict::Done, made.as_deref().map_or(Told::Nothing, Told::Made))).await,
            Err(error) if error.may_be_done() => {
                // One that AWS answered itself is under way no more.
                let found = self.find_out(trail, id, error.fault == AwsFault::Broken).await;
                match found {
                    Ok((Verdict::Done, revision)) => Ok(revision),
                    Ok((Verdict::NotDone | Verdict::Unsure, _)) => Err(error.into()),
                    Err(unknown) => {
                        tracing::warn!(error = &unknown as &dyn std::error::Error, key_store = %id, "what AWS did is not known yet");
                        Err(error.into())
                    }
                }
            }
            Err(error) => {
                self.conclude(trail, id, (Verdict::NotDone, Told::Nothing)).await?;
                Err(error.into())
            }
        }
    }

    /// Undoes a step that AWS was never asked for.
    pub(in crate::core) async fn undo(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        self.conclude(trail, id, (Verdict::NotDone, Told::Nothing)).await.map(drop)
    }

    /// Looks in AWS how the store stands, and commits that. Whoever calls this has the store's turn.
    pub(in crate::core) async fn refresh_key_store(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        self.find_out(trail, id, false).await.map(drop)
    }

    /// Looks in AWS what became of the step, or how the store stands, and commits that.
    pub(super) async fn find_out(&self, trail: &Trail, id: Uuid, late: bool) -> Result<(Verdict, Revision), CoreError> {
        let entry = super::found(&self.view().await?, id)?;
        let kms = self.kms_of_store(&entry).await?;
        let told = self.look_for(&kms, &entry).await?;
        let Some(step) = &entry.doing else {
            let told = told.as_ref().map_or(Told::Absent, Told::Found);
            return Ok((Verdict::Done, self.conclude(trail, id, (Verdict::Done, told)).await?));
        };
        let seen = match &told {
            Some(told) => Some(self.seen(&entry, (step, told)).await?),
            None => None,
        };
        let verdict = verdict(step, seen, late);
        let told = told.as_ref().map_or(Told::Absent, Told::Found);
        let revision = match verdict {
            Verdict::Done | Verdict::NotDone => self.conclude(trail, id, (verdict, told)).await?,
            Verdict::Unsure => self.view().await?.revision(),
        };
        Ok((verdict, revision))
    }

    /// The store in AWS: by AWS's id, or else the one of its name, if that has what ours has behind it.
    async fn look_for(&self, kms: &Client, entry: &AwsKeyStoreEntry) -> Result<Option<StoreInAws>, CoreError> {
        if let Some(id) = &entry.custom_key_store_id {
            return Ok(stores::describe(kms, id).await?);
        }
        let Some(told) = stores::describe(kms, &entry.name).await? else { return Ok(None) };
        let ours = match (&entry.kind, &told.behind) {
            (AwsKeyStoreKind::Linked { .. }, Behind::Proxy { uri_path, .. }) => {
                let here = self.view().await?.key_store(StoreId(entry.id))?;
                here.is_some_and(|here| here.uri_path.to_string() == *uri_path)
            }
            (AwsKeyStoreKind::CloudHsm { cluster_id, .. }, Behind::Cluster { id, .. }) => cluster_id == id,
            (AwsKeyStoreKind::Remote { uri_path, .. }, Behind::Proxy { uri_path: told, .. }) => uri_path == told,
            (AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, Behind::Cluster { .. })
            | (AwsKeyStoreKind::CloudHsm { .. }, Behind::Proxy { .. }) => false,
        };
        Ok(Some(told).filter(|_| ours))
    }

    /// What AWS has against what is intended.
    async fn seen(&self, entry: &AwsKeyStoreEntry, (step, told): (&KeyStoreStep, &StoreInAws)) -> Result<Seen, CoreError> {
        let view = self.view().await?;
        let here = view.key_store(StoreId(entry.id))?;
        let as_intended = match (&entry.kind, &told.behind, &here) {
            (AwsKeyStoreKind::Linked { .. }, Behind::Proxy { address, uri_path, .. }, Some(here)) => {
                here.name == told.name && here.address == *address && here.uri_path.to_string() == *uri_path
            }
            (AwsKeyStoreKind::CloudHsm { cluster_id, .. }, Behind::Cluster { id, .. }, _) => cluster_id == id && entry.name == told.name,
            _ => false,
        };
        let signs_with_it = match (step, &told.behind) {
            (KeyStoreStep::RotateCredential(id), Behind::Proxy { access_key_id, .. }) => {
                let new = view.credential(StoreId(entry.id), CredentialId(*id))?;
                new.is_some_and(|new| Some(new.access_key_id.to_string()) == *access_key_id)
            }
            _ => false,
        };
        Ok(Seen { state: told.state, as_intended, signs_with_it })
    }

    async fn conclude(&self, trail: &Trail, id: Uuid, (verdict, told): (Verdict, Told<'_>)) -> Result<Revision, CoreError> {
        let plan = |view: &View| Ok(Plan { changes: concluded(view, id, (verdict, told))?, answer: () });
        Ok(self.writer.change(trail, plan).await?.1)
    }
}

/// The entry with a step begun.
pub(in crate::core) fn begun(entry: &AwsKeyStoreEntry, step: KeyStoreStep) -> AwsKeyStoreEntry {
    let stamps = entry.stamps.touched(now_ns());
    AwsKeyStoreEntry { doing: Some(step), before: None, failure: None, stamps, ..entry.clone() }
}

/// Nothing is begun; else that it must end first.
pub(in crate::core) fn idle(entry: &AwsKeyStoreEntry) -> Result<(), CoreError> {
    if entry.doing.is_some() {
        let text = "what was last begun with this key store in AWS is not known to be done; it is being found out, try again later";
        return Err(CoreError::State(text.into()));
    }
    Ok(())
}

/// The change that puts an entry.
pub(in crate::core) fn put(entry: AwsKeyStoreEntry) -> EntryChange {
    EntryChange::put(Entry::AwsKeyStore(entry))
}
