//! Material of keys whose origin is `EXTERNAL`: imported, imported again, deleted.
//!
//! Always holds: material comes from a data plane and is wrapped for AWS before it is here; an import is committed as `doing` before AWS is
//! asked, and one that is done again gives the key the same material.

use aws_sdk_kms::Client;
use uuid::Uuid;

use super::{
    AnyKey,
    create::look_for,
    describe::look_at_known,
    in_aws,
    kinds::{Family, family, kind_of, spec_of},
    steps::{may_be_done, undone},
    upload::{UploadSource, uploadable},
};
use crate::{
    access::{Manage, Permit, Trail},
    aws::{
        AwsError, AwsFault,
        import::{self, MaterialInAws, WrappedMaterial},
        once, unless_throttled,
    },
    clock::now_ns,
    core::{Core, CoreError},
    store::entry::{AwsKeyEntry, AwsKeyKind, ImportEntry, KeyInAws, KeyStep, MaterialEntry, SourceKeyEntry, Stamps, UploadedFrom},
};

/// Material that a key is to get.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// Where it comes from.
    pub source: UploadSource,
    /// The key never had it, or had it before; none: AWS's default.
    pub new_material: Option<bool>,
    /// For people.
    pub description: Option<String>,
    /// AWS's id of the material that it must be.
    pub key_material_id: Option<String>,
}

impl Core {
    /// Imports material into a key of origin `EXTERNAL`: its first, the same again (because it expired or was deleted, or to have it expire
    /// otherwise), or new material that waits for its rotation.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that takes no material; `Invalid` for a source key that will not do; `Refused` where the
    /// data plane does not let it go; `Aws`.
    pub async fn import_key_material(&self, permit: &Permit<Manage>, id: Uuid, new: NewImport) -> Result<AnyKey, CoreError> {
        let trail = permit.trail();
        let turn = self.keys_at_work.turn(id).await;
        // What expired meanwhile is told, too.
        let entry = self.refresh_aws_key(trail, id).await?;
        let (from, symmetric) = {
            let view = self.view().await?;
            let told = importing(&entry)?;
            let (source, kind) = uploadable(&view, &new.source)?;
            if spec_of(kind) != Some(told.spec.as_str()) {
                let detail = format!("the source key {:?} is of kind {kind}, and the key in AWS of spec {}", source.name, told.spec);
                return Err(CoreError::invalid("source_key_identifier", detail));
            }
            (new.source.of(&source), family(kind) == Family::Symmetric)
        };
        if !symmetric && (new.new_material.is_some() || new.description.is_some() || new.key_material_id.is_some()) {
            let detail = "import_type, key_material_description and key_material_id are for symmetric keys only";
            return Err(CoreError::invalid("import_type", detail));
        }
        let import = ImportEntry {
            from,
            new_material: new.new_material,
            description: new.description,
            key_material_id: new.key_material_id,
            before: self.materials_before(&entry).await?,
            rotate: false,
        };
        self.begin(trail, id, &KeyStep::Import(import)).await?;
        let done = self.finish_import(trail, id).await;
        self.ended(trail, (id, turn), done).await?;
        self.any_key(id).await
    }

    /// Deletes the material of a key of origin `EXTERNAL`, or one of several; the key waits for the same material then.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` for a key that takes no material; `Aws`.
    pub async fn delete_key_material(
        &self,
        permit: &Permit<Manage>,
        id: Uuid,
        key_material_id: Option<String>,
    ) -> Result<AnyKey, CoreError> {
        let act = async |kms: Client, told: KeyInAws| {
            let asked = kms.delete_imported_key_material().key_id(told.key_id).set_key_material_id(key_material_id);
            asked.send().await.map(drop).map_err(AwsError::of("KMS DeleteImportedKeyMaterial"))
        };
        self.change_in_aws(permit.trail(), id, (|entry: &AwsKeyEntry| importing(entry).map(drop), act)).await?;
        self.any_key(id).await
    }

