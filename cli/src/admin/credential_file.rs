//! A credential in a file: what `--out FILE` of the verbs that make one writes, and `--credential FILE` reads.

use std::{fs, path::Path};

use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::private_file::PrivateFile;
use crate::failure::{Failure, Kind};

/// A `SigV4` access key id with its secret.
#[derive(Clone)]
pub(super) struct KeyPair {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: Zeroizing<String>,
}

impl KeyPair {
    /// Reads what a verb wrote or printed with `--json`, or the `xks` of a `dev.json`.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = Zeroizing::new(fs::read_to_string(file).map_err(|cause| Failure::file("read", file, &cause))?);
        let pair = serde_json::from_str(&text).ok().and_then(|whole: Value| Self::find(&whole));
        pair.ok_or_else(|| {
            let file = file.display();
            Failure::of(
                Kind::Usage,
                format!("{file}: no access_key_id with a secret_access_key; `keystore create --out` writes such a file"),
            )
        })
    }

    fn find(whole: &Value) -> Option<Self> {
        let place = whole.get("xks").unwrap_or(whole);
        let id = place.get("access_key_id").or_else(|| place.pointer("/credential/access_key_id"))?;
        let secret = place.get("secret_access_key")?;
        Some(Self { access_key_id: id.as_str()?.to_owned(), secret_access_key: Zeroizing::new(secret.as_str()?.to_owned()) })
    }
}

/// Where a new secret goes: a file that is ready for it, or standard output.
pub(super) struct SecretOut(Option<PrivateFile>);

impl SecretOut {
    pub(super) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        Ok(Self(file.map(PrivateFile::new).transpose()?))
    }

    /// Writes it to the file, if there is one; whether it still has to be shown.
    pub(super) fn keep<T: Serialize>(self, secret: &T) -> Result<bool, Failure> {
        let Some(mut file) = self.0 else { return Ok(true) };
        let text = Zeroizing::new(serde_json::to_vec_pretty(secret).map_err(Failure::from_error)?);
        file.write(&text)?;
        file.write(b"\n")?;
        file.finish()?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_that_a_credential_is_handed_out_in_is_read() {
        let flat = json!({ "access_key_id": "A", "secret_access_key": "s" });
        let nested = json!({ "credential": { "access_key_id": "A" }, "secret_access_key": "s", "pending_nodes": [] });
        for whole in [&flat, &nested, &json!({ "xks": flat.clone() })] {
            let pair = KeyPair::find(whole).unwrap();
            assert_eq!((pair.access_key_id.as_str(), pair.secret_access_key.as_str()), ("A", "s"));
        }
        assert!(KeyPair::find(&json!({ "access_key_id": "A" })).is_none());
    }
}
