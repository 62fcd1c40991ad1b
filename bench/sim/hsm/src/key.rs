//! Secret keys: what a token keeps of one, its attributes, and the templates that make and find them.
//!
//! Holds: the value of a `SecretKey` is an AES key; its attributes are PKCS#11 v2.40, sections 4.4 to 4.10.

use aws_lc_rs::rand;
use cryptoki_sys::*;
use serde::{Deserialize, Serialize};

use crate::{
    gcm::Cipher,
    hex,
    rv::{Rv, fail, rv},
};

/// A key as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRecord {
    /// Tells it from every other key of the token, over processes.
    pub(crate) uid: String,
    #[serde(with = "hex")]
    pub(crate) id: Vec<u8>,
    pub(crate) label: String,
    #[serde(with = "hex")]
    pub(crate) value: Vec<u8>,
    pub(crate) token: bool,
    pub(crate) private: bool,
    pub(crate) modifiable: bool,
    pub(crate) sensitive: bool,
    pub(crate) extractable: bool,
    pub(crate) always_sensitive: bool,
    pub(crate) never_extractable: bool,
    pub(crate) local: bool,
    pub(crate) encrypt: bool,
    pub(crate) decrypt: bool,
    pub(crate) wrap: bool,
    pub(crate) unwrap: bool,
}

/// A key that is ready for use.
#[derive(Debug)]
pub(crate) struct SecretKey {
    pub(crate) record: KeyRecord,
    pub(crate) cipher: Cipher,
    /// The session that a session object ends with.
    pub(crate) session: Option<u64>,
}

/// Attributes as a caller gave them.
pub(crate) type Template<'a> = [(CK_ATTRIBUTE_TYPE, &'a [u8])];

impl KeyRecord {
    /// A token key with a random value of `len` bytes, which may do everything and never leaves the token.
    pub(crate) fn random(len: usize) -> Self {
        Self {
            uid: hex::write(&random(16)),
            id: Vec::new(),
            label: String::new(),
            value: random(len),
            token: true,
            private: true,
            modifiable: true,
            sensitive: true,
            extractable: false,
            always_sensitive: true,
            never_extractable: true,
            local: true,
            encrypt: true,
            decrypt: true,
            wrap: true,
            unwrap: true,
        }
    }

    /// The key that C_GenerateKey makes from `template`: a session object that may do nothing, but for what the template says.
    pub(crate) fn generated(template: &Template<'_>) -> Result<Self, Rv> {
        if template.iter().any(|(kind, _)| *kind == CKA_VALUE) {
            return fail(CKR_TEMPLATE_INCONSISTENT);
        }
        let len = template.iter().find(|(kind, _)| *kind == CKA_VALUE_LEN).map(|(_, value)| ulong(value)).transpose()?;
        match len {
            None => fail(CKR_TEMPLATE_INCOMPLETE),
            Some(len @ (16 | 24 | 32)) => Self { local: true, ..Self::bare(random(len as usize)) }.with(template),
            Some(_) => fail(CKR_KEY_SIZE_RANGE),
        }
    }

    /// The key that C_CreateObject makes from `template`.
    pub(crate) fn created(template: &Template<'_>) -> Result<Self, Rv> {
        let has = |wanted| template.iter().any(|(kind, _)| *kind == wanted);
        if !has(CKA_CLASS) || !has(CKA_KEY_TYPE) {
            return fail(CKR_TEMPLATE_INCOMPLETE);
        }
        let Some((_, value)) = template.iter().find(|(kind, _)| *kind == CKA_VALUE) else {
            return fail(CKR_TEMPLATE_INCOMPLETE);
        };
        let made = Self::bare(value.to_vec()).with(template)?;
        // It has been outside.
        Ok(Self { always_sensitive: false, never_extractable: false, ..made })
    }

    fn bare(value: Vec<u8>) -> Self {
        Self { value, token: false, local: false, encrypt: false, decrypt: false, wrap: false, unwrap: false, ..Self::random(0) }
    }

    fn with(mut self, template: &Template<'_>) -> Result<Self, Rv> {
        for (kind, value) in template {
            match *kind {
                CKA_CLASS if ulong(value)? != CKO_SECRET_KEY => return fail(CKR_ATTRIBUTE_VALUE_INVALID),
                CKA_KEY_TYPE if ulong(value)? != CKK_AES => return fail(CKR_ATTRIBUTE_VALUE_INVALID),
                CKA_VALUE_LEN if ulong(value)? != self.value.len() as CK_ULONG => return fail(CKR_ATTRIBUTE_VALUE_INVALID),
                CKA_CLASS | CKA_KEY_TYPE | CKA_VALUE_LEN | CKA_VALUE => {}
                CKA_ID => self.id = value.to_vec(),
                CKA_LABEL => self.label = text(value)?,
                CKA_TOKEN => self.token = flag(value)?,
                CKA_PRIVATE => self.private = flag(value)?,
                CKA_MODIFIABLE => self.modifiable = flag(value)?,
                CKA_SENSITIVE => self.sensitive = flag(value)?,
                CKA_EXTRACTABLE => self.extractable = flag(value)?,
                CKA_ENCRYPT => self.encrypt = flag(value)?,
                CKA_DECRYPT => self.decrypt = flag(value)?,
                CKA_WRAP => self.wrap = flag(value)?,
                CKA_UNWRAP => self.unwrap = flag(value)?,
                CKA_SIGN | CKA_VERIFY | CKA_DERIVE => {
                    flag(value)?;
                }
                CKA_LOCAL | CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE | CKA_KEY_GEN_MECHANISM => return fail(CKR_ATTRIBUTE_READ_ONLY),
                _ => return fail(CKR_ATTRIBUTE_TYPE_INVALID),
            }
        }
        self.always_sensitive = self.sensitive;
        self.never_extractable = !self.extractable;
        Ok(self)
    }

