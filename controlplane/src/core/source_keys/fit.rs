//! Which keys may serve external key stores, as pure functions of what a data plane tells of them.
//!
//! Two rules: [`lacks`], of the API's contract (its §7.2), for keys that were made for this; and [`fit`], for keys that are taken over from
//! another proxy. A key that is taken over has attributes that nobody can change, under which customers' data is encrypted, so only what
//! it needs to serve at all is asked of it: without wrapping and unwrapping it serves as well, and one that is extractable is taken with a
//! warning.

use holdfast_proto::records::{KeyUsage, SourceKey};

use super::usage;
use crate::{
    publish::KeyAttributes,
    store::entry::{KeyProgress, SourceKeyEntry},
};

/// All that keeps a key from checking the health of a key store or from backing a HYOK key; nothing: it will do.
pub(super) fn lacks(entry: &SourceKeyEntry, told: &KeyAttributes) -> Vec<String> {
    let mut lacks = Vec::new();
    match &entry.progress {
        KeyProgress::Ready => {}
        KeyProgress::Making => lacks.push("it is not made yet".into()),
        KeyProgress::Failed(why) => lacks.push(format!("it was not made: {why}")),
    }
    if entry.made_for.is_some() {
        lacks.push("it was made for one HYOK key alone".into());
    }
    if let Some(other) = other_than_aes_256(told) {
        lacks.push(other);
    }
    match &entry.key {
        SourceKey::Local(_) => {
            if !told.unexportable {
                lacks.push("it must be unexportable".into());
            }
            if !entry.undeletable {
                lacks.push("it must be undeletable".into());
            }
            let missing = usage::lacking(entry.usage_mask);
            if !missing.is_empty() {
                let (mask, all) = (entry.usage_mask, usage::FOR_XKS);
                lacks.push(format!("its usageMask, {mask}, must have the bits of {all}; it lacks {}", missing.join(", ")));
            }
        }
        SourceKey::Partition(_) => {
            for (name, wanted) in FLAGS {
                match told.token.iter().find(|(known, _)| known == name) {
                    Some((_, set)) if *set == wanted => {}
                    Some((_, set)) => lacks.push(format!("its {name} is {set} and must be {wanted}")),
                    None => lacks.push(format!("its token does not tell {name}, which must be {wanted}")),
                }
            }
            // Made on its token, by CKM_AES_KEY_GEN then; where the token tells.
            if told.token.iter().any(|(name, set)| name == "CKA_LOCAL" && !set) {
                lacks.push("it was not generated on its token (CKA_LOCAL is false)".into());
            }
        }
    }
    lacks
}

/// What keeps a key that is taken over from being a source key (design §1).
pub(super) fn fit(key: &KeyAttributes) -> Result<(), String> {
    if let Some(other) = other_than_aes_256(key) {
        return Err(other);
    }
    if key.usage != KeyUsage::BOTH {
        let KeyUsage { encrypt, decrypt } = key.usage;
        return Err(format!("it must be allowed to encrypt and to decrypt; CKA_ENCRYPT is {encrypt}, CKA_DECRYPT {decrypt}"));
    }
    Ok(())
}

fn other_than_aes_256(key: &KeyAttributes) -> Option<String> {
    let KeyAttributes { algorithm, bits, .. } = key;
    (algorithm != "AES" || *bits != 256).then(|| format!("it is {algorithm} with {bits} bits and must be AES with 256"))
}

/// Of a key on a partition.
const FLAGS: [(&str, bool); 6] = [
    ("CKA_EXTRACTABLE", false),
    ("CKA_SENSITIVE", true),
    ("CKA_ENCRYPT", true),
    ("CKA_DECRYPT", true),
    ("CKA_WRAP", true),
    ("CKA_UNWRAP", true),
];

#[cfg(test)]
mod tests {
    use holdfast_proto::{
        kinds::KeyKind,
        records::{LocalBlob, PartitionKey},
    };
    use uuid::Uuid;

