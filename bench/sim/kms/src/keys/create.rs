//! `CreateKey`.
//!
//! Always holds: a key in an external key store is made only after its proxy said that the external key fits; an external key backs at
//! most one KMS key of a store.

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::{
    material::Material,
    metadata, policy,
    spec::{KeySpec, KeyUsage},
    tags,
};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    state::{Key, KeyMaterial, KeyState, MaterialState, Origin, Region, Role, StoreKind, Tag},
    stores, xks,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    policy: Option<String>,
    description: Option<String>,
    key_usage: Option<KeyUsage>,
    customer_master_key_spec: Option<KeySpec>,
    key_spec: Option<KeySpec>,
    origin: Option<Origin>,
    custom_key_store_id: Option<String>,
    bypass_policy_lockout_safety_check: Option<bool>,
    tags: Option<Vec<Tag>>,
    multi_region: Option<bool>,
    xks_key_id: Option<String>,
}

/// `CreateKey`.
///
/// # Errors
/// Those of the API reference.
pub(crate) async fn create(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let input: Input = call.input(body)?;
    let place = Place::of(&input)?;
    let (spec, usage) = spec_and_usage(&input)?;
    let multi_region = input.multi_region.unwrap_or_default();
    place.check_kind(spec, multi_region)?;
    let giver = policy::Giver { account: call.account(), may_lock_out: input.bypass_policy_lockout_safety_check.unwrap_or_default() };
    let policy = input.policy.map_or_else(|| Ok(policy::default(call.account())), |text| policy::taken(&text, giver))?;
    let tags = tags::taken(input.tags.unwrap_or_default())?;
    let description = checked_description(input.description.unwrap_or_default())?;
    call.look(|region| place.check(region))?;
    if let Place::External { store_id, xks_key_id } = &place {
        xks::describe(call, store_id, xks_key_id).await?;
    }
    let id = if multi_region { format!("mrk-{}", Uuid::new_v4().simple()) } else { Uuid::new_v4().to_string() };
    let materials = if place == Place::Imported { Vec::new() } else { vec![first_aside(&id, spec).await?] };
    let key = Key {
        arn: call.arn(&format!("key/{id}")),
        created_ms: call.now_ms(),
        description,
        state: if place == Place::Imported { KeyState::PendingImport } else { KeyState::Enabled },
        origin: place.origin(),
        spec,
        usage,
        policy,
        tags,
        deletion: None,
        store_id: place.store_id().map(ToOwned::to_owned),
        xks_key_id: if let Place::External { xks_key_id, .. } = &place { Some(xks_key_id.clone()) } else { None },
        materials,
        rotation: None,
        role: multi_region.then_some(Role::Primary),
        next: None,
        imports: Vec::new(),
        id: id.clone(),
    };
    call.shared.change(|state| {
        let region = state.region(&call.region);
        place.check(region)?;
        region.keys.insert(id, key.clone());
        Ok(json!({"KeyMetadata": metadata::metadata(state, &call.region, &key)}))
    })
}

/// A description that AWS takes.
///
/// # Errors
/// `ValidationException`: it has more than 8192 characters.
pub(super) fn checked_description(text: String) -> Result<String, AwsException> {
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(AwsException::invalid(format!(
            "1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal \
             to {MAX_DESCRIPTION}"
        )));
    }
    Ok(text)
}

/// New material that becomes current at once, as AWS makes it.
///
/// # Errors
/// `KMSInternalException`.
pub(super) fn first(key_id: &str, spec: KeySpec) -> Result<KeyMaterial, AwsException> {
    let material = Material::generate(spec).map_err(|error| AwsException::new(ErrorName::KmsInternal, error.to_string()))?;
    let id = material.id(key_id);
    Ok(KeyMaterial { id, material: Some(material), state: MaterialState::Current, description: None, expires_ms: None, rotated: None })
}

/// As [`first`], beside the runtime: a key pair takes a while.
async fn first_aside(key_id: &str, spec: KeySpec) -> Result<KeyMaterial, AwsException> {
    let key_id = key_id.to_owned();
    let not_made = |_| AwsException::new(ErrorName::KmsInternal, "no key could be made");
    spawn_blocking(move || first(&key_id, spec)).await.map_err(not_made)?
}

