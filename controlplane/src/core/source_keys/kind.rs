//! Kinds of local keys, as clients ask for them: an algorithm, a size, a curve.

use holdfast_proto::kinds::KeyKind;

use crate::core::CoreError;

/// A kind as a client describes it; what is absent or zero is the algorithm's default.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskedKind<'a> {
    /// `algorithm`; absent: AES.
    pub algorithm: &'a str,
    /// `size`, bits.
    pub size: u32,
    /// `curveid`.
    pub curve: &'a str,
}

impl AskedKind<'_> {
    /// The kind.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for `algorithm`, `size` or `curveid`, with what would do.
    pub fn kind(self) -> Result<KeyKind, CoreError> {
        let algorithm = if self.algorithm.is_empty() { "aes".to_owned() } else { self.algorithm.to_ascii_lowercase() };
        let (kinds, default): (&[KeyKind], KeyKind) = match algorithm.as_str() {
            "aes" => (&[KeyKind::Aes128, KeyKind::Aes192, KeyKind::Aes256], KeyKind::Aes256),
            "rsa" => (&[KeyKind::Rsa2048, KeyKind::Rsa3072, KeyKind::Rsa4096], KeyKind::Rsa2048),
            "ec" => return self.on_curve(),
            "hmac-sha1" => (&[KeyKind::HmacSha1], KeyKind::HmacSha1),
            "hmac-sha224" => (&[KeyKind::HmacSha224], KeyKind::HmacSha224),
            "hmac-sha256" => (&[KeyKind::HmacSha256], KeyKind::HmacSha256),
            "hmac-sha384" => (&[KeyKind::HmacSha384], KeyKind::HmacSha384),
            "hmac-sha512" => (&[KeyKind::HmacSha512], KeyKind::HmacSha512),
            _ => return Err(CoreError::invalid("algorithm", format!("{algorithm:?} is not made here; {ALGORITHMS} are"))),
        };
        if !self.curve.is_empty() {
            return Err(CoreError::invalid("curveid", format!("{algorithm} has no curve")));
        }
        if self.size == 0 {
            return Ok(default);
        }
        let found = kinds.iter().copied().find(|kind| kind.bits() == self.size);
        found.ok_or_else(|| {
            let sizes: Vec<_> = kinds.iter().map(|kind| kind.bits().to_string()).collect();
            CoreError::invalid("size", format!("{algorithm} is made with {} bits", sizes.join(", ")))
        })
    }

    fn on_curve(self) -> Result<KeyKind, CoreError> {
        let curve = self.curve.to_ascii_lowercase();
        let kind = match (curve.as_str(), self.size) {
            ("", 0 | 256) | ("secp256r1" | "prime256v1" | "p-256" | "nistp256", _) => KeyKind::EcP256,
            ("", 384) | ("secp384r1" | "p-384" | "nistp384", _) => KeyKind::EcP384,
            ("", 521) | ("secp521r1" | "p-521" | "nistp521", _) => KeyKind::EcP521,
            ("secp256k1", _) => KeyKind::EcSecp256k1,
            ("", _) => return Err(CoreError::invalid("size", "EC is made with 256, 384 or 521 bits")),
            _ => return Err(CoreError::invalid("curveid", format!("{curve:?} is not made here; {CURVES} are"))),
        };
        if self.size != 0 && self.size != kind.bits() {
            return Err(CoreError::invalid("size", format!("{curve} has {} bits", kind.bits())));
        }
        Ok(kind)
    }
}

const ALGORITHMS: &str = "aes, rsa, ec, hmac-sha1, hmac-sha224, hmac-sha256, hmac-sha384 and hmac-sha512";
const CURVES: &str = "secp256r1 (prime256v1), secp384r1, secp521r1 and secp256k1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_write_names_one_kind() {
        let table = [
            (("", 0, ""), KeyKind::Aes256),
            (("AES", 0, ""), KeyKind::Aes256),
            (("aes", 128, ""), KeyKind::Aes128),
            (("RSA", 0, ""), KeyKind::Rsa2048),
            (("rsa", 4096, ""), KeyKind::Rsa4096),
            (("EC", 0, ""), KeyKind::EcP256),
            (("ec", 521, ""), KeyKind::EcP521),
            (("ec", 0, "prime256v1"), KeyKind::EcP256),
            (("ec", 256, "secp256k1"), KeyKind::EcSecp256k1),
            (("ec", 384, "P-384"), KeyKind::EcP384),
            (("hmac-sha512", 512, ""), KeyKind::HmacSha512),
            (("HMAC-SHA1", 0, ""), KeyKind::HmacSha1),
        ];
        for ((algorithm, size, curve), kind) in table {
            assert_eq!(AskedKind { algorithm, size, curve }.kind().unwrap(), kind, "{algorithm} {size} {curve}");
        }
    }

    #[test]
    fn what_is_not_made_here_is_refused_by_its_field() {
        let table = [
            (("tdes", 0, ""), "algorithm"),
            (("aria", 256, ""), "algorithm"),
            (("seed", 0, ""), "algorithm"),
            (("opaque", 0, ""), "algorithm"),
            (("aes", 257, ""), "size"),
            (("rsa", 1024, ""), "size"),
            (("rsa", 0, "secp256r1"), "curveid"),
            (("ec", 224, ""), "size"),
            (("ec", 384, "secp256k1"), "size"),
            (("ec", 0, "brainpoolP256r1"), "curveid"),
            (("hmac-sha256", 128, ""), "size"),
        ];
        for ((algorithm, size, curve), wrong) in table {
            let refused = AskedKind { algorithm, size, curve }.kind().unwrap_err();
            assert!(matches!(refused, CoreError::Invalid { field, .. } if field == wrong), "{algorithm} {size} {curve}: {refused}");
        }
    }
}
