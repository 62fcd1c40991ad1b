//! The C boundary: the only file that follows pointers.
//!
//! Holds: every pointer of the caller is turned into a safe type at the top of its function, checked for null; the work is done in safe
//! code; no panic crosses. What makes this sound is the caller's part of PKCS#11: a pointer that is not null points at as many items as
//! the call says, aligned, for the duration of the call, and nobody else writes there meanwhile.
#![expect(unsafe_code, reason = "PKCS#11 is a C interface: its functions take pointers")]

use std::{
    ffi::c_void,
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    slice,
};

use cryptoki_sys::*;

use crate::{
    crypt::{Answer, GcmParams, Room},
    function::Function,
    module::{self, entered, entered_slot, of_session},
    partition::Partition,
    rv::{Rv, fail, rv},
    table::FUNCTIONS,
};

/// The one symbol that an application looks up (PKCS#11 v2.40, section 5.4).
///
/// # Safety
/// `list` is null or writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let list = unsafe { place(list) }?;
        // C has no pointer to constant here; the standard forbids callers to write.
        list.write((&raw const FUNCTIONS).cast_mut());
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn initialize(args: *mut c_void) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says; null is allowed here.
        if let Some(args) = unsafe { args.cast::<CK_C_INITIALIZE_ARGS>().as_ref() } {
            if !args.pReserved.is_null() {
                return fail(CKR_ARGUMENTS_BAD);
            }
            let mutexes = [args.CreateMutex.is_some(), args.DestroyMutex.is_some(), args.LockMutex.is_some(), args.UnlockMutex.is_some()];
            match (mutexes, args.flags & CKF_OS_LOCKING_OK != 0) {
                ([false, false, false, false], _) | ([true, true, true, true], true) => {}
                ([true, true, true, true], false) => return fail(CKR_CANT_LOCK),
                _ => return fail(CKR_ARGUMENTS_BAD),
            }
        }
        module::initialize()
    })
}

pub(crate) extern "C" fn finalize(reserved: *mut c_void) -> CK_RV {
    guard(|| if reserved.is_null() { module::finalize() } else { fail(CKR_ARGUMENTS_BAD) })
}

pub(crate) unsafe extern "C" fn info(out: *mut CK_INFO) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        out.write(module::info()?);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn slot_list(with_token: CK_BBOOL, out: *mut CK_SLOT_ID, count: *mut CK_ULONG) -> CK_RV {
    // SAFETY: the caller's pointers, as this file says.
    guard(|| unsafe { give(&module::slots(with_token != CK_FALSE)?, out, count) })
}

pub(crate) unsafe extern "C" fn slot_info(slot: CK_SLOT_ID, out: *mut CK_SLOT_INFO) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        let partition = entered_slot(slot, Function::SlotInfo)?;
        out.write(partition.slot_info());
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn token_info(slot: CK_SLOT_ID, out: *mut CK_TOKEN_INFO) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        let partition = entered_slot(slot, Function::TokenInfo)?;
        out.write(partition.token_info()?);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn mechanism_list(slot: CK_SLOT_ID, out: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG) -> CK_RV {
    guard(|| {
        let partition = entered_slot(slot, Function::MechanismList)?;
        // SAFETY: the caller's pointers, as this file says.
        unsafe { give(&partition.mechanisms(), out, count) }
    })
}

pub(crate) unsafe extern "C" fn mechanism_info(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, out: *mut CK_MECHANISM_INFO) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        let partition = entered_slot(slot, Function::MechanismInfo)?;
        out.write(partition.mechanism_info(kind)?);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn open_session(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: *mut c_void,
    _notify: CK_NOTIFY,
    out: *mut CK_SESSION_HANDLE,
) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        let partition = entered_slot(slot, Function::OpenSession)?;
        out.write(partition.open_session(flags)?);
        Ok(())
    })
}

pub(crate) extern "C" fn close_session(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| entered(session, Function::CloseSession)?.close_session(session))
}

