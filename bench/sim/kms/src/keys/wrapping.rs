//! The wrapping key of one import, and how it opens what was wrapped under it.
//!
//! Always holds: the algorithm is fixed when the wrapping key is made, as the import token of AWS fixes it; material that was wrapped in
//! another way does not open. Sources: RFC 8017 (OAEP), RFC 5649 (AES key wrap with padding), AWS KMS API reference
//! (`GetParametersForImport`).

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::spec::KeySpec;

/// AWS's `WrappingKeySpec`, but for SM2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum WrappingKeySpec {
    #[serde(rename = "RSA_2048")]
    Rsa2048,
    #[serde(rename = "RSA_3072")]
    Rsa3072,
    #[serde(rename = "RSA_4096")]
    Rsa4096,
}

/// AWS's `WrappingAlgorithm` (`AlgorithmSpec`), but for SM2PKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WrappingAlgorithm {
    /// Refused since October 10, 2023.
    #[serde(rename = "RSAES_PKCS1_V1_5")]
    Pkcs1,
    #[serde(rename = "RSAES_OAEP_SHA_1")]
    OaepSha1,
    #[serde(rename = "RSAES_OAEP_SHA_256")]
    OaepSha256,
    #[serde(rename = "RSA_AES_KEY_WRAP_SHA_1")]
    AesKeyWrapSha1,
    #[serde(rename = "RSA_AES_KEY_WRAP_SHA_256")]
    AesKeyWrapSha256,
}

/// A wrapping key pair and what it opens.
#[derive(Debug)]
pub(crate) struct WrappingKey {
    private: PrivateDecryptingKey,
    opens: Opens,
}

/// The algorithm of a wrapping key: what takes the RSA step, and whether AES key wrap follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opens {
    oaep: &'static OaepAlgorithm,
    key_wrap: bool,
}

/// Why a wrapping algorithm is refused for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWrapping {
    /// AWS has given it up.
    #[error("the wrapping algorithm RSAES_PKCS1_V1_5 is not supported any more")]
    Deprecated,
    /// Material of the spec is not wrapped so.
    #[error("the wrapping algorithm does not wrap key material of this key spec")]
    NotForSpec,
    /// It is too long for the wrapping key.
    #[error("the wrapping key is too short for key material of this key spec")]
    TooShort,
    /// The library could not make or read a key.
    #[error("no wrapping key could be made")]
    NotMade,
}

/// What was wrapped does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the wrapped key material does not open")]
pub(crate) struct NotOpened;

impl WrappingAlgorithm {
    /// How it opens material of `spec` under a wrapping key of `size`.
    ///
    /// # Errors
    /// [`NoWrapping`], but never [`NoWrapping::NotMade`]: the pair is not supported (AWS KMS API reference, `GetParametersForImport`).
    pub(crate) fn for_spec(self, spec: KeySpec, size: WrappingKeySpec) -> Result<Opens, NoWrapping> {
        let opens = self.opens()?;
        match (spec, opens.key_wrap) {
            (KeySpec::P521, false) if size == WrappingKeySpec::Rsa2048 => Err(NoWrapping::TooShort),
            (KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096, true)
            | (KeySpec::P256 | KeySpec::P384 | KeySpec::P521 | KeySpec::P256K1, true | false)
            | (KeySpec::SymmetricDefault | KeySpec::Hmac224 | KeySpec::Hmac256 | KeySpec::Hmac384 | KeySpec::Hmac512, false) => Ok(opens),
            (KeySpec::Rsa2048 | KeySpec::Rsa3072 | KeySpec::Rsa4096, false)
            | (KeySpec::SymmetricDefault | KeySpec::Hmac224 | KeySpec::Hmac256 | KeySpec::Hmac384 | KeySpec::Hmac512, true) => {
                Err(NoWrapping::NotForSpec)
            }
        }
    }

    /// What it does, for a pair that was allowed before.
    ///
    /// # Errors
    /// [`NoWrapping::Deprecated`].
    pub(crate) const fn opens(self) -> Result<Opens, NoWrapping> {
        Ok(match self {
            Self::Pkcs1 => return Err(NoWrapping::Deprecated),
            Self::OaepSha1 => Opens { oaep: &OAEP_SHA1_MGF1SHA1, key_wrap: false },
            Self::OaepSha256 => Opens { oaep: &OAEP_SHA256_MGF1SHA256, key_wrap: false },
            Self::AesKeyWrapSha1 => Opens { oaep: &OAEP_SHA1_MGF1SHA1, key_wrap: true },
            Self::AesKeyWrapSha256 => Opens { oaep: &OAEP_SHA256_MGF1SHA256, key_wrap: true },
        })
    }
}

