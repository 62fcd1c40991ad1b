//! Ids of source keys as clients of `vault/keys2` know them: 64 lower-case hexadecimal digits.
//!
//! Always holds: such an id is made of the key's UUID alone, so that no index is needed; one that was not made here is no id.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use uuid::Uuid;

/// The UUID, then the first half of SHA-256 over `PURPOSE` and it.
#[must_use]
pub fn cm_id(id: Uuid) -> String {
    let hash = digest(&SHA256, &[PURPOSE, id.as_bytes()].concat());
    let mut text = String::with_capacity(LENGTH);
    for byte in id.as_bytes().iter().chain(hash.as_ref().iter().take(16)) {
        // Writing to a string does not fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

/// The UUID in what [`cm_id`] made; none for anything else.
#[must_use]
pub fn parse_cm_id(text: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(text.get(..LENGTH / 2)?).ok()?;
    (cm_id(id) == text).then_some(id)
}

const PURPOSE: &[u8] = b"holdfast cm key";
const LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_64_digits_and_names_its_key_alone() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef);
        let text = cm_id(id);
        // `printf 'holdfast cm key\0\0\0\0\0\0\0\0\x01\x23\x45\x67\x89\xab\xcd\xef' | sha256sum`
        assert_eq!(text, "00000000000000000123456789abcdef34779a0beff616b79497e51167f93506");
        assert_eq!(parse_cm_id(&text), Some(id));
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] = if bent[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(parse_cm_id(std::str::from_utf8(&bent).unwrap()), None, "digit {at}");
            assert_eq!(parse_cm_id(&text[..at]), None, "length {at}");
        }
        for other in ["", "é", &text.to_uppercase(), &format!("{text}0"), &id.to_string(), &"é".repeat(32)] {
            assert_eq!(parse_cm_id(other), None, "{other}");
        }
    }
}
