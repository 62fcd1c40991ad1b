//! Which request paths exist, and what each names.
//!
//! Owns: the path grammar of XKS 1.0.3. Holds: a [`Route`] was cut from a path that SigV4 leaves as it
//! is (no `%`, no empty or dot segment, no query), so that what is looked up is what was signed.
//! Called first for each request, before authentication.
//!
//! A key id outside its grammar (over 128 characters, or of other characters) makes the path itself
//! wrong, so it answers `InvalidUriPathException` like any other path that can't exist, and needs no
//! authentication for that: nothing about a key store is revealed. `KeyNotFoundException` is for a key
//! id that could exist and, as an authenticated caller is told, does not.

use crate::limits::{MAX_KEY_ID_CHARS, MAX_URI_CHARS, URI_PATH_CHARS};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `GetHealthStatus`.
    Health,
    /// `GetKeyMetadata`.
    Metadata,
    /// `Encrypt`.
    Encrypt,
    /// `Decrypt`.
    Decrypt,
}

impl Operation {
    /// Every operation, for tables and metrics.
    pub const ALL: [Self; 4] = [Self::Health, Self::Metadata, Self::Encrypt, Self::Decrypt];

    /// The operation's name in the XKS specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "GetHealthStatus",
            Self::Metadata => "GetKeyMetadata",
            Self::Encrypt => "Encrypt",
            Self::Decrypt => "Decrypt",
        }
    }
}

/// A path of this API, taken apart. Only [`parse`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route<'r> {
    /// The path up to and including `/kms/xks/v1`: names the key store.
    pub uri_path: &'r str,
    /// What is asked for.
    pub operation: Operation,
    /// The external key id; empty for [`Operation::Health`].
    pub key: &'r str,
}

/// Why a path is not one of this API. All answer `InvalidUriPathException`, 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadPath {
    /// Over 256 characters.
    #[error("the path is over 256 characters")]
    TooLong,
    /// A `?`.
    #[error("the path has a query")]
    Query,
    /// A percent escape, or a byte that no path of this API has.
    #[error("the path has a character that this API does not use")]
    Character,
    /// A `//`, or a `/` at the end.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A `.` or `..` segment.
    #[error("the path has a dot segment")]
    DotSegment,
    /// The part up to `/kms/xks/v1` is absent, too long, or of characters that a prefix can't have.
    #[error("the path has no prefix of this API")]
    Prefix,
    /// The external key id is over 128 characters.
    #[error("the path has an impossible key id")]
    KeyId,
    /// No operation has this path.
    #[error("no operation has this path")]
    Operation,
}

/// Takes a request target apart: the path as it stood in the request line, with its query if any.
///
/// # Errors
/// [`BadPath`] for everything that is not exactly a path of XKS 1.0.3.
pub fn parse(raw_path_and_query: &str) -> Result<Route<'_>, BadPath> {
    let raw = raw_path_and_query;
    if raw.len() > MAX_URI_CHARS {
        return Err(BadPath::TooLong);
    }
    if let Some(odd) = raw.bytes().find(|byte| !is_path_byte(*byte)) {
        return Err(if odd == b'?' { BadPath::Query } else { BadPath::Character });
    }
    let segments = raw.strip_prefix('/').ok_or(BadPath::Prefix)?;
    for segment in segments.split('/') {
        match segment {
            "" => return Err(BadPath::EmptySegment),
            "." | ".." => return Err(BadPath::DotSegment),
            _ => {}
        }
    }

    // From the end: a prefix may itself contain `/kms/xks/v1` or `/keys`, the operation may not.
    let (before, last) = raw.rsplit_once('/').ok_or(BadPath::Operation)?;
    let operation = match last {
        "health" => return route(before, Operation::Health, ""),
        "metadata" => Operation::Metadata,
        "encrypt" => Operation::Encrypt,
        "decrypt" => Operation::Decrypt,
        _ => return Err(BadPath::Operation),
    };
    let (before, key) = before.rsplit_once('/').ok_or(BadPath::Operation)?;
    let uri_path = before.strip_suffix("/keys").ok_or(BadPath::Operation)?;
    if key.len() > MAX_KEY_ID_CHARS {
        return Err(BadPath::KeyId);
    }
    route(uri_path, operation, key)
}

fn route<'r>(uri_path: &'r str, operation: Operation, key: &'r str) -> Result<Route<'r>, BadPath> {
    let shape = uri_path.ends_with(API_ROOT) && URI_PATH_CHARS.contains(&uri_path.len());
    if !shape || uri_path.contains('.') {
        return Err(BadPath::Prefix);
    }
    Ok(Route { uri_path, operation, key })
}

const fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-')
}

/// What every URI path ends with (XKS, URI path prefix).
const API_ROOT: &str = "/kms/xks/v1";
