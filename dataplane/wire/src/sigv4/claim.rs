//! What a request claims about who signed it, and the step from the claim to its proof.

use std::time::SystemTime;

use http::header::{AUTHORIZATION, AsHeaderName, HOST, HeaderMap};

use super::canonical::{self, Request, Stamp};
use super::error::AuthError;
use super::key::SigningKey;
use super::timestamp::{ClockOffset, Day, Moment};
use crate::limits::{ACCESS_KEY_ID_CHARS, MAX_CLOCK_OFFSET_SECONDS, SERVICE};

/// A request's head, as much of it as a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// The method, in upper case.
    pub method: &'r str,
    /// The path as received, which [`crate::path::parse`] accepted.
    pub path: &'r str,
    /// `:authority` of an HTTP/2 request; `None` over HTTP/1.1.
    pub authority: Option<&'r str>,
    /// All headers.
    pub headers: &'r HeaderMap,
}

/// What an `Authorization` header claims: well-formed, and **not verified**.
#[derive(Clone, Debug)]
pub struct Claim<'r> {
    access_key: &'r str,
    /// The whole scope, and its parts.
    scope: &'r str,
    day: Day,
    date: &'r str,
    region: &'r str,
    service: &'r str,
    signed_headers: &'r str,
    signature: [u8; 32],
    /// `X-Amz-Date` as it stood, and what it means.
    stamp: &'r str,
    moment: Moment,
    host: &'r str,
}

/// Proof that `body` came with a good signature of `access_key`. Only [`Claim::verify`] makes one.
#[derive(Clone, Copy)]
pub struct Authenticated<'r> {
    access_key: &'r str,
    body: &'r [u8],
    clock_offset: ClockOffset,
}

/// Reads the claim in a request's head.
///
/// # Errors
/// [`AuthError`] unless there are exactly one `Authorization`, host and `X-Amz-Date`, all are
/// well-formed, host and date are signed, and every signed header is there.
pub fn claim<'r>(head: &Head<'r>) -> Result<Claim<'r>, AuthError> {
    let headers = head.headers;
    let authorization = only(headers, AUTHORIZATION)
        .map_err(|many| match many {
            Count::None => AuthError::NoAuthorization,
            Count::Many => AuthError::ManyAuthorizations,
            Count::NotText => AuthError::MalformedAuthorization,
        })
        .and_then(Parameters::parse)?;
    let host = host(head)?;
    let stamp = only(headers, DATE).map_err(|many| match many {
        Count::None => AuthError::NoDate,
        Count::Many => AuthError::ManyDates,
        Count::NotText => AuthError::MalformedDate,
    })?;
    let moment = Moment::parse(stamp).ok_or(AuthError::MalformedDate)?;

    let (access_key, scope) = authorization.credential.split_once('/').ok_or(AuthError::MalformedScope)?;
    if !is_access_key(access_key) {
        return Err(AuthError::MalformedAccessKey);
    }
    let mut parts = scope.split('/');
    let (Some(date), Some(region), Some(service), Some(TERMINATOR), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::MalformedScope);
    };
    let day = Day::parse(date).ok_or(AuthError::MalformedScope)?;
    check_signed_headers(head, authorization.signed_headers)?;
    Ok(Claim {
        access_key,
        scope,
        day,
        date,
        region,
        service,
        signed_headers: authorization.signed_headers,
        signature: signature(authorization.signature).ok_or(AuthError::MalformedSignature)?,
        stamp,
        moment,
        host,
    })
}

impl<'r> Claim<'r> {
    /// The access key id: 20 to 30 characters of `[A-Z2-7]`.
    #[must_use]
    pub const fn access_key(&self) -> &'r str {
        self.access_key
    }

    /// The scope's day as text, `yyyymmdd`.
    #[must_use]
    pub const fn date(&self) -> &'r str {
        self.date
    }

    /// The scope's day: what [`SigningKey::derive`] wants.
    #[must_use]
    pub const fn day(&self) -> Day {
        self.day
    }

    /// The scope's region, unchecked.
    #[must_use]
    pub const fn region(&self) -> &'r str {
        self.region
    }

    /// The scope's service, unchecked.
    #[must_use]
    pub const fn service(&self) -> &'r str {
        self.service
    }

    /// Checks what the claim says of itself against the key store's region and our clock (XKS,
    /// authentication): service, region, one and the same day, and a date within five minutes either way.
    /// The offset it returns is what [`Self::verify`] asks for, so that neither step is left out.
    ///
    /// # Errors
    /// [`AuthError`] naming the first thing that is off.
    pub fn check_scope(&self, region: &str, now: SystemTime) -> Result<ClockOffset, AuthError> {
        if self.service != SERVICE {
            return Err(AuthError::WrongService);
        }
        if self.region != region {
            return Err(AuthError::WrongRegion);
        }
        if self.day != self.moment.day {
            return Err(AuthError::WrongDay);
        }
        let offset = ClockOffset::between(now, self.moment);
        if offset.seconds().unsigned_abs() <= MAX_CLOCK_OFFSET_SECONDS {
            Ok(offset)
        } else if offset.seconds() > 0 {
            Err(AuthError::TooOld)
        } else {
            Err(AuthError::TooNew)
        }
    }

    /// Checks the signature over `head` (the one that the claim was read from) and `body`.
    ///
    /// # Errors
    /// [`AuthError::WrongSignature`].
    pub fn verify(
        self,
        head: &Head<'_>,
        key: &SigningKey,
        body: &'r [u8],
        clock_offset: ClockOffset,
    ) -> Result<Authenticated<'r>, AuthError> {
        let request = Request {
            method: head.method,
            path: head.path,
            host: self.host,
            headers: head.headers,
            signed_headers: self.signed_headers,
            body,
        };
        let stamp = Stamp { date: self.stamp, scope: self.scope };
        if !request.is_signed(&stamp, key.hmac(), &self.signature) {
            return Err(AuthError::WrongSignature);
        }
        Ok(Authenticated { access_key: self.access_key, body, clock_offset })
    }
}

