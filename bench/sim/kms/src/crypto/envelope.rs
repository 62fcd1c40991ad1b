//! The ciphertext of a symmetric KMS key: which key made it, and what it takes to open it.
//!
//! Always holds: the format is the simulator's own, so that nobody comes to rely on it; reading never fails in another way than with `None`.

use crate::xks::crypt::Sealed;

/// The parts of a ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The key's id: the same in each region of a multi-Region key.
    pub(super) key_id: String,
    pub(super) content: Content,
}

/// What was encrypted how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// By KMS alone.
    Once(Vec<u8>),
    /// By KMS, and that by an external key store's proxy.
    Twice(Sealed),
}

impl Envelope {
    /// As bytes; `None` if a part is longer than its length can say, which no valid part is.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, self.key_id.as_bytes())?;
        match &self.content {
            Content::Once(ciphertext) => {
                bytes.push(ONCE);
                bytes.extend(ciphertext);
            }
            Content::Twice(sealed) => {
                bytes.push(TWICE);
                put(&mut bytes, &sealed.metadata)?;
                put(&mut bytes, &sealed.iv)?;
                put(&mut bytes, &sealed.tag)?;
                bytes.extend(&sealed.ciphertext);
            }
        }
        Some(bytes)
    }

    /// From bytes; `None` if they are none of ours.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let key_id = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        let (&kind, mut rest) = rest.split_first()?;
        let content = match kind {
            ONCE => Content::Once(rest.to_vec()),
            TWICE => {
                let (metadata, iv, tag) = (take(&mut rest)?.to_vec(), take(&mut rest)?.to_vec(), take(&mut rest)?.to_vec());
                Content::Twice(Sealed { ciphertext: rest.to_vec(), iv, tag, metadata })
            }
            _ => return None,
        };
        Some(Self { key_id, content })
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    bytes.push(u8::try_from(part.len()).ok()?);
    bytes.extend(part);
    Some(())
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (&len, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at_checked(len.into())?;
    *bytes = rest;
    Some(part)
}

const MAGIC: &[u8] = b"\x00holdfast-kms-sim\x01";
const ONCE: u8 = 1;
const TWICE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_no_prefix_of_it_panics() {
        let sealed = Sealed { ciphertext: vec![1; 40], iv: vec![2; 12], tag: vec![3; 16], metadata: vec![4; 9] };
        for content in [Content::Once(vec![5; 30]), Content::Twice(sealed)] {
            let envelope = Envelope { key_id: "1234abcd".into(), content };
            let bytes = envelope.write().unwrap();
            assert_eq!(Envelope::read(&bytes).as_ref(), Some(&envelope));
            assert!((0..bytes.len()).all(|len| Envelope::read(&bytes[..len]).is_none_or(|part| part != envelope)));
        }
    }
}