/// Where a new key's material lives.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Aws,
    Imported,
    CloudHsm { store_id: String },
    External { store_id: String, xks_key_id: String },
}

impl Place {
    fn of(input: &Input) -> Result<Self, AwsException> {
        let origin = input.origin.unwrap_or(Origin::AwsKms);
        let place = match origin {
            Origin::AwsKms => Self::Aws,
            Origin::External => Self::Imported,
            Origin::AwsCloudHsm => Self::CloudHsm { store_id: required(input.custom_key_store_id.clone(), "customKeyStoreId")? },
            Origin::ExternalKeyStore => Self::External {
                store_id: required(input.custom_key_store_id.clone(), "customKeyStoreId")?,
                xks_key_id: required(input.xks_key_id.clone(), "xksKeyId")?,
            },
        };
        if input.xks_key_id.is_some() && origin != Origin::ExternalKeyStore {
            return Err(AwsException::invalid("XksKeyId is valid with the Origin EXTERNAL_KEY_STORE only."));
        }
        if input.custom_key_store_id.is_some() && place.store_id().is_none() {
            return Err(AwsException::invalid("CustomKeyStoreId is valid with the Origin AWS_CLOUDHSM or EXTERNAL_KEY_STORE only."));
        }
        Ok(place)
    }

    const fn origin(&self) -> Origin {
        match self {
            Self::Aws => Origin::AwsKms,
            Self::Imported => Origin::External,
            Self::CloudHsm { .. } => Origin::AwsCloudHsm,
            Self::External { .. } => Origin::ExternalKeyStore,
        }
    }

    fn store_id(&self) -> Option<&str> {
        match self {
            Self::Aws | Self::Imported => None,
            Self::CloudHsm { store_id } | Self::External { store_id, .. } => Some(store_id),
        }
    }

    /// Only symmetric keys of one region can be in a custom key store.
    fn check_kind(&self, spec: KeySpec, multi_region: bool) -> Result<(), AwsException> {
        if self.store_id().is_none() {
            return Ok(());
        }
        if spec != KeySpec::SymmetricDefault {
            return Err(AwsException::invalid(format!("KeySpec {} is not supported in a custom key store.", spec.name())));
        }
        if multi_region {
            let message = "A multi-Region key can't be in a custom key store.";
            return Err(AwsException::new(ErrorName::UnsupportedOperation, message));
        }
        Ok(())
    }

    fn check(&self, region: &Region) -> Result<(), AwsException> {
        let Some(store_id) = self.store_id() else { return Ok(()) };
        let store = stores::find_connected(region, store_id)?;
        match (self, &store.kind) {
            (Self::CloudHsm { .. }, StoreKind::CloudHsm { .. }) => Ok(()),
            (Self::External { xks_key_id, .. }, StoreKind::External(_)) => xks::free(region, store_id, xks_key_id),
            (
                Self::Aws | Self::Imported | Self::CloudHsm { .. } | Self::External { .. },
                StoreKind::CloudHsm { .. } | StoreKind::External(_),
            ) => Err(AwsException::invalid(format!("The Origin is not that of keys in the custom key store {store_id}."))),
        }
    }
}

fn spec_and_usage(input: &Input) -> Result<(KeySpec, KeyUsage), AwsException> {
    if input.key_spec.is_some() && input.customer_master_key_spec.is_some() {
        return Err(AwsException::invalid("You cannot specify KeySpec and CustomerMasterKeySpec in the same request."));
    }
    let spec = input.key_spec.or(input.customer_master_key_spec).unwrap_or(KeySpec::SymmetricDefault);
    let usage = match (spec, input.key_usage) {
        (_, Some(usage)) => usage,
        (KeySpec::SymmetricDefault, None) => KeyUsage::EncryptDecrypt,
        (_, None) => {
            return Err(AwsException::invalid("You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."));
        }
    };
    if !spec.allows(usage) {
        return Err(AwsException::invalid(format!("KeyUsage {} is not compatible with KeySpec {}", usage.name(), spec.name())));
    }
    Ok((spec, usage))
}

const MAX_DESCRIPTION: usize = 8192;
