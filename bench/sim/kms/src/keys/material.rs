//! Key material: made here, or checked when it is imported.
//!
//! Always holds: a [`Material`] fits its spec (only [`Material::generate`] and [`Material::imported`] make one); key pairs are kept as
//! PKCS#8 (RFC 5208), as they are imported; nothing of it prints.

use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::{self, SystemRandom},
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::spec::KeySpec;

/// Material that fits its spec.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(try_from = "Kept", into = "Kept")]
pub(crate) struct Material {
    #[zeroize(skip)]
    spec: KeySpec,
    bytes: Vec<u8>,
}

/// Why there is no material.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoMaterial {
    /// What is imported has another length than the spec has.
    #[error("the key material has {found} bytes instead of {wanted}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many the spec has.
        wanted: usize,
    },
    /// What is imported is no PKCS#8 private key of the spec.
    #[error("the key material is no PKCS#8 private key of the key spec")]
    NotAKeyPair,
    /// The library could not make a key.
    #[error("no key could be made")]
    NotMade,
    /// The state file has something else than base64.
    #[error("the key material is not in base64")]
    NotKept,
}

/// Who makes the key pair of a spec, and what length other material has.
enum Form {
    Bytes(usize),
    Rsa { size: rsa::KeySize, modulus: usize },
    Curve(&'static EcdsaSigningAlgorithm),
}

/// Material in the state file.
#[derive(Serialize, Deserialize)]
struct Kept {
    spec: KeySpec,
    material: String,
}

impl Material {
    /// Makes material of a spec.
    ///
    /// # Errors
    /// [`NoMaterial::NotMade`].
    pub(crate) fn generate(spec: KeySpec) -> Result<Self, NoMaterial> {
        let bytes = match Form::of(spec) {
            Form::Bytes(len) => {
                let mut bytes = vec![0; len];
                rand::fill(&mut bytes).map_err(|_| NoMaterial::NotMade)?;
                bytes
            }
            Form::Rsa { size, .. } => {
                let pair = rsa::KeyPair::generate(size).map_err(|_| NoMaterial::NotMade)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| NoMaterial::NotMade)?;
                der.as_ref().to_vec()
            }
            Form::Curve(curve) => {
                let document = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).map_err(|_| NoMaterial::NotMade)?;
                document.as_ref().to_vec()
            }
        };
        Ok(Self { spec, bytes })
    }

    /// Takes imported material.
    ///
    /// # Errors
    /// [`NoMaterial::Length`] and [`NoMaterial::NotAKeyPair`]: it does not fit the spec (AWS KMS developer guide, "Requirements for
    /// imported key material").
    pub(crate) fn imported(spec: KeySpec, bytes: Vec<u8>) -> Result<Self, NoMaterial> {
        let fits = match Form::of(spec) {
            Form::Bytes(wanted) if bytes.len() == wanted => true,
            Form::Bytes(wanted) => return Err(NoMaterial::Length { found: bytes.len(), wanted }),
            Form::Rsa { modulus, .. } => rsa::KeyPair::from_pkcs8(&bytes).is_ok_and(|pair| pair.public_modulus_len() == modulus),
            Form::Curve(curve) => EcdsaKeyPair::from_pkcs8(curve, &bytes).is_ok(),
        };
        if fits { Ok(Self { spec, bytes }) } else { Err(NoMaterial::NotAKeyPair) }
    }

    /// What it is material of.
    pub(crate) const fn spec(&self) -> KeySpec {
        self.spec
    }

    /// The key itself, or the key pair as PKCS#8.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The public key as SubjectPublicKeyInfo (RFC 5280), if it is a key pair.
    pub(crate) fn public_key(&self) -> Option<Vec<u8>> {
        let der = match Form::of(self.spec) {
            Form::Bytes(_) => return None,
            Form::Rsa { .. } => AsDer::<PublicKeyX509Der<'_>>::as_der(rsa::KeyPair::from_pkcs8(&self.bytes).ok()?.public_key()).ok()?,
            Form::Curve(curve) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(EcdsaKeyPair::from_pkcs8(curve, &self.bytes).ok()?.public_key()).ok()?
            }
        };
        Some(der.as_ref().to_vec())
    }

    /// `KeyMaterialId`: 64 hex digits that follow from the key id and the material, so that the same material in the same key has one.
    pub(crate) fn id(&self, key_id: &str) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(key_id.as_bytes());
        context.update(&[0]);
        context.update(&self.bytes);
        data_encoding::HEXLOWER.encode(context.finish().as_ref())
    }
}

