//! Keys that are on a partition group already, as they are named by whoever takes them over.

use std::fmt;

use uuid::Uuid;

/// The name of a key that is on a partition group already: not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingKey {
    pub(super) cka_id: Box<[u8]>,
    pub(super) label: String,
}

/// Why a key's name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeyName {
    /// Neither.
    #[error("name a key by its CKA_ID, its label, or both")]
    Empty,
    /// One of them is too long.
    #[error("a CKA_ID or a label has at most {LONGEST_NAME} bytes")]
    Long,
}

impl ExistingKey {
    /// A key by `CKA_ID` and `CKA_LABEL`. Where one is empty, the other alone must name one key.
    ///
    /// # Errors
    /// [`BadKeyName`].
    pub fn new(cka_id: &[u8], label: &str) -> Result<Self, BadKeyName> {
        match (cka_id.len(), label.len()) {
            (0, 0) => Err(BadKeyName::Empty),
            (id, label) if id.max(label) > LONGEST_NAME => Err(BadKeyName::Long),
            _ => Ok(Self { cka_id: cka_id.into(), label: label.into() }),
        }
    }

    /// The id of its entry.
    pub(in crate::core) fn entry_id(&self, group: &str) -> Uuid {
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("holdfast source key {group:?} {self}").as_bytes())
    }
}

/// For people: `"label" (id 00ff)`.
impl fmt::Display for ExistingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (id ", self.label)?;
        self.cka_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Bytes.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_id_its_label_or_both() {
        for (id, label) in [(&b"\x00\xff"[..], ""), (b"", "a"), (b"\x01", "a")] {
            ExistingKey::new(id, label).unwrap();
        }
        assert_eq!(ExistingKey::new(b"", ""), Err(BadKeyName::Empty));
        assert_eq!(ExistingKey::new(&[0; 257], "a"), Err(BadKeyName::Long));
        assert_eq!(ExistingKey::new(&[0], &"a".repeat(257)), Err(BadKeyName::Long));
    }

    #[test]
    fn keys_that_differ_in_group_id_or_label_have_entries_of_their_own() {
        let key = |id: &[u8], label| ExistingKey::new(id, label).unwrap();
        let ids = [
            key(b"\x01", "a").entry_id("g"),
            key(b"\x01", "a").entry_id("h"),
            key(b"\x01", "").entry_id("g"),
            key(b"", "a").entry_id("g"),
            key(b"", "a\" (id 01)").entry_id("g"),
        ];
        let mut distinct = ids.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], key(b"\x01", "a").entry_id("g"));
    }
}
