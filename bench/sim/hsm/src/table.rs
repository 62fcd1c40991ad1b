//! The function list, whole as PKCS#11 v2.40 has it. What the module does not do answers `CKR_FUNCTION_NOT_SUPPORTED`.

use cryptoki_sys::*;

use crate::{ffi, module::CRYPTOKI_VERSION};

/// What C_GetFunctionList gives.
pub(crate) static FUNCTIONS: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
    version: CRYPTOKI_VERSION,
    C_Initialize: Some(ffi::initialize),
    C_Finalize: Some(ffi::finalize),
    C_GetInfo: Some(ffi::info),
    C_GetFunctionList: Some(ffi::C_GetFunctionList),
    C_GetSlotList: Some(ffi::slot_list),
    C_GetSlotInfo: Some(ffi::slot_info),
    C_GetTokenInfo: Some(ffi::token_info),
    C_GetMechanismList: Some(ffi::mechanism_list),
    C_GetMechanismInfo: Some(ffi::mechanism_info),
    C_InitToken: Some(absent4),
    C_InitPIN: Some(absent3),
    C_SetPIN: Some(absent5),
    C_OpenSession: Some(ffi::open_session),
    C_CloseSession: Some(ffi::close_session),
    C_CloseAllSessions: Some(ffi::close_all_sessions),
    C_GetSessionInfo: Some(ffi::session_info),
    C_GetOperationState: Some(absent3),
    C_SetOperationState: Some(absent5),
    C_Login: Some(ffi::login),
    C_Logout: Some(ffi::logout),
    C_CreateObject: Some(ffi::create_object),
    C_CopyObject: Some(absent5),
    C_DestroyObject: Some(ffi::destroy_object),
    C_GetObjectSize: Some(absent3),
    C_GetAttributeValue: Some(ffi::attribute_value),
    C_SetAttributeValue: Some(ffi::set_attribute_value),
    C_FindObjectsInit: Some(ffi::find_objects_init),
    C_FindObjects: Some(ffi::find_objects),
    C_FindObjectsFinal: Some(ffi::find_objects_final),
    C_EncryptInit: Some(ffi::encrypt_init),
    C_Encrypt: Some(ffi::encrypt),
    C_EncryptUpdate: Some(absent5),
    C_EncryptFinal: Some(absent3),
    C_DecryptInit: Some(ffi::decrypt_init),
    C_Decrypt: Some(ffi::decrypt),
    C_DecryptUpdate: Some(absent5),
    C_DecryptFinal: Some(absent3),
    C_DigestInit: Some(absent2),
    C_Digest: Some(absent5),
    C_DigestUpdate: Some(absent3),
    C_DigestKey: Some(absent2),
    C_DigestFinal: Some(absent3),
    C_SignInit: Some(absent3),
    C_Sign: Some(absent5),
    C_SignUpdate: Some(absent3),
    C_SignFinal: Some(absent3),
    C_SignRecoverInit: Some(absent3),
    C_SignRecover: Some(absent5),
    C_VerifyInit: Some(absent3),
    C_Verify: Some(absent5),
    C_VerifyUpdate: Some(absent3),
    C_VerifyFinal: Some(absent3),
    C_VerifyRecoverInit: Some(absent3),
    C_VerifyRecover: Some(absent5),
    C_DigestEncryptUpdate: Some(absent5),
    C_DecryptDigestUpdate: Some(absent5),
    C_SignEncryptUpdate: Some(absent5),
    C_DecryptVerifyUpdate: Some(absent5),
    C_GenerateKey: Some(ffi::generate_key),
    C_GenerateKeyPair: Some(absent8),
    C_WrapKey: Some(absent6),
    C_UnwrapKey: Some(absent8),
    C_DeriveKey: Some(absent6),
    C_SeedRandom: Some(absent3),
    C_GenerateRandom: Some(ffi::generate_random),
    C_GetFunctionStatus: Some(absent1),
    C_CancelFunction: Some(absent1),
    C_WaitForSlotEvent: Some(absent3),
};

// One for each number of arguments: C would let one stand for all, Rust rightly does not.

extern "C" fn absent1<A>(_: A) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent2<A, B>(_: A, _: B) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent3<A, B, C>(_: A, _: B, _: C) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent4<A, B, C, D>(_: A, _: B, _: C, _: D) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent5<A, B, C, D, E>(_: A, _: B, _: C, _: D, _: E) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent6<A, B, C, D, E, F>(_: A, _: B, _: C, _: D, _: E, _: F) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}

extern "C" fn absent8<A, B, C, D, E, F, G, H>(_: A, _: B, _: C, _: D, _: E, _: F, _: G, _: H) -> CK_RV {
    CKR_FUNCTION_NOT_SUPPORTED
}
