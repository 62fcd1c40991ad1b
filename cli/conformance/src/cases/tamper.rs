//! What the tag binds: any change to ciphertext, IV, tag, AAD or metadata must end in
//! `InvalidCiphertextException`, and AAD and metadata can't stand in for each other.

use std::sync::Arc;

use crate::answer::{Refusal, Verdict};
use crate::message::{Operation, Plain, Sealed};
use crate::plan::Plan;
use crate::suite::Suite;

/// Changes what Encrypt gave; says why not if this proxy's answers leave nothing to change.
type Change = fn(&mut Sealed) -> Verdict;

pub(crate) fn cases(plan: &mut Plan) {
    for (name, change) in CHANGES {
        let name = format!("decrypt.tampered.{name}");
        plan.case(name, move |suite| refused(suite, change));
    }
    plan.case("decrypt.tampered.metadata.each-byte", each_metadata_byte);
    plan.case("decrypt.tampered.tag.each-byte", each_tag_byte);
    plan.case("decrypt.tampered.then-good-again", then_good);
}

fn plain() -> Plain {
    Plain::new(b"a plaintext of 26 bytes...").with_aad(b"nile=8")
}

async fn refused(suite: Arc<Suite>, change: Change) -> Verdict {
    let mut sealed = suite.encrypt(plain()).await?;
    change(&mut sealed)?;
    not_opened(&suite, &sealed).await
}

async fn not_opened(suite: &Suite, sealed: &Sealed) -> Verdict {
    let answer = suite.call(Operation::Decrypt, &sealed.request()).await?;
    answer.refused(Refusal::InvalidCiphertext)
}

async fn each_metadata_byte(suite: Arc<Suite>) -> Verdict {
    let sealed = suite.encrypt(plain()).await?;
    let metadata = sealed.metadata()?.to_vec();
    for at in 0..metadata.len() {
        let mut changed = sealed.clone();
        let mut bytes = metadata.clone();
        flip(&mut bytes, at);
        changed.metadata = Some(bytes);
        let refused = not_opened(&suite, &changed).await;
        refused.map_err(|stop| stop.at(&format!("byte {at}")))?;
    }
    Ok(())
}

async fn each_tag_byte(suite: Arc<Suite>) -> Verdict {
    let sealed = suite.encrypt(plain()).await?;
    for at in 0..sealed.tag.len() {
        let mut changed = sealed.clone();
        flip(&mut changed.tag, at);
        let refused = not_opened(&suite, &changed).await;
        refused.map_err(|stop| stop.at(&format!("byte {at}")))?;
    }
    Ok(())
}

/// Bad ciphertexts are the caller's fault: they must not cost the next caller anything.
async fn then_good(suite: Arc<Suite>) -> Verdict {
    let sealed = suite.encrypt(plain()).await?;
    let mut changed = sealed.clone();
    flip(&mut changed.tag, 0);
    for _ in 0..20 {
        not_opened(&suite, &changed).await?;
    }
    suite.open(&sealed).await
}

/// Flips one bit of one byte; `usize::MAX` is the last.
fn flip(bytes: &mut [u8], at: usize) {
    let at = at.min(bytes.len().saturating_sub(1));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1;
    }
}

const CHANGES: [(&str, Change); 22] = [
    ("ciphertext.first-byte", |s| {
        flip(&mut s.ciphertext, 0);
        Ok(())
    }),
    ("ciphertext.last-byte", |s| {
        flip(&mut s.ciphertext, usize::MAX);
        Ok(())
    }),
    ("ciphertext.truncated", |s| {
        s.ciphertext.pop();
        Ok(())
    }),
    ("ciphertext.extended", |s| {
        s.ciphertext.push(0);
        Ok(())
    }),
    ("ciphertext.emptied", |s| {
        s.ciphertext.clear();
        Ok(())
    }),
    ("ciphertext.reversed", |s| {
        s.ciphertext.reverse();
        Ok(())
    }),
    ("ciphertext.with-its-tag", |s| {
        s.ciphertext.extend_from_slice(&s.tag);
        Ok(())
    }),
    ("iv.first-byte", |s| {
        flip(&mut s.iv, 0);
        Ok(())
    }),
    ("iv.last-byte", |s| {
        flip(&mut s.iv, usize::MAX);
        Ok(())
    }),
    ("iv.zero", |s| {
        s.iv.fill(0);
        Ok(())
    }),
    ("tag.zero", |s| {
        s.tag.fill(0);
        Ok(())
    }),
    ("aad.first-byte", |s| {
        s.plain.aad.iter_mut().for_each(|aad| flip(aad, 0));
        Ok(())
    }),
    ("aad.last-byte", |s| {
        s.plain.aad.iter_mut().for_each(|aad| flip(aad, usize::MAX));
        Ok(())
    }),
    ("aad.extended", |s| {
        s.plain.aad.iter_mut().for_each(|aad| aad.push(0));
        Ok(())
    }),
    ("aad.missing", |s| {
        s.plain.aad = None;
        Ok(())
    }),
    ("metadata.missing", |s| {
        s.metadata()?;
        s.metadata = None;
        Ok(())
    }),
    ("metadata.truncated", |s| {
        let shorter = s.metadata()?.split_last().map(|(_, rest)| rest.to_vec());
        s.metadata = shorter;
        Ok(())
    }),
    ("metadata.extended", |s| {
        let mut longer = s.metadata.take().unwrap_or_default();
        longer.push(0);
        s.metadata = Some(longer);
        Ok(())
    }),
    ("metadata.swapped-for-aad", |s| {
        let metadata = s.metadata()?.to_vec();
        s.metadata = s.plain.aad.replace(metadata);
        Ok(())
    }),
    ("metadata.moved-into-aad", |s| {
        let metadata = s.metadata()?.to_vec();
        s.plain.aad.get_or_insert_default().extend(metadata);
        s.metadata = None;
        Ok(())
    }),
    ("metadata.boundary-moved-right", |s| {
        let metadata = s.metadata()?.to_vec();
        let (first, rest) = metadata.split_at(1);
        s.plain.aad.get_or_insert_default().extend_from_slice(first);
        s.metadata = Some(rest.to_vec());
        Ok(())
    }),
    ("metadata.boundary-moved-left", |s| {
        let metadata = s.metadata()?.to_vec();
        let last = s.plain.aad.as_mut().and_then(Vec::pop);
        s.metadata = Some(last.into_iter().chain(metadata).collect());
        Ok(())
    }),
];
