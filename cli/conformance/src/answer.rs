//! One HTTP answer, and the two judgements that nearly every case ends in.
//!
//! Holds: `ok` and `refused` look at everything the protocol says about an answer (status, content type,
//! body shape, `errorName`, limits of `errorMessage`), so that no case checks less by forgetting.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// How a case ends.
pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// Why a case did not go through.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// The proxy did something else than it must.
    Wrong { expected: String, got: String },
    /// The case can't be asked of this proxy.
    LeftOut(String),
}

impl Stop {
    /// The proxy did `got` where `expected` was due.
    pub(crate) fn wrong(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Wrong { expected: expected.into(), got: got.into() }
    }

    /// Says which of a case's several steps it was.
    pub(crate) fn at(self, step: &str) -> Self {
        match self {
            Self::Wrong { expected, got } => Self::Wrong { expected: format!("{step}: {expected}"), got },
            Self::LeftOut(reason) => Self::LeftOut(reason),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong { expected, got } => write!(f, "expected {expected}, got {got}"),
            Self::LeftOut(reason) => f.write_str(reason),
        }
    }
}

/// Fails with `expected` against `got` unless `holds`.
pub(crate) fn ensure(holds: bool, expected: &str, got: impl fmt::Display) -> Verdict {
    if holds { Ok(()) } else { Err(Stop::wrong(expected, got.to_string())) }
}

/// An answer of the proxy, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// From the start of sending to the end of the answer.
    pub(crate) elapsed: Duration,
}

impl Answer {
    /// The first header of that (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Expects 200 with a JSON object; the object.
    pub(crate) fn ok(&self) -> Verdict<Map<String, Value>> {
        ensure(self.status == 200, "200", self)?;
        self.object()
    }

    /// Expects this refusal, in the form that the protocol gives refusals.
    pub(crate) fn refused(&self, refusal: Refusal) -> Verdict {
        self.refused_as(&[refusal])
    }

    /// Expects one of several refusals that the protocol allows.
    pub(crate) fn refused_as(&self, allowed: &[Refusal]) -> Verdict {
        let wanted: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        let wanted = wanted.join(" or ");
        if !allowed.iter().any(|r| r.wire().0 == self.status) {
            return Err(Stop::wrong(wanted, self.to_string()));
        }
        let name = self.error_shape()?;
        let named = |r: &Refusal| r.wire() == (self.status, name.as_str());
        ensure(allowed.iter().any(named), &wanted, self)
    }

    /// The body of an error: its `errorName`, once the shape is right.
    fn error_shape(&self) -> Verdict<String> {
        let body = self.object()?;
        match body.get("errorMessage") {
            None => {}
            Some(Value::String(message)) => ensure(
                message.len() < MESSAGE_LIMIT && message.bytes().all(|b| (0x20..=0x7e).contains(&b)),
                "an errorMessage under 512 characters of printable ASCII",
                format_args!("{} bytes: {}", message.len(), clip(message)),
            )?,
            Some(other) => return Err(Stop::wrong("errorMessage a string", other.to_string())),
        }
        match body.get("errorName") {
            Some(Value::String(name)) => Ok(name.clone()),
            _ => Err(Stop::wrong("a body with errorName", self.to_string())),
        }
    }

    fn object(&self) -> Verdict<Map<String, Value>> {
        let kind = self.header("content-type").unwrap_or("none");
        let media = kind.split(';').next().unwrap_or("").trim();
        ensure(media.eq_ignore_ascii_case("application/json"), "content-type application/json", format_args!("{kind} with {self}"))?;
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) | Err(_) => Err(Stop::wrong("a JSON object", self.to_string())),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, clip(&String::from_utf8_lossy(&self.body)))
    }
}

/// The refusals of the protocol that a client can bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Validation,
    InvalidState,
    InvalidCiphertext,
    Authentication,
    KeyNotFound,
    UriPath,
    Unsupported,
}

impl Refusal {
    /// Status and `errorName`.
    pub(crate) const fn wire(self) -> (u16, &'static str) {
        match self {
            Self::Validation => (400, "ValidationException"),
            Self::InvalidState => (400, "InvalidStateException"),
            Self::InvalidCiphertext => (400, "InvalidCiphertextException"),
            Self::Authentication => (401, "AuthenticationFailedException"),
            Self::KeyNotFound => (404, "KeyNotFoundException"),
            Self::UriPath => (404, "InvalidUriPathException"),
            Self::Unsupported => (501, "UnsupportedOperationException"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, name) = self.wire();
        write!(f, "{status} {name}")
    }
}

/// Shortens text for a detail and keeps it on one line.
pub(crate) fn clip(text: &str) -> String {
    let mut short: String = text.chars().take(DETAIL_LIMIT).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    one_line(&short)
}

/// Keeps text on one line.
pub(crate) fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// `errorMessage` has fewer characters than this.
const MESSAGE_LIMIT: usize = 512;
/// How much of a body a detail shows.
const DETAIL_LIMIT: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.as_bytes().to_vec(),
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn a_refusal_must_match_in_status_name_and_shape() {
        let good = answer(400, r#"{"errorName":"ValidationException","errorMessage":"no"}"#);
        assert!(good.refused(Refusal::Validation).is_ok());
        assert!(good.refused(Refusal::InvalidState).is_err());
        assert!(good.ok().is_err());

        let mut untyped = good.clone();
        untyped.headers.clear();
        assert!(untyped.refused(Refusal::Validation).is_err());

        for bad in [
            r#"{"errorName":"ValidationException","errorMessage":"line\nbreak"}"#.to_owned(),
            r#"{"errorName":"ValidationException","errorMessage":5}"#.to_owned(),
            format!(r#"{{"errorName":"ValidationException","errorMessage":"{}"}}"#, "x".repeat(512)),
            r#"{"message":"no"}"#.to_owned(),
            "not found".to_owned(),
        ] {
            assert!(answer(400, &bad).refused(Refusal::Validation).is_err(), "{bad}");
        }
    }
}
