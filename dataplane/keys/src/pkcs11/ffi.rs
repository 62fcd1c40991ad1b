//! The two C calls of an encryption and of a decryption, by function pointers of the module itself: the only `unsafe` of this crate.
//!
//! Holds: a function that the module lacks is an error, never a call; what a module was told to read or write lives until the call that
//! uses it last has come back, or for ever. Called by `session` alone, between the two steps of a gate. Everything slower goes through
//! `cryptoki`, whose `encrypt` makes three calls (it asks for the length first) and can't pass a null IV.

use std::{
    mem,
    path::Path,
    ptr::{self, NonNull},
};

use cryptoki_sys::{
    CK_BYTE, CK_FUNCTION_LIST, CK_GCM_PARAMS, CK_MECHANISM, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_ULONG, CKM_AES_GCM, CKR_OK,
    Pkcs11,
};

use crate::TAG_LENGTH;

/// The functions of a module that requests need.
pub(super) struct Functions {
    encrypt_init: Init,
    encrypt: Update,
    decrypt_init: Init,
    decrypt: Update,
    /// Keeps the module's code loaded.
    _library: Pkcs11,
}

/// Why a file is no PKCS#11 module that can serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAModule {
    /// `dlopen` refused it. The text is the loader's.
    #[error("it can't be loaded: {0}")]
    Load(String),
    /// A shared library, but no PKCS#11 module.
    #[error("it is a shared library without C_GetFunctionList, so no PKCS#11 module")]
    NoEntry,
    /// The function list could not be had.
    #[error("C_GetFunctionList answered {0:#x}")]
    NoList(CK_RV),
    /// A function that every request needs is not there.
    #[error("it lacks {0}")]
    Lacks(&'static str),
}

/// One AES-GCM operation, with its parameters where the module can read and write them while the operation runs.
///
/// Made anew for each operation. Between the first call and the second the module may hold pointers into it.
pub(super) struct Operation {
    session: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
    /// A leaked box, which `drop` takes back. Not the box itself: whatever moves a box may take it that nobody else points into it.
    memory: NonNull<Memory>,
}

/// The IV of an operation, as `CK_GCM_PARAMS` has it.
#[derive(Clone, Copy)]
pub(super) enum IvField<'a> {
    /// These bytes, 16 at most; an encryption may overwrite them.
    Bytes(&'a [u8]),
    /// A null pointer: the token draws one.
    Null,
}

/// What the pointers of an operation point at.
struct Memory {
    mechanism: CK_MECHANISM,
    parameters: CK_GCM_PARAMS,
    iv: [CK_BYTE; MOST_IV],
    iv_length: usize,
    aad: Vec<CK_BYTE>,
}

type Init = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE) -> CK_RV;
type Update = unsafe extern "C" fn(CK_SESSION_HANDLE, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG) -> CK_RV;

impl Functions {
    /// Loads a module, or takes hold of it once more, and reads its function list. The file is the operator's choice.
    pub(super) fn load(path: &Path) -> Result<Self, NotAModule> {
        // SAFETY: loading runs the library's initialisers. That they do no harm is upheld by whoever configured this path: the code of
        // a PKCS#11 module runs in this process by design.
        let library = unsafe { Pkcs11::new(path) }.map_err(|error| NotAModule::Load(error.to_string()))?;
        let entry = *library.C_GetFunctionList.as_ref().map_err(|_| NotAModule::NoEntry)?;
        let mut list: *mut CK_FUNCTION_LIST = ptr::null_mut();
        // SAFETY: the symbol has this signature in every PKCS#11 module (v2.40 section 5.4, C_GetFunctionList), and the library is loaded.
        let rv = unsafe { entry(&raw mut list) };
        if rv != CKR_OK || list.is_null() {
            return Err(NotAModule::NoList(rv));
        }
        // SAFETY: the module answered CKR_OK and gave a pointer that is not null: to its function list, which is valid for as long as the
        // library is loaded (same section). Read unaligned, since some modules pack their structures.
        let list = unsafe { ptr::read_unaligned(list) };
        Ok(Self {
            encrypt_init: list.C_EncryptInit.ok_or(NotAModule::Lacks("C_EncryptInit"))?,
            encrypt: list.C_Encrypt.ok_or(NotAModule::Lacks("C_Encrypt"))?,
            decrypt_init: list.C_DecryptInit.ok_or(NotAModule::Lacks("C_DecryptInit"))?,
            decrypt: list.C_Decrypt.ok_or(NotAModule::Lacks("C_Decrypt"))?,
            _library: library,
        })
    }

    /// `C_EncryptInit`.
    pub(super) fn encrypt_init(&self, operation: &mut Operation) -> CK_RV {
        init(self.encrypt_init, operation)
    }

    /// `C_Encrypt`. Gives the code and how much of `output` was written, or how much room it wants.
    pub(super) fn encrypt(&self, operation: &mut Operation, input: &[u8], output: &mut [u8]) -> (CK_RV, usize) {
        update(self.encrypt, operation, input, output)
    }

    /// `C_DecryptInit`.
    pub(super) fn decrypt_init(&self, operation: &mut Operation) -> CK_RV {
        init(self.decrypt_init, operation)
    }

    /// `C_Decrypt`. Gives the code and how much of `output` was written, or how much room it wants.
    pub(super) fn decrypt(&self, operation: &mut Operation, input: &[u8], output: &mut [u8]) -> (CK_RV, usize) {
        update(self.decrypt, operation, input, output)
    }
}