pub(crate) extern "C" fn close_all_sessions(slot: CK_SLOT_ID) -> CK_RV {
    guard(|| {
        entered_slot(slot, Function::CloseAllSessions)?.end_sessions(false);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn session_info(session: CK_SESSION_HANDLE, out: *mut CK_SESSION_INFO) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let out = unsafe { place(out) }?;
        let partition = entered(session, Function::SessionInfo)?;
        out.write(partition.session_info(session)?);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, len: CK_ULONG) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let pin = unsafe { items(pin, len) }?;
        entered(session, Function::Login)?.log_in(session, user, pin)
    })
}

pub(crate) extern "C" fn logout(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| {
        let partition = entered(session, Function::Logout)?;
        partition.session(session)?;
        partition.sessions.log_out()
    })
}

pub(crate) unsafe extern "C" fn create_object(
    session: CK_SESSION_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointers, as this file says.
        let (template, out) = unsafe { (template(attributes, count)?, place(out)?) };
        let partition = entered(session, Function::CreateObject)?;
        out.write(partition.create(session, &template)?);
        Ok(())
    })
}

pub(crate) extern "C" fn destroy_object(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> CK_RV {
    guard(|| entered(session, Function::DestroyObject)?.destroy(session, object))
}

pub(crate) unsafe extern "C" fn attribute_value(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    guard(|| {
        let partition = entered(session, Function::GetAttributeValue)?;
        let key = partition.object_in(session, object)?;
        let count = usize::try_from(count).map_err(|_| rv(CKR_ARGUMENTS_BAD))?;
        if attributes.is_null() && count > 0 {
            return fail(CKR_ARGUMENTS_BAD);
        }
        // All are tried; the last failure is told (PKCS#11 v2.40, section 5.7).
        let mut result = Ok(());
        for at in 0..count {
            // SAFETY: the caller's array, as this file says, and `at` is within it.
            let attribute = unsafe { &mut *attributes.add(at) };
            let told = match key.attribute(attribute.type_) {
                Ok(value) => {
                    // SAFETY: `pValue` is null or the caller's buffer of `ulValueLen` bytes, as this file says.
                    unsafe { give(&value, attribute.pValue.cast(), &mut attribute.ulValueLen) }
                }
                Err(error) => Err(error),
            };
            if told.is_err() {
                attribute.ulValueLen = CK_UNAVAILABLE_INFORMATION;
                result = told;
            }
        }
        result
    })
}

pub(crate) unsafe extern "C" fn set_attribute_value(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let template = unsafe { template(attributes, count) }?;
        entered(session, Function::SetAttributeValue)?.set_attributes(session, object, &template)
    })
}

pub(crate) unsafe extern "C" fn find_objects_init(session: CK_SESSION_HANDLE, attributes: *mut CK_ATTRIBUTE, count: CK_ULONG) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let template = unsafe { template(attributes, count) }?;
        entered(session, Function::FindObjectsInit)?.search(session, &template)
    })
}

pub(crate) unsafe extern "C" fn find_objects(
    session: CK_SESSION_HANDLE,
    out: *mut CK_OBJECT_HANDLE,
    most: CK_ULONG,
    count: *mut CK_ULONG,
) -> CK_RV {
    guard(|| {
        if out.is_null() || count.is_null() {
            return fail(CKR_ARGUMENTS_BAD);
        }
        let partition = entered(session, Function::FindObjects)?;
        let found = partition.found(session, usize::try_from(most).unwrap_or(usize::MAX))?;
        // SAFETY: the caller's pointers, as this file says; `out` has room for `most`, and `found` is no longer.
        unsafe {
            count.write(most);
            give(&found, out, count)
        }
    })
}

pub(crate) extern "C" fn find_objects_final(session: CK_SESSION_HANDLE) -> CK_RV {
    guard(|| entered(session, Function::FindObjectsFinal)?.end_search(session))
}

