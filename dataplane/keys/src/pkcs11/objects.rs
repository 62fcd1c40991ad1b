//! The keys on a token: found, described and made.
//!
//! Holds: a key is served only if exactly one secret key has its name and that is AES-256; a key is made only if none has its `CKA_ID`, and
//! one that is there already is the result only if it has the properties that were asked for. Off the request path.

use std::fmt;

use cryptoki::{
    error::Error,
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    types::Ulong,
};
use cryptoki_sys::CKR_OBJECT_HANDLE_INVALID;
use holdfast_proto::records::KeyUsage;

use super::{
    fault::{CallError, Class},
    handles::KeyName,
    session::Session,
    status::{KeyAttributes, NewKey},
};

/// A key that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundKey {
    /// Of this process, while it has a session open.
    pub(crate) handle: ObjectHandle,
    /// `CKA_ENCRYPT` and `CKA_DECRYPT`.
    pub(crate) usage: KeyUsage,
}

/// Why no key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FindError {
    /// The token has none of this name.
    None,
    /// More than one has it.
    Many,
    /// It is something else. The text says what: `CKK_DES3`.
    NotAes256(String),
    /// The token failed.
    Call(CallError),
}

/// Why no key was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GenerateError {
    /// The name is taken, or the token does not make such a key.
    Refused(String),
    /// The token failed.
    Call(CallError),
}

impl Session {
    /// The one AES-256 key of this name.
    pub(crate) fn find(&self, name: &KeyName) -> Result<FoundKey, FindError> {
        let handle = self.only(name)?;
        let key = self.describe(handle)?;
        if key.key_type != AES || key.bits != Some(BITS) {
            return Err(FindError::NotAes256(kind(&key)));
        }
        Ok(FoundKey { handle, usage: key.usage() })
    }

