//! What AWS KMS calls kinds of keys, and what each may be used for (CreateKey API), as pure functions.

use holdfast_proto::kinds::KeyKind;

use crate::core::CoreError;

/// Kinds of keys by what AWS does with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Encrypts.
    Symmetric,
    /// Encrypts or signs.
    Rsa,
    /// Signs, or agrees on a key.
    Nist,
    /// Signs.
    Secp256k1,
    /// Makes MACs.
    Hmac,
}

/// A key that is to be made in AWS: its kind, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpecAndUsage {
    pub(super) kind: KeyKind,
    /// AWS's name of the kind.
    pub(super) spec: &'static str,
    /// AWS's name of the use.
    pub(super) usage: &'static str,
}

/// AWS's name of a kind; none: AWS KMS has no such keys.
pub(super) const fn spec_of(kind: KeyKind) -> Option<&'static str> {
    match kind {
        KeyKind::Aes256 => Some("SYMMETRIC_DEFAULT"),
        KeyKind::Rsa2048 => Some("RSA_2048"),
        KeyKind::Rsa3072 => Some("RSA_3072"),
        KeyKind::Rsa4096 => Some("RSA_4096"),
        KeyKind::EcP256 => Some("ECC_NIST_P256"),
        KeyKind::EcP384 => Some("ECC_NIST_P384"),
        KeyKind::EcP521 => Some("ECC_NIST_P521"),
        KeyKind::EcSecp256k1 => Some("ECC_SECG_P256K1"),
        KeyKind::HmacSha224 => Some("HMAC_224"),
        KeyKind::HmacSha256 => Some("HMAC_256"),
        KeyKind::HmacSha384 => Some("HMAC_384"),
        KeyKind::HmacSha512 => Some("HMAC_512"),
        KeyKind::Aes128 | KeyKind::Aes192 | KeyKind::HmacSha1 => None,
    }
}

/// The kind that AWS calls so.
pub(super) fn kind_of(spec: &str) -> Option<KeyKind> {
    KeyKind::ALL.into_iter().find(|kind| spec_of(*kind) == Some(spec))
}

/// The family of a kind that AWS has.
pub(super) const fn family(kind: KeyKind) -> Family {
    match kind {
        KeyKind::Aes128 | KeyKind::Aes192 | KeyKind::Aes256 => Family::Symmetric,
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => Family::Rsa,
        KeyKind::EcP256 | KeyKind::EcP384 | KeyKind::EcP521 => Family::Nist,
        KeyKind::EcSecp256k1 => Family::Secp256k1,
        KeyKind::HmacSha1 | KeyKind::HmacSha224 | KeyKind::HmacSha256 | KeyKind::HmacSha384 | KeyKind::HmacSha512 => Family::Hmac,
    }
}

/// What a native key is to be; AWS makes symmetric ones where nothing is said.
pub(super) fn native(spec: Option<&str>, usage: Option<&str>) -> Result<SpecAndUsage, CoreError> {
    let kind = asked_kind(spec)?.unwrap_or(KeyKind::Aes256);
    // AWS's console and its clients begin with this.
    let default = if family(kind) == Family::Rsa { Some(ENCRYPT_DECRYPT) } else { None };
    with_usage(kind, usage.or(default))
}

/// What an uploaded key is to be: what its source key is. Of an RSA key AWS must be told what it is for.
pub(super) fn uploaded(source: KeyKind, spec: Option<&str>, usage: Option<&str>) -> Result<SpecAndUsage, CoreError> {
    let Some(fits) = spec_of(source) else {
        return Err(CoreError::invalid("source_key_identifier", format!("AWS KMS has no keys of kind {source}")));
    };
    if asked_kind(spec)?.is_some_and(|asked| asked != source) {
        let detail = format!("does not fit the source key, which is of kind {source}: must be {fits}, or left out");
        return Err(CoreError::invalid("CustomerMasterKeySpec", detail));
    }
    with_usage(source, usage)
}

