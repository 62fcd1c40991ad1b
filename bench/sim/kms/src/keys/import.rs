//! Imported key material: `GetParametersForImport`, `ImportKeyMaterial`, `DeleteImportedKeyMaterial`.
//!
//! Always holds: a token opens material for its own key only, for 24 hours by the simulator's clock; a key that is no symmetric one has
//! one material for ever; new material of a symmetric key that has some waits for its rotation, and a replica takes only what its
//! primary key has. Source: AWS KMS API reference and developer guide, "Importing key material".

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::{
    blob::Blob,
    demand::Demand,
    find,
    material::Material,
    rotation::same_keys,
    settle::{DAY_MS, judge_material},
    spec::Kind,
    wrapping::{NoWrapping, WrappingAlgorithm, WrappingKey, WrappingKeySpec},
};
use crate::{
    call::{Call, required},
    clock::seconds,
    draw,
    error::{AwsException, ErrorName},
    state::{Import, Key, KeyMaterial, MaterialState, Origin, Role, State},
};

/// `GetParametersForImport`.
///
/// # Errors
/// Those of the API reference; `UnsupportedOperationException` for an algorithm that the key spec is not imported with.
pub(crate) async fn parameters(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        wrapping_algorithm: Option<WrappingAlgorithm>,
        wrapping_key_spec: Option<WrappingKeySpec>,
    }
    let input: Input = call.input(body)?;
    let name = required(input.key_id, "keyId")?;
    let algorithm = required(input.wrapping_algorithm, "wrappingAlgorithm")?;
    let size = required(input.wrapping_key_spec, "wrappingKeySpec")?;
    let spec = call.look(|region| {
        let key = find::key(region, call, &name)?;
        imported(key)?;
        Demand::PrepareImport.check(key)?;
        Ok(key.spec)
    })?;
    let opens = algorithm.for_spec(spec, size).map_err(|error| refused(&error))?;
    // Beside the runtime and without the state's lock: it takes a while.
    let made = spawn_blocking(move || WrappingKey::generate(size, opens)).await;
    let key = made.unwrap_or(Err(NoWrapping::NotMade)).map_err(|error| refused(&error))?;
    let (pkcs8, public) = (key.pkcs8().map_err(|error| refused(&error))?, key.public_key().map_err(|error| refused(&error))?);
    let token = draw::bytes::<TOKEN_LEN>().to_vec();
    let expires_ms = call.now_ms().saturating_add(DAY_MS);
    call.change(|region| {
        let key = find::key_mut(region, call, &name)?;
        // A token that is long expired is as unknown as any other.
        key.imports.retain(|import| import.expires_ms.saturating_add(KEPT_DAYS.saturating_mul(DAY_MS)) > expires_ms);
        key.imports.push(Import { token: Blob(token.clone()), pkcs8: Blob(pkcs8), algorithm, expires_ms });
        Ok(json!({
            "KeyId": key.arn,
            "ImportToken": Blob(token),
            "PublicKey": Blob(public),
            "ParametersValidTo": seconds(expires_ms),
        }))
    })
}

/// `ImportKeyMaterial`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn import(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: Input = call.input(body)?;
    let name = required(input.key_id.clone(), "keyId")?;
    let token = required(input.import_token.clone(), "importToken")?;
    let wrapped = required(input.encrypted_key_material.clone(), "encryptedKeyMaterial")?;
    let now_ms = call.now_ms();
    let expires_ms = input.expires_ms(now_ms)?;
    call.shared.change(|state| {
        let key = find::key(state.region(&call.region), call, &name)?;
        imported(key)?;
        Demand::Import.check(key)?;
        input.check_for(key)?;
        let material = opened(key, (&token.0, &wrapped.0), now_ms)?;
        let id = material.id(&key.id);
        let target = (key.id.clone(), key.arn.clone(), key.spec.kind());
        let landing = Landing::of(key, &input, &id)?;
        if let Landing::New(MaterialState::PendingRotation) = landing {
            announce(state, &call.region, &target.0, &pending(&id, &input));
        }
        let key = find::key_mut(state.region(&call.region), call, &name)?;
        let kept = match landing {
            Landing::Known(index) => key.materials.get_mut(index),
            Landing::New(state) => {
                key.materials.push(KeyMaterial { state, ..pending(&id, &input) });
                key.materials.last_mut()
            }
        };
        if let Some(kept) = kept {
            kept.material = Some(material);
            kept.expires_ms = expires_ms;
            kept.description = input.key_material_description.clone().or(kept.description.take());
        }
        judge_material(key);
        settle_pending(state, &target.0, &id);
        let mut members = Map::new();
        members.insert("KeyId".into(), target.1.into());
        if target.2 == Kind::Symmetric {
            members.insert("KeyMaterialId".into(), id.into());
        }
        Ok(Value::Object(members))
    })
}