    /// A copy of a key that lives as long as this session, for all sessions of this process. None: the token makes none.
    pub(crate) fn copy(&self, key: ObjectHandle) -> Result<Option<ObjectHandle>, CallError> {
        match self.slow("C_CopyObject", |session| session.copy_object(key, &[Attribute::Token(false)])) {
            Ok(copy) => Ok(Some(copy)),
            // As `CKR_ACTION_PROHIBITED`, of a key that says that it may not be copied.
            Err(error) if error.class == Class::Unsure => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a copy before its session does. Who still uses it finds out by its handle.
    pub(crate) fn end_copy(&self, copy: ObjectHandle) {
        // One that is gone already is as good.
        let _ = self.slow("C_DestroyObject", |session| session.destroy_object(copy));
    }

    /// Describes the one key of this name, whatever its kind.
    pub(crate) fn attributes(&self, name: &KeyName) -> Result<KeyAttributes, FindError> {
        let handle = self.only(name)?;
        Ok(self.describe(handle)?)
    }

    /// Describes all secret keys.
    pub(crate) fn list(&self) -> Result<Vec<KeyAttributes>, CallError> {
        let handles = self.find_objects(&keys(), MOST_LISTED)?;
        let mut all = Vec::with_capacity(handles.len());
        for handle in handles {
            match self.describe(handle) {
                Ok(key) => all.push(key),
                // Deleted meanwhile.
                Err(CallError { rv: CKR_OBJECT_HANDLE_INVALID, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Makes an AES-256 key that never leaves the token. One with its `CKA_ID` that has what is asked for is the result. The session must
    /// have been opened for writing.
    pub(crate) fn generate(&self, new: &NewKey) -> Result<KeyAttributes, GenerateError> {
        if new.cka_id.is_empty() || new.label.is_empty() {
            return Err(GenerateError::Refused("a key needs a CKA_ID and a label".into()));
        }
        let by_id = KeyName { cka_id: new.cka_id.clone(), label: String::new() };
        match self.attributes(&by_id) {
            Ok(there) => return there_already(new, there),
            Err(FindError::None) => {}
            Err(FindError::Call(call)) => return Err(call.into()),
            Err(FindError::Many | FindError::NotAes256(_)) => {
                return Err(GenerateError::Refused(format!("more than one key has the CKA_ID {}", Hex(&new.cka_id))));
            }
        }
        let made = self.slow(GENERATE, |session| session.generate_key(&Mechanism::AesKeyGen, &template(new)));
        let handle = made.map_err(|error| match refuses_attributes(error) {
            true => GenerateError::Refused(format!("the token does not make an AES-256 key with {}: {error}", asked(new).join(", "))),
            false => error.into(),
        })?;
        let key = self.describe(handle)?;
        match differences(new, &key) {
            odd if odd.is_empty() => Ok(key),
            odd => Err(GenerateError::Refused(format!(
                "the token made the key {:?} (CKA_ID {}), but not as it was asked: {}",
                new.label,
                Hex(&new.cka_id),
                odd.join(", ")
            ))),
        }
    }

    fn only(&self, name: &KeyName) -> Result<ObjectHandle, FindError> {
        let mut wanted = keys();
        if !name.cka_id.is_empty() {
            wanted.push(Attribute::Id(name.cka_id.to_vec()));
        }
        if !name.label.is_empty() {
            wanted.push(Attribute::Label(name.label.clone().into_bytes()));
        }
        if name.cka_id.is_empty() && name.label.is_empty() {
            return Err(FindError::None);
        }
        // A second one is one too many already.
        let found = self.find_objects(&wanted, 2)?;
        match found.as_slice() {
            [] => Err(FindError::None),
            [one] => Ok(*one),
            _ => Err(FindError::Many),
        }
    }

    fn describe(&self, handle: ObjectHandle) -> Result<KeyAttributes, CallError> {
        let types: Vec<AttributeType> = TOLD.into_iter().chain(FLAGS.into_iter().map(|(asked, _)| asked)).collect();
        let told = self.slow(ATTRIBUTES, |session| match session.get_attributes(handle, &types) {
            // A key type that `cryptoki` does not know.
            Err(Error::NotSupported | Error::InvalidValue) => session.get_attributes(handle, types.get(1..).unwrap_or_default()),
            told => told,
        })?;
        Ok(attributes(&told))
    }
}

impl From<CallError> for FindError {
    fn from(call: CallError) -> Self {
        Self::Call(call)
    }
}

impl From<CallError> for GenerateError {
    fn from(call: CallError) -> Self {
        Self::Call(call)
    }
}

impl fmt::Display for FindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("the token has no such key"),
            Self::Many => f.write_str("the token has more than one such key"),
            Self::NotAes256(what) => write!(f, "the key is {what}, not AES-256"),
            Self::Call(call) => call.fmt(f),
        }
    }
}

impl fmt::Display for GenerateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Call(call) => call.fmt(f),
        }
    }
}

/// Secret keys that outlive a session.
fn keys() -> Vec<Attribute> {
    vec![Attribute::Class(ObjectClass::SECRET_KEY), Attribute::Token(true)]
}

fn template(new: &NewKey) -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(BYTES),
        Attribute::Id(new.cka_id.to_vec()),
        Attribute::Label(new.label.clone().into_bytes()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(new.encrypt),
        Attribute::Decrypt(new.decrypt),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
    ]
}

