//! Return values: the number that every C function answers, and its name where a person writes it.
//!
//! Holds: an `Rv` in an `Err` is never `CKR_OK`.

use cryptoki_sys::*;
use serde::{Deserialize, Deserializer, de::Error as _};

/// Why a call did not succeed, as PKCS#11 numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rv(CK_RV);

impl Rv {
    /// The number for the caller.
    pub(crate) const fn code(self) -> CK_RV {
        self.0
    }

    /// The value of that number; nothing for `CKR_OK`, which is no failure.
    pub(crate) fn from_code(code: CK_RV) -> Option<Self> {
        (code != CKR_OK).then_some(Self(code))
    }

    /// Its name, or its number where it has none here.
    pub(crate) fn name(self) -> String {
        let named = NAMES.iter().find(|(_, code)| *code == self.0);
        named.map_or_else(|| format!("{:#x}", self.0), |(name, _)| (*name).to_owned())
    }
}

impl<'de> Deserialize<'de> for Rv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = match Written::deserialize(deserializer)? {
            Written::Number(code) => code,
            Written::Name(name) => {
                let named = NAMES.iter().find(|(known, _)| *known == name);
                named.map(|(_, code)| *code).ok_or_else(|| D::Error::custom(format!("unknown return value {name:?}")))?
            }
        };
        Self::from_code(code).ok_or_else(|| D::Error::custom("a return value other than CKR_OK (0) is needed"))
    }
}

/// The failure that PKCS#11 gives this number.
pub(crate) const fn fail<T>(code: CK_RV) -> Result<T, Rv> {
    Err(Rv(code))
}

