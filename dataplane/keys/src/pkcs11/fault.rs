//! What went wrong in a call, and whose fault it is (design §5).
//!
//! Holds: every code that PKCS#11 names has a row; a code of a vendor, or one that nobody knows, is `Unsure`. Only a decryption can be
//! the caller's fault: an HSM's is never told as a bad ciphertext.

use std::fmt;

use cryptoki::error::{Error, Rv, RvError};
use cryptoki_sys::*;

/// A C call that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallError {
    /// `C_Encrypt` and its like.
    pub(crate) function: &'static str,
    /// What it answered. `CKR_OK`: its answer made no sense.
    pub(crate) rv: u64,
    /// Whose fault that is.
    pub(crate) class: Class,
}

/// Whose fault a failed call is, which says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The caller's: the ciphertext does not verify. Of decryptions alone.
    Input,
    /// The key may not be used for this.
    Usage,
    /// The key's handle: it has to be looked up again, once.
    Key,
    /// The session's: it has to be opened anew.
    Session,
    /// The token is not logged in.
    Login,
    /// The token's, or the module's: the partition is down.
    Token,
    /// The code does not say. Of a decryption: a canary on the same session tells; of anything else: never the caller's.
    Unsure,
}

impl CallError {
    /// Judges what a call answered.
    pub(crate) fn new(function: &'static str, rv: u64) -> Self {
        let class = match (row(rv).class, function) {
            (Class::Input, DECRYPT_INIT | DECRYPT) => Class::Input,
            (Class::Input, _) => Class::Unsure,
            (class, _) => class,
        };
        Self { function, rv, class }
    }

    /// Nothing was called: the session was closed, or given up during the call.
    pub(crate) const fn closed() -> Self {
        Self { function: "gate", rv: CKR_SESSION_CLOSED, class: Class::Session }
    }

    /// The module answered `CKR_OK` with something that can't be.
    pub(crate) const fn nonsense(function: &'static str) -> Self {
        Self { function, rv: CKR_OK, class: Class::Token }
    }

    /// Of a call through `cryptoki`.
    pub(crate) fn of(function: &'static str, error: &Error) -> Self {
        match error {
            Error::Pkcs11(rv, _) => Self::new(function, code(*rv)),
            Error::NullFunctionPointer | Error::MissingSymbol(_) | Error::NotSupported => Self::new(function, CKR_FUNCTION_NOT_SUPPORTED),
            Error::LibraryLoading(_) => Self::new(function, CKR_LIBRARY_LOAD_FAILED),
            Error::PinNotSet => Self::new(function, CKR_ARGUMENTS_BAD),
            Error::TryFromInt(_)
            | Error::TryFromSlice(_)
            | Error::ParseInt(_)
            | Error::Utf8(_)
            | Error::NulError(_)
            | Error::InvalidValue => Self::nonsense(function),
        }
    }

    /// The name of the code: `CKR_DEVICE_ERROR`; for one without a name its number.
    pub(crate) fn code(&self) -> String {
        name(self.rv).map_or_else(|| format!("{:#x}", self.rv), str::to_owned)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rv {
            CKR_OK => write!(f, "{} gave an answer that makes no sense", self.function),
            _ if *self == Self::closed() => f.write_str("the session was closed"),
            _ => write!(f, "{}: {}", self.function, self.code()),
        }
    }
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.class)
    }
}

impl std::error::Error for CallError {}

/// The name of a code that PKCS#11 names.
pub(crate) fn name(rv: u64) -> Option<&'static str> {
    row(rv).name
}

/// One code.
struct Row {
    code: CK_RV,
    name: Option<&'static str>,
    class: Class,
}

fn row(rv: CK_RV) -> Row {
    // First those that `cryptoki` does not know: it logs an error for each.
    if let Some((code, name, class)) = LATER.iter().find(|(code, _, _)| *code == rv) {
        return Row { code: *code, name: Some(name), class: *class };
    }
    match Rv::from(rv) {
        Rv::Ok => Row { code: rv, name: Some("CKR_OK"), class: Class::Token },
        Rv::Error(error) => named(error),
    }
}

