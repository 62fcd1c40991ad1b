//! Key material on its way to AWS KMS, wrapped as ImportKeyMaterial wants it.
//!
//! Always holds: what leaves opens only by the private key to the public key that was given; material that is unexportable never leaves; what
//! lay in the clear here meanwhile is wiped.

use aws_lc_rs::{
    error::Unspecified,
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rand,
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use holdfast_proto::{records::LocalBlob, seal::SealRing};
use zeroize::Zeroizing;

use super::{KEY_LENGTH, NewLocalKey, OpenLocalError, binding, material};

/// How material is wrapped (GetParametersForImport API, WrappingAlgorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// By RSA alone: RSAES-OAEP (RFC 8017 section 7.1), MGF1 with the same digest.
    Oaep(OaepDigest),
    /// By an AES-256 key of its own with padding (RFC 5649), and that by RSAES-OAEP; the wrapped AES key comes first (`CKM_RSA_AES_KEY_WRAP`).
    AesKeyWrap(OaepDigest),
}

/// The digest of RSAES-OAEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OaepDigest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// No wrapping of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such wrapping algorithm")]
pub struct UnknownWrapping;

/// Why a key was not wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// It was made to stay.
    #[error("the key is unexportable: it was made never to leave, wrapped or not")]
    Unexportable,
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenLocalError),
    /// What it is to be wrapped with is no SubjectPublicKeyInfo of RSA with 2048 bits or more.
    #[error("the wrapping key is no public RSA key of 2048 bits or more")]
    PublicKey,
    /// RSA alone does not take that much.
    #[error("the key has {length} bytes, more than the {most} that this algorithm wraps under that public key")]
    TooLong {
        /// Bytes of the material.
        length: usize,
        /// Bytes that fit.
        most: usize,
    },
    /// The operating system gave no randomness, or the cipher failed.
    #[error("wrapping failed")]
    Failed,
}

impl TryFrom<&str> for Wrapping {
    type Error = UnknownWrapping;

    /// Reads AWS's name.
    fn try_from(name: &str) -> Result<Self, UnknownWrapping> {
        match name {
            "RSAES_OAEP_SHA_1" => Ok(Self::Oaep(OaepDigest::Sha1)),
            "RSAES_OAEP_SHA_256" => Ok(Self::Oaep(OaepDigest::Sha256)),
            "RSA_AES_KEY_WRAP_SHA_1" => Ok(Self::AesKeyWrap(OaepDigest::Sha1)),
            "RSA_AES_KEY_WRAP_SHA_256" => Ok(Self::AesKeyWrap(OaepDigest::Sha256)),
            _ => Err(UnknownWrapping),
        }
    }
}

/// A key's material, wrapped under `public_key`, a SubjectPublicKeyInfo in DER: the bytes of a symmetric key, or PKCS#8 (RFC 5208) of a pair.
///
/// # Errors
/// [`WrapError`].
pub fn wrap(seals: &SealRing, blob: &LocalBlob, (public_key, wrapping): (&[u8], Wrapping)) -> Result<Vec<u8>, WrapError> {
    // The seal binds this: with another word here it does not open.
    if blob.unexportable {
        return Err(WrapError::Unexportable);
    }
    let material = seals.open(&binding(blob.id, NewLocalKey::of(blob)), &blob.sealed).map_err(OpenLocalError::Seal)?;
    if !material::is(blob.kind, &material) {
        return Err(OpenLocalError::Material(blob.kind).into());
    }
    let public_key = PublicEncryptingKey::from_der(public_key).map_err(|_| WrapError::PublicKey)?;
    let public_key = OaepPublicEncryptingKey::new(public_key).map_err(|Unspecified| WrapError::PublicKey)?;
    match wrapping {
        Wrapping::Oaep(digest) => oaep(&public_key, digest, &material),
        Wrapping::AesKeyWrap(digest) => {
            let mut key = Zeroizing::new([0; KEY_LENGTH]);
            rand::fill(&mut *key).map_err(|Unspecified| WrapError::Failed)?;
            let mut wrapped = oaep(&public_key, digest, &*key)?;
            let kek = AesKek::new(&AES_256, &*key).map_err(|Unspecified| WrapError::Failed)?;
            let mut out = vec![0; material.len() + MOST_ADDED];
            wrapped.extend_from_slice(kek.wrap_with_padding(&material, &mut out).map_err(|Unspecified| WrapError::Failed)?);
            Ok(wrapped)
        }
    }
}

fn oaep(public_key: &OaepPublicEncryptingKey, digest: OaepDigest, text: &[u8]) -> Result<Vec<u8>, WrapError> {
    let algorithm = digest.algorithm();
    let most = public_key.max_plaintext_size(algorithm);
    if text.len() > most {
        return Err(WrapError::TooLong { length: text.len(), most });
    }
    let mut wrapped = vec![0; public_key.ciphertext_size()];
    let length = public_key.encrypt(algorithm, text, &mut wrapped, None).map_err(|Unspecified| WrapError::Failed)?.len();
    wrapped.truncate(length);
    Ok(wrapped)
}

