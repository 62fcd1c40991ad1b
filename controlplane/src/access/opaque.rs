//! Opaque tokens: of tools, and those that renew a sign-in. Shown once, kept as SHA-256 over the whole text.
//!
//! Always holds: 256 random bits, so that a plain hash will do; the kind stands in front, so that neither is taken for the other.

use aws_lc_rs::{constant_time, digest, error::Unspecified, rand};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use holdfast_proto::secret::Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Kinds of opaque tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a tool; its id is the token's.
    Api,
    /// Renews a sign-in; its id is the user's.
    Refresh,
}

/// What a token's text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opaque {
    /// Where to look it up.
    pub(crate) id: Uuid,
    /// SHA-256 over the text.
    pub(crate) hash: [u8; 32],
}

/// A token that was drawn.
#[derive(Debug)]
pub(crate) struct Drawn {
    /// The token's text, shown once.
    pub(crate) text: Secret,
    /// What is kept of it.
    pub(crate) hash: [u8; 32],
}

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Api => "hft_",
            Self::Refresh => "hfr_",
        }
    }

    /// Draws a token that is looked up under `id`.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub(crate) fn draw(self, id: Uuid) -> Result<Drawn, NoRandomness> {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(bytes.as_mut()).map_err(|Unspecified| NoRandomness)?;
        let random = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        let text = Secret::new(format!("{}{}_{}", self.prefix(), id.simple(), *random));
        let hash = hash(text.expose());
        Ok(Drawn { text, hash })
    }

    /// What `text` says, if it has this kind's form. Whether there is such a token is for the caller to find out, by [`Opaque::is`].
    pub(crate) fn read(self, text: &str) -> Option<Opaque> {
        let (id, random) = text.strip_prefix(self.prefix())?.split_once('_')?;
        let fits = id.len() == 32 && random.len() == RANDOM_CHARACTERS;
        let id = Uuid::try_parse(id).ok().filter(|_| fits)?;
        Some(Opaque { id, hash: hash(text) })
    }
}

impl Opaque {
    /// Whether it is the token that this was kept of, in time that tells nothing.
    pub(crate) fn is(&self, kept: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.hash, kept).is_ok()
    }
}

fn hash(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    out
}

const SECRET_BYTES: usize = 32;
/// [`SECRET_BYTES`] as base64url without padding.
const RANDOM_CHARACTERS: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_token_is_found_by_its_id_and_known_by_its_hash() {
        let id = Uuid::from_u128(7);
        let drawn = Kind::Api.draw(id).unwrap();
        let read = Kind::Api.read(drawn.text.expose()).unwrap();
        assert_eq!(read.id, id);
        assert!(read.is(&drawn.hash));
        assert!(!read.is(&Kind::Api.draw(id).unwrap().hash));
    }

    #[test]
    fn what_has_another_form_or_kind_is_no_token() {
        let drawn = Kind::Api.draw(Uuid::nil()).unwrap();
        let text = drawn.text.expose();
        assert_eq!(Kind::Refresh.read(text), None);
        for bad in ["", "hft_", "hft__", &text[..text.len() - 1], &format!("{text}A"), &text.replace('_', "-")] {
            assert_eq!(Kind::Api.read(bad), None, "{bad}");
        }
    }
}