/// The same as a bare value, for `ok_or` and `map_err`.
pub(crate) const fn rv(code: CK_RV) -> Rv {
    Rv(code)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a CKR_ name or a number")]
enum Written {
    Number(CK_RV),
    Name(String),
}

/// PKCS#11 v2.40, section 5.1: the names that a person may write.
const NAMES: &[(&str, CK_RV)] = &[
    ("CKR_CANCEL", CKR_CANCEL),
    ("CKR_HOST_MEMORY", CKR_HOST_MEMORY),
    ("CKR_SLOT_ID_INVALID", CKR_SLOT_ID_INVALID),
    ("CKR_GENERAL_ERROR", CKR_GENERAL_ERROR),
    ("CKR_FUNCTION_FAILED", CKR_FUNCTION_FAILED),
    ("CKR_ARGUMENTS_BAD", CKR_ARGUMENTS_BAD),
    ("CKR_NO_EVENT", CKR_NO_EVENT),
    ("CKR_NEED_TO_CREATE_THREADS", CKR_NEED_TO_CREATE_THREADS),
    ("CKR_CANT_LOCK", CKR_CANT_LOCK),
    ("CKR_ATTRIBUTE_READ_ONLY", CKR_ATTRIBUTE_READ_ONLY),
    ("CKR_ATTRIBUTE_SENSITIVE", CKR_ATTRIBUTE_SENSITIVE),
    ("CKR_ATTRIBUTE_TYPE_INVALID", CKR_ATTRIBUTE_TYPE_INVALID),
    ("CKR_ATTRIBUTE_VALUE_INVALID", CKR_ATTRIBUTE_VALUE_INVALID),
    ("CKR_ACTION_PROHIBITED", CKR_ACTION_PROHIBITED),
    ("CKR_DATA_INVALID", CKR_DATA_INVALID),
    ("CKR_DATA_LEN_RANGE", CKR_DATA_LEN_RANGE),
    ("CKR_DEVICE_ERROR", CKR_DEVICE_ERROR),
    ("CKR_DEVICE_MEMORY", CKR_DEVICE_MEMORY),
    ("CKR_DEVICE_REMOVED", CKR_DEVICE_REMOVED),
    ("CKR_ENCRYPTED_DATA_INVALID", CKR_ENCRYPTED_DATA_INVALID),
    ("CKR_ENCRYPTED_DATA_LEN_RANGE", CKR_ENCRYPTED_DATA_LEN_RANGE),
    ("CKR_FUNCTION_CANCELED", CKR_FUNCTION_CANCELED),
    ("CKR_FUNCTION_NOT_PARALLEL", CKR_FUNCTION_NOT_PARALLEL),
    ("CKR_FUNCTION_NOT_SUPPORTED", CKR_FUNCTION_NOT_SUPPORTED),
    ("CKR_KEY_HANDLE_INVALID", CKR_KEY_HANDLE_INVALID),
    ("CKR_KEY_SIZE_RANGE", CKR_KEY_SIZE_RANGE),
    ("CKR_KEY_TYPE_INCONSISTENT", CKR_KEY_TYPE_INCONSISTENT),
    ("CKR_KEY_NOT_NEEDED", CKR_KEY_NOT_NEEDED),
    ("CKR_KEY_CHANGED", CKR_KEY_CHANGED),
    ("CKR_KEY_NEEDED", CKR_KEY_NEEDED),
    ("CKR_KEY_INDIGESTIBLE", CKR_KEY_INDIGESTIBLE),
    ("CKR_KEY_FUNCTION_NOT_PERMITTED", CKR_KEY_FUNCTION_NOT_PERMITTED),
    ("CKR_KEY_NOT_WRAPPABLE", CKR_KEY_NOT_WRAPPABLE),
    ("CKR_KEY_UNEXTRACTABLE", CKR_KEY_UNEXTRACTABLE),
    ("CKR_MECHANISM_INVALID", CKR_MECHANISM_INVALID),
    ("CKR_MECHANISM_PARAM_INVALID", CKR_MECHANISM_PARAM_INVALID),
    ("CKR_OBJECT_HANDLE_INVALID", CKR_OBJECT_HANDLE_INVALID),
    ("CKR_OPERATION_ACTIVE", CKR_OPERATION_ACTIVE),
    ("CKR_OPERATION_NOT_INITIALIZED", CKR_OPERATION_NOT_INITIALIZED),
    ("CKR_PIN_INCORRECT", CKR_PIN_INCORRECT),
    ("CKR_PIN_INVALID", CKR_PIN_INVALID),
    ("CKR_PIN_LEN_RANGE", CKR_PIN_LEN_RANGE),
    ("CKR_PIN_EXPIRED", CKR_PIN_EXPIRED),
    ("CKR_PIN_LOCKED", CKR_PIN_LOCKED),
    ("CKR_SESSION_CLOSED", CKR_SESSION_CLOSED),
    ("CKR_SESSION_COUNT", CKR_SESSION_COUNT),
    ("CKR_SESSION_HANDLE_INVALID", CKR_SESSION_HANDLE_INVALID),
    ("CKR_SESSION_PARALLEL_NOT_SUPPORTED", CKR_SESSION_PARALLEL_NOT_SUPPORTED),
    ("CKR_SESSION_READ_ONLY", CKR_SESSION_READ_ONLY),
    ("CKR_SESSION_EXISTS", CKR_SESSION_EXISTS),
    ("CKR_SESSION_READ_ONLY_EXISTS", CKR_SESSION_READ_ONLY_EXISTS),
    ("CKR_SESSION_READ_WRITE_SO_EXISTS", CKR_SESSION_READ_WRITE_SO_EXISTS),
    ("CKR_SIGNATURE_INVALID", CKR_SIGNATURE_INVALID),
    ("CKR_SIGNATURE_LEN_RANGE", CKR_SIGNATURE_LEN_RANGE),
    ("CKR_TEMPLATE_INCOMPLETE", CKR_TEMPLATE_INCOMPLETE),
    ("CKR_TEMPLATE_INCONSISTENT", CKR_TEMPLATE_INCONSISTENT),
    ("CKR_TOKEN_NOT_PRESENT", CKR_TOKEN_NOT_PRESENT),
    ("CKR_TOKEN_NOT_RECOGNIZED", CKR_TOKEN_NOT_RECOGNIZED),
    ("CKR_TOKEN_WRITE_PROTECTED", CKR_TOKEN_WRITE_PROTECTED),
    ("CKR_UNWRAPPING_KEY_HANDLE_INVALID", CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    ("CKR_UNWRAPPING_KEY_SIZE_RANGE", CKR_UNWRAPPING_KEY_SIZE_RANGE),
    ("CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT),
    ("CKR_USER_ALREADY_LOGGED_IN", CKR_USER_ALREADY_LOGGED_IN),
    ("CKR_USER_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN),
    ("CKR_USER_PIN_NOT_INITIALIZED", CKR_USER_PIN_NOT_INITIALIZED),
    ("CKR_USER_TYPE_INVALID", CKR_USER_TYPE_INVALID),
    ("CKR_USER_ANOTHER_ALREADY_LOGGED_IN", CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
    ("CKR_USER_TOO_MANY_TYPES", CKR_USER_TOO_MANY_TYPES),
    ("CKR_WRAPPED_KEY_INVALID", CKR_WRAPPED_KEY_INVALID),
    ("CKR_WRAPPED_KEY_LEN_RANGE", CKR_WRAPPED_KEY_LEN_RANGE),
    ("CKR_WRAPPING_KEY_HANDLE_INVALID", CKR_WRAPPING_KEY_HANDLE_INVALID),
    ("CKR_WRAPPING_KEY_SIZE_RANGE", CKR_WRAPPING_KEY_SIZE_RANGE),
    ("CKR_WRAPPING_KEY_TYPE_INCONSISTENT", CKR_WRAPPING_KEY_TYPE_INCONSISTENT),
    ("CKR_RANDOM_SEED_NOT_SUPPORTED", CKR_RANDOM_SEED_NOT_SUPPORTED),
    ("CKR_RANDOM_NO_RNG", CKR_RANDOM_NO_RNG),
    ("CKR_DOMAIN_PARAMS_INVALID", CKR_DOMAIN_PARAMS_INVALID),
    ("CKR_CURVE_NOT_SUPPORTED", CKR_CURVE_NOT_SUPPORTED),
    ("CKR_BUFFER_TOO_SMALL", CKR_BUFFER_TOO_SMALL),
    ("CKR_SAVED_STATE_INVALID", CKR_SAVED_STATE_INVALID),
    ("CKR_INFORMATION_SENSITIVE", CKR_INFORMATION_SENSITIVE),
    ("CKR_STATE_UNSAVEABLE", CKR_STATE_UNSAVEABLE),
    ("CKR_CRYPTOKI_NOT_INITIALIZED", CKR_CRYPTOKI_NOT_INITIALIZED),
    ("CKR_CRYPTOKI_ALREADY_INITIALIZED", CKR_CRYPTOKI_ALREADY_INITIALIZED),
    ("CKR_MUTEX_BAD", CKR_MUTEX_BAD),
    ("CKR_MUTEX_NOT_LOCKED", CKR_MUTEX_NOT_LOCKED),
    ("CKR_FUNCTION_REJECTED", CKR_FUNCTION_REJECTED),
    ("CKR_VENDOR_DEFINED", CKR_VENDOR_DEFINED),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_value_is_written_by_name_or_by_number() {
        let read = |text: &str| serde_json::from_str::<Rv>(text).map_err(|e| e.to_string());
        assert_eq!(read("\"CKR_DEVICE_ERROR\"").unwrap(), rv(CKR_DEVICE_ERROR));
        assert_eq!(read("48").unwrap(), rv(CKR_DEVICE_ERROR));
        assert_eq!(rv(CKR_DEVICE_ERROR).name(), "CKR_DEVICE_ERROR");
        assert_eq!(rv(0x8000_0001).name(), "0x80000001");
        assert!(read("\"CKR_NONSENSE\"").unwrap_err().contains("CKR_NONSENSE"));
        assert!(read("0").is_err() && read("\"CKR_OK\"").is_err());
    }
}