    /// Does what [`KeyStep::Import`] says, or sees that it was done. The caller has the key's turn.
    ///
    /// # Errors
    /// Those of asking a data plane and AWS; the step stays.
    pub(in crate::core) async fn finish_import(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let (kms, entry, told, source, import) = {
            let view = self.view().await?;
            let (entry, told) = in_aws(&view, id)?;
            let Some(KeyStep::Import(import)) = entry.doing.clone() else { return Ok(()) };
            let source = view.source_key(import.from.source_key)?.ok_or(CoreError::NotFound("source key"))?;
            (self.kms_of(&view, &entry)?, entry, told, source, import)
        };
        let told = look_at_known(&kms, &told).await?.ok_or(CoreError::NotFound("key in AWS"))?;
        if told.state == "Creating" {
            return Err(CoreError::Unavailable("AWS is still making the key that the material is for".into()));
        }
        let materials = materials(&kms, &told).await?;
        let there = if import.new_material == Some(true) { new_one(&materials, &import.before) } else { None };
        let key_material_id = match there {
            Some(there) => there.key_material_id.clone(),
            None => match self.import_into(&kms, (&entry, &told), (&source, &import)).await {
                Ok(key_material_id) => key_material_id,
                Err(error) => {
                    if may_have_it(&error) {
                        self.material_may_be_there(trail, id).await?;
                    }
                    return Err(error);
                }
            },
        };
        // Whatever becomes of the rest.
        self.material_may_be_there(trail, id).await?;
        if import.rotate && !is_current(&kms, &told, key_material_id.as_deref()).await? {
            match rotate_on_demand(&kms, &told.key_id).await {
                // An earlier one's answer was lost.
                Err(error) if error.fault == AwsFault::Refused && is_current(&kms, &told, key_material_id.as_deref()).await? => {}
                // AWS has the material all the same: it waits for the next rotation.
                Err(error) if !error.may_be_done() => {
                    let import = ImportEntry { rotate: false, ..import };
                    let told = look_for(&kms, &told.key_id, |_| true).await?;
                    self.keep_import(trail, id, (&import, key_material_id.as_deref(), told.as_ref())).await?;
                    return Err(error.into());
                }
                rotated => rotated?,
            }
        }
        let told = look_for(&kms, &told.key_id, |_| true).await?;
        self.keep_import(trail, id, (&import, key_material_id.as_deref(), told.as_ref())).await
    }

    /// AWS has the material, or may have it: from now on its source key goes with nothing.
    pub(super) async fn material_may_be_there(&self, trail: &Trail, id: Uuid) -> Result<(), CoreError> {
        let arrived = |entry: &mut AwsKeyEntry| {
            if let Some(KeyStep::Import(import)) = &mut entry.doing {
                import.from = import.from.arrived();
            }
        };
        self.keep_told(trail, id, &arrived).await.map(drop)
    }

    async fn keep_import(&self, trail: &Trail, id: Uuid, what: (&ImportEntry, Option<&str>, Option<&KeyInAws>)) -> Result<(), CoreError> {
        let now_ns = now_ns();
        self.keep_told(trail, id, &|entry| imported(entry, what, now_ns)).await.map(drop)
    }

    /// AWS's ids of the material that a symmetric key has.
    pub(super) async fn materials_before(&self, entry: &AwsKeyEntry) -> Result<Vec<String>, CoreError> {
        let kms = self.kms_of(&self.view().await?, entry)?;
        let Some(told) = entry.in_aws() else { return Ok(Vec::new()) };
        Ok(materials(&kms, told).await?.into_iter().filter_map(|material| material.key_material_id).collect())
    }

