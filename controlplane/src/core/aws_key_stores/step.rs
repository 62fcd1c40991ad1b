//! One step with a custom key store: committed as begun, asked of AWS, and its outcome committed.
//!
//! Always holds: whoever calls this has the store's turn; what AWS did is finished here and what it did not is undone here, each in one
//! commit; while neither is known the step stays for `follow`. Nothing is undone before AWS was looked at, but for what it was never asked.

use aws_sdk_kms::Client;
use holdfast_proto::ids::Revision;
use uuid::Uuid;

use super::{
    look::shows,
    outcome::{Told, concluded, left},
    verdict::{Verdict, verdict},
};
use crate::{
    access::Trail,
    aws::AwsError,
    clock::now_ns,
    core::{Core, CoreError, asked::is_old, write::Plan},
    store::{
        View,
        entry::{AwsKeyStoreEntry, Entry, EntryChange, KeyStoreStep},
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
                self.undo(trail, entry.id, &error).await?;
                Err(error)
            }
        }
    }

    /// Asks AWS to do something to a key store: it may be at it until this ends, be it because whoever asked has gone.
    pub(in crate::core) async fn ask_of_store<T>(
        &self,
        id: Uuid,
        ask: impl Future<Output = Result<T, AwsError>> + Send,
    ) -> Result<T, AwsError> {
        let _asking = self.stores_asked.asking(id);
        ask.await
    }

    /// Commits what AWS's answer to the step that was begun means; the answer to a new store is its id. Where AWS's answer is not known, or
    /// is a refusal of what an earlier try may have done, it is looked what AWS did.
    ///
    /// # Errors
    /// What AWS refused, which is undone; what kept it from answering, and then the step may stay.
    pub(in crate::core) async fn settle(&self, trail: &Trail, id: Uuid, asked: Asked) -> Result<Revision, CoreError> {
        let error = match asked {
            Ok(made) => return self.conclude(trail, id, (Verdict::Done, made.as_deref().map_or(Told::Nothing, Told::Made))).await,
            Err(error) => error,
        };
        let open = error.may_be_done();
        let looks = open || (error.was_asked() && shows(&super::found(&self.view().await?, id)?));
        let found = if looks { Some(self.find_out(trail, id).await) } else { None };
        match (found, open) {
            (Some(Ok((Verdict::Done, revision))), _) => return Ok(revision),
            (Some(Ok((Verdict::NotDone, _))), _) | (Some(Ok((Verdict::Unsure, _))), true) => {}
            (Some(Err(unknown)), true) => {
                tracing::warn!(error = &unknown as &dyn std::error::Error, key_store = %id, "what AWS did is not known yet");
            }
            // The one try that was made was refused.
            (Some(Ok((Verdict::Unsure, _)) | Err(_)) | None, false) => {
                self.conclude(trail, id, (Verdict::NotDone, Told::Refused(&error.to_string()))).await?;
            }
            // What is open is looked at.
            (None, true) => {}
        }
        Err(error.into())
    }

    /// Undoes a step that AWS was never asked for, because of `why`.
    pub(in crate::core) async fn undo(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<(), CoreError> {
        self.conclude(trail, id, (Verdict::NotDone, Told::Unasked(&why.to_string()))).await.map(drop)
    }

    /// Looks in AWS how the store stands, and commits that. Whoever calls this has the store's turn.
    pub(in crate::core) async fn refresh_key_store(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        self.find_out(trail, id).await.map(drop)
    }

    /// Looks in AWS what became of the step, or how the store stands, and commits that.
    pub(in crate::core) async fn find_out(&self, trail: &Trail, id: Uuid) -> Result<(Verdict, Revision), CoreError> {
        let entry = super::found(&self.view().await?, id)?;
        let kms = self.kms_of_store(&entry).await?;
        let told = self.look_for(&kms, &entry).await?;
        let late = self.store_is_settled(&entry);
        let verdict = match (&entry.doing, &told) {
            (Some(step), Some(told)) => verdict(step, Some(self.seen(&entry, (step, told)).await?), late),
            (Some(step), None) => verdict(step, None, late),
            // Of what was just made or changed AWS may not tell everywhere yet.
            (None, None) if !late => Verdict::Unsure,
            (None, Some(_) | None) => Verdict::Done,
        };
        let lately = entry.doing.is_none() && self.stores_asked.is_fresh(id, self.aws.settled_after());
        let told = told.as_ref().map_or(Told::Absent, if lately { Told::Lately } else { Told::Found });
        let revision = match verdict {
            Verdict::Done | Verdict::NotDone => self.conclude(trail, id, (verdict, told)).await?,
            Verdict::Unsure => self.view().await?.revision(),
        };
        Ok((verdict, revision))
    }

    /// Ends a step of which AWS would not tell, long after it was asked, where all can stay here as it is; whether it was ended. A store
    /// that AWS may be making is left to people, who may delete it.
    pub(in crate::core) async fn leave(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<bool, CoreError> {
        let plan = |view: &View| {
            let left = view.aws_key_store(id)?.and_then(|entry| left(&entry, why));
            Ok(Plan { answer: left.is_some(), changes: left.into_iter().map(put).collect() })
        };
        Ok(self.writer.change(trail, plan).await?.0)
    }

    /// Says of a step that is tried again why it can't be finished, and what may be done about it: where AWS refuses to tell of it, or has
    /// not told for long. For the first time alone: AWS gives each answer another number.
    pub(super) async fn key_store_stands(&self, trail: &Trail, id: Uuid, why: &CoreError) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = view.aws_key_store(id)?.filter(|entry| entry.failure.is_none());
            let stands = entry.filter(|entry| !why.may_pass() || is_old(entry.stamps.updated_ns));
            let left = stands.and_then(|entry| Some((left_by(&entry)?, entry)));
            // When it was begun stays known.
            let told = left.map(|(left, entry)| AwsKeyStoreEntry { failure: Some(format!("{why}; it is tried again. {left}")), ..entry });
            Ok(Plan { changes: told.into_iter().map(put).collect(), answer: () })
        };
        self.writer.change(trail, plan).await.map(drop)
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
    if stands(entry) {
        let why = entry.failure.as_deref().unwrap_or_default();
        return Err(CoreError::State(format!("what was begun with the key store in AWS can't be finished: {why}")));
    }
    if entry.doing.is_some() {
        let text = "what was last begun with this key store in AWS is not known to be done; it is being found out, try again later";
        return Err(CoreError::State(text.into()));
    }
    Ok(())
}

