//! Any headers: refused, or a claim within its grammar that no key of ours verifies.
//!
//! The input's lines are the values of `Authorization`, `X-Amz-Date`, `Host` and `:authority`, then the
//! body. A line that can't be a header's value, or is empty, stands for a header that is not there.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use holdfast_wire::sigv4::{AuthError, Head, SigningKey, claim};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(5, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [AUTHORIZATION, HeaderName::from_static("x-amz-date"), HOST] {
        let value = lines.next().filter(|line| !line.is_empty()).map(HeaderValue::from_bytes);
        if let Some(Ok(value)) = value {
            headers.append(name, value);
        }
    }
    let authority = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let body = lines.next().unwrap_or_default();
    let head = Head { method: "POST", path: "/kms/xks/v1/health", authority: authority.filter(|text| !text.is_empty()), headers: &headers };
    let Ok(claim) = claim(&head) else { return };
    assert!((20..=30).contains(&claim.access_key().len()));
    assert_eq!(claim.day().to_string(), claim.date());
    let now = UNIX_EPOCH + Duration::from_secs(1_735_787_045);
    let Ok(offset) = claim.check_scope("us-east-1", now) else { return };
    assert!(offset.seconds().abs() <= 300);
    let key = SigningKey::derive("a secret that no input can know", claim.day(), claim.region());
    assert_eq!(claim.verify(&head, &key, body, offset).err(), Some(AuthError::WrongSignature));
});