fn asked_kind(spec: Option<&str>) -> Result<Option<KeyKind>, CoreError> {
    let Some(spec) = spec else { return Ok(None) };
    let unknown = || {
        let known: Vec<_> = KeyKind::ALL.into_iter().filter_map(spec_of).collect();
        CoreError::invalid("CustomerMasterKeySpec", format!("must be one of {}", known.join(", ")))
    };
    kind_of(spec).map(Some).ok_or_else(unknown)
}

fn with_usage(kind: KeyKind, asked: Option<&str>) -> Result<SpecAndUsage, CoreError> {
    let Some(spec) = spec_of(kind) else {
        return Err(CoreError::invalid("CustomerMasterKeySpec", format!("AWS KMS has no keys of kind {kind}")));
    };
    let usages: &[&'static str] = match family(kind) {
        Family::Symmetric => &[ENCRYPT_DECRYPT],
        Family::Rsa => &[ENCRYPT_DECRYPT, SIGN_VERIFY],
        Family::Nist => &[SIGN_VERIFY, "KEY_AGREEMENT"],
        Family::Secp256k1 => &[SIGN_VERIFY],
        Family::Hmac => &["GENERATE_VERIFY_MAC"],
    };
    let usage = match (asked, family(kind)) {
        (None, Family::Rsa) => None,
        (None, Family::Symmetric | Family::Nist | Family::Secp256k1 | Family::Hmac) => usages.first(),
        (Some(asked), _) => usages.iter().find(|usage| **usage == asked),
    };
    let usage = usage.ok_or_else(|| CoreError::invalid("KeyUsage", format!("of {spec} must be {}", usages.join(" or "))))?;
    Ok(SpecAndUsage { kind, spec, usage })
}

const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
const SIGN_VERIFY: &str = "SIGN_VERIFY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spec_of_aws_names_one_kind_and_three_kinds_have_none() {
        let named: Vec<_> = KeyKind::ALL.into_iter().filter_map(|kind| Some((kind, spec_of(kind)?))).collect();
        assert_eq!(named.len(), 12);
        for (kind, spec) in named {
            assert_eq!(kind_of(spec), Some(kind), "{spec}");
        }
    }

    #[test]
    fn a_usage_that_is_not_said_is_the_only_sensible_one_and_of_an_uploaded_rsa_key_there_is_none() {
        let table = [
            (KeyKind::Aes256, Some("ENCRYPT_DECRYPT")),
            (KeyKind::Rsa2048, None),
            (KeyKind::EcP384, Some("SIGN_VERIFY")),
            (KeyKind::EcSecp256k1, Some("SIGN_VERIFY")),
            (KeyKind::HmacSha512, Some("GENERATE_VERIFY_MAC")),
        ];
        for (kind, usage) in table {
            assert_eq!(uploaded(kind, None, None).ok().map(|made| made.usage), usage, "{kind}");
        }
        assert_eq!(native(Some("RSA_4096"), None).unwrap().usage, "ENCRYPT_DECRYPT");
        assert_eq!(native(None, None).unwrap().spec, "SYMMETRIC_DEFAULT");
    }

    #[test]
    fn a_spec_that_does_not_fit_and_a_usage_that_the_spec_has_not_are_refused_by_their_names() {
        let field = |refused: Result<SpecAndUsage, CoreError>| match refused {
            Err(CoreError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(field(uploaded(KeyKind::Aes256, Some("RSA_2048"), Some("SIGN_VERIFY"))), "CustomerMasterKeySpec");
        assert_eq!(field(uploaded(KeyKind::Aes128, None, None)), "source_key_identifier");
        assert_eq!(field(uploaded(KeyKind::Rsa2048, Some("RSA_2048"), None)), "KeyUsage");
        assert_eq!(field(uploaded(KeyKind::HmacSha256, Some("HMAC_256"), Some("ENCRYPT_DECRYPT"))), "KeyUsage");
        assert_eq!(field(uploaded(KeyKind::EcSecp256k1, None, Some("KEY_AGREEMENT"))), "KeyUsage");
        assert_eq!(field(native(Some("SM2"), None)), "CustomerMasterKeySpec");
    }
}
