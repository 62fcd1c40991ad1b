//! What lies under a local key's seal, kind by kind: the bytes of a symmetric key, or PKCS#8 (RFC 5208) in DER of a pair, as AWS KMS takes
//! them for an import.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    error::Unspecified,
    rand,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm,
    },
};
use holdfast_proto::kinds::KeyKind;
use zeroize::Zeroizing;

/// How a kind's material is made.
enum Form {
    /// Random bytes.
    Bytes(usize),
    /// A pair with exponent 65537.
    Rsa(KeySize),
    /// A pair on a curve. The digest of the algorithm says nothing here.
    Ec(&'static EcdsaSigningAlgorithm),
}

/// Fresh material, by aws-lc's generator.
pub(super) fn generate(kind: KeyKind) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    match form(kind) {
        Form::Bytes(length) => {
            let mut material = Zeroizing::new(vec![0; length]);
            rand::fill(&mut material)?;
            Ok(material)
        }
        Form::Rsa(size) => {
            let der: Pkcs8V1Der<'_> = rsa::KeyPair::generate(size)?.as_der()?;
            Ok(Zeroizing::new(der.as_ref().to_vec()))
        }
        Form::Ec(curve) => Ok(Zeroizing::new(EcdsaKeyPair::generate(curve)?.to_pkcs8v1()?.as_ref().to_vec())),
    }
}

/// Whether material is a key of this kind.
pub(super) fn is(kind: KeyKind, material: &[u8]) -> bool {
    match form(kind) {
        Form::Bytes(length) => material.len() == length,
        Form::Rsa(_) => rsa::KeyPair::from_pkcs8(material).is_ok_and(|pair| u32::try_from(modulus_bits(&pair)) == Ok(kind.bits())),
        Form::Ec(curve) => EcdsaKeyPair::from_pkcs8(curve, material).is_ok(),
    }
}

fn form(kind: KeyKind) -> Form {
    match kind {
        KeyKind::Aes128 => Form::Bytes(16),
        KeyKind::Aes192 => Form::Bytes(24),
        KeyKind::Aes256 => Form::Bytes(super::KEY_LENGTH),
        KeyKind::Rsa2048 => Form::Rsa(KeySize::Rsa2048),
        KeyKind::Rsa3072 => Form::Rsa(KeySize::Rsa3072),
        KeyKind::Rsa4096 => Form::Rsa(KeySize::Rsa4096),
        KeyKind::EcP256 => Form::Ec(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyKind::EcP384 => Form::Ec(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyKind::EcP521 => Form::Ec(&ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyKind::EcSecp256k1 => Form::Ec(&ECDSA_P256K1_SHA256_ASN1_SIGNING),
        KeyKind::HmacSha1 => Form::Bytes(20),
        KeyKind::HmacSha224 => Form::Bytes(28),
        KeyKind::HmacSha256 => Form::Bytes(32),
        KeyKind::HmacSha384 => Form::Bytes(48),
        KeyKind::HmacSha512 => Form::Bytes(64),
    }
}

fn modulus_bits(pair: &rsa::KeyPair) -> usize {
    pair.public_modulus_len() * 8
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{
            ECDSA_P256_SHA256_ASN1, ECDSA_P256K1_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, KeyPair,
            RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey,
        },
    };

    use super::*;

    /// DER of `rsaEncryption` (RFC 8017 appendix C), `prime256v1`, `secp384r1`, `secp521r1` and `secp256k1` (RFC 5480, SEC 2).
    const OBJECT_IDS: [(KeyKind, &[u8]); 7] = [
        (KeyKind::Rsa2048, &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
        (KeyKind::Rsa3072, &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
        (KeyKind::Rsa4096, &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]),
        (KeyKind::EcP256, &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        (KeyKind::EcP384, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]),
        (KeyKind::EcP521, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23]),
        (KeyKind::EcSecp256k1, &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a]),
    ];

    #[test]
    fn a_pair_is_pkcs8_version_1_and_names_its_algorithm() {
        for (kind, id) in OBJECT_IDS {
            let der = generate(kind).unwrap();
            // SEQUENCE { INTEGER 0, SEQUENCE { ... } OCTET STRING } (RFC 5208 section 5).
            let content = if der[1] == 0x82 { 4 } else { 3 };
            assert_eq!((der[0], &der[content..content + 3]), (0x30, &[2, 1, 0][..]), "{kind}");
            assert!(der.windows(id.len()).any(|part| part == id), "{kind}");
        }
    }

    #[test]
    fn symmetric_keys_have_the_length_of_their_kind_and_are_not_alike() {
        for kind in KeyKind::ALL.into_iter().filter(|kind| OBJECT_IDS.iter().all(|(pair, _)| pair != kind)) {
            let (one, two) = (generate(kind).unwrap(), generate(kind).unwrap());
            assert_eq!(u32::try_from(one.len() * 8), Ok(kind.bits()), "{kind}");
            assert_ne!(one, two);
        }
    }

    #[test]
    fn what_a_pair_signs_verifies_and_its_modulus_has_its_size() {
        let text = b"signed";
        for (kind, length) in [(KeyKind::Rsa2048, 256), (KeyKind::Rsa3072, 384), (KeyKind::Rsa4096, 512)] {
            let pair = rsa::KeyPair::from_pkcs8(&generate(kind).unwrap()).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            assert_eq!(signature.len(), length);
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()).verify(text, &signature).unwrap();
        }
        let curves = [
            (KeyKind::EcP256, &ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
            (KeyKind::EcP384, &ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
            (KeyKind::EcP521, &ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1),
            (KeyKind::EcSecp256k1, &ECDSA_P256K1_SHA256_ASN1_SIGNING, &ECDSA_P256K1_SHA256_ASN1),
        ];
        for (kind, signing, verifying) in curves {
            let pair = EcdsaKeyPair::from_pkcs8(signing, &generate(kind).unwrap()).unwrap();
            let signature = pair.sign(&SystemRandom::new(), text).unwrap();
            UnparsedPublicKey::new(verifying, pair.public_key().as_ref()).verify(text, signature.as_ref()).unwrap();
        }
    }

    #[test]
    fn material_of_one_kind_is_not_taken_for_another() {
        let pairs: Vec<_> = OBJECT_IDS.iter().map(|(kind, _)| (*kind, generate(*kind).unwrap())).collect();
        for (kind, material) in &pairs {
            for other in KeyKind::ALL {
                assert_eq!(is(other, material), other == *kind, "{kind} as {other}");
            }
        }
    }
}
