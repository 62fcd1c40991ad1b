//! What is drawn at random: ids, access keys, key material.
//!
//! Always holds: all of it comes from the operating system's generator (by `aws-lc-rs`).

use aws_lc_rs::rand;
use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER};

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills `bytes` at random.
pub(crate) fn fill(bytes: &mut [u8]) {
    // It fails only where the operating system has no generator; nothing here could go on then.
    if rand::fill(bytes).is_err() {
        std::process::abort();
    }
}

/// An access key id: its kind (`AKIA` lasting, `ASIA` temporary) and 16 characters of `[A-Z2-7]`.
pub(crate) fn access_key_id(kind: &str) -> String {
    format!("{kind}{}", BASE32_NOPAD.encode(&bytes::<10>()))
}

/// A secret access key: 40 characters, as AWS gives them.
pub(crate) fn secret_access_key() -> String {
    BASE64.encode(&bytes::<30>())
}

/// `N` random bytes in lower-case hexadecimal digits.
pub(crate) fn hex<const N: usize>() -> String {
    HEXLOWER.encode(&bytes::<N>())
}

/// `N` random bytes as base32 in lower case, without padding.
pub(crate) fn lower_base32<const N: usize>() -> String {
    BASE32_NOPAD.encode(&bytes::<N>()).to_lowercase()
}