impl<'r> Authenticated<'r> {
    /// The body that was signed.
    #[must_use]
    pub const fn body(&self) -> &'r [u8] {
        self.body
    }

    /// The access key id that signed.
    #[must_use]
    pub const fn access_key(&self) -> &'r str {
        self.access_key
    }

    /// How far our clock was ahead of the request's date.
    #[must_use]
    pub const fn clock_offset(&self) -> ClockOffset {
        self.clock_offset
    }
}

/// The body may hold a plaintext, so it is left out.
impl std::fmt::Debug for Authenticated<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticated")
            .field("access_key", &self.access_key)
            .field("clock_offset", &self.clock_offset)
            .finish_non_exhaustive()
    }
}

/// `Authorization` after the algorithm's name, each parameter once.
struct Parameters<'r> {
    credential: &'r str,
    signed_headers: &'r str,
    signature: &'r str,
}

impl<'r> Parameters<'r> {
    fn parse(header: &'r str) -> Result<Self, AuthError> {
        let (algorithm, rest) = header.split_once(' ').ok_or(AuthError::WrongAlgorithm)?;
        if algorithm != ALGORITHM {
            return Err(AuthError::WrongAlgorithm);
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for parameter in rest.split(',') {
            let (name, value) = parameter.trim_matches(' ').split_once('=').ok_or(AuthError::MalformedAuthorization)?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(AuthError::MalformedAuthorization),
            };
            if slot.replace(value).is_some() {
                return Err(AuthError::MalformedAuthorization);
            }
        }
        match (credential, signed_headers, signature) {
            (Some(credential), Some(signed_headers), Some(signature)) => Ok(Self { credential, signed_headers, signature }),
            (None, _, _) | (_, None, _) | (_, _, None) => Err(AuthError::MalformedAuthorization),
        }
    }
}

/// Why there is not exactly one readable header of a name.
enum Count {
    None,
    Many,
    NotText,
}

fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<&str, Count> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Count::None),
        (Some(value), None) => value.to_str().map_err(|_| Count::NotText),
        (Some(_), Some(_)) => Err(Count::Many),
    }
}

/// The canonical host: `:authority` over HTTP/2, where a `Host` header beside it must be equal.
fn host<'r>(head: &Head<'r>) -> Result<&'r str, AuthError> {
    match (only(head.headers, HOST), head.authority) {
        (Ok(host), None) => Ok(host),
        (Err(Count::None), Some(authority)) => Ok(authority),
        (Ok(host), Some(authority)) if host == authority => Ok(authority),
        (Ok(_), Some(_)) => Err(AuthError::HostMismatch),
        (Err(Count::NotText), _) => Err(AuthError::MalformedHost),
        (Err(Count::None), None) => Err(AuthError::NoHost),
        (Err(Count::Many), _) => Err(AuthError::ManyHosts),
    }
}

fn is_access_key(text: &str) -> bool {
    ACCESS_KEY_ID_CHARS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
}

/// Ascending order is the canonical one; it also rules out a name listed twice.
fn check_signed_headers(head: &Head<'_>, list: &str) -> Result<(), AuthError> {
    let (mut host, mut date) = (false, false);
    let mut last = "";
    for name in list.split(';') {
        if name <= last {
            return Err(AuthError::MalformedSignedHeaders);
        }
        last = name;
        match name {
            canonical::HOST => host = true,
            canonical::AUTHORITY if head.authority.is_some() => host = true,
            _ if !name.bytes().all(is_name_byte) => {
                return Err(AuthError::MalformedSignedHeaders);
            }
            _ if !head.headers.contains_key(name) => {
                return Err(AuthError::SignedHeaderMissing);
            }
            DATE => date = true,
            _ => {}
        }
    }
    match (host, date) {
        (true, true) => Ok(()),
        (false, _) => Err(AuthError::HostNotSigned),
        (true, false) => Err(AuthError::DateNotSigned),
    }
}

/// A `tchar` of RFC 9110 §5.6.2 that is not upper-case.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || is_name_mark(byte)
}

const fn is_name_mark(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Exactly 64 lower-case hexadecimal digits.
fn signature(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut out = [0; 32];
    for (byte, two) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(two[0])? << 4 | nibble(two[1])?;
    }
    Some(out)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const DATE: &str = "x-amz-date";