impl Operation {
    /// On a session, under a key, with a 128-bit tag. An IV longer than 16 bytes is cut: callers have none.
    pub(super) fn new(session: CK_SESSION_HANDLE, key: CK_OBJECT_HANDLE, iv: IvField<'_>, aad: &[u8]) -> Self {
        let mut made = Memory {
            mechanism: CK_MECHANISM {
                mechanism: CKM_AES_GCM,
                pParameter: ptr::null_mut(),
                ulParameterLen: ulong(size_of::<CK_GCM_PARAMS>()),
            },
            parameters: CK_GCM_PARAMS { ulTagBits: ulong(8 * TAG_LENGTH), ..CK_GCM_PARAMS::default() },
            iv: [0; MOST_IV],
            iv_length: 0,
            aad: aad.to_vec(),
        };
        // Some modules take a pointer with the length 0 amiss.
        if !made.aad.is_empty() {
            made.parameters.pAAD = made.aad.as_mut_ptr();
            made.parameters.ulAADLen = ulong(made.aad.len());
        }
        if let IvField::Bytes(bytes) = iv {
            made.iv.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            made.iv_length = bytes.len().min(MOST_IV);
            made.parameters.ulIvLen = ulong(made.iv_length);
            made.parameters.ulIvBits = ulong(8 * made.iv_length);
        }
        let memory = NonNull::from(Box::leak(Box::new(made)));
        let place = memory.as_ptr();
        // SAFETY: `place` is the box that was just leaked: whole, on the heap, and known to nobody else.
        unsafe {
            if matches!(iv, IvField::Bytes(_)) {
                (*place).parameters.pIv = (&raw mut (*place).iv).cast();
            }
            (*place).mechanism.pParameter = (&raw mut (*place).parameters).cast();
        }
        Self { session, key, memory }
    }

    /// The IV now: what was given, or what the token wrote over it.
    pub(super) fn iv(&self) -> &[u8] {
        let memory = self.memory();
        memory.iv.get(..memory.iv_length).unwrap_or_default()
    }

    /// The second call will not be made: the module may keep its pointers, so what they point at stays.
    pub(super) fn leak(self) {
        mem::forget(self);
    }

    fn memory(&self) -> &Memory {
        // SAFETY: the box that `new` leaked lives until `drop`. Its module writes to it in calls alone, which borrow the operation mutably.
        unsafe { self.memory.as_ref() }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: `new` leaked this box, and nobody else takes it back. No call is under way, since those borrow the operation; one that
        // the module may come back to keeps it by `leak`.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

fn init(function: Init, operation: &mut Operation) -> CK_RV {
    // SAFETY: the function is the module's own, by the signature of PKCS#11 v2.40 sections 5.8 and 5.9, from a library that `Functions`
    // keeps loaded. The mechanism and everything that it points at is owned by `operation`, on the heap, with the lengths beside the
    // pointers; it outlives this call, and the second one too, since `session` drops it after that or leaks it. Handles are plain
    // numbers that the module checks.
    unsafe { function(operation.session, &raw mut (*operation.memory.as_ptr()).mechanism, operation.key) }
}

fn update(function: Update, operation: &mut Operation, input: &[u8], output: &mut [u8]) -> (CK_RV, usize) {
    let mut length = ulong(output.len());
    // SAFETY: as in `init`. `input` is only read (the C type lacks the const), `output` has room for `length` bytes, and the module writes
    // no more than that (section 5.2); both are borrowed until the call comes back. A call that never does keeps its thread, and with it
    // the borrows.
    let rv = unsafe { function(operation.session, input.as_ptr().cast_mut(), ulong(input.len()), output.as_mut_ptr(), &raw mut length) };
    (rv, usize::try_from(length).unwrap_or(usize::MAX))
}

/// Lengths here are of requests, far below the 32 bits that the smallest `CK_ULONG` has.
fn ulong(length: usize) -> CK_ULONG {
    CK_ULONG::try_from(length).unwrap_or(CK_ULONG::MAX)
}

const MOST_IV: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_no_module_is_named_as_such() {
        let missing = Functions::load(Path::new("/nonexistent/module.so")).err().unwrap();
        assert!(matches!(missing, NotAModule::Load(_)), "{missing}");
        let other = Functions::load(Path::new("libm.so.6")).err().unwrap();
        assert!(matches!(other, NotAModule::NoEntry), "{other}");
    }

    #[test]
    fn parameters_point_at_what_was_given() {
        let operation = Operation::new(1, 2, IvField::Bytes(&[7; 12]), b"aad");
        let memory = operation.memory();
        assert_eq!((memory.parameters.ulIvLen, memory.parameters.ulIvBits, memory.parameters.ulAADLen), (12, 96, 3));
        assert_eq!(memory.parameters.ulTagBits, 128);
        assert_eq!(memory.parameters.pIv.cast_const(), memory.iv.as_ptr());
        assert_eq!(memory.parameters.pAAD.cast_const(), memory.aad.as_ptr());
        assert_eq!(memory.mechanism.pParameter.cast_const(), (&raw const memory.parameters).cast());
        assert_eq!(operation.iv(), [7; 12]);

        let empty = Operation::new(1, 2, IvField::Null, b"");
        assert!(empty.memory().parameters.pIv.is_null() && empty.memory().parameters.pAAD.is_null());
        assert!(empty.iv().is_empty());
    }
}