    use super::*;
    use crate::store::entry::Stamps;

    fn told() -> KeyAttributes {
        let token = FLAGS.map(|(name, set)| (name.to_owned(), set)).into();
        KeyAttributes { algorithm: "AES".into(), bits: 256, usage: KeyUsage::BOTH, unexportable: true, curve: String::new(), token }
    }

    fn entry(key: SourceKey) -> SourceKeyEntry {
        SourceKeyEntry::new(Uuid::nil(), "key".into(), key, Stamps::default())
    }

    fn local() -> SourceKeyEntry {
        let (kind, usage) = (KeyKind::Aes256, KeyUsage::BOTH);
        entry(SourceKey::Local(LocalBlob { id: Uuid::nil(), kind, usage, unexportable: true, sealed: Box::default() }))
    }

    fn on_partition() -> SourceKeyEntry {
        entry(SourceKey::Partition(PartitionKey { group: "g".into(), cka_id: Box::default(), label: "l".into() }))
    }

    #[test]
    fn a_local_key_must_be_aes_256_unexportable_undeletable_and_allowed_all_four() {
        assert_eq!(lacks(&local(), &told()), [""; 0]);
        let cases = [
            (local(), KeyAttributes { bits: 128, ..told() }, "AES with 128 bits"),
            (local(), KeyAttributes { algorithm: "RSA".into(), ..told() }, "RSA with 256 bits"),
            (local(), KeyAttributes { unexportable: false, ..told() }, "unexportable"),
            (SourceKeyEntry { undeletable: false, ..local() }, told(), "undeletable"),
            (SourceKeyEntry { usage_mask: 12, ..local() }, told(), "lacks Wrap, Unwrap"),
            (SourceKeyEntry { made_for: Some(Uuid::nil()), ..local() }, told(), "one HYOK key alone"),
            (SourceKeyEntry { progress: KeyProgress::Making, ..local() }, told(), "not made yet"),
        ];
        for (entry, told, words) in cases {
            let lacks = lacks(&entry, &told);
            assert!(lacks.len() == 1 && lacks[0].contains(words), "{lacks:?}");
        }
        let nothing = SourceKeyEntry { undeletable: false, usage_mask: 0, ..local() };
        assert_eq!(lacks(&nothing, &KeyAttributes { bits: 128, unexportable: false, ..told() }).len(), 4);
    }

    #[test]
    fn a_key_on_a_partition_must_have_each_attribute_as_told_by_its_token() {
        assert_eq!(lacks(&on_partition(), &told()), [""; 0]);
        for (at, (name, _)) in FLAGS.into_iter().enumerate() {
            let mut bent = told();
            bent.token[at].1 = !bent.token[at].1;
            let of_bent = lacks(&on_partition(), &bent);
            bent.token.remove(at);
            let of_silent = lacks(&on_partition(), &bent);
            for lacks in [of_bent, of_silent] {
                assert!(lacks.len() == 1 && lacks[0].contains(name), "{lacks:?}");
            }
        }
        for (local, lacking) in [(true, 0), (false, 1)] {
            let mut made = told();
            made.token.push(("CKA_LOCAL".into(), local));
            assert_eq!(lacks(&on_partition(), &made).len(), lacking);
        }
    }

    #[test]
    fn a_key_that_is_taken_over_must_be_aes_256_that_encrypts_and_decrypts() {
        let bare = KeyAttributes { unexportable: false, token: Vec::new(), ..told() };
        assert_eq!(fit(&bare), Ok(()));
        let table = [
            KeyAttributes { algorithm: "DES3".into(), ..bare.clone() },
            KeyAttributes { bits: 128, ..bare.clone() },
            KeyAttributes { usage: KeyUsage { encrypt: true, decrypt: false }, ..bare.clone() },
            KeyAttributes { usage: KeyUsage { encrypt: false, decrypt: true }, ..bare },
        ];
        for bad in table {
            fit(&bad).unwrap_err();
        }
    }
}