impl WrappingKey {
    /// Makes a wrapping key.
    ///
    /// # Errors
    /// [`NoWrapping::NotMade`].
    pub(crate) fn generate(size: WrappingKeySpec, opens: Opens) -> Result<Self, NoWrapping> {
        let size = match size {
            WrappingKeySpec::Rsa2048 => KeySize::Rsa2048,
            WrappingKeySpec::Rsa3072 => KeySize::Rsa3072,
            WrappingKeySpec::Rsa4096 => KeySize::Rsa4096,
        };
        let private = PrivateDecryptingKey::generate(size).map_err(|_| NoWrapping::NotMade)?;
        Ok(Self { private, opens })
    }

    /// Takes up a wrapping key that was kept by [`Self::pkcs8`].
    ///
    /// # Errors
    /// [`NoWrapping::NotMade`].
    pub(crate) fn kept(pkcs8: &[u8], opens: Opens) -> Result<Self, NoWrapping> {
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8).map_err(|_| NoWrapping::NotMade)?;
        Ok(Self { private, opens })
    }

    /// The key pair as PKCS#8, to keep.
    ///
    /// # Errors
    /// [`NoWrapping::NotMade`].
    pub(crate) fn pkcs8(&self) -> Result<Vec<u8>, NoWrapping> {
        let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.private).map_err(|_| NoWrapping::NotMade)?;
        Ok(der.as_ref().to_vec())
    }

    /// The public key as SubjectPublicKeyInfo, for the answer.
    ///
    /// # Errors
    /// [`NoWrapping::NotMade`].
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, NoWrapping> {
        let der = AsDer::<PublicKeyX509Der<'_>>::as_der(&self.private.public_key()).map_err(|_| NoWrapping::NotMade)?;
        Ok(der.as_ref().to_vec())
    }

    /// Opens `EncryptedKeyMaterial`.
    ///
    /// # Errors
    /// It was not wrapped under this key in this way.
    pub(crate) fn open(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        if !self.opens.key_wrap {
            return self.rsa_open(wrapped);
        }
        let (wrapped_kek, wrapped) = wrapped.split_at_checked(self.private.key_size_bytes()).ok_or(NotOpened)?;
        let kek = self.rsa_open(wrapped_kek)?;
        let kek = AesKek::new(&AES_256, &kek).map_err(|_| NotOpened)?;
        let mut room = Zeroizing::new(vec![0; wrapped.len()]);
        let material = kek.unwrap_with_padding(wrapped, &mut room).map_err(|_| NotOpened)?;
        Ok(Zeroizing::new(material.to_vec()))
    }

    fn rsa_open(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let key = OaepPrivateDecryptingKey::new(self.private.clone()).map_err(|_| NotOpened)?;
        let mut room = Zeroizing::new(vec![0; key.min_output_size()]);
        let opened = key.decrypt(self.opens.oaep, wrapped, &mut room, None).map_err(|_| NotOpened)?;
        Ok(Zeroizing::new(opened.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{OaepPublicEncryptingKey, PublicEncryptingKey};
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn a_published_key_wrap_opens() {
        let key = wrapping_key(WrappingAlgorithm::AesKeyWrapSha256);
        let wrapped = [oaep(&key, &OAEP_SHA256_MGF1SHA256, &hex(KWP_KEK)), hex(KWP_WRAPPED)].concat();
        assert_eq!(*key.open(&wrapped).unwrap(), hex(KWP_MATERIAL));
    }

    #[test]
    fn a_published_key_wrap_that_must_fail_does_not_open() {
        let key = wrapping_key(WrappingAlgorithm::AesKeyWrapSha256);
        let wrapped = [oaep(&key, &OAEP_SHA256_MGF1SHA256, &hex(BAD_KWP_KEK)), hex(BAD_KWP_WRAPPED)].concat();
        assert_eq!(key.open(&wrapped), Err(NotOpened));
    }

    #[test]
    fn oaep_opens_with_its_own_hash_only() {
        let kept = wrapping_key(WrappingAlgorithm::OaepSha256).pkcs8().unwrap();
        for (algorithm, oaep_of_it, other) in [
            (WrappingAlgorithm::OaepSha1, &OAEP_SHA1_MGF1SHA1, &OAEP_SHA256_MGF1SHA256),
            (WrappingAlgorithm::OaepSha256, &OAEP_SHA256_MGF1SHA256, &OAEP_SHA1_MGF1SHA1),
        ] {
            let key = WrappingKey::kept(&kept, algorithm.opens().unwrap()).unwrap();
            assert_eq!(*key.open(&oaep(&key, oaep_of_it, &[7; 32])).unwrap(), [7; 32]);
            assert_eq!(key.open(&oaep(&key, other, &[7; 32])), Err(NotOpened));
            assert_eq!(key.open(&[0; 12]), Err(NotOpened));
        }
    }

    #[test]
    fn only_the_pairs_that_aws_supports_are_allowed() {
        use NoWrapping::{Deprecated, NotForSpec, TooShort};
        use WrappingAlgorithm::{AesKeyWrapSha1, AesKeyWrapSha256, OaepSha1, OaepSha256, Pkcs1};
        use WrappingKeySpec::{Rsa2048, Rsa3072, Rsa4096};
        for size in [Rsa2048, Rsa3072, Rsa4096] {
            for direct in [OaepSha1, OaepSha256] {
                assert!(direct.for_spec(KeySpec::SymmetricDefault, size).is_ok());
                assert!(direct.for_spec(KeySpec::Hmac512, size).is_ok());
                assert!(direct.for_spec(KeySpec::P384, size).is_ok());
                assert_eq!(direct.for_spec(KeySpec::Rsa2048, size).err(), Some(NotForSpec));
                let too_short = (size == Rsa2048).then_some(TooShort);
                assert_eq!(direct.for_spec(KeySpec::P521, size).err(), too_short);
            }
            for wrap in [AesKeyWrapSha1, AesKeyWrapSha256] {
                assert!(wrap.for_spec(KeySpec::Rsa4096, size).is_ok());
                assert!(wrap.for_spec(KeySpec::P521, size).is_ok());
                assert_eq!(wrap.for_spec(KeySpec::SymmetricDefault, size).err(), Some(NotForSpec));
                assert_eq!(wrap.for_spec(KeySpec::Hmac224, size).err(), Some(NotForSpec));
            }
            assert_eq!(Pkcs1.for_spec(KeySpec::SymmetricDefault, size).err(), Some(Deprecated));
        }
    }

    fn wrapping_key(algorithm: WrappingAlgorithm) -> WrappingKey {
        WrappingKey::generate(WrappingKeySpec::Rsa2048, algorithm.opens().unwrap()).unwrap()
    }

    fn oaep(key: &WrappingKey, algorithm: &'static OaepAlgorithm, plain: &[u8]) -> Vec<u8> {
        let public = PublicEncryptingKey::from_der(&key.public_key().unwrap()).unwrap();
        let public = OaepPublicEncryptingKey::new(public).unwrap();
        let mut room = vec![0; public.ciphertext_size()];
        public.encrypt(algorithm, plain, &mut room, None).unwrap().to_vec()
    }

    fn hex(digits: &str) -> Vec<u8> {
        HEXLOWER.decode(digits.as_bytes()).unwrap()
    }

    // NIST CAVP, "SP 800-38F Key Wrap Test Vectors", KWP_AD_256.txt, plaintext length 248 bits: the first that opens, and one that fails.
    const KWP_KEK: &str = "09ab4286a845c18bb481da91c39a58fd52ed78d54973fc41f25163a0c33f4727";
    const KWP_WRAPPED: &str = "0a180a84b01fc1e44b9f9301cc89af95de758219015abc86c3e48e764e7379246ae7209aaa4f889d";
    const KWP_MATERIAL: &str = "4c1b6accb492c88b10a56a56eb9b6d6ed9797056a559fe3f0c7c0429a200af";
    const BAD_KWP_KEK: &str = "8c35fb77766d04f48d5b52275c5c5f31f568078419e5c2335918965fbe53cedd";
    const BAD_KWP_WRAPPED: &str = "bacccb1714dbaa4908c2654aa8dbb1ddbddd8ab819429b026619fb1c0fa75a8247372b2feeab1e1d";
}
