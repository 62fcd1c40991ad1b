//! The canonical request and the string to sign, hashed as they are written: neither is ever in memory
//! as a whole. Holds: the caller checked the list of signed headers, so writing can't fail.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use http::HeaderMap;

/// What a signature covers, apart from its scope.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) path: &'r str,
    pub(super) host: &'r str,
    pub(super) headers: &'r HeaderMap,
    /// As listed: lower-case, ascending, separated by `;`.
    pub(super) signed_headers: &'r str,
    pub(super) body: &'r [u8],
}

/// When and for whom a signature was made.
pub(super) struct Stamp<'r> {
    /// `X-Amz-Date`.
    pub(super) date: &'r str,
    /// `yyyymmdd/region/service/aws4_request`.
    pub(super) scope: &'r str,
}

impl Request<'_> {
    /// Whether `signature` is the one that `key` gives this request. Takes the same time either way.
    pub(super) fn is_signed(&self, stamp: &Stamp<'_>, key: &hmac::Key, signature: &[u8; 32]) -> bool {
        let mut mac = hmac::Context::with_key(key);
        mac.update(b"AWS4-HMAC-SHA256\n");
        mac.update(stamp.date.as_bytes());
        mac.update(b"\n");
        mac.update(stamp.scope.as_bytes());
        mac.update(b"\n");
        mac.update(&hex(self.digest().as_ref()));
        verify_slices_are_equal(mac.sign().as_ref(), signature).is_ok()
    }

    /// SHA-256 of the canonical request. The path is written as it is: [`crate::path::parse`] lets none
    /// through that SigV4 would encode or normalise. The query line is empty.
    fn digest(&self) -> digest::Digest {
        let mut out = Hasher::new();
        out.put(self.method.as_bytes());
        out.put(b"\n");
        out.put(self.path.as_bytes());
        out.put(b"\n\n");
        for name in self.signed_headers.split(';') {
            out.put(name.as_bytes());
            out.put(b":");
            self.put_values(name, &mut out);
            out.put(b"\n");
        }
        out.put(b"\n");
        out.put(self.signed_headers.as_bytes());
        out.put(b"\n");
        out.put(&hex(digest::digest(&digest::SHA256, self.body).as_ref()));
        out.finish()
    }

    fn put_values(&self, name: &str, out: &mut Hasher) {
        if name == HOST || name == AUTHORITY {
            return put_collapsed(self.host.as_bytes(), out);
        }
        let mut first = true;
        for value in self.headers.get_all(name) {
            if !first {
                out.put(b",");
            }
            first = false;
            put_collapsed(value.as_bytes(), out);
        }
    }
}

/// Without spaces around, and with each run of spaces as one.
fn put_collapsed(value: &[u8], out: &mut Hasher) {
    let plain = !value.starts_with(b" ") && !value.ends_with(b" ");
    if plain && !value.windows(2).any(|two| two == b"  ") {
        return out.put(value);
    }
    let mut first = true;
    for word in value.split(|byte| *byte == b' ').filter(|w| !w.is_empty()) {
        if !first {
            out.put(b" ");
        }
        first = false;
        out.put(word);
    }
}

/// A SHA-256 that gathers short writes: a canonical request is some thirty of them.
struct Hasher {
    hash: digest::Context,
    gathered: [u8; 512],
    used: usize,
}

impl Hasher {
    fn new() -> Self {
        Self { hash: digest::Context::new(&digest::SHA256), gathered: [0; 512], used: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        if let Some(room) = self.gathered.get_mut(self.used..end) {
            room.copy_from_slice(bytes);
            self.used = end;
        } else {
            self.flush();
            self.hash.update(bytes);
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.gathered[..self.used]);
        self.used = 0;
    }

    fn finish(mut self) -> digest::Digest {
        self.flush();
        self.hash.finish()
    }
}

/// A SHA-256 digest in lower-case hexadecimal.
fn hex(digest: &[u8]) -> [u8; 64] {
    let mut out = [b'0'; 64];
    for (two, byte) in out.chunks_exact_mut(2).zip(digest) {
        two[0] = DIGITS[usize::from(byte >> 4)];
        two[1] = DIGITS[usize::from(byte & 15)];
    }
    out
}

/// The signed name of the `Host` header.
pub(super) const HOST: &str = "host";
/// The signed name that HTTP/2 may use in its stead.
pub(super) const AUTHORITY: &str = ":authority";
const DIGITS: &[u8; 16] = b"0123456789abcdef";
