//! One session of a token: what requests and key tasks ask of it.
//!
//! Holds: each call passes the session's gate, so that nothing is called on a session after it was closed or given up; one that was given
//! up is leaked, with all that its module may still use. One thread at a time uses a session (it is `Send`, not `Sync`).

use std::{
    marker::PhantomData,
    mem::{self, ManuallyDrop},
    sync::Arc,
};

use aws_lc_rs::{error::Unspecified, rand};
use cryptoki::{
    error::Error,
    object::{Attribute, ObjectHandle},
    session::{SessionState, UserType},
    types::RawAuthPin,
};
use cryptoki_sys::{CK_RV, CKR_BUFFER_TOO_SMALL, CKR_MECHANISM_PARAM_INVALID, CKR_OK, CKR_RANDOM_NO_RNG, CKR_USER_ALREADY_LOGGED_IN};
use zeroize::Zeroizing;

use super::{
    fault::{CallError, Class},
    ffi::{Functions, IvField, Operation},
    gate::Gate,
    job::Decrypt,
    module::Module,
    pin::Pin,
    vendor::IvRule,
};
use crate::{IV_LENGTH, Iv, TAG_LENGTH};

/// An open session.
pub(crate) struct Session {
    module: Arc<Module>,
    iv: IvRule,
    gate: Arc<Gate>,
    /// None once it was dropped or leaked.
    inner: Option<cryptoki::session::Session>,
    /// Not `Sync`, whatever `cryptoki` makes of its own.
    _one_thread: PhantomData<std::cell::Cell<()>>,
}

/// What an encryption gave.
pub(crate) struct RawSealed {
    pub(crate) iv: Iv,
    /// As long as the plaintext.
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: [u8; TAG_LENGTH],
}

/// What is to be decrypted.
#[derive(Clone, Copy)]
pub(crate) struct Opening<'a> {
    /// 16 bytes at most; a longer one is the caller's fault.
    pub(crate) iv: &'a [u8],
    pub(crate) aad: &'a [u8],
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8; TAG_LENGTH],
}

/// What came of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoggedIn {
    /// The token took the PIN.
    Accepted,
    /// Another session of this process had logged in before: the PIN was not looked at.
    Already,
}

impl Session {
    /// By `open`, which opens one.
    pub(super) fn open(
        module: &Arc<Module>,
        iv: IvRule,
        gate: Arc<Gate>,
        open: impl FnOnce() -> Result<cryptoki::session::Session, Error>,
    ) -> Result<Self, CallError> {
        let mut session = Self { module: Arc::clone(module), iv, gate, inner: None, _one_thread: PhantomData };
        if !session.gate.enter() {
            return Err(CallError::closed());
        }
        let opened = open();
        if !session.gate.leave() {
            mem::forget(opened);
            return Err(CallError::closed());
        }
        session.inner = Some(opened.map_err(|error| CallError::of("C_OpenSession", &error))?);
        Ok(session)
    }

    /// Logs the token's user in, for all sessions of this process. Call it through `login`, which remembers a refused PIN. What the token
    /// answered is told even if the session was given up meanwhile; [`CallError::closed`] says that nothing was called.
    pub(super) fn login(&self, pin: &Pin) -> Result<LoggedIn, CallError> {
        let secret = RawAuthPin::new(Box::new(pin.bytes().to_vec()));
        let inner = self.inner.as_ref().ok_or(CallError::closed())?;
        let mut answer = None;
        let passed = self.call(|| answer = Some(inner.login_with_raw(UserType::User, &secret)));
        match answer.map(|answer| answer.map_err(|error| CallError::of("C_Login", &error))) {
            None => Err(passed.err().unwrap_or(CallError::closed())),
            Some(Ok(())) => Ok(LoggedIn::Accepted),
            Some(Err(CallError { rv: CKR_USER_ALREADY_LOGGED_IN, .. })) => Ok(LoggedIn::Already),
            Some(Err(error)) => Err(error),
        }
    }

