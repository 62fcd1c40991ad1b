//! Names that only the control plane gives out. As in `holdfast_proto::ids`: one maker each, checked once.

use std::{borrow::Borrow, fmt};

use serde::{Deserialize, Serialize};

/// A data plane's name, as it stands in its certificate: 1–63 characters of `[a-z0-9-]`, as a DNS label (RFC 1123 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Box<str>);

/// A person's or tool's name at login: 1–64 characters of `[A-Za-z0-9._@-]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(Box<str>);

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} must have {rule}")]
pub struct BadName {
    what: &'static str,
    rule: &'static str,
}

impl NodeName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for NodeName {
    type Error = BadName;

    fn try_from(raw: &str) -> Result<Self, BadName> {
        let characters = raw.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = raw.starts_with('-') || raw.ends_with('-');
        if raw.is_empty() || raw.len() > 63 || !characters || ends {
            return Err(BadName { what: "a node name", rule: "1 to 63 of a-z, 0-9 and -, without - at either end" });
        }
        Ok(Self(raw.into()))
    }
}

impl TryFrom<&str> for UserName {
    type Error = BadName;

    fn try_from(raw: &str) -> Result<Self, BadName> {
        let characters = raw.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@-".contains(&b));
        if raw.is_empty() || raw.len() > 64 || !characters {
            return Err(BadName { what: "a user name", rule: "1 to 64 of A-Z, a-z, 0-9, '.', '_', '@' and '-'" });
        }
        Ok(Self(raw.into()))
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadName;

    fn try_from(raw: String) -> Result<Self, BadName> {
        Self::try_from(raw.as_str())
    }
}

impl TryFrom<String> for UserName {
    type Error = BadName;

    fn try_from(raw: String) -> Result<Self, BadName> {
        Self::try_from(raw.as_str())
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0.into()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0.into()
    }
}

impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_names_are_dns_labels() {
        for good in ["a", "node-1", "9"] {
            assert_eq!(NodeName::try_from(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(64)] {
            assert!(NodeName::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_names_have_no_odd_characters() {
        assert!(UserName::try_from("admin@example.com").is_ok());
        for bad in ["", "a b", "é", &"a".repeat(65)] {
            assert!(UserName::try_from(bad).is_err(), "{bad}");
        }
    }
}
