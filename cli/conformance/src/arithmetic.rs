//! The suite's own arithmetic: hashing, the ciphertext data integrity value, base64.
//!
//! Holds: nothing here comes from the product; a mistake that both shared would pass unseen.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SHA-256 over the parts, one after another.
pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Canonical base64, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// What canonical base64 stands for; nothing if it is not canonical (padding and unused bits included).
pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// `ciphertextDataIntegrityValue`, decoded: SHA-256(AAD ‖ metadata ‖ IV ‖ ciphertext ‖ tag), XKS 1.0.3.
pub(crate) fn integrity_value(parts: [&[u8]; 5]) -> Vec<u8> {
    sha256(&parts)
}

/// `len` bytes that differ from each other, the same each time.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn the_specifications_known_answer() {
        let value = integrity_value([
            b"project=nile,department=marketing",
            b"key_version=1",
            &bytes("1ccae5470f39700254779031"),
            &bytes("821c642b5b71783367deaf18"),
            &bytes("bc1c4dda7707d6812447c5955e99b261"),
        ]);
        assert_eq!(base64(&value), "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=");
    }

    #[test]
    fn only_canonical_base64_decodes() {
        assert_eq!(unbase64("YQ=="), Some(b"a".to_vec()));
        for other in ["YQ", "YQ=", "YR==", "Y-==", "YQ==\n", " YQ=="] {
            assert_eq!(unbase64(other), None, "{other}");
        }
    }
}