/// The flags of a new key, by their names.
fn flags(new: &NewKey) -> [(&'static str, bool); 8] {
    [
        ("CKA_TOKEN", true),
        ("CKA_PRIVATE", true),
        ("CKA_SENSITIVE", true),
        ("CKA_EXTRACTABLE", false),
        ("CKA_ENCRYPT", new.encrypt),
        ("CKA_DECRYPT", new.decrypt),
        ("CKA_WRAP", true),
        ("CKA_UNWRAP", true),
    ]
}

fn asked(new: &NewKey) -> Vec<String> {
    flags(new).into_iter().map(|(name, set)| format!("{name}={set}")).collect()
}

fn there_already(new: &NewKey, there: KeyAttributes) -> Result<KeyAttributes, GenerateError> {
    match differences(new, &there) {
        odd if odd.is_empty() => Ok(there),
        odd => Err(GenerateError::Refused(format!(
            "another key has the CKA_ID {} already: {:?}, with {}",
            Hex(&new.cka_id),
            there.label,
            odd.join(", ")
        ))),
    }
}

/// What a key has that was not asked for.
fn differences(new: &NewKey, key: &KeyAttributes) -> Vec<String> {
    let mut odd = Vec::new();
    if key.label != new.label {
        odd.push(format!("CKA_LABEL {:?}", key.label));
    }
    if key.key_type != AES || key.bits != Some(BITS) {
        odd.push(kind(key));
    }
    // What the token does not tell is not held against it.
    let told = |name| key.attributes.iter().find(|(known, _)| known == name).map(|(_, set)| *set);
    odd.extend(flags(new).into_iter().filter_map(|(name, want)| told(name).filter(|has| *has != want).map(|has| format!("{name}={has}"))));
    odd
}

fn kind(key: &KeyAttributes) -> String {
    let size = key.bits.map_or_else(|| "unknown size".into(), |bits| format!("{bits} bits"));
    format!("{} of {size}", key.key_type)
}

/// The token does not take the template, as opposed to failing.
fn refuses_attributes(error: CallError) -> bool {
    ["CKR_ATTRIBUTE_", "CKR_TEMPLATE_", "CKR_KEY_SIZE_", "CKR_MECHANISM_", "CKR_ACTION_"].iter().any(|kind| error.code().starts_with(kind))
}

fn attributes(told: &[Attribute]) -> KeyAttributes {
    let mut key =
        KeyAttributes { label: String::new(), cka_id: Vec::new(), key_type: "unknown".into(), bits: None, attributes: Vec::new() };
    for attribute in told {
        match attribute {
            Attribute::KeyType(kind) => key.key_type = kind.to_string(),
            Attribute::ValueLen(bytes) => key.bits = u32::try_from(**bytes).ok().and_then(|bytes| bytes.checked_mul(8)),
            Attribute::Id(id) => key.cka_id.clone_from(id),
            Attribute::Label(label) => key.label = String::from_utf8_lossy(label).into_owned(),
            other => {
                let name = FLAGS.into_iter().find(|(asked, _)| *asked == other.attribute_type()).map(|(_, name)| name);
                if let (Some(name), Some(set)) = (name, flag(other)) {
                    key.attributes.push((name.to_owned(), set));
                }
            }
        }
    }
    key
}

const fn flag(attribute: &Attribute) -> Option<bool> {
    match attribute {
        Attribute::Token(set)
        | Attribute::Private(set)
        | Attribute::Modifiable(set)
        | Attribute::Sensitive(set)
        | Attribute::AlwaysSensitive(set)
        | Attribute::Extractable(set)
        | Attribute::NeverExtractable(set)
        | Attribute::Local(set)
        | Attribute::Encrypt(set)
        | Attribute::Decrypt(set)
        | Attribute::Wrap(set)
        | Attribute::Unwrap(set)
        | Attribute::Sign(set)
        | Attribute::Verify(set)
        | Attribute::Derive(set) => Some(*set),
        _ => None,
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

const AES: &str = "CKK_AES";
const BITS: u32 = 256;
const BYTES: Ulong = Ulong::new(32);

/// More keys than any token holds: a module that never ends its list does not fill the memory.
const MOST_LISTED: usize = 1 << 20;

const ATTRIBUTES: &str = "C_GetAttributeValue";
const GENERATE: &str = "C_GenerateKey";

/// What is told of a key beside its flags. The type first: [`Session::describe`] leaves it out where it can't be read.
const TOLD: [AttributeType; 4] = [AttributeType::KeyType, AttributeType::ValueLen, AttributeType::Id, AttributeType::Label];

/// The flags that are told of a key, in this order.
const FLAGS: [(AttributeType, &str); 15] = [
    (AttributeType::Token, "CKA_TOKEN"),
    (AttributeType::Private, "CKA_PRIVATE"),
    (AttributeType::Modifiable, "CKA_MODIFIABLE"),
    (AttributeType::Sensitive, "CKA_SENSITIVE"),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE"),
    (AttributeType::Extractable, "CKA_EXTRACTABLE"),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE"),
    (AttributeType::Local, "CKA_LOCAL"),
    (AttributeType::Encrypt, "CKA_ENCRYPT"),
    (AttributeType::Decrypt, "CKA_DECRYPT"),
    (AttributeType::Wrap, "CKA_WRAP"),
    (AttributeType::Unwrap, "CKA_UNWRAP"),
    (AttributeType::Sign, "CKA_SIGN"),
    (AttributeType::Verify, "CKA_VERIFY"),
    (AttributeType::Derive, "CKA_DERIVE"),
];

#[cfg(test)]
mod tests;