impl Form {
    fn of(spec: KeySpec) -> Self {
        match spec {
            KeySpec::SymmetricDefault | KeySpec::Hmac256 => Self::Bytes(32),
            KeySpec::Hmac224 => Self::Bytes(28),
            KeySpec::Hmac384 => Self::Bytes(48),
            KeySpec::Hmac512 => Self::Bytes(64),
            KeySpec::Rsa2048 => Self::Rsa { size: rsa::KeySize::Rsa2048, modulus: 256 },
            KeySpec::Rsa3072 => Self::Rsa { size: rsa::KeySize::Rsa3072, modulus: 384 },
            KeySpec::Rsa4096 => Self::Rsa { size: rsa::KeySize::Rsa4096, modulus: 512 },
            KeySpec::P256 => Self::Curve(&ECDSA_P256_SHA256_ASN1_SIGNING),
            KeySpec::P384 => Self::Curve(&ECDSA_P384_SHA384_ASN1_SIGNING),
            KeySpec::P521 => Self::Curve(&ECDSA_P521_SHA512_ASN1_SIGNING),
            KeySpec::P256K1 => Self::Curve(&ECDSA_P256K1_SHA256_ASN1_SIGNING),
        }
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Material({}, ..)", self.spec.name())
    }
}

impl From<Material> for Kept {
    fn from(material: Material) -> Self {
        Self { spec: material.spec, material: BASE64.encode(&material.bytes) }
    }
}

impl TryFrom<Kept> for Material {
    type Error = NoMaterial;

    fn try_from(kept: Kept) -> Result<Self, NoMaterial> {
        Self::imported(kept.spec, BASE64.decode(&kept.material).map_err(|_| NoMaterial::NotKept)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: [KeySpec; 12] = [
        KeySpec::SymmetricDefault,
        KeySpec::Rsa2048,
        KeySpec::Rsa3072,
        KeySpec::Rsa4096,
        KeySpec::P256,
        KeySpec::P384,
        KeySpec::P521,
        KeySpec::P256K1,
        KeySpec::Hmac224,
        KeySpec::Hmac256,
        KeySpec::Hmac384,
        KeySpec::Hmac512,
    ];

    #[test]
    fn material_fits_its_own_spec_and_no_other_kind() {
        let smaller = SPECS.into_iter().filter(|spec| !matches!(spec, KeySpec::Rsa3072 | KeySpec::Rsa4096));
        for made in smaller {
            let material = Material::generate(made).unwrap();
            for spec in SPECS {
                let taken = Material::imported(spec, material.bytes().to_vec()).is_ok();
                let same_length = [made, spec].iter().all(|s| matches!(s, KeySpec::SymmetricDefault | KeySpec::Hmac256));
                assert_eq!(taken, made == spec || same_length, "{made:?} as {spec:?}");
            }
        }
    }

    #[test]
    fn material_survives_the_state_file_and_does_not_print() {
        let material = Material::generate(KeySpec::P256).unwrap();
        let kept = serde_json::to_string(&material).unwrap();
        assert!(serde_json::from_str::<Material>(&kept).unwrap() == material);
        assert_eq!(format!("{material:?}"), "Material(ECC_NIST_P256, ..)");
    }

    #[test]
    fn the_same_material_has_another_id_in_another_key() {
        let material = Material::generate(KeySpec::SymmetricDefault).unwrap();
        assert_eq!(material.id("a"), material.id("a"));
        assert_ne!(material.id("a"), material.id("b"));
        assert_eq!(material.id("a").len(), 64);
    }
}
