//! Requests and their SigV4 signatures.
//!
//! Owns: `Draft`, everything that goes into a signature, each part settable so that a case can get exactly
//! one wrong; and `Signed`, the bytes that go out, which a case may then change behind the signature's back.
//! Holds: signatures come from the `aws-sigv4` crate. `by_hand` exists only for what that crate refuses to
//! express (another day in the scope than in the date, another terminator, `:authority` in the list); its
//! derivation and HMAC are the crate's too, and a test shows that both ways agree.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;

use crate::answer::{Stop, Verdict};
use crate::arithmetic::{hex, sha256};

/// A request before it is signed.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) at: SystemTime,
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) region: String,
    pub(crate) service: String,
    /// Signed headers besides `host` and `x-amz-date`.
    pub(crate) headers: Vec<(String, String)>,
    /// Names that the signature leaves out.
    pub(crate) unsigned: Vec<&'static str>,
    /// Whether the signature covers the body's hash, or the words `UNSIGNED-PAYLOAD`.
    pub(crate) payload: Payload,
    pub(crate) body: Vec<u8>,
}

/// What of the body is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Hashed,
    Unsigned,
}

/// A request as it goes out.
#[derive(Clone)]
pub(crate) struct Signed {
    pub(crate) method: String,
    pub(crate) path: String,
    /// What `:authority` says over HTTP/2; the `host` header stands among `headers`.
    pub(crate) authority: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The credential scope of a signature made by hand.
pub(crate) struct Scope<'s> {
    pub(crate) day: SystemTime,
    pub(crate) terminator: &'s str,
    /// `host` or `:authority`.
    pub(crate) host_name: &'s str,
}

impl Draft {
    /// Signs with `aws-sigv4`.
    pub(crate) fn sign(&self) -> Verdict<Signed> {
        let identity: Identity = Credentials::new(self.access_key_id.as_str(), self.secret.as_str(), None, None, "conformance").into();
        let mut settings = SigningSettings::default();
        // XKS paths need no encoding, and what is signed must be the path as it is sent.
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.excluded_headers.get_or_insert_default().extend(self.unsigned.iter().map(|&name| name.into()));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.at)
            .settings(settings)
            .build()
            .map_err(unsignable)?
            .into();
        let body = match self.payload {
            Payload::Hashed => SignableBody::Bytes(&self.body),
            Payload::Unsigned => SignableBody::UnsignedPayload,
        };
        let pairs = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let host = ("host", self.host.as_str());
        let request =
            SignableRequest::new(&self.method, format!("https://{}{}", self.host, self.path), std::iter::once(host).chain(pairs), body)
                .map_err(unsignable)?;
        let output = aws_sigv4::http_request::sign(request, &params).map_err(unsignable)?;
        let instructions = output.output().headers();
        let made = instructions.map(|(n, v)| (n.to_owned(), v.to_owned()));
        Ok(self.with_headers(made.collect()))
    }

    /// No signature at all.
    pub(crate) fn unsigned(&self) -> Signed {
        self.with_headers(vec![("x-amz-date".into(), stamp(self.at))])
    }

    /// Signs as the specification of SigV4 says, with a scope that may not fit the rest.
    pub(crate) fn by_hand(&self, scope: &Scope<'_>) -> Signed {
        let date = stamp(self.at);
        let mut covered: Vec<(&str, &str)> = vec![(scope.host_name, self.host.as_str()), ("x-amz-date", date.as_str())];
        covered.extend(self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        covered.sort_unstable();
        let names: Vec<_> = covered.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String = covered.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{}", self.method, self.path, hex(&sha256(&[&self.body])));
        let Scope { day, terminator, .. } = scope;
        let day_text = &stamp(*day)[..8];
        let scope = format!("{day_text}/{}/{}/{terminator}", self.region, self.service);
        let hash = hex(&sha256(&[canonical.as_bytes()]));
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let key = v4::generate_signing_key(&self.secret, *day, &self.region, &self.service);
        let signature = v4::calculate_signature(key, to_sign.as_bytes());
        let credential = format!("{}/{scope}", self.access_key_id);
        let authorization = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        self.with_headers(vec![("x-amz-date".into(), date), ("authorization".into(), authorization)])
    }

    fn with_headers(&self, made: Vec<(String, String)>) -> Signed {
        let mut headers = vec![("host".to_owned(), self.host.clone())];
        headers.extend(self.headers.iter().cloned());
        headers.extend(made);
        Signed { method: self.method.clone(), path: self.path.clone(), authority: self.host.clone(), headers, body: self.body.clone() }
    }
}

impl Signed {
    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value)
    }

    /// Puts `value` in the place of the header's own.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.headers.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.headers.push((name.to_owned(), value)),
        }
    }

    /// Takes a header away.
    pub(crate) fn remove(&mut self, name: &str) {
        self.headers.retain(|(n, _)| n != name);
    }

    /// Adds a header, whether one of its name is there or not.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// Changes `Authorization` as text.
    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&str) -> String) {
        let changed = change(self.header("authorization"));
        self.set("authorization", changed);
    }

    /// The head of an HTTP/1.1 request, up to and with the empty line; `framing` is its last header lines.
    pub(crate) fn head(&self, framing: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str(framing);
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The whole HTTP/1.1 request, with `Content-Length`.
    pub(crate) fn http1(&self) -> Vec<u8> {
        let mut bytes = self.head(&self.length());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The `Content-Length` line of this body.
    pub(crate) fn length(&self) -> String {
        format!("content-length: {}\r\n", self.body.len())
    }

    /// The body in chunks of `size` bytes, with the last chunk.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in self.body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}

/// `yyyymmddThhmmssZ`.
pub(crate) fn stamp(at: SystemTime) -> String {
    let at = time::OffsetDateTime::from(at);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second())
}

fn unsignable(error: impl std::fmt::Display) -> Stop {
    Stop::wrong("a request that can be signed", error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn by_hand_and_aws_sigv4_agree() {
        let at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let draft = Draft {
            method: "POST".into(),
            path: "/demo/kms/xks/v1/health".into(),
            host: "localhost:8443".into(),
            at,
            access_key_id: "ABCDEFGHIJKLMNOPQRST".into(),
            secret: "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq".into(),
            region: "us-east-1".into(),
            service: "kms-xks-proxy".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            unsigned: Vec::new(),
            payload: Payload::Hashed,
            body: b"{}".to_vec(),
        };
        let scope = Scope { day: at, terminator: "aws4_request", host_name: "host" };
        let crates = draft.sign().unwrap();
        let by_hand = draft.by_hand(&scope);
        assert!(!crates.header("authorization").is_empty());
        for name in ["authorization", "x-amz-date", "host"] {
            assert_eq!(crates.header(name), by_hand.header(name));
        }
    }

    #[test]
    fn stamps_are_basic_iso_8601() {
        assert_eq!(stamp(UNIX_EPOCH), "19700101T000000Z");
    }
}