    async fn import_into(
        &self,
        kms: &Client,
        (entry, told): (&AwsKeyEntry, &KeyInAws),
        (source, import): (&SourceKeyEntry, &ImportEntry),
    ) -> Result<Option<String>, CoreError> {
        let Some(kind) = kind_of(&told.spec) else {
            return Err(CoreError::State(format!("material of spec {} is not imported from here", told.spec)));
        };
        let parameters = import::parameters(kms, &told.key_id, kind).await?;
        let wrapped = self.wrapped(source, (parameters.public_key.clone(), parameters.algorithm)).await?;
        let symmetric = family(kind) == Family::Symmetric;
        // A replica takes its primary key's material only.
        let replica = (symmetric && entry.spec.replica_of.is_some()).then_some(false);
        let material = WrappedMaterial {
            wrapped,
            valid_to_ns: import.from.valid_to_ns,
            new: import.new_material.or(replica),
            description: import.description.as_deref(),
            key_material_id: import.key_material_id.as_deref(),
        };
        let before = self.may_be_under_way(entry);
        let asking = self.keys_asked.asking(entry.id);
        let imported = import::import(kms, &told.key_id, (parameters, material)).await;
        if !imported.as_ref().is_err_and(AwsError::may_be_done) {
            asking.answered();
        }
        match imported {
            Err(error) if before && error.fault == AwsFault::Refused => {
                // AWS refuses as new what it took from a try before.
                tracing::warn!(key = %entry.id, %error, "an import is looked at again: an earlier one may have been done");
                Err(CoreError::Unavailable("AWS refused the material, and may have it from an earlier try".into()))
            }
            other => Ok(other?),
        }
    }
}

/// AWS may have taken the material, or have it from an earlier try.
const fn may_have_it(error: &CoreError) -> bool {
    may_be_done(error) || matches!(error, CoreError::Unavailable(_))
}

/// What AWS has of a key that takes material.
pub(super) fn importing(entry: &AwsKeyEntry) -> Result<&KeyInAws, CoreError> {
    match &entry.kind {
        AwsKeyKind::Imported { .. } => entry.in_aws().ok_or_else(|| CoreError::State("the key is not in AWS".into())),
        AwsKeyKind::Native | AwsKeyKind::CloudHsm { .. } | AwsKeyKind::Hyok { .. } | AwsKeyKind::External { .. } => {
            Err(CoreError::State("material is imported into keys of origin EXTERNAL only".into()))
        }
    }
}

/// The material of a key, as far as AWS lists it: of symmetric keys outside of custom key stores.
pub(super) async fn materials(kms: &Client, told: &KeyInAws) -> Result<Vec<MaterialInAws>, AwsError> {
    let listed = kind_of(&told.spec).is_some_and(|kind| family(kind) == Family::Symmetric);
    if !listed || !matches!(told.origin.as_str(), "EXTERNAL" | "AWS_KMS") {
        return Ok(Vec::new());
    }
    match import::materials(kms, &told.key_id).await {
        // Of a key that waits for its deletion, for one.
        Err(error) if error.is("UnsupportedOperationException") || error.is("KMSInvalidStateException") => Ok(Vec::new()),
        other => other,
    }
}

/// Has the material that waits for it take over, or AWS make some. Sent once: each one that is done rotates.
pub(super) async fn rotate_on_demand(kms: &Client, key_id: &str) -> Result<(), AwsError> {
    let ask = || async {
        let asked = kms.rotate_key_on_demand().key_id(key_id).customize().config_override(once());
        asked.send().await.map(drop).map_err(AwsError::of("KMS RotateKeyOnDemand"))
    };
    unless_throttled(ask).await
}

async fn is_current(kms: &Client, told: &KeyInAws, key_material_id: Option<&str>) -> Result<bool, AwsError> {
    let materials = materials(kms, told).await?;
    Ok(materials
        .iter()
        .any(|material| material.key_material_id.as_deref() == key_material_id && material.state.as_deref() == Some(CURRENT)))
}

fn new_one<'a>(materials: &'a [MaterialInAws], before: &[String]) -> Option<&'a MaterialInAws> {
    materials.iter().find(|material| material.key_material_id.as_ref().is_some_and(|id| !before.contains(id)))
}