impl OaepDigest {
    const fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &OAEP_SHA256_MGF1SHA256,
        }
    }
}

/// What RFC 5649 adds, at most: a block, and padding to one.
const MOST_ADDED: usize = 15;

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, PublicKeyX509Der},
        rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };
    use holdfast_proto::{kinds::KeyKind, records::KeyUsage, seal::Seal};
    use uuid::Uuid;

    use super::{
        super::{make, material},
        *,
    };

    const NAMES: [&str; 4] = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"];

    fn ring() -> SealRing {
        SealRing::new(Seal::generate().unwrap(), Vec::new())
    }

    fn exportable(seals: &SealRing, kind: KeyKind) -> LocalBlob {
        make(seals, Uuid::from_u128(1), NewLocalKey { kind, usage: KeyUsage::BOTH, unexportable: false }).unwrap()
    }

    fn spki(pair: &PrivateDecryptingKey) -> Vec<u8> {
        AsDer::<PublicKeyX509Der<'_>>::as_der(&pair.public_key()).unwrap().as_ref().to_vec()
    }

    /// As AWS's side does it.
    fn unwrap(pair: &PrivateDecryptingKey, wrapping: Wrapping, wrapped: &[u8]) -> Vec<u8> {
        let (Wrapping::Oaep(digest) | Wrapping::AesKeyWrap(digest)) = wrapping;
        let private = OaepPrivateDecryptingKey::new(pair.clone()).unwrap();
        let open = |text: &[u8]| private.decrypt(digest.algorithm(), text, &mut vec![0; private.min_output_size()], None).unwrap().to_vec();
        match wrapping {
            Wrapping::Oaep(_) => open(wrapped),
            Wrapping::AesKeyWrap(_) => {
                let (key, material) = wrapped.split_at(private.key_size_bytes());
                let kek = AesKek::new(&AES_256, &open(key)).unwrap();
                kek.unwrap_with_padding(material, &mut vec![0; material.len()]).unwrap().to_vec()
            }
        }
    }

    fn sealed(seals: &SealRing, blob: &LocalBlob) -> Vec<u8> {
        seals.open(&binding(blob.id, NewLocalKey::of(blob)), &blob.sealed).unwrap().to_vec()
    }

    #[test]
    fn what_is_wrapped_unwraps_to_the_sealed_material_of_every_kind() {
        let (seals, pair) = (ring(), PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap());
        let public = spki(&pair);
        for kind in KeyKind::ALL {
            let blob = exportable(&seals, kind);
            let material = sealed(&seals, &blob);
            assert!(material::is(kind, &material));
            for name in NAMES {
                let wrapping = Wrapping::try_from(name).unwrap();
                let is_rsa = matches!(kind, KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096);
                let wrapped = wrap(&seals, &blob, (&public, wrapping));
                if is_rsa && matches!(wrapping, Wrapping::Oaep(_)) {
                    assert!(matches!(wrapped, Err(WrapError::TooLong { .. })), "{kind} {name}");
                } else {
                    assert_eq!(unwrap(&pair, wrapping, &wrapped.unwrap()), material, "{kind} {name}");
                }
            }
        }
    }

    #[test]
    fn each_wrapping_is_fresh() {
        let (seals, pair) = (ring(), PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());
        let (blob, public) = (exportable(&seals, KeyKind::Aes256), spki(&pair));
        for name in NAMES {
            let wrap = || super::wrap(&seals, &blob, (&public, Wrapping::try_from(name).unwrap())).unwrap();
            assert_ne!(wrap()[..256], wrap()[..256], "{name}");
        }
    }

    #[test]
    fn an_unexportable_key_is_not_wrapped_whatever_its_record_says() {
        let (seals, pair) = (ring(), PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());
        let public = spki(&pair);
        let new = NewLocalKey { kind: KeyKind::Aes256, usage: KeyUsage::BOTH, unexportable: true };
        let blob = make(&seals, Uuid::from_u128(1), new).unwrap();
        let with = (public.as_slice(), Wrapping::Oaep(OaepDigest::Sha256));
        assert_eq!(wrap(&seals, &blob, with), Err(WrapError::Unexportable));
        let lied = wrap(&seals, &LocalBlob { unexportable: false, ..blob }, with);
        assert!(matches!(lied, Err(WrapError::Open(OpenLocalError::Seal(_)))), "{lied:?}");
    }

    #[test]
    fn what_is_no_rsa_key_wraps_nothing() {
        let (seals, pair) = (ring(), PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());
        let (blob, public) = (exportable(&seals, KeyKind::Aes256), spki(&pair));
        let with = Wrapping::AesKeyWrap(OaepDigest::Sha256);
        for bad in [&[][..], &public[1..], &public[..public.len() - 1]] {
            assert_eq!(wrap(&seals, &blob, (bad, with)), Err(WrapError::PublicKey));
        }
        assert_eq!(Wrapping::try_from("RSAES_PKCS1_V1_5"), Err(UnknownWrapping));
    }
}
