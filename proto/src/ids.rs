//! Names that have been checked: one maker each, so that whoever holds one need not look again.

use std::{borrow::Borrow, fmt};

use uuid::Uuid;

/// A key store's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreId(pub Uuid);

/// A HYOK key's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub Uuid);

/// A credential's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId(pub Uuid);

/// Where a configuration stands: greater is newer. The epoch is milliseconds since 1970 at initialise or restore,
/// so that a restored store's revisions follow those it has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// Milliseconds since 1970 when the store was initialised or restored.
    pub epoch: u64,
    /// Commits since then.
    pub counter: u64,
}

/// Path of a key store up to and including `/kms/xks/v1`: 10–128 characters of
/// `^(/[a-zA-Z0-9/_-]+)?/kms/xks/v1$`, no empty segment (XKS proxy API specification, URI path prefix).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UriPath(Box<str>);

/// The key id that AWS sees: 1–128 characters of `[A-Za-z0-9._-]`, not `.` or `..` (XKS proxy API specification, externalKeyId).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalKeyId(Box<str>);

/// SigV4 access key id: 20–30 characters of `[A-Z2-7]` (XKS proxy API specification, authentication).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessKeyId(Box<str>);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Wrong length.
    #[error("{what} must have {min} to {max} characters, not {got}")]
    Length {
        /// Which name.
        what: &'static str,
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
        /// What came.
        got: usize,
    },
    /// A character that is not allowed.
    #[error("{what} must not contain {character:?}")]
    Character {
        /// Which name.
        what: &'static str,
        /// The first that is not allowed.
        character: char,
    },
    /// Right characters in a wrong form.
    #[error("{what} must {rule}")]
    Form {
        /// Which name.
        what: &'static str,
        /// What it must do.
        rule: &'static str,
    },
}

impl Revision {
    /// The next commit's.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, counter: self.counter.saturating_add(1) }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.counter)
    }
}

impl TryFrom<&str> for UriPath {
    type Error = BadName;

    fn try_from(raw: &str) -> Result<Self, BadName> {
        const WHAT: &str = "the URI path";
        length(WHAT, raw, 10..=128)?;
        let Some(prefix) = raw.strip_suffix("/kms/xks/v1") else {
            return Err(BadName::Form { what: WHAT, rule: "end with /kms/xks/v1" });
        };
        characters(WHAT, raw, |b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))?;
        if !raw.starts_with('/') || raw.contains("//") || prefix == "/" {
            return Err(BadName::Form { what: WHAT, rule: "start with one / and have no empty segment" });
        }
        Ok(Self(raw.into()))
    }
}

impl TryFrom<&str> for ExternalKeyId {
    type Error = BadName;

    fn try_from(raw: &str) -> Result<Self, BadName> {
        const WHAT: &str = "the external key id";
        length(WHAT, raw, 1..=128)?;
        characters(WHAT, raw, |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))?;
        if raw == "." || raw == ".." {
            return Err(BadName::Form { what: WHAT, rule: "not be . or .." });
        }
        Ok(Self(raw.into()))
    }
}

impl TryFrom<&str> for AccessKeyId {
    type Error = BadName;

    fn try_from(raw: &str) -> Result<Self, BadName> {
        const WHAT: &str = "the access key id";
        length(WHAT, raw, 20..=30)?;
        characters(WHAT, raw, |b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))?;
        Ok(Self(raw.into()))
    }
}

impl UriPath {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ExternalKeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccessKeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UriPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ExternalKeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AccessKeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UriPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ExternalKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn length(what: &'static str, raw: &str, range: std::ops::RangeInclusive<usize>) -> Result<(), BadName> {
    if range.contains(&raw.len()) {
        return Ok(());
    }
    Err(BadName::Length { what, min: *range.start(), max: *range.end(), got: raw.len() })
}

fn characters(what: &'static str, raw: &str, allowed: impl Fn(u8) -> bool) -> Result<(), BadName> {
    match raw.chars().find(|&c| !u8::try_from(c).is_ok_and(&allowed)) {
        None => Ok(()),
        Some(character) => Err(BadName::Character { what, character }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_paths_follow_the_specification() {
        for good in ["/kms/xks/v1", "/a/kms/xks/v1", "/a-b_c/D9/kms/xks/v1"] {
            assert_eq!(UriPath::try_from(good).unwrap().as_str(), good);
        }
        let long = format!("/{}/kms/xks/v1", "a".repeat(117));
        assert!(UriPath::try_from(long.as_str()).is_err());
        for bad in [
            "",
            "/",
            "kms/xks/v1",
            "//kms/xks/v1",
            "/a//b/kms/xks/v1",
            "/a/kms/xks/v1/",
            "/a.b/kms/xks/v1",
            "akms/xks/v1",
            "/é/kms/xks/v1",
            "a/kms/xks/v1",
        ] {
            assert!(UriPath::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn external_key_ids_follow_the_specification() {
        for good in ["a", "A-b_c.9", "..."] {
            assert!(ExternalKeyId::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", &"a".repeat(129)] {
            assert!(ExternalKeyId::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn access_key_ids_are_base32_of_20_to_30() {
        assert!(AccessKeyId::try_from("ABCDEFGHIJKLMNOP2345").is_ok());
        for bad in ["ABCDEFGHIJKLMNOP234", "ABCDEFGHIJKLMNOP2341", "abcdefghijklmnop2345"] {
            assert!(AccessKeyId::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_restored_epoch_is_newer_than_any_counter() {
        let old = Revision { epoch: 1, counter: u64::MAX };
        assert!(Revision { epoch: 2, counter: 0 } > old);
        assert!(old.next() >= old);
    }
}