/// Whether what was begun with a key store can't be finished, as was said.
pub(in crate::core) const fn stands(entry: &AwsKeyStoreEntry) -> bool {
    entry.doing.is_some() && entry.failure.is_some()
}

/// What is left where a step is given up, for people; none: there is none.
fn left_by(entry: &AwsKeyStoreEntry) -> Option<String> {
    Some(match entry.doing.as_ref()? {
        KeyStoreStep::Create | KeyStoreStep::Link => {
            "Deleting the key store here gives it up: it goes here, and AWS may have made its own, which stays there".into()
        }
        KeyStoreStep::Update => {
            "Deleting the key store here gives this change up, and no more: it stays as it is here, which AWS may not have taken".into()
        }
        KeyStoreStep::RotateCredential(_) => {
            "Deleting the key store here gives this rotation up, and no more: both credentials stay, since AWS may sign with either".into()
        }
        KeyStoreStep::Connect | KeyStoreStep::Disconnect | KeyStoreStep::Delete => {
            "Deleting the key store here gives this up, and no more: it stays as AWS has it".into()
        }
    })
}

/// The change that puts an entry.
pub(in crate::core) fn put(entry: AwsKeyStoreEntry) -> EntryChange {
    EntryChange::put(Entry::AwsKeyStore(entry))
}
