//! Key seals that are themselves encrypted, under a key of a partition group: who has the file alone has nothing.
//!
//! The file is text: the line `holdfast key seal on a partition 1`, then `group NAME`, `label CKA_LABEL` and, in hexadecimal, `iv`, `tag`
//! and `ciphertext` of the seal file that it stands for, AES-256-GCM. Holds: what group and label the file is for is bound into it, so
//! that it opens under no other name.

use std::{sync::Arc, time::Instant};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use holdfast_keys::{
    KeyFault, TAG_LENGTH,
    pkcs11::{GroupKey, Groups, ToDecrypt, ToEncrypt},
};
use holdfast_proto::{
    records::PartitionKey,
    seal::{BadSealText, Seal},
};
use zeroize::Zeroizing;

/// The key that encrypts a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingKey {
    /// Its group of partitions.
    pub group: String,
    /// Its `CKA_LABEL`.
    pub label: String,
}

/// A seal file whose seal is encrypted under a key of a partition group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealOnPartition {
    key: SealingKey,
    iv: Vec<u8>,
    tag: [u8; TAG_LENGTH],
    ciphertext: Vec<u8>,
}

/// The text holds no seal on a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a seal file: expected the lines `{HEADER}`, `group`, `label`, `iv`, `tag` and `ciphertext`")]
pub struct BadSealOnPartition;

/// Why a seal was not encrypted under a key of a partition group, or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealOnPartitionError {
    /// No partition of the group is configured.
    #[error("this host has no partition of the group")]
    NoPartition,
    /// A name that a line can't hold.
    #[error("the name of a group or key that holds a seal must be one line")]
    Name,
    /// The key did not do it.
    #[error("no partition of the group did it")]
    Key(#[source] KeyFault),
    /// It opened, but not on a seal.
    #[error("it opened on something else")]
    Text(#[source] BadSealText),
}

/// Encrypts a seal under a key of a partition group.
///
/// # Errors
/// [`SealOnPartitionError`].
pub async fn seal_on_partition(
    groups: &Groups,
    key: SealingKey,
    seal: &Seal,
    deadline: Instant,
) -> Result<SealOnPartition, SealOnPartitionError> {
    if [&key.group, &key.label].into_iter().any(|name| name.is_empty() || name.contains(char::is_control)) {
        return Err(SealOnPartitionError::Name);
    }
    let plaintext = Zeroizing::new(seal.to_text().as_bytes().to_vec());
    let to_encrypt = ToEncrypt { aad: key.bound(), plaintext, integrity: None };
    let sealed = key.find(groups)?.encrypt(to_encrypt, deadline).await.map_err(SealOnPartitionError::Key)?.sealed;
    Ok(SealOnPartition { key, iv: sealed.iv.to_vec(), tag: sealed.tag, ciphertext: sealed.ciphertext })
}

impl SealOnPartition {
    /// The key that it is encrypted under.
    #[must_use]
    pub const fn key(&self) -> &SealingKey {
        &self.key
    }

    /// Reads what [`SealOnPartition::to_text`] wrote.
    ///
    /// # Errors
    /// [`BadSealOnPartition`] where the text has another form.
    pub fn from_text(text: &str) -> Result<Self, BadSealOnPartition> {
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(BadSealOnPartition);
        }
        let mut field = |name: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
            value.filter(|value| !value.is_empty()).ok_or(BadSealOnPartition)
        };
        let key = SealingKey { group: field("group")?.into(), label: field("label")?.into() };
        let (iv, tag, ciphertext) = (unhex(field("iv")?)?, unhex(field("tag")?)?, unhex(field("ciphertext")?)?);
        let tag = tag.try_into().map_err(|_| BadSealOnPartition)?;
        if lines.next().is_some() {
            return Err(BadSealOnPartition);
        }
        Ok(Self { key, iv, tag, ciphertext })
    }

    /// The text of the file. No secret: it opens only where the partition is.
    #[must_use]
    pub fn to_text(&self) -> String {
        let SealingKey { group, label } = &self.key;
        let [iv, tag, ciphertext] = [&self.iv[..], &self.tag, &self.ciphertext].map(|bytes| HEXLOWER.encode(bytes));
        format!("{HEADER}\ngroup {group}\nlabel {label}\niv {iv}\ntag {tag}\nciphertext {ciphertext}\n")
    }

    /// Decrypts the seal.
    ///
    /// # Errors
    /// [`SealOnPartitionError`].
    pub async fn open(&self, groups: &Groups, deadline: Instant) -> Result<Seal, SealOnPartitionError> {
        let Self { key, iv, tag, ciphertext } = self.clone();
        let to_decrypt = ToDecrypt { iv, aad: key.bound(), ciphertext, tag };
        let opened = key.find(groups)?.decrypt(to_decrypt, deadline).await.map_err(SealOnPartitionError::Key)?;
        let text = std::str::from_utf8(&opened).map_err(|_| SealOnPartitionError::Text(BadSealText))?;
        Seal::from_text(text).map_err(SealOnPartitionError::Text)
    }
}

impl SealingKey {
    fn find(&self, groups: &Groups) -> Result<Arc<GroupKey>, SealOnPartitionError> {
        let group = groups.group(&self.group).ok_or(SealOnPartitionError::NoPartition)?;
        Ok(group.key(&PartitionKey { group: self.group.clone(), cka_id: Box::default(), label: self.label.clone() }))
    }

    /// What the ciphertext is bound to. Changing this loses every seal on a partition.
    fn bound(&self) -> Vec<u8> {
        // Names have no control characters, so that two of them can't run into one another.
        [HEADER.as_bytes(), b"\0", self.group.as_bytes(), b"\0", self.label.as_bytes()].concat()
    }
}

fn unhex(digits: &str) -> Result<Vec<u8>, BadSealOnPartition> {
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| BadSealOnPartition)
}

const HEADER: &str = "holdfast key seal on a partition 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> SealOnPartition {
        let key = SealingKey { group: "the group".into(), label: "a label ".into() };
        SealOnPartition { key, iv: vec![1; 12], tag: [0xa5; 16], ciphertext: vec![7, 8, 9] }
    }

    #[test]
    fn a_seal_files_text_comes_back_as_it_was() {
        assert_eq!(SealOnPartition::from_text(&sealed().to_text()), Ok(sealed()));
    }

    #[test]
    fn any_other_text_is_refused() {
        let text = sealed().to_text();
        for (part, instead) in [
            ("partition 1", "partition 2"),
            ("group the group\n", ""),
            ("label a label ", "label "),
            ("label ", "Label "),
            ("iv 01", "iv 0"),
            ("iv 01", "iv +1"),
            ("iv 01", "iv é"),
            ("tag a5", "tag "),
            ("ciphertext 070809\n", "ciphertext \n"),
            ("ciphertext 070809\n", "ciphertext 070809\nmore\n"),
        ] {
            let altered = text.replace(part, instead);
            assert_ne!(altered, text);
            assert_eq!(SealOnPartition::from_text(&altered), Err(BadSealOnPartition), "{altered}");
        }
        assert_eq!(SealOnPartition::from_text(""), Err(BadSealOnPartition));
    }

    #[test]
    fn group_and_label_are_bound_apart() {
        let bound = |group: &str, label: &str| SealingKey { group: group.into(), label: label.into() }.bound();
        assert_ne!(bound("a", "bc"), bound("ab", "c"));
    }
}