/// `DeleteImportedKeyMaterial`: of the current material, unless another is named.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn delete(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        key_material_id: Option<String>,
    }
    let input: Input = call.input(body)?;
    let name = required(input.key_id, "keyId")?;
    call.shared.change(|state| {
        let key = find::key(state.region(&call.region), call, &name)?;
        imported(key)?;
        Demand::DropMaterial.check(key)?;
        let named = key.materials.iter().find(|kept| match &input.key_material_id {
            Some(id) => kept.id == *id,
            None => kept.state == MaterialState::Current,
        });
        if let (None, Some(id)) = (named, &input.key_material_id) {
            return Err(AwsException::new(ErrorName::NotFound, format!("{} has no key material {id}.", key.arn)));
        }
        let named = named.map(|kept| (kept.id.clone(), kept.state.was_current()));
        let (id, arn, is_replica) = (key.id.clone(), key.arn.clone(), key.role == Some(Role::Replica));
        let symmetric = key.spec.kind() == Kind::Symmetric;
        if let Some((material_id, was_current)) = &named {
            if *was_current || is_replica {
                let key = find::key_mut(state.region(&call.region), call, &name)?;
                key.materials.iter_mut().filter(|kept| kept.id == *material_id).for_each(|kept| kept.material = None);
                judge_material(key);
            } else {
                // What no ciphertext needs is forgotten, in replicas too.
                same_keys(state, &id).for_each(|key| key.materials.retain(|kept| kept.id != *material_id));
            }
        }
        let mut members = Map::new();
        members.insert("KeyId".into(), arn.into());
        if let Some((material_id, _)) = named.filter(|_| symmetric) {
            members.insert("KeyMaterialId".into(), material_id.into());
        }
        Ok(Value::Object(members))
    })
}

