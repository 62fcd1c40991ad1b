//! Proofs of keys, and the file that keeps them: `pkcs11/proofs-<group>.json` in the state directory.
//!
//! A proof is a ciphertext of a known text, bound to the group and to the key's name, made by the first member of a group under a key
//! when that was first used. It is kept over restarts, so that the member whose key serves does not depend on who is up first.
//! Without the file, the first member up makes the proof anew.
//!
//! A proof can be wrong: a key was made anew on purpose under an old name. It is replaced when every configured member of the group
//! is up, has failed it, and verifies one that the first member makes now. So to change the material of a key, change it on all
//! members, and reconnect or restart. Where not all can be up, stop the data plane and delete the file.
//!
//! Holds: the file is replaced whole, by a background thread; what is in it is no secret, but who can write it can exclude members.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::{durable, handles::KeyName, job::Proof};

/// The known text of every proof.
pub(crate) const TEXT: &[u8; 32] = b"holdfast: one key, many members\n";

/// The additional authenticated data of a proof: what it is a proof of.
pub(crate) fn bound_to(group: &str, key: &KeyName) -> Vec<u8> {
    let parts = [b"holdfast proof v1".as_slice(), group.as_bytes(), &key.cka_id, key.label.as_bytes()];
    // With its length before each part, no two names give the same bytes.
    let framed = parts.into_iter().flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied()));
    framed.collect()
}

/// The proofs of one group.
pub(super) struct Book {
    path: PathBuf,
    proofs: Mutex<HashMap<KeyName, Proof>>,
    changed: AtomicBool,
}

/// The file.
#[derive(Default, Serialize, Deserialize)]
struct Page {
    proofs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: KeyName,
    proof: Proof,
}

impl Book {
    /// Reads the file. One that can't be used is kept aside, and the book begins empty.
    pub(super) fn open(state_dir: &Path, group: &str) -> Self {
        let path = durable::directory(state_dir).join(format!("proofs-{}.json", file_name(group)));
        let page = read(&path).unwrap_or_else(|cause| {
            let aside = path.with_extension("json.unusable");
            let kept = fs::rename(&path, &aside).is_ok();
            error!(group, path = %path.display(), %cause, kept, "the proofs of keys can't be read; the first members up make them anew");
            Page::default()
        });
        let proofs = page.proofs.into_iter().map(|entry| (entry.key, entry.proof)).collect();
        Self { path, proofs: Mutex::new(proofs), changed: AtomicBool::new(false) }
    }

    /// The proof of a key.
    pub(super) fn proof(&self, key: &KeyName) -> Option<Proof> {
        self.lock().get(key).cloned()
    }

    /// Keeps a proof; [`Book::save`] writes it.
    pub(super) fn keep(&self, key: &KeyName, proof: Proof) {
        self.lock().insert(key.clone(), proof);
        self.changed.store(true, Ordering::Release);
    }

    /// Writes what changed. When the disk does not take it, it is tried again at the next call.
    pub(super) fn save(&self) {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut page = Page { proofs: self.lock().iter().map(|(key, proof)| Entry { key: key.clone(), proof: proof.clone() }).collect() };
        page.proofs.sort_by(|a, b| (&a.key.label, &a.key.cka_id).cmp(&(&b.key.label, &b.key.cka_id)));
        if let Err(cause) = write(&self.path, &page) {
            self.changed.store(true, Ordering::Release);
            warn!(path = %self.path.display(), %cause, "the proofs of keys were not written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyName, Proof>> {
        self.proofs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> io::Result<Page> {
    durable::read(path)?.map_or_else(|| Ok(Page::default()), |bytes| Ok(serde_json::from_slice(&bytes)?))
}

fn write(path: &Path, page: &Page) -> io::Result<()> {
    durable::write(path, &serde_json::to_vec_pretty(page)?)
}

/// A group's name as part of a file name: what is not a letter, a digit, `-` or `_` in hexadecimal.
fn file_name(group: &str) -> String {
    group.bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(byte.into()),
            other => {
                // Writing to a string can't fail.
                let _ = write!(name, "%{other:02x}");
            }
        }
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &[u8], label: &str) -> KeyName {
        KeyName { cka_id: id.into(), label: label.into() }
    }

    fn proof(byte: u8) -> Proof {
        Proof { iv: vec![byte; 12], ciphertext: vec![byte; 32], tag: [byte; 16] }
    }

    #[test]
    fn proofs_are_bound_to_group_and_key() {
        let bound = [
            bound_to("g", &name(b"", "ab")),
            bound_to("g", &name(b"a", "b")),
            bound_to("ga", &name(b"", "b")),
            bound_to("", &name(b"g", "ab")),
        ];
        for (at, one) in bound.iter().enumerate() {
            assert!(bound.iter().skip(at + 1).all(|other| one != other));
        }
    }

    #[test]
    fn proofs_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(dir.path(), "a/b");
        book.keep(&name(&[0, 255], "one"), proof(1));
        book.keep(&name(&[], "two"), proof(2));
        book.keep(&name(&[], "two"), proof(3));
        book.save();
        let again = Book::open(dir.path(), "a/b");
        assert_eq!(again.proof(&name(&[0, 255], "one")), Some(proof(1)));
        assert_eq!(again.proof(&name(&[], "two")), Some(proof(3)));
        assert_eq!(again.proof(&name(&[], "three")), None);
        assert_eq!(Book::open(dir.path(), "a%2fb").proof(&name(&[], "two")), None);
    }

    #[test]
    fn an_unreadable_file_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pkcs11/proofs-g.json");
        fs::create_dir(dir.path().join("pkcs11")).unwrap();
        fs::write(&path, "{\"proofs\": 1}").unwrap();
        let book = Book::open(dir.path(), "g");
        assert_eq!(book.proof(&name(&[], "one")), None);
        assert_eq!(fs::read(dir.path().join("pkcs11/proofs-g.json.unusable")).unwrap(), b"{\"proofs\": 1}");
        book.keep(&name(&[], "one"), proof(1));
        book.save();
        assert_eq!(Book::open(dir.path(), "g").proof(&name(&[], "one")), Some(proof(1)));
    }

    #[test]
    fn what_the_disk_did_not_take_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(&dir.path().join("state"), "g");
        book.keep(&name(&[], "one"), proof(1));
        fs::write(dir.path().join("state"), "in the way").unwrap();
        book.save();
        fs::remove_file(dir.path().join("state")).unwrap();
        book.save();
        assert_eq!(Book::open(&dir.path().join("state"), "g").proof(&name(&[], "one")), Some(proof(1)));
    }
}