/// What becomes of a key's entry by an import that is done.
fn imported(entry: &mut AwsKeyEntry, (import, id, told): (&ImportEntry, Option<&str>, Option<&KeyInAws>), now_ns: u64) {
    undone(entry, told);
    let from = import.from.arrived();
    let source = Some(from.clone());
    let same = entry.rotations.iter_mut().find(|material| material.key_material_id.as_deref() == id);
    match same {
        Some(same) => {
            same.source = source;
            same.description = import.description.clone().or(same.description.take());
            same.stamps = same.stamps.touched(now_ns);
        }
        None => entry.rotations.push(MaterialEntry {
            id: Uuid::new_v4(),
            source,
            key_material_id: id.map(str::to_owned),
            description: import.description.clone(),
            rotation_type: import.rotate.then(|| "ON_DEMAND".to_owned()),
            stamps: Stamps::new(now_ns),
        }),
    }
    if import.rotate {
        entry.rotated_ns = Some(now_ns);
    }
    settle_source(entry, Some(&from));
}

/// Whence the material comes that encrypts: what AWS says is current, or what was imported last where AWS does not say.
pub(super) fn settle_source(entry: &mut AwsKeyEntry, last: Option<&UploadedFrom>) {
    let current = entry.told.as_ref().and_then(|told| told.key_material_id.as_deref());
    let known = entry.rotations.iter().find(|material| current.is_some() && material.key_material_id.as_deref() == current);
    let source = known.map_or_else(|| last.cloned(), |material| material.source.clone());
    if let (AwsKeyKind::Imported { source: now }, Some(source)) = (&mut entry.kind, source) {
        *now = Some(source);
    }
}

/// KeyMaterialState of the material that encrypts.
const CURRENT: &str = "CURRENT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{core::aws_keys::Place, store::entry::ForAws};

    fn from(source_key: u128) -> UploadedFrom {
        UploadedFrom { source_key: Uuid::from_u128(source_key), name: "k".into(), tier_as_sent: None, valid_to_ns: None, made: false }
    }

    fn import(source_key: u128) -> ImportEntry {
        let (from, before) = (from(source_key), Vec::new());
        ImportEntry { from, new_material: None, description: None, key_material_id: None, before, rotate: false }
    }

    fn entry() -> AwsKeyEntry {
        let place = Place { kms: Uuid::nil(), region: "us-east-1" };
        AwsKeyEntry::new(Uuid::from_u128(9), place, AwsKeyKind::Imported { source: None }, ForAws::default())
    }

    fn told(current: Option<&str>) -> KeyInAws {
        KeyInAws { key_material_id: current.map(str::to_owned), ..KeyInAws::default() }
    }

    fn source(entry: &AwsKeyEntry) -> Option<UploadedFrom> {
        match &entry.kind {
            AwsKeyKind::Imported { source } => source.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn new_material_is_the_source_only_once_it_is_current() {
        let mut key = entry();
        imported(&mut key, (&import(1), Some("m1"), Some(&told(Some("m1")))), 1);
        assert_eq!((source(&key), key.rotations.len()), (Some(from(1)), 1));
        imported(&mut key, (&import(2), Some("m2"), Some(&told(Some("m1")))), 2);
        assert_eq!((source(&key), key.rotations.len()), (Some(from(1)), 2));
        key.told = Some(told(Some("m2")));
        settle_source(&mut key, None);
        assert_eq!(source(&key), Some(from(2)));
    }

    #[test]
    fn the_same_material_again_is_one_and_its_expiry_the_last_one_s() {
        let mut key = entry();
        imported(&mut key, (&import(1), None, Some(&told(None))), 1);
        let mut again = import(1);
        again.from.valid_to_ns = Some(5);
        imported(&mut key, (&again, None, Some(&told(None))), 2);
        assert_eq!((key.rotations.len(), source(&key).unwrap().valid_to_ns), (1, Some(5)));
    }

    #[test]
    fn what_a_key_has_besides_what_it_had_is_the_new_material() {
        let material = |id: &str| MaterialInAws { key_material_id: Some(id.into()), ..MaterialInAws::default() };
        let all = [material("a"), material("b")];
        assert_eq!(new_one(&all, &["a".into()]), Some(&all[1]));
        assert_eq!(new_one(&all, &["a".into(), "b".into()]), None);
    }
}