    /// Whether the token still takes this process's user for logged in.
    pub(crate) fn is_logged_in(&self) -> Result<bool, CallError> {
        let info = self.slow("C_GetSessionInfo", cryptoki::session::Session::get_session_info)?;
        Ok(matches!(info.session_state(), SessionState::RoUser | SessionState::RwUser))
    }

    /// Encrypts by AES-256-GCM, with an IV by the vendor's rule.
    pub(crate) fn encrypt(&self, key: u64, aad: &[u8], plaintext: &[u8]) -> Result<RawSealed, CallError> {
        let mut drawn = [0; IV_LENGTH];
        let field = match self.iv {
            IvRule::Caller => {
                rand::fill(&mut drawn).map_err(|Unspecified| CallError::new("the operating system", CKR_RANDOM_NO_RNG))?;
                IvField::Bytes(&drawn)
            }
            IvRule::TokenFillsBuffer => IvField::Bytes(&drawn),
            IvRule::TokenAppends => IvField::Null,
        };
        let operation = Operation::new(self.handle()?, key, field, aad);
        // Room for an IV behind the tag, whoever makes it.
        let (operation, output) = self.run(&ENCRYPT, operation, plaintext, plaintext.len() + TAG_LENGTH + Iv::MOST)?;
        split(self.iv, &operation, output, plaintext.len()).ok_or(CallError::nonsense(ENCRYPT.finish_name))
    }

    /// Decrypts by AES-256-GCM.
    pub(crate) fn decrypt(&self, key: u64, what: Opening<'_>) -> Result<Zeroizing<Vec<u8>>, CallError> {
        if what.iv.len() > Iv::MOST {
            return Err(CallError { function: DECRYPT.init_name, rv: CKR_MECHANISM_PARAM_INVALID, class: Class::Input });
        }
        let operation = Operation::new(self.handle()?, key, IvField::Bytes(what.iv), what.aad);
        let input = [what.ciphertext, what.tag].concat();
        // As much room as there is input: some modules want it.
        let (_, plaintext) = self.run(&DECRYPT, operation, &input, input.len())?;
        if plaintext.len() == what.ciphertext.len() { Ok(plaintext) } else { Err(CallError::nonsense(DECRYPT.finish_name)) }
    }

    /// The objects that a template matches, `most` of them. Each C call passes the gate by itself: a search is a state of the session, and
    /// one that goes on after the session was given up could be that of another session with the same handle.
    pub(super) fn find_objects(&self, template: &[Attribute], most: usize) -> Result<Vec<ObjectHandle>, CallError> {
        let inner = self.inner.as_ref().ok_or(CallError::closed())?;
        let failed = |error: Error| CallError::of("C_FindObjects", &error);
        // Its drop ends the search, by a call.
        let mut search = self.call(|| inner.iter_objects(template).map(ManuallyDrop::new))?.map_err(failed)?;
        let mut found = Ok(Vec::new());
        while let Ok(all) = &mut found
            && all.len() < most
        {
            match self.call(|| search.next())? {
                Some(Ok(handle)) => all.push(handle),
                Some(Err(error)) => found = Err(failed(error)),
                None => break,
            }
        }
        self.call(|| drop(ManuallyDrop::into_inner(search)))?;
        found
    }

    /// A call through `cryptoki`. Where that makes several C calls, they count as one for the gate: they must not leave a state behind.
    pub(super) fn slow<T>(
        &self,
        function: &'static str,
        call: impl FnOnce(&cryptoki::session::Session) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        let inner = self.inner.as_ref().ok_or(CallError::closed())?;
        self.call(|| call(inner))?.map_err(|error| CallError::of(function, &error))
    }

