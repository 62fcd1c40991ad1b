//! Bytes written as hexadecimal, as the configuration and the state file have them.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// The bytes of an even number of hexadecimal digits; nothing for other text.
pub(crate) fn parse(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| pair.iter().try_fold(0_u8, |byte, digit| Some(byte << 4 | u8::try_from(*digit).ok()?))).collect()
}

/// The digits of some bytes, lower case.
pub(crate) fn write(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&write(bytes))
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("an even number of hexadecimal digits is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_nothing_else_is() {
        assert_eq!(parse(&write(&[0, 0x7f, 0xff])).unwrap(), [0, 0x7f, 0xff]);
        assert!(["f", "0x", "zz", "+1"].iter().all(|text| parse(text).is_none()));
    }
}