/// `ExpirationModel` of material that expires then, or does not.
pub(super) const fn expiration_model(expires_ms: Option<i64>) -> &'static str {
    match expires_ms {
        Some(_) => "KEY_MATERIAL_EXPIRES",
        None => "KEY_MATERIAL_DOES_NOT_EXPIRE",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: Option<String>,
    import_token: Option<Blob>,
    encrypted_key_material: Option<Blob>,
    /// Seconds since 1970.
    valid_to: Option<f64>,
    expiration_model: Option<ExpirationModel>,
    import_type: Option<ImportType>,
    key_material_description: Option<String>,
    key_material_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum ExpirationModel {
    #[serde(rename = "KEY_MATERIAL_EXPIRES")]
    Expires,
    #[serde(rename = "KEY_MATERIAL_DOES_NOT_EXPIRE")]
    DoesNotExpire,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ImportType {
    NewKeyMaterial,
    ExistingKeyMaterial,
}

/// Where imported material goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landing {
    /// It is the key's already, at this index.
    Known(usize),
    /// It is new, and this is its state.
    New(MaterialState),
}

impl Input {
    fn expires_ms(&self, now_ms: i64) -> Result<Option<i64>, AwsException> {
        match (self.expiration_model.unwrap_or(ExpirationModel::Expires), self.valid_to) {
            (ExpirationModel::DoesNotExpire, None) => Ok(None),
            (ExpirationModel::DoesNotExpire, Some(_)) => {
                Err(AwsException::invalid("A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"))
            }
            (ExpirationModel::Expires, None) => {
                Err(AwsException::invalid("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"))
            }
            (ExpirationModel::Expires, Some(seconds)) => {
                let at_ms = millis(seconds);
                let latest_ms = now_ms.saturating_add(MOST_VALID_DAYS.saturating_mul(DAY_MS));
                if (now_ms.saturating_add(1)..=latest_ms).contains(&at_ms) {
                    Ok(Some(at_ms))
                } else {
                    Err(AwsException::invalid(format!("The validTo date must be in the future, by at most {MOST_VALID_DAYS} days")))
                }
            }
        }
    }

    /// What of it only symmetric keys take.
    fn check_for(&self, key: &Key) -> Result<(), AwsException> {
        let of_symmetric = self.import_type.is_some() || self.key_material_description.is_some() || self.key_material_id.is_some();
        if of_symmetric && key.spec.kind() != Kind::Symmetric {
            let message = "ImportType, KeyMaterialDescription and KeyMaterialId are for symmetric encryption keys only.";
            return Err(AwsException::new(ErrorName::UnsupportedOperation, message));
        }
        if self.import_type == Some(ImportType::NewKeyMaterial) && self.key_material_id.is_some() {
            return Err(AwsException::invalid("A KeyMaterialId cannot be set if the ImportType is NEW_KEY_MATERIAL"));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace() || ":/_.-".contains(c);
        if self.key_material_description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION || !text.chars().all(fits)) {
            return Err(AwsException::invalid(format!(
                "A KeyMaterialDescription has at most {MAX_DESCRIPTION} characters of [a-zA-Z0-9:/_\\s.-]."
            )));
        }
        Ok(())
    }
}

impl Landing {
    fn of(key: &Key, input: &Input, id: &str) -> Result<Self, AwsException> {
        let wrong = |message: &str| AwsException::new(ErrorName::IncorrectKeyMaterial, message);
        let known = key.materials.iter().position(|kept| kept.id == id);
        let usual = if key.materials.is_empty() { ImportType::NewKeyMaterial } else { ImportType::ExistingKeyMaterial };
        if input.key_material_id.as_ref().is_some_and(|named| named != id) {
            return Err(wrong("The key material is not the one that KeyMaterialId names."));
        }
        match (input.import_type.unwrap_or(usual), known) {
            (ImportType::ExistingKeyMaterial, Some(index)) => Ok(Self::Known(index)),
            (ImportType::ExistingKeyMaterial, None) => {
                Err(wrong("The key material is not one that was imported into this KMS key before."))
            }
            (ImportType::NewKeyMaterial, Some(_)) => Err(wrong("The key material is associated with this KMS key already.")),
            (ImportType::NewKeyMaterial, None) if key.role == Some(Role::Replica) => {
                Err(wrong("New key material is imported into the primary key first."))
            }
            (ImportType::NewKeyMaterial, None) if key.materials.is_empty() => Ok(Self::New(MaterialState::Current)),
            (ImportType::NewKeyMaterial, None) if key.materials.iter().any(|kept| !kept.state.was_current()) => {
                let pending = key.materials.iter().find(|kept| !kept.state.was_current()).map_or("", |kept| kept.id.as_str());
                let message = format!(
                    "New key material (id: {id}) cannot be imported into KMS key {}, because another key material (id: {pending}) is pending \
                     rotation.",
                    key.arn
                );
                Err(AwsException::new(ErrorName::KmsInvalidState, message))
            }
            (ImportType::NewKeyMaterial, None) => Ok(Self::New(MaterialState::PendingRotation)),
        }
    }
}

/// Opens what was wrapped for `token`.
fn opened(key: &Key, (token, wrapped): (&[u8], &[u8]), now_ms: i64) -> Result<Material, AwsException> {
    let import = key.imports.iter().find(|import| import.token.0 == token);
    let import = import.ok_or_else(|| AwsException::new(ErrorName::InvalidImportToken, "The import token is not one of this KMS key."))?;
    if import.expires_ms <= now_ms {
        return Err(AwsException::new(ErrorName::ExpiredImportToken, "The import token is expired."));
    }
    let opens = import.algorithm.opens().map_err(|error| refused(&error))?;
    let wrapping_key = WrappingKey::kept(&import.pkcs8.0, opens).map_err(|error| refused(&error))?;
    let bytes = wrapping_key.open(wrapped).map_err(|error| AwsException::new(ErrorName::InvalidCiphertext, error.to_string()))?;
    Material::imported(key.spec, bytes.to_vec()).map_err(|error| AwsException::new(ErrorName::IncorrectKeyMaterial, error.to_string()))
}

fn pending(id: &str, input: &Input) -> KeyMaterial {
    KeyMaterial {
        id: id.to_owned(),
        material: None,
        state: MaterialState::PendingRotation,
        description: input.key_material_description.clone(),
        expires_ms: None,
        rotated: None,
    }
}

/// Tells the replicas of new material that the primary key got, so that it can be imported into them.
fn announce(state: &mut State, here: &str, id: &str, kept: &KeyMaterial) {
    let others = state.regions.iter_mut().filter(|(name, _)| *name != here);
    for key in others.filter_map(|(_, region)| region.keys.get_mut(id)) {
        key.materials.push(kept.clone());
    }
}

/// Material pends only its rotation when every key of the set has it.
fn settle_pending(state: &mut State, id: &str, material_id: &str) {
    let kept = |key: &Key| key.materials.iter().any(|kept| kept.id == material_id && kept.material.is_some());
    let everywhere = same_keys(state, id).all(|key| kept(key));
    let pending = if everywhere { MaterialState::PendingRotation } else { MaterialState::PendingMultiRegionImportAndRotation };
    let materials = same_keys(state, id).flat_map(|key| key.materials.iter_mut());
    materials.filter(|kept| kept.id == material_id && !kept.state.was_current()).for_each(|kept| kept.state = pending);
}

fn imported(key: &Key) -> Result<(), AwsException> {
    if key.origin == Origin::External {
        return Ok(());
    }
    let origin = json!(key.origin);
    let message = format!("{} origin is {} which is not valid for this operation.", key.arn, origin.as_str().unwrap_or_default());
    Err(AwsException::new(ErrorName::UnsupportedOperation, message))
}

fn refused(error: &NoWrapping) -> AwsException {
    let name = match error {
        NoWrapping::Deprecated | NoWrapping::NotForSpec | NoWrapping::TooShort => ErrorName::UnsupportedOperation,
        NoWrapping::NotMade => ErrorName::KmsInternal,
    };
    AwsException::new(name, error.to_string())
}

/// Seconds since 1970 as milliseconds; what is past every calendar is past ours.
fn millis(seconds: f64) -> i64 {
    time::Duration::checked_seconds_f64(seconds).map_or(i64::MAX, |since| i64::try_from(since.whole_milliseconds()).unwrap_or(i64::MAX))
}

const TOKEN_LEN: usize = 256;
/// How long expired tokens are told from unknown ones.
const KEPT_DAYS: i64 = 30;
const MOST_VALID_DAYS: i64 = 365;
const MAX_DESCRIPTION: usize = 256;
