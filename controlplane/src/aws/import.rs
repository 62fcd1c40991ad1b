//! Key material for AWS KMS: how it is to be wrapped, its import, and what material a key has.
//!
//! Always holds: material is here only as a data plane wrapped it for AWS; the algorithm follows from what the material is.

use aws_sdk_kms::{
    Client,
    primitives::{Blob, DateTime},
    types::{AlgorithmSpec, ExpirationModelType, ImportType, IncludeKeyMaterial, WrappingKeySpec},
};
use holdfast_proto::kinds::KeyKind;

use super::{AwsError, keys::nanoseconds, keys::unread, once, unless_throttled};

/// What GetParametersForImport gave.
pub struct ImportParameters {
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// The algorithm that was asked for, by AWS's name.
    pub algorithm: &'static str,
    token: Blob,
}

/// Material that is to be imported.
pub struct WrappedMaterial<'a> {
    /// Wrapped under the public key of [`ImportParameters`].
    pub wrapped: Vec<u8>,
    /// When it is to expire, nanoseconds since 1970; none: never.
    pub valid_to_ns: Option<u64>,
    /// The key never had it, or had it before; none: AWS's default. Of symmetric keys only, as are the next two.
    pub new: Option<bool>,
    /// For people.
    pub description: Option<&'a str>,
    /// AWS's id of the material that this must be.
    pub key_material_id: Option<&'a str>,
}

/// Material that a key has in AWS (RotationsListEntry API).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaterialInAws {
    /// KeyMaterialId.
    pub key_material_id: Option<String>,
    /// KeyMaterialDescription.
    pub description: Option<String>,
    /// ImportState.
    pub import_state: Option<String>,
    /// KeyMaterialState, as in `CURRENT`.
    pub state: Option<String>,
    /// ExpirationModel.
    pub expiration_model: Option<String>,
    /// ValidTo, nanoseconds since 1970.
    pub valid_to_ns: Option<u64>,
    /// RotationDate, nanoseconds since 1970.
    pub rotated_ns: Option<u64>,
    /// RotationType.
    pub rotation_type: Option<String>,
}

/// Asks how material of this kind is to be wrapped for a key.
///
/// # Errors
/// [`AwsError`].
pub async fn parameters(kms: &Client, key_id: &str, kind: KeyKind) -> Result<ImportParameters, AwsError> {
    const CALL: &str = "KMS GetParametersForImport";
    let algorithm = wrapping(kind);
    let asked = kms.get_parameters_for_import().key_id(key_id).wrapping_algorithm(algorithm).wrapping_key_spec(WrappingKeySpec::Rsa4096);
    let told = asked.send().await.map_err(AwsError::of(CALL))?;
    let (Some(public_key), Some(token)) = (told.public_key, told.import_token) else { return Err(unread(CALL, "no wrapping key")) };
    Ok(ImportParameters { public_key: public_key.into_inner(), algorithm: wrapping_name(kind), token })
}

/// Imports material; answers with AWS's id of it, where the key's kind has one. Sent once: a key that has new material already refuses it.
///
/// # Errors
/// [`AwsError`].
pub async fn import(
    kms: &Client,
    key_id: &str,
    (parameters, material): (ImportParameters, WrappedMaterial<'_>),
) -> Result<Option<String>, AwsError> {
    let valid_to = material.valid_to_ns.map(date);
    let model = if valid_to.is_some() { ExpirationModelType::KeyMaterialExpires } else { ExpirationModelType::KeyMaterialDoesNotExpire };
    let kind = material.new.map(|new| if new { ImportType::NewKeyMaterial } else { ImportType::ExistingKeyMaterial });
    let WrappedMaterial { wrapped, description, key_material_id, .. } = material;
    let asked = kms.import_key_material().key_id(key_id).import_token(parameters.token).encrypted_key_material(Blob::new(wrapped));
    let asked = asked.expiration_model(model).set_valid_to(valid_to).set_import_type(kind);
    let asked = asked.set_key_material_description(description.map(str::to_owned));
    let asked = asked.set_key_material_id(key_material_id.map(str::to_owned));
    let ask = || {
        let asked = asked.clone().customize().config_override(once());
        async { asked.send().await.map_err(AwsError::of("KMS ImportKeyMaterial")) }
    };
    let told = unless_throttled(ask).await?;
    Ok(told.key_material_id)
}

/// All material that a symmetric key has or had, as AWS orders it.
///
/// # Errors
/// [`AwsError`].
pub async fn materials(kms: &Client, key_id: &str) -> Result<Vec<MaterialInAws>, AwsError> {
    let asked = kms.list_key_rotations().key_id(key_id).include_key_material(IncludeKeyMaterial::AllKeyMaterial);
    let mut pages = asked.into_paginator().send();
    let mut all = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(AwsError::of("KMS ListKeyRotations"))?;
        all.extend(page.rotations.unwrap_or_default().into_iter().map(|told| MaterialInAws {
            key_material_id: told.key_material_id,
            description: told.key_material_description,
            import_state: told.import_state.map(|state| state.as_str().to_owned()),
            state: told.key_material_state.map(|state| state.as_str().to_owned()),
            expiration_model: told.expiration_model.map(|model| model.as_str().to_owned()),
            valid_to_ns: told.valid_to.as_ref().map(nanoseconds),
            rotated_ns: told.rotation_date.as_ref().map(nanoseconds),
            rotation_type: told.rotation_type.map(|kind| kind.as_str().to_owned()),
        }));
    }
    Ok(all)
}

/// RSA alone takes what is shorter than its modulus; PKCS#8 of an RSA pair is longer than any wrapping key's (GetParametersForImport API).
const fn wrapping(kind: KeyKind) -> AlgorithmSpec {
    if is_rsa(kind) { AlgorithmSpec::RsaAesKeyWrapSha256 } else { AlgorithmSpec::RsaesOaepSha256 }
}

const fn wrapping_name(kind: KeyKind) -> &'static str {
    if is_rsa(kind) { "RSA_AES_KEY_WRAP_SHA_256" } else { "RSAES_OAEP_SHA_256" }
}

const fn is_rsa(kind: KeyKind) -> bool {
    match kind {
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => true,
        KeyKind::Aes128
        | KeyKind::Aes192
        | KeyKind::Aes256
        | KeyKind::EcP256
        | KeyKind::EcP384
        | KeyKind::EcP521
        | KeyKind::EcSecp256k1
        | KeyKind::HmacSha1
        | KeyKind::HmacSha224
        | KeyKind::HmacSha256
        | KeyKind::HmacSha384
        | KeyKind::HmacSha512 => false,
    }
}

/// AWS keeps seconds.
fn date(ns: u64) -> DateTime {
    DateTime::from_secs(i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_data_planes_are_told_is_the_algorithm_that_aws_is_asked_for() {
        for kind in KeyKind::ALL {
            assert_eq!(wrapping(kind).as_str(), wrapping_name(kind), "{kind}");
        }
    }
}
