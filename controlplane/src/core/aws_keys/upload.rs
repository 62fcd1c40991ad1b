//! Keys whose material is uploaded: made in AWS with origin `EXTERNAL`, then given the material of a source key.
//!
//! Always holds: what can be refused is refused before AWS is asked for a key; a key that did not get its first material is withdrawn, or,
//! where AWS may have it, finished by [`Core::keep_following_aws_keys`].

use std::error::Error;

use holdfast_proto::{kinds::KeyKind, records::SourceKey};
use uuid::Uuid;

use super::{
    AnyKey, NOT_FOUND, NewAwsKey,
    create::look_for,
    kinds,
    steps::{may_be_done, may_come},
};
use crate::{
    access::{Manage, Permit, Trail},
    clock::now_ns,
    core::{Core, CoreError, source_keys, state::tier_fits},
    store::{
        View,
        entry::{AwsKeyEntry, AwsKeyKind, ImportEntry, KeyProgress, SourceKeyEntry, UploadedFrom},
    },
};

/// A source key that is to be uploaded.
#[derive(Clone, Debug)]
pub struct UploadSource {
    /// Its id or unique name.
    pub source_key: String,
    /// The tier that it is said to be on, as it was spelt; none: nothing was said.
    pub tier_as_sent: Option<String>,
    /// When the material expires in AWS, nanoseconds since 1970; none: never.
    pub valid_to_ns: Option<u64>,
}

impl Core {
    /// Makes a key in AWS and imports a source key's material into it.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid` for a container or a source key that is not there, for what does not fit the source key, and for one that is
    /// unexportable; those of asking a data plane; `Aws`.
    pub async fn upload_key(&self, permit: &Permit<Manage>, new: NewAwsKey, source: UploadSource) -> Result<AnyKey, CoreError> {
        let (entry, source_key) = {
            let view = self.view().await?;
            let (source_key, kind) = uploadable(&view, &source)?;
            let made = kinds::uploaded(kind, new.spec.as_deref(), new.usage.as_deref())?;
            let kind = AwsKeyKind::Imported { source: Some(source.of(&source_key)) };
            (super::native::entry(&view, new, (kind, made))?, source_key)
        };
        // A data plane is there and opens it, before anything is made in AWS.
        self.inspected(&source_key).await?;
        let id = entry.id;
        self.create_with_material(permit.trail(), entry, None).await?;
        self.any_key(id).await
    }

    /// Makes a key in AWS and, where it is to have a source key's material, imports that. Where that is refused, the key is withdrawn, and
    /// so is a source key that was made for it.
    ///
    /// # Errors
    /// Those of making a key, of asking a data plane, and of importing.
    pub(super) async fn create_with_material(
        &self,
        trail: &Trail,
        entry: AwsKeyEntry,
        source: Option<&SourceKeyEntry>,
    ) -> Result<(), CoreError> {
        let id = entry.id;
        let made = self.create_from(trail, entry, source).await?;
        if source_of(&made).is_none() {
            return Ok(());
        }
        let turn = self.keys_at_work.turn(id).await;
        match self.finish_import(trail, id).await {
            Ok(()) => {
                turn.done();
                Ok(())
            }
            Err(error) if may_be_done(&error) => Err(error),
            Err(error) => {
                self.withdraw_from_aws(trail, id).await?;
                turn.done();
                Err(error)
            }
        }
    }