pub(crate) unsafe extern "C" fn generate_key(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    attributes: *mut CK_ATTRIBUTE,
    count: CK_ULONG,
    out: *mut CK_OBJECT_HANDLE,
) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointers, as this file says.
        let (template, out) = unsafe { (template(attributes, count)?, place(out)?) };
        // SAFETY: as above.
        let mechanism = unsafe { mechanism.as_ref() }.ok_or(rv(CKR_ARGUMENTS_BAD))?;
        let partition = entered(session, Function::GenerateKey)?;
        out.write(partition.generate(session, mechanism.mechanism, &template)?);
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn encrypt_init(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let params = unsafe { gcm(mechanism) };
        let iv = params.as_ref().map_or(std::ptr::null_mut(), |params| params.pIv);
        // SAFETY: as above.
        let gcm = params.and_then(|params| unsafe { gcm_params(params) });
        if let Some(made) = of_session(session)?.encrypt_init(session, gcm, key)? {
            // SAFETY: the caller's buffer, not null since an IV of that length was read from it, and no slice of it is in use any more.
            unsafe { iv.copy_from_nonoverlapping(made.as_ptr(), made.len()) };
        }
        Ok(())
    })
}

pub(crate) unsafe extern "C" fn decrypt_init(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's pointer, as this file says.
        let gcm = unsafe { gcm(mechanism).and_then(|params| gcm_params(params)) };
        of_session(session)?.decrypt_init(session, gcm, key)
    })
}

pub(crate) unsafe extern "C" fn encrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    len: CK_ULONG,
    out: *mut CK_BYTE,
    out_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's pointers, as this file says.
    unsafe { operate(Partition::encrypt, session, (data, len), (out, out_len)) }
}

pub(crate) unsafe extern "C" fn decrypt(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    len: CK_ULONG,
    out: *mut CK_BYTE,
    out_len: *mut CK_ULONG,
) -> CK_RV {
    // SAFETY: the caller's pointers, as this file says.
    unsafe { operate(Partition::decrypt, session, (data, len), (out, out_len)) }
}

pub(crate) unsafe extern "C" fn generate_random(session: CK_SESSION_HANDLE, out: *mut CK_BYTE, len: CK_ULONG) -> CK_RV {
    guard(|| {
        let partition = entered(session, Function::GenerateRandom)?;
        let wanted = usize::try_from(len).map_err(|_| rv(CKR_ARGUMENTS_BAD))?;
        let mut len = len;
        if out.is_null() {
            return fail(CKR_ARGUMENTS_BAD);
        }
        // SAFETY: the caller's pointer, as this file says, and a length of our own.
        unsafe { give(&partition.random(session, wanted)?, out, &mut len) }
    })
}

/// Runs a call's work; a panic in it is a failed function.
fn guard(work: impl FnOnce() -> Result<(), Rv>) -> CK_RV {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(error)) => error.code(),
        Err(_panic) => CKR_FUNCTION_FAILED,
    }
}

/// Where one value goes.
///
/// # Safety
/// `pointer` is null or writable for `'a`.
unsafe fn place<'a, T>(pointer: *mut T) -> Result<&'a mut MaybeUninit<T>, Rv> {
    // SAFETY: the caller's word; uninitialised memory is fine for `MaybeUninit`.
    unsafe { pointer.cast::<MaybeUninit<T>>().as_mut() }.ok_or(rv(CKR_ARGUMENTS_BAD))
}

/// The items at a pointer; none at a null one of length 0.
///
/// # Safety
/// `pointer` is null or readable for `len` items during `'a`.
unsafe fn items<'a, T>(pointer: *const T, len: CK_ULONG) -> Result<&'a [T], Rv> {
    match usize::try_from(len) {
        Ok(0) => Ok(&[]),
        Ok(len) if !pointer.is_null() && len <= MOST => {
            // SAFETY: not null, and as long as the caller says.
            Ok(unsafe { slice::from_raw_parts(pointer, len) })
        }
        Ok(_) | Err(_) => fail(CKR_ARGUMENTS_BAD),
    }
}

/// The attributes of a template.
///
/// # Safety
/// As `items`, and so for each attribute's value.
unsafe fn template<'a>(attributes: *const CK_ATTRIBUTE, count: CK_ULONG) -> Result<Vec<(CK_ATTRIBUTE_TYPE, &'a [u8])>, Rv> {
    // SAFETY: the caller's word.
    let attributes = unsafe { items(attributes, count) }?;
    // SAFETY: the caller's word.
    attributes.iter().map(|one| Ok((one.type_, unsafe { items(one.pValue.cast::<u8>().cast_const(), one.ulValueLen) }?))).collect()
}