    /// The same key after C_SetAttributeValue: its label and id may change, and what it may do.
    pub(crate) fn changed(mut self, template: &Template<'_>) -> Result<Self, Rv> {
        if !self.modifiable {
            return fail(CKR_ACTION_PROHIBITED);
        }
        for (kind, value) in template {
            match *kind {
                CKA_ID => self.id = value.to_vec(),
                CKA_LABEL => self.label = text(value)?,
                CKA_ENCRYPT => self.encrypt = flag(value)?,
                CKA_DECRYPT => self.decrypt = flag(value)?,
                CKA_WRAP => self.wrap = flag(value)?,
                CKA_UNWRAP => self.unwrap = flag(value)?,
                _ => return fail(CKR_ATTRIBUTE_READ_ONLY),
            }
        }
        Ok(self)
    }
}

impl SecretKey {
    /// The key of a record.
    ///
    /// # Errors
    /// `CKR_ATTRIBUTE_VALUE_INVALID` when its value is no AES key.
    pub(crate) fn new(record: KeyRecord, session: Option<u64>) -> Result<Self, Rv> {
        let cipher = Cipher::new(&record.value).ok_or(rv(CKR_ATTRIBUTE_VALUE_INVALID))?;
        Ok(Self { record, cipher, session })
    }

    /// One attribute, as C_GetAttributeValue gives it.
    ///
    /// # Errors
    /// `CKR_ATTRIBUTE_SENSITIVE` for the value of a key that does not leave the token, `CKR_ATTRIBUTE_TYPE_INVALID` for what it has not.
    pub(crate) fn attribute(&self, kind: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>, Rv> {
        let record = &self.record;
        Ok(match kind {
            CKA_CLASS => CKO_SECRET_KEY.to_ne_bytes().to_vec(),
            CKA_KEY_TYPE => CKK_AES.to_ne_bytes().to_vec(),
            CKA_KEY_GEN_MECHANISM if record.local => CKM_AES_KEY_GEN.to_ne_bytes().to_vec(),
            CKA_KEY_GEN_MECHANISM => CK_UNAVAILABLE_INFORMATION.to_ne_bytes().to_vec(),
            CKA_ID => record.id.clone(),
            CKA_LABEL => record.label.clone().into_bytes(),
            CKA_VALUE_LEN => (record.value.len() as CK_ULONG).to_ne_bytes().to_vec(),
            CKA_VALUE if record.sensitive || !record.extractable => return fail(CKR_ATTRIBUTE_SENSITIVE),
            CKA_VALUE => record.value.clone(),
            CKA_UNIQUE_ID => record.uid.clone().into_bytes(),
            CKA_START_DATE | CKA_END_DATE => Vec::new(),
            CKA_TOKEN => vec![record.token.into()],
            CKA_PRIVATE => vec![record.private.into()],
            CKA_MODIFIABLE => vec![record.modifiable.into()],
            CKA_SENSITIVE => vec![record.sensitive.into()],
            CKA_EXTRACTABLE => vec![record.extractable.into()],
            CKA_ALWAYS_SENSITIVE => vec![record.always_sensitive.into()],
            CKA_NEVER_EXTRACTABLE => vec![record.never_extractable.into()],
            CKA_LOCAL => vec![record.local.into()],
            CKA_ENCRYPT => vec![record.encrypt.into()],
            CKA_DECRYPT => vec![record.decrypt.into()],
            CKA_WRAP => vec![record.wrap.into()],
            CKA_UNWRAP => vec![record.unwrap.into()],
            CKA_COPYABLE => vec![CK_FALSE],
            CKA_DESTROYABLE => vec![CK_TRUE],
            CKA_SIGN | CKA_VERIFY | CKA_DERIVE | CKA_TRUSTED | CKA_WRAP_WITH_TRUSTED => vec![CK_FALSE],
            _ => return fail(CKR_ATTRIBUTE_TYPE_INVALID),
        })
    }

    /// Whether every attribute of `template` is this key's.
    pub(crate) fn matches(&self, template: &Template<'_>) -> bool {
        template.iter().all(|(kind, value)| self.attribute(*kind).is_ok_and(|own| own == *value))
    }
}

/// Bytes from the operating system's generator; zeros if that should fail, which a simulator may live with.
pub(crate) fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    if rand::fill(&mut bytes).is_err() {
        bytes.fill(0);
    }
    bytes
}

fn ulong(value: &[u8]) -> Result<CK_ULONG, Rv> {
    value.try_into().map(CK_ULONG::from_ne_bytes).map_err(|_| rv(CKR_ATTRIBUTE_VALUE_INVALID))
}

fn flag(value: &[u8]) -> Result<bool, Rv> {
    match value {
        [CK_FALSE] => Ok(false),
        [CK_TRUE] => Ok(true),
        _ => fail(CKR_ATTRIBUTE_VALUE_INVALID),
    }
}

fn text(value: &[u8]) -> Result<String, Rv> {
    String::from_utf8(value.to_vec()).map_err(|_| rv(CKR_ATTRIBUTE_VALUE_INVALID))
}