/// `cryptoki` keeps the meaning of a code and drops its number.
fn code(error: RvError) -> CK_RV {
    named(error).code
}

/// The codes of PKCS#11 v2.40 and v3.0 (section 5.1 of each), by what they can mean here. Those that no call of ours has a reason to
/// answer are as unknown as a vendor's own. `MECHANISM_INVALID` is the key's: a token without AES-GCM does not pass preflight, but a
/// key's `CKA_ALLOWED_MECHANISMS` may lack it. `SIGNATURE_INVALID` could be a tag that does not verify.
const fn named(error: RvError) -> Row {
    use Class::{Input, Key, Login, Session, Token, Unsure, Usage};
    let (code, name, class) = match error {
        RvError::Cancel => (CKR_CANCEL, "CKR_CANCEL", Unsure),
        RvError::HostMemory => (CKR_HOST_MEMORY, "CKR_HOST_MEMORY", Token),
        RvError::SlotIdInvalid => (CKR_SLOT_ID_INVALID, "CKR_SLOT_ID_INVALID", Token),
        RvError::GeneralError => (CKR_GENERAL_ERROR, "CKR_GENERAL_ERROR", Unsure),
        RvError::FunctionFailed => (CKR_FUNCTION_FAILED, "CKR_FUNCTION_FAILED", Unsure),
        RvError::ArgumentsBad => (CKR_ARGUMENTS_BAD, "CKR_ARGUMENTS_BAD", Unsure),
        RvError::NoEvent => (CKR_NO_EVENT, "CKR_NO_EVENT", Unsure),
        RvError::NeedToCreateThreads => (CKR_NEED_TO_CREATE_THREADS, "CKR_NEED_TO_CREATE_THREADS", Token),
        RvError::CantLock => (CKR_CANT_LOCK, "CKR_CANT_LOCK", Token),
        RvError::AttributeReadOnly => (CKR_ATTRIBUTE_READ_ONLY, "CKR_ATTRIBUTE_READ_ONLY", Unsure),
        RvError::AttributeSensitive => (CKR_ATTRIBUTE_SENSITIVE, "CKR_ATTRIBUTE_SENSITIVE", Unsure),
        RvError::AttributeTypeInvalid => (CKR_ATTRIBUTE_TYPE_INVALID, "CKR_ATTRIBUTE_TYPE_INVALID", Unsure),
        RvError::AttributeValueInvalid => (CKR_ATTRIBUTE_VALUE_INVALID, "CKR_ATTRIBUTE_VALUE_INVALID", Unsure),
        RvError::ActionProhibited => (CKR_ACTION_PROHIBITED, "CKR_ACTION_PROHIBITED", Unsure),
        RvError::DataInvalid => (CKR_DATA_INVALID, "CKR_DATA_INVALID", Unsure),
        RvError::DataLenRange => (CKR_DATA_LEN_RANGE, "CKR_DATA_LEN_RANGE", Unsure),
        RvError::DeviceError => (CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", Token),
        RvError::DeviceMemory => (CKR_DEVICE_MEMORY, "CKR_DEVICE_MEMORY", Token),
        RvError::DeviceRemoved => (CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", Token),
        RvError::EncryptedDataInvalid => (CKR_ENCRYPTED_DATA_INVALID, "CKR_ENCRYPTED_DATA_INVALID", Input),
        RvError::EncryptedDataLenRange => (CKR_ENCRYPTED_DATA_LEN_RANGE, "CKR_ENCRYPTED_DATA_LEN_RANGE", Input),
        RvError::FunctionCanceled => (CKR_FUNCTION_CANCELED, "CKR_FUNCTION_CANCELED", Session),
        RvError::FunctionNotParallel => (CKR_FUNCTION_NOT_PARALLEL, "CKR_FUNCTION_NOT_PARALLEL", Unsure),
        RvError::FunctionNotSupported => (CKR_FUNCTION_NOT_SUPPORTED, "CKR_FUNCTION_NOT_SUPPORTED", Token),
        RvError::CurveNotSupported => (CKR_CURVE_NOT_SUPPORTED, "CKR_CURVE_NOT_SUPPORTED", Unsure),
        RvError::KeyHandleInvalid => (CKR_KEY_HANDLE_INVALID, "CKR_KEY_HANDLE_INVALID", Key),
        RvError::KeySizeRange => (CKR_KEY_SIZE_RANGE, "CKR_KEY_SIZE_RANGE", Key),
        RvError::KeyTypeInconsistent => (CKR_KEY_TYPE_INCONSISTENT, "CKR_KEY_TYPE_INCONSISTENT", Key),
        RvError::KeyNotNeeded => (CKR_KEY_NOT_NEEDED, "CKR_KEY_NOT_NEEDED", Unsure),
        RvError::KeyChanged => (CKR_KEY_CHANGED, "CKR_KEY_CHANGED", Key),
        RvError::KeyNeeded => (CKR_KEY_NEEDED, "CKR_KEY_NEEDED", Key),
        RvError::KeyIndigestible => (CKR_KEY_INDIGESTIBLE, "CKR_KEY_INDIGESTIBLE", Unsure),
        RvError::KeyFunctionNotPermitted => (CKR_KEY_FUNCTION_NOT_PERMITTED, "CKR_KEY_FUNCTION_NOT_PERMITTED", Usage),
        RvError::KeyNotWrappable => (CKR_KEY_NOT_WRAPPABLE, "CKR_KEY_NOT_WRAPPABLE", Unsure),
        RvError::KeyUnextractable => (CKR_KEY_UNEXTRACTABLE, "CKR_KEY_UNEXTRACTABLE", Unsure),
        RvError::MechanismInvalid => (CKR_MECHANISM_INVALID, "CKR_MECHANISM_INVALID", Key),
        RvError::MechanismParamInvalid => (CKR_MECHANISM_PARAM_INVALID, "CKR_MECHANISM_PARAM_INVALID", Unsure),
        RvError::ObjectHandleInvalid => (CKR_OBJECT_HANDLE_INVALID, "CKR_OBJECT_HANDLE_INVALID", Key),
        RvError::OperationActive => (CKR_OPERATION_ACTIVE, "CKR_OPERATION_ACTIVE", Session),
        RvError::OperationNotInitialized => (CKR_OPERATION_NOT_INITIALIZED, "CKR_OPERATION_NOT_INITIALIZED", Session),
        RvError::PinIncorrect => (CKR_PIN_INCORRECT, "CKR_PIN_INCORRECT", Login),
        RvError::PinInvalid => (CKR_PIN_INVALID, "CKR_PIN_INVALID", Login),
        RvError::PinLenRange => (CKR_PIN_LEN_RANGE, "CKR_PIN_LEN_RANGE", Login),
        RvError::PinExpired => (CKR_PIN_EXPIRED, "CKR_PIN_EXPIRED", Login),
        RvError::PinLocked => (CKR_PIN_LOCKED, "CKR_PIN_LOCKED", Login),
        RvError::SessionClosed => (CKR_SESSION_CLOSED, "CKR_SESSION_CLOSED", Session),
        RvError::SessionCount => (CKR_SESSION_COUNT, "CKR_SESSION_COUNT", Session),
        RvError::SessionHandleInvalid => (CKR_SESSION_HANDLE_INVALID, "CKR_SESSION_HANDLE_INVALID", Session),
        RvError::SessionParallelNotSupported => (CKR_SESSION_PARALLEL_NOT_SUPPORTED, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", Session),
        RvError::SessionReadOnly => (CKR_SESSION_READ_ONLY, "CKR_SESSION_READ_ONLY", Session),
        RvError::SessionExists => (CKR_SESSION_EXISTS, "CKR_SESSION_EXISTS", Session),
        RvError::SessionReadOnlyExists => (CKR_SESSION_READ_ONLY_EXISTS, "CKR_SESSION_READ_ONLY_EXISTS", Session),
        RvError::SessionReadWriteSoExists => (CKR_SESSION_READ_WRITE_SO_EXISTS, "CKR_SESSION_READ_WRITE_SO_EXISTS", Session),
        RvError::SignatureInvalid => (CKR_SIGNATURE_INVALID, "CKR_SIGNATURE_INVALID", Unsure),
        RvError::SignatureLenRange => (CKR_SIGNATURE_LEN_RANGE, "CKR_SIGNATURE_LEN_RANGE", Unsure),
        RvError::TemplateIncomplete => (CKR_TEMPLATE_INCOMPLETE, "CKR_TEMPLATE_INCOMPLETE", Unsure),
        RvError::TemplateInconsistent => (CKR_TEMPLATE_INCONSISTENT, "CKR_TEMPLATE_INCONSISTENT", Unsure),
        RvError::TokenNotPresent => (CKR_TOKEN_NOT_PRESENT, "CKR_TOKEN_NOT_PRESENT", Token),
        RvError::TokenNotRecognized => (CKR_TOKEN_NOT_RECOGNIZED, "CKR_TOKEN_NOT_RECOGNIZED", Token),
        RvError::TokenWriteProtected => (CKR_TOKEN_WRITE_PROTECTED, "CKR_TOKEN_WRITE_PROTECTED", Token),
        RvError::UnwrappingKeyHandleInvalid => (CKR_UNWRAPPING_KEY_HANDLE_INVALID, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", Unsure),
        RvError::UnwrappingKeySizeRange => (CKR_UNWRAPPING_KEY_SIZE_RANGE, "CKR_UNWRAPPING_KEY_SIZE_RANGE", Unsure),
        RvError::UnwrappingKeyTypeInconsistent => (CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", Unsure),
        RvError::UserAlreadyLoggedIn => (CKR_USER_ALREADY_LOGGED_IN, "CKR_USER_ALREADY_LOGGED_IN", Login),
        RvError::UserNotLoggedIn => (CKR_USER_NOT_LOGGED_IN, "CKR_USER_NOT_LOGGED_IN", Login),
        RvError::UserPinNotInitialized => (CKR_USER_PIN_NOT_INITIALIZED, "CKR_USER_PIN_NOT_INITIALIZED", Login),
        RvError::UserTypeInvalid => (CKR_USER_TYPE_INVALID, "CKR_USER_TYPE_INVALID", Login),
        RvError::UserAnotherAlreadyLoggedIn => (CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Login),
        RvError::UserTooManyTypes => (CKR_USER_TOO_MANY_TYPES, "CKR_USER_TOO_MANY_TYPES", Login),
        RvError::WrappedKeyInvalid => (CKR_WRAPPED_KEY_INVALID, "CKR_WRAPPED_KEY_INVALID", Unsure),
        RvError::WrappedKeyLenRange => (CKR_WRAPPED_KEY_LEN_RANGE, "CKR_WRAPPED_KEY_LEN_RANGE", Unsure),
        RvError::WrappingKeyHandleInvalid => (CKR_WRAPPING_KEY_HANDLE_INVALID, "CKR_WRAPPING_KEY_HANDLE_INVALID", Unsure),
        RvError::WrappingKeySizeRange => (CKR_WRAPPING_KEY_SIZE_RANGE, "CKR_WRAPPING_KEY_SIZE_RANGE", Unsure),
        RvError::WrappingKeyTypeInconsistent => (CKR_WRAPPING_KEY_TYPE_INCONSISTENT, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", Unsure),
        RvError::RandomSeedNotSupported => (CKR_RANDOM_SEED_NOT_SUPPORTED, "CKR_RANDOM_SEED_NOT_SUPPORTED", Unsure),
        RvError::RandomNoRng => (CKR_RANDOM_NO_RNG, "CKR_RANDOM_NO_RNG", Token),
        RvError::DomainParamsInvalid => (CKR_DOMAIN_PARAMS_INVALID, "CKR_DOMAIN_PARAMS_INVALID", Unsure),
        RvError::BufferTooSmall => (CKR_BUFFER_TOO_SMALL, "CKR_BUFFER_TOO_SMALL", Session),
        RvError::SavedStateInvalid => (CKR_SAVED_STATE_INVALID, "CKR_SAVED_STATE_INVALID", Unsure),
        RvError::InformationSensitive => (CKR_INFORMATION_SENSITIVE, "CKR_INFORMATION_SENSITIVE", Unsure),
        RvError::StateUnsaveable => (CKR_STATE_UNSAVEABLE, "CKR_STATE_UNSAVEABLE", Unsure),
        RvError::CryptokiNotInitialized => (CKR_CRYPTOKI_NOT_INITIALIZED, "CKR_CRYPTOKI_NOT_INITIALIZED", Token),
        RvError::CryptokiAlreadyInitialized => (CKR_CRYPTOKI_ALREADY_INITIALIZED, "CKR_CRYPTOKI_ALREADY_INITIALIZED", Token),
        RvError::MutexBad => (CKR_MUTEX_BAD, "CKR_MUTEX_BAD", Token),
        RvError::MutexNotLocked => (CKR_MUTEX_NOT_LOCKED, "CKR_MUTEX_NOT_LOCKED", Token),
        RvError::NewPinMode => (CKR_NEW_PIN_MODE, "CKR_NEW_PIN_MODE", Login),
        RvError::NextOtp => (CKR_NEXT_OTP, "CKR_NEXT_OTP", Login),
        RvError::ExceededMaxIterations => (CKR_EXCEEDED_MAX_ITERATIONS, "CKR_EXCEEDED_MAX_ITERATIONS", Unsure),
        RvError::FipsSelfTestFailed => (CKR_FIPS_SELF_TEST_FAILED, "CKR_FIPS_SELF_TEST_FAILED", Token),
        RvError::LibraryLoadFailed => (CKR_LIBRARY_LOAD_FAILED, "CKR_LIBRARY_LOAD_FAILED", Token),
        RvError::PinTooWeak => (CKR_PIN_TOO_WEAK, "CKR_PIN_TOO_WEAK", Login),
        RvError::PublicKeyInvalid => (CKR_PUBLIC_KEY_INVALID, "CKR_PUBLIC_KEY_INVALID", Unsure),
        RvError::FunctionRejected => (CKR_FUNCTION_REJECTED, "CKR_FUNCTION_REJECTED", Token),
        RvError::VendorDefined(code) | RvError::UnknownErrorCode(code) => return Row { code, name: None, class: Unsure },
    };
    Row { code, name: Some(name), class }
}

const DECRYPT_INIT: &str = "C_DecryptInit";
const DECRYPT: &str = "C_Decrypt";

/// Codes of PKCS#11 v3.0 to v3.2 that `cryptoki` does not name.
const LATER: [(CK_RV, &str, Class); 10] = [
    (CKR_AEAD_DECRYPT_FAILED, "CKR_AEAD_DECRYPT_FAILED", Class::Input),
    (CKR_TOKEN_RESOURCE_EXCEEDED, "CKR_TOKEN_RESOURCE_EXCEEDED", Class::Token),
    (CKR_OPERATION_CANCEL_FAILED, "CKR_OPERATION_CANCEL_FAILED", Class::Session),
    (CKR_KEY_EXHAUSTED, "CKR_KEY_EXHAUSTED", Class::Usage),
    (CKR_PENDING, "CKR_PENDING", Class::Session),
    (CKR_SESSION_ASYNC_NOT_SUPPORTED, "CKR_SESSION_ASYNC_NOT_SUPPORTED", Class::Session),
    (CKR_SEED_RANDOM_REQUIRED, "CKR_SEED_RANDOM_REQUIRED", Class::Token),
    (CKR_OPERATION_NOT_VALIDATED, "CKR_OPERATION_NOT_VALIDATED", Class::Unsure),
    (CKR_TOKEN_NOT_INITIALIZED, "CKR_TOKEN_NOT_INITIALIZED", Class::Token),
    (CKR_PARAMETER_SET_NOT_SUPPORTED, "CKR_PARAMETER_SET_NOT_SUPPORTED", Class::Unsure),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that v2.40 to v3.2 name lies below this.
    const END: CK_RV = 0x300;

    #[test]
    fn only_a_decryption_can_be_the_callers_fault() {
        let mut named = 0;
        for rv in (0..END).chain([CKR_VENDOR_DEFINED, CKR_VENDOR_DEFINED + 7, CK_RV::MAX]) {
            named += u32::from(name(rv).is_some());
            for function in ["C_EncryptInit", "C_Encrypt", "C_Login", "C_FindObjects", "C_OpenSession"] {
                assert_ne!(CallError::new(function, rv).class, Class::Input, "{function} {rv:#x}");
            }
            let input = [CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_AEAD_DECRYPT_FAILED].contains(&rv);
            assert_eq!(CallError::new(DECRYPT, rv).class == Class::Input, input, "{rv:#x}");
        }
        // All of pkcs11.h of v3.2, CKR_OK included; CKR_VENDOR_DEFINED is a bound, not a code.
        assert_eq!(named, 104);
    }

    #[test]
    fn a_code_keeps_its_number_and_its_name() {
        for rv in 0..END {
            let row = row(rv);
            assert_eq!(row.code, rv);
            if row.name.is_none() {
                assert_eq!(row.class, Class::Unsure, "{rv:#x}");
            }
        }
        assert_eq!(name(CKR_USER_NOT_LOGGED_IN), Some("CKR_USER_NOT_LOGGED_IN"));
        assert_eq!(CallError::new("C_Encrypt", 0x8000_0001).to_string(), "C_Encrypt: 0x80000001");
        assert_eq!(CallError::new("C_Encrypt", CKR_DEVICE_ERROR).to_string(), "C_Encrypt: CKR_DEVICE_ERROR");
    }

    #[test]
    fn the_codes_of_the_design_have_their_classes() {
        let expected = [
            (CKR_GENERAL_ERROR, Class::Unsure),
            (CKR_FUNCTION_FAILED, Class::Unsure),
            (CKR_DATA_INVALID, Class::Unsure),
            (CKR_ARGUMENTS_BAD, Class::Unsure),
            (CKR_MECHANISM_PARAM_INVALID, Class::Unsure),
            (CKR_KEY_HANDLE_INVALID, Class::Key),
            (CKR_OBJECT_HANDLE_INVALID, Class::Key),
            (CKR_KEY_FUNCTION_NOT_PERMITTED, Class::Usage),
            (CKR_SESSION_HANDLE_INVALID, Class::Session),
            (CKR_SESSION_CLOSED, Class::Session),
            (CKR_OPERATION_ACTIVE, Class::Session),
            (CKR_OPERATION_NOT_INITIALIZED, Class::Session),
            (CKR_USER_NOT_LOGGED_IN, Class::Login),
            (CKR_DEVICE_REMOVED, Class::Token),
            (CKR_TOKEN_NOT_PRESENT, Class::Token),
            (CKR_DEVICE_ERROR, Class::Token),
            (CKR_DEVICE_MEMORY, Class::Token),
            (CKR_CRYPTOKI_NOT_INITIALIZED, Class::Token),
            (CKR_VENDOR_DEFINED, Class::Unsure),
        ];
        for function in [DECRYPT, "C_Encrypt"] {
            for (rv, class) in expected {
                assert_eq!(CallError::new(function, rv).class, class, "{function} {rv:#x}");
            }
        }
        assert_eq!(CallError::closed().class, Class::Session);
    }
}