/// The parameters of an AES-GCM mechanism.
///
/// # Safety
/// `mechanism` is null or readable during `'a`, and so are its parameters.
unsafe fn gcm<'a>(mechanism: *const CK_MECHANISM) -> Result<&'a CK_GCM_PARAMS, Rv> {
    // SAFETY: the caller's word.
    let mechanism = unsafe { mechanism.as_ref() }.ok_or(rv(CKR_ARGUMENTS_BAD))?;
    if mechanism.mechanism != CKM_AES_GCM {
        return fail(CKR_MECHANISM_INVALID);
    }
    if mechanism.ulParameterLen != size_of::<CK_GCM_PARAMS>() as CK_ULONG {
        return fail(CKR_MECHANISM_PARAM_INVALID);
    }
    // SAFETY: the caller's word, and the length is right.
    unsafe { mechanism.pParameter.cast::<CK_GCM_PARAMS>().as_ref() }.ok_or(rv(CKR_MECHANISM_PARAM_INVALID))
}

/// The same in safe types.
///
/// # Safety
/// As `items` for IV and AAD.
unsafe fn gcm_params<'a>(params: &CK_GCM_PARAMS) -> Result<GcmParams<'a>, Rv> {
    let bad = |_| rv(CKR_MECHANISM_PARAM_INVALID);
    // SAFETY: the caller's word.
    let aad = unsafe { items(params.pAAD.cast_const(), params.ulAADLen) }.map_err(bad)?;
    // SAFETY: the caller's word. Where there is no pointer there is no IV, whatever its length.
    let iv = (!params.pIv.is_null()).then(|| unsafe { items(params.pIv.cast_const(), params.ulIvLen) }).transpose().map_err(bad)?;
    Ok(GcmParams { iv, iv_bits: params.ulIvBits, aad, tag_bits: params.ulTagBits })
}

/// How much room the caller has.
///
/// # Safety
/// `len` is null or readable.
unsafe fn room(out: *mut CK_BYTE, len: *const CK_ULONG) -> Result<Room, Rv> {
    // SAFETY: the caller's word.
    let len = unsafe { len.as_ref() }.ok_or(rv(CKR_ARGUMENTS_BAD))?;
    Ok(if out.is_null() { Room::Asks } else { Room::Bytes(usize::try_from(*len).unwrap_or(usize::MAX)) })
}

/// The second call of an encryption or decryption.
///
/// # Safety
/// The input is readable, `len` writable, and `out` as long as it said.
unsafe fn operate(
    operation: fn(&Partition, CK_SESSION_HANDLE, &[u8], Room) -> Result<Answer, Rv>,
    session: CK_SESSION_HANDLE,
    (data, data_len): (*const CK_BYTE, CK_ULONG),
    (out, len): (*mut CK_BYTE, *mut CK_ULONG),
) -> CK_RV {
    guard(|| {
        // SAFETY: the caller's word.
        let (data, room) = unsafe { (items(data, data_len)?, room(out, len)?) };
        let answer = operation(of_session(session)?, session, data, room)?;
        // SAFETY: the caller's word; the input is not in use any more, so that it may be the same buffer.
        unsafe { reply(answer, out, len) }
    })
}

/// Gives the caller an answer, or its length.
///
/// # Safety
/// `len` is writable, and `out` as long as it said.
unsafe fn reply(answer: Answer, out: *mut CK_BYTE, len: *mut CK_ULONG) -> Result<(), Rv> {
    let (needed, told) = match answer {
        // SAFETY: the caller's word.
        Answer::Done(bytes) => return unsafe { give(&bytes, out, len) },
        Answer::Needs(needed) => (needed, Ok(())),
        Answer::TooSmall(needed) => (needed, fail(CKR_BUFFER_TOO_SMALL)),
    };
    // SAFETY: the caller's word.
    unsafe { place(len) }?.write(needed as CK_ULONG);
    told
}

