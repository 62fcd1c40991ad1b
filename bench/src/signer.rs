//! SigV4 for the service `kms-xks-proxy`, cheap enough to sign every request of a load run afresh.
//!
//! The cryptography is `aws-sigv4`'s; the canonical request is written here, because a load generator that
//! shares the machine with the server cannot afford the general one. A test holds it against `aws-sigv4`'s own.
//! Holds: the signing key belongs to the day of the request it signs.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use time::OffsetDateTime;

use crate::target::{Credential, Target};

/// The headers that are signed, as AWS KMS does it.
const SIGNED_HEADERS: &str = "content-type;host;x-amz-date";
/// The content type of every request, which is signed too.
pub const CONTENT_TYPE: &str = "application/json";
const SERVICE: &str = "kms-xks-proxy";

/// Signs requests to one target.
#[derive(Debug)]
pub struct Signer {
    credential: Credential,
    authority: String,
    day: Day,
    /// The second that `stamp` says, so that it is written once a second only.
    second: u64,
    stamp: String,
    canonical: Vec<u8>,
    to_sign: String,
    authorization: String,
}

/// What a request's two signature headers must say.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'s> {
    /// `X-Amz-Date`: `yyyymmddThhmmssZ`.
    pub date: &'s str,
    /// `Authorization`.
    pub authorization: &'s str,
}

impl Signer {
    /// A signer with the target's credential, region and host.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self::for_host(target.authority(), target.credential().clone())
    }

    /// A signer for requests whose `Host` header says `authority`.
    #[must_use]
    pub fn for_host(authority: String, credential: Credential) -> Self {
        Self {
            credential,
            authority,
            day: Day::default(),
            second: u64::MAX,
            stamp: String::new(),
            canonical: Vec::new(),
            to_sign: String::new(),
            authorization: String::new(),
        }
    }

    /// Signs one POST of `body` to `path` as of `now`. The path must need no escaping, as no XKS path does.
    pub fn sign(&mut self, path: &str, body: &[u8], now: SystemTime) -> Signed<'_> {
        self.turn_to(now);
        self.write_canonical(path, body);
        self.to_sign.clear();
        let scope = &self.day.scope;
        let _ = write!(self.to_sign, "AWS4-HMAC-SHA256\n{}\n{scope}\n", self.stamp);
        push_hex(&mut self.to_sign, digest(&SHA256, &self.canonical).as_ref());
        let signature = calculate_signature(&self.day.key, self.to_sign.as_bytes());
        self.authorization.clear();
        let _ = write!(
            self.authorization,
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}",
            self.credential.access_key_id
        );
        Signed { date: &self.stamp, authorization: &self.authorization }
    }

    /// Brings the date, and on a new day the signing key, up to `now`.
    fn turn_to(&mut self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        if second == self.second {
            return;
        }
        self.second = second;
        let at = OffsetDateTime::from(now);
        self.stamp.clear();
        let _ = write!(
            self.stamp,
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        let date = self.stamp.get(..8).unwrap_or_default();
        if !self.day.scope.starts_with(date) {
            let Credential { secret, region, .. } = &self.credential;
            self.day = Day {
                scope: format!("{date}/{region}/{SERVICE}/aws4_request"),
                key: generate_signing_key(secret, now, region, SERVICE).as_ref().to_vec(),
            };
        }
    }

    /// The canonical request: no query, three headers, the body's hash.
    fn write_canonical(&mut self, path: &str, body: &[u8]) {
        self.canonical.clear();
        for part in [
            "POST\n",
            path,
            "\n\ncontent-type:",
            CONTENT_TYPE,
            "\nhost:",
            &self.authority,
            "\nx-amz-date:",
            &self.stamp,
            "\n\n",
            SIGNED_HEADERS,
            "\n",
        ] {
            self.canonical.extend_from_slice(part.as_bytes());
        }
        for byte in digest(&SHA256, body).as_ref() {
            self.canonical.extend(hex_pair(*byte));
        }
    }
}

/// The scope and the derived key of one day.
#[derive(Default)]
struct Day {
    scope: String,
    key: Vec<u8>,
}

impl std::fmt::Debug for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Day({})", self.scope)
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        out.extend(hex_pair(*byte).map(char::from));
    }
}

const fn hex_pair(byte: u8) -> [u8; 2] {
    [hex_digit(byte >> 4), hex_digit(byte & 15)]
}

const fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
    };
    use aws_sigv4::sign::v4::SigningParams;

    use super::*;

    fn signer() -> Signer {
        let credential = Credential {
            access_key_id: "AKIA2222333344445555".into(),
            secret: "PLauuk9iFNQNyJBfWbbSbLRXTnSkZZzt8gFwAdJvq2U".into(),
            region: "eu-central-1".into(),
        };
        Signer::for_host("xks.example.com:8443".into(), credential)
    }

    /// `aws-sigv4`'s whole signer over the same request.
    fn theirs(path: &str, body: &[u8], now: SystemTime) -> String {
        let ours = signer();
        let identity = Credentials::new(&ours.credential.access_key_id, &ours.credential.secret, None, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&ours.credential.region)
            .name(SERVICE)
            .time(now)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("https://{}{path}", ours.authority);
        let headers = [("content-type", CONTENT_TYPE)].into_iter();
        let request = SignableRequest::new("POST", &uri, headers, SignableBody::Bytes(body)).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let (headers, _) = instructions.into_parts();
        let found = headers.iter().find(|h| h.name() == "authorization");
        found.unwrap().value().to_owned()
    }

    #[test]
    fn every_signature_agrees_with_the_general_signer() {
        let mut signer = signer();
        let start = UNIX_EPOCH + Duration::from_secs(1_767_225_599);
        // One second later is another day and another year; half an hour later the same day.
        for seconds in [0, 0, 1, 1_800, 86_400 * 60] {
            let now = start + Duration::from_secs(seconds);
            for (path, body) in [("/kms/xks/v1/health", ""), ("/a/b-c/kms/xks/v1/keys/k_1.2/encrypt", "{}")] {
                let ours = signer.sign(path, body.as_bytes(), now).authorization.to_owned();
                assert_eq!(ours, theirs(path, body.as_bytes(), now));
            }
        }
    }

    #[test]
    fn the_date_header_is_the_signed_second() {
        let mut signer = signer();
        let now = UNIX_EPOCH + Duration::from_secs(1_767_225_599);
        assert_eq!(signer.sign("/", b"", now).date, "20251231T235959Z");
    }
}
