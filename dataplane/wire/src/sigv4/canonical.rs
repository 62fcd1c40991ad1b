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

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::sigv4::{Day, SigningKey};

    /// Answers published by AWS in its SigV4 test suite, for the service named `service`.
    #[test]
    fn the_published_answers_verify() {
        for (method, extra, signature) in [
            ("GET", &[][..], "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", &[], "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            ("POST", &[("my-header1", "value1")], "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
            (
                "GET",
                &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "GET",
                &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
                "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
            ),
        ] {
            assert!(is_signed(method, extra, signature), "{method} {extra:?}");
            assert!(!is_signed("PUT", extra, signature), "{method} {extra:?}");
        }
    }

    fn is_signed(method: &str, extra: &[(&'static str, &'static str)], signature: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", HeaderValue::from_static(DATE));
        let mut names = vec!["host", "x-amz-date"];
        for (name, value) in extra {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            names.push(name);
        }
        names.sort_unstable();
        names.dedup();
        let request =
            Request { method, path: "/", host: "example.amazonaws.com", headers: &headers, signed_headers: &names.join(";"), body: b"" };
        let stamp = Stamp { date: DATE, scope: "20150830/us-east-1/service/aws4_request" };
        let day = Day::parse("20150830").unwrap();
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let key = SigningKey::for_service(secret, day, "us-east-1", "service");
        let bytes = std::array::from_fn(|i| u8::from_str_radix(&signature[2 * i..][..2], 16).unwrap());
        request.is_signed(&stamp, key.hmac(), &bytes)
    }

    /// Values longer than what is gathered go round it, in order.
    #[test]
    fn long_values_are_hashed_in_order() {
        let mut hasher = Hasher::new();
        let parts = [vec![1; 500], vec![2; 13], vec![3; 4_000], vec![4; 512], vec![5; 1]];
        parts.iter().for_each(|part| hasher.put(part));
        let whole = digest::digest(&digest::SHA256, &parts.concat());
        assert_eq!(hasher.finish().as_ref(), whole.as_ref());
    }

    const DATE: &str = "20150830T123600Z";
}