/// Gives the caller some items, or, where `out` is null or too short, their number (PKCS#11 v2.40, section 5.2).
///
/// # Safety
/// `count` is null or the caller's, and `out` is null or has room for so many items.
unsafe fn give<T: Copy>(from: &[T], out: *mut T, count: *mut CK_ULONG) -> Result<(), Rv> {
    // SAFETY: the caller's word.
    let count = unsafe { count.as_mut() }.ok_or(rv(CKR_ARGUMENTS_BAD))?;
    let room = usize::try_from(*count).unwrap_or(usize::MAX);
    *count = from.len() as CK_ULONG;
    if out.is_null() {
        return Ok(());
    }
    if room < from.len() {
        return fail(CKR_BUFFER_TOO_SMALL);
    }
    // SAFETY: there is room, and `from` is memory of our own.
    unsafe { out.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
    Ok(())
}

/// More items than a sane call has; a length past it is a caller's mistake, and no slice may be that long.
const MOST: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use super::*;

    #[test]
    fn a_list_is_counted_then_given_and_never_past_its_room() {
        let mut count = 0;
        let mut out = [0_u64; 2];
        // SAFETY: pointers to locals, with their lengths.
        unsafe {
            assert_eq!((give(&[7_u64, 8], null_mut(), &mut count), count), (Ok(()), 2));
            count = 1;
            assert_eq!((give(&[7_u64, 8], out.as_mut_ptr(), &mut count), count), (fail(CKR_BUFFER_TOO_SMALL), 2));
            assert_eq!(out, [0, 0]);
            assert_eq!((give(&[7_u64, 8], out.as_mut_ptr(), &mut count), out), (Ok(()), [7, 8]));
            assert_eq!(give(&[7_u64], out.as_mut_ptr(), null_mut()), fail(CKR_ARGUMENTS_BAD));
        }
    }

    #[test]
    fn a_null_pointer_is_nothing_or_a_bad_argument() {
        // SAFETY: null pointers, which are looked at and not followed.
        unsafe {
            assert_eq!(items::<u8>(null_mut(), 0), Ok(&[][..]));
            assert_eq!(items::<u8>(null_mut(), 1), fail(CKR_ARGUMENTS_BAD));
            assert!(place::<u64>(null_mut()).is_err() && gcm(null_mut()).is_err() && room(null_mut(), null_mut()).is_err());
            assert_eq!(C_GetFunctionList(null_mut()), CKR_ARGUMENTS_BAD);
        }
    }

    #[test]
    fn gcm_parameters_are_taken_as_the_header_has_them_and_without_an_iv() {
        let mut params = CK_GCM_PARAMS { pIv: null_mut(), ulIvLen: 12, ulIvBits: 96, pAAD: null_mut(), ulAADLen: 0, ulTagBits: 128 };
        let mut mechanism = CK_MECHANISM { mechanism: CKM_AES_GCM, pParameter: (&raw mut params).cast(), ulParameterLen: 48 };
        // SAFETY: pointers to locals.
        unsafe {
            let read = gcm(&mechanism).and_then(|params| gcm_params(params)).unwrap();
            assert_eq!((read.iv, read.iv_bits, read.aad, read.tag_bits), (None, 96, &[][..], 128));
            mechanism.ulParameterLen = 40;
            assert_eq!(gcm(&mechanism).err(), Some(rv(CKR_MECHANISM_PARAM_INVALID)));
            mechanism.mechanism = CKM_AES_CBC;
            assert_eq!(gcm(&mechanism).err(), Some(rv(CKR_MECHANISM_INVALID)));
        }
    }

    #[test]
    fn a_panic_is_a_failed_function() {
        assert_eq!(guard(|| panic!("on purpose")), CKR_FUNCTION_FAILED);
    }

    #[test]
    fn an_uninitialized_module_says_so() {
        assert_eq!(close_session(1 << 32 | 1), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(finalize(null_mut()), CKR_CRYPTOKI_NOT_INITIALIZED);
    }
}