    /// Goes on with an import that a crash or a failure left. The caller has the key's turn.
    ///
    /// # Errors
    /// Where it is to be tried again.
    pub(super) async fn take_up_import(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let first = self.view().await?.aws_key(id)?.is_some_and(|entry| entry.rotations.is_empty() && source_of(&entry).is_some());
        match self.finish_import(trail, id).await {
            Err(error) if may_come(&error) => Err(error),
            Err(error) if first && self.waits_for_material(id).await? => {
                tracing::warn!(error = &error as &dyn Error, key = %id, "the key gets no material: it is withdrawn");
                self.withdraw_from_aws(trail, id).await
            }
            Err(error) => {
                // Whether AWS had taken it before is not known.
                self.material_may_be_there(trail, id).await?;
                self.give_up(trail, id, &error).await
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether AWS has no material of a key, or no such key: nobody can have used it then.
    async fn waits_for_material(&self, id: Uuid) -> Result<bool, CoreError> {
        let (kms, key_id) = {
            let view = self.view().await?;
            let entry = view.aws_key(id)?.ok_or(NOT_FOUND)?;
            let Some(told) = entry.in_aws() else { return Ok(true) };
            (self.kms_of(&view, &entry)?, told.key_id.clone())
        };
        Ok(look_for(&kms, &key_id, |_| true).await?.is_none_or(|told| told.state == "PendingImport"))
    }
}

impl UploadSource {
    pub(super) fn of(&self, source: &SourceKeyEntry) -> UploadedFrom {
        UploadedFrom {
            source_key: source.id,
            name: source.name.clone(),
            tier_as_sent: self.tier_as_sent.clone(),
            valid_to_ns: self.valid_to_ns,
            made: false,
        }
    }
}

/// The source key that is to be uploaded, and what it is.
pub(super) fn uploadable(view: &View, asked: &UploadSource) -> Result<(SourceKeyEntry, KeyKind), CoreError> {
    let source = source_keys::find(view, &asked.source_key);
    let source = source.map_err(|error| error.of_named("source_key_identifier", "there is no such source key"))?;
    if asked.valid_to_ns.is_some_and(|at| at <= now_ns()) {
        return Err(CoreError::invalid("ValidTo", "must be in the future"));
    }
    let kind = may_leave(&source, asked.tier_as_sent.as_deref())?;
    Ok((source, kind))
}

/// What a source key is, if it may be uploaded; data planes refuse an unexportable one, too.
fn may_leave(source: &SourceKeyEntry, tier_as_sent: Option<&str>) -> Result<KeyKind, CoreError> {
    let refused = |detail: String| Err(CoreError::invalid("source_key_identifier", detail));
    let SourceKey::Local(blob) = &source.key else {
        return refused(format!("the key {:?} is on a partition, which it does not leave; upload a key of tier local", source.name));
    };
    if !tier_fits(&source.tier(), tier_as_sent) {
        return Err(CoreError::invalid("source_key_tier", "must be local, which is where the key is"));
    }
    match &source.progress {
        KeyProgress::Ready => {}
        KeyProgress::Making => return refused(format!("the key {:?} is not made yet", source.name)),
        KeyProgress::Failed(why) => return refused(format!("the key {:?} was not made: {why}", source.name)),
    }
    if blob.unexportable {
        return refused(format!("the key {:?} is unexportable: its data plane does not let it go, not even wrapped for AWS", source.name));
    }
    Ok(blob.kind)
}

/// The import that a key waits for that was just made in AWS; none: it is made whole, or empty.
pub(in crate::core) fn first_import(entry: &AwsKeyEntry) -> Option<ImportEntry> {
    let from = source_of(entry)?.clone();
    Some(ImportEntry { from, new_material: None, description: None, key_material_id: None, before: Vec::new(), rotate: false })
}

/// Where a key's material comes from, if it was or is to be uploaded from here.
pub(super) fn source_of(entry: &AwsKeyEntry) -> Option<&UploadedFrom> {
    match &entry.kind {
        AwsKeyKind::Imported { source } => source.as_ref(),
        AwsKeyKind::Native | AwsKeyKind::CloudHsm { .. } | AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_proto::records::{KeyUsage, LocalBlob, PartitionKey};

    use super::*;
    use crate::store::entry::Stamps;

    fn source(unexportable: bool) -> SourceKeyEntry {
        let (id, kind, usage) = (Uuid::from_u128(1), KeyKind::EcP384, KeyUsage::BOTH);
        let key = SourceKey::Local(LocalBlob { id, kind, usage, unexportable, sealed: Box::default() });
        SourceKeyEntry::new(id, "k".into(), key, Stamps::default())
    }

    #[test]
    fn only_an_exportable_local_key_that_is_made_may_leave() {
        assert_eq!(may_leave(&source(false), Some("local")).unwrap(), KeyKind::EcP384);
        let partition = SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: Box::default(), label: "l".into() });
        let refused = [
            (source(true), None, "unexportable"),
            (source(false), Some("luna-hsm"), "source_key_tier"),
            (SourceKeyEntry { key: partition, ..source(false) }, None, "partition"),
            (SourceKeyEntry { progress: KeyProgress::Making, ..source(false) }, None, "not made yet"),
        ];
        for (source, tier, words) in refused {
            let refusal = may_leave(&source, tier).unwrap_err().to_string();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