    /// The two calls of an operation. `room` is how much output there can be.
    fn run(
        &self,
        steps: &Steps,
        mut operation: Operation,
        input: &[u8],
        room: usize,
    ) -> Result<(Operation, Zeroizing<Vec<u8>>), CallError> {
        let functions = self.module.functions();
        match self.call(|| (steps.init)(functions, &mut operation)) {
            Ok(CKR_OK) => {}
            Ok(rv) => return Err(CallError::new(steps.init_name, rv)),
            Err(closed) => {
                operation.leak();
                return Err(closed);
            }
        }
        let mut output = Zeroizing::new(vec![0; room]);
        let mut asked = false;
        loop {
            match self.call(|| (steps.finish)(functions, &mut operation, input, &mut output)) {
                Ok((CKR_OK, length)) if length <= output.len() => {
                    output.truncate(length);
                    return Ok((operation, output));
                }
                Ok((CKR_OK, _)) => return Err(CallError::nonsense(steps.finish_name)),
                // The operation is still active (PKCS#11 v2.40 section 5.2): a module that wants more room gets it, once.
                Ok((CKR_BUFFER_TOO_SMALL, wanted)) if !asked && wanted > room && wanted <= room + MOST_EXTRA => {
                    asked = true;
                    output = Zeroizing::new(vec![0; wanted]);
                }
                Ok((rv, _)) => return Err(CallError::new(steps.finish_name, rv)),
                Err(closed) => {
                    operation.leak();
                    return Err(closed);
                }
            }
        }
    }

    /// Calls the module, if the gate allows it.
    fn call<T>(&self, call: impl FnOnce() -> T) -> Result<T, CallError> {
        if !self.gate.enter() {
            return Err(CallError::closed());
        }
        let answer = call();
        if self.gate.leave() { Ok(answer) } else { Err(CallError::closed()) }
    }

    fn handle(&self) -> Result<u64, CallError> {
        self.inner.as_ref().map(cryptoki::session::Session::handle).ok_or(CallError::closed())
    }

    /// Gives the session up: it is never closed, since a call on it may not have come back.
    pub(crate) fn leak(mut self) {
        mem::forget(self.inner.take());
    }
}

/// Closes the session, which a closed gate still allows; one that was given up is leaked.
impl Drop for Session {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take() else { return };
        if self.gate.enter_to_end() {
            drop(inner);
            // Given up or not: there is nothing left of the session.
            let _ = self.gate.leave();
        } else {
            mem::forget(inner);
        }
    }
}

impl<'a> From<&'a Decrypt> for Opening<'a> {
    fn from(work: &'a Decrypt) -> Self {
        Self { iv: &work.iv, aad: &work.aad, ciphertext: &work.ciphertext, tag: &work.tag }
    }
}

/// Takes a module's output apart: ciphertext ‖ tag, and the IV behind it where the token appends it.
fn split(rule: IvRule, operation: &Operation, mut output: Zeroizing<Vec<u8>>, plaintext: usize) -> Option<RawSealed> {
    let end = plaintext + TAG_LENGTH;
    let iv = match rule {
        IvRule::Caller | IvRule::TokenFillsBuffer if output.len() != end => return None,
        IvRule::Caller => Iv::try_from(operation.iv()).ok()?,
        // Zeros: the token did not draw one, and a second encryption would use the same.
        IvRule::TokenFillsBuffer => Iv::try_from(operation.iv()).ok().filter(|iv| iv.iter().any(|byte| *byte != 0))?,
        IvRule::TokenAppends => Iv::try_from(output.get(end..)?).ok()?,
    };
    let tag = output.get(plaintext..end)?.try_into().ok()?;
    output.truncate(plaintext);
    Some(RawSealed { iv, ciphertext: mem::take(&mut *output), tag })
}

/// An operation's two calls.
struct Steps {
    init_name: &'static str,
    init: Init,
    finish_name: &'static str,
    finish: Finish,
}

type Init = fn(&Functions, &mut Operation) -> CK_RV;
type Finish = fn(&Functions, &mut Operation, &[u8], &mut [u8]) -> (CK_RV, usize);

const ENCRYPT: Steps =
    Steps { init_name: "C_EncryptInit", init: Functions::encrypt_init, finish_name: "C_Encrypt", finish: Functions::encrypt };

const DECRYPT: Steps =
    Steps { init_name: "C_DecryptInit", init: Functions::decrypt_init, finish_name: "C_Decrypt", finish: Functions::decrypt };

/// How much more room than expected a module may ask for.
const MOST_EXTRA: usize = 4_096;

#[cfg(test)]
mod tests;
