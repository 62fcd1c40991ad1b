//! One partition: everything that a call on its slot or sessions reaches.
//!
//! Holds: no state is shared with another partition; session and object handles carry the partition's index, so that a call finds it
//! without asking the others; no lock is held while a call sleeps or hangs.

use std::{io, thread, time::Duration};

use cryptoki_sys::*;

use crate::{
    config::{IvRule, Mechanism, PartitionConfig},
    function::Function,
    gate::{Effect, Gate},
    key::{KeyRecord, SecretKey, Template, random},
    ledger::LedgerFile,
    rv::{Rv, fail, rv},
    session::{Session, Sessions},
    token::{PinCounts, Token},
};

/// One token and the slot that it is in.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) config: PartitionConfig,
    pub(crate) gate: Gate,
    pub(crate) sessions: Sessions,
    pub(crate) token: Token,
    index: u64,
}

impl Partition {
    /// The partition at a place of the configuration.
    ///
    /// # Errors
    /// Its state or its faults can't be read.
    pub(crate) fn open(config: PartitionConfig, index: usize, faults: Option<LedgerFile>) -> io::Result<Self> {
        let gate = Gate::open(faults, !config.latency.init.is_zero())?;
        Ok(Self { gate, sessions: Sessions::new(config.sessions), token: Token::open(&config)?, config, index: index as u64 })
    }

    /// Counts a call, and puts it through the faults in force.
    pub(crate) fn enter(&self, function: Function) -> Result<(), Rv> {
        self.gate.count(function);
        let passed = self.gate.pass(function);
        self.settle();
        passed
    }

    /// Does what new faults ask of sessions and handles.
    pub(crate) fn settle(&self) {
        match self.gate.owed() {
            Effect::None => {}
            Effect::LoseSessions => self.end_sessions(false),
            Effect::ReuseHandles => {
                self.end_sessions(true);
                self.token.permute();
            }
        }
    }

    /// Closes every session.
    pub(crate) fn end_sessions(&self, reuse: bool) {
        self.sessions.close_all(reuse);
        self.token.forget(|_| true);
    }

    /// C_OpenSession.
    pub(crate) fn open_session(&self, flags: CK_FLAGS) -> Result<CK_SESSION_HANDLE, Rv> {
        if flags & CKF_SERIAL_SESSION == 0 {
            return fail(CKR_SESSION_PARALLEL_NOT_SUPPORTED);
        }
        self.sessions.open(flags & CKF_RW_SESSION != 0).map(|number| self.handle(number))
    }

    /// C_CloseSession.
    pub(crate) fn close_session(&self, handle: CK_SESSION_HANDLE) -> Result<(), Rv> {
        let number = split(handle).1;
        self.sessions.close(number)?;
        self.token.forget(|session| session == number);
        Ok(())
    }

    /// C_GetSessionInfo.
    pub(crate) fn session_info(&self, handle: CK_SESSION_HANDLE) -> Result<CK_SESSION_INFO, Rv> {
        let session = self.session(handle)?;
        let (state, write) = match (session.read_write, self.sessions.logged_in()) {
            (false, false) => (CKS_RO_PUBLIC_SESSION, 0),
            (false, true) => (CKS_RO_USER_FUNCTIONS, 0),
            (true, false) => (CKS_RW_PUBLIC_SESSION, CKF_RW_SESSION),
            (true, true) => (CKS_RW_USER_FUNCTIONS, CKF_RW_SESSION),
        };
        Ok(CK_SESSION_INFO { slotID: self.index, state, flags: CKF_SERIAL_SESSION | write, ulDeviceError: 0 })
    }

    /// C_Login.
    pub(crate) fn log_in(&self, handle: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: &[u8]) -> Result<(), Rv> {
        let session = self.session(handle)?;
        if user != CKU_USER {
            return fail(CKR_USER_TYPE_INVALID);
        }
        self.sessions.log_in(&session, || self.token.count_pin(|counts| self.try_pin(counts, pin))?)
    }

    fn try_pin(&self, counts: &mut PinCounts, pin: &[u8]) -> Result<(), Rv> {
        let right = pin == self.config.pin.as_bytes();
        counts.wrong += u64::from(!right);
        if self.is_locked(counts) {
            return fail(CKR_PIN_LOCKED);
        }
        if !right {
            counts.in_a_row += 1;
            return fail(CKR_PIN_INCORRECT);
        }
        counts.in_a_row = 0;
        counts.logins += 1;
        Ok(())
    }

    /// Whether the PIN was wrong too often.
    pub(crate) fn is_locked(&self, counts: &PinCounts) -> bool {
        self.config.pin_tries != 0 && counts.in_a_row >= self.config.pin_tries
    }

    /// C_FindObjectsInit.
    pub(crate) fn search(&self, handle: CK_SESSION_HANDLE, template: &Template<'_>) -> Result<(), Rv> {
        let session = self.session(handle)?;
        let mut operations = session.operations();
        if operations.search.is_some() {
            return fail(CKR_OPERATION_ACTIVE);
        }
        let mut found = self.token.find(template, self.sessions.logged_in())?;
        found.reverse();
        operations.search = Some(found);
        Ok(())
    }

    /// C_FindObjects: at most `most` handles.
    pub(crate) fn found(&self, handle: CK_SESSION_HANDLE, most: usize) -> Result<Vec<CK_OBJECT_HANDLE>, Rv> {
        let session = self.session(handle)?;
        let mut operations = session.operations();
        let left = operations.search.as_mut().ok_or(rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let now = left.split_off(left.len().saturating_sub(most));
        Ok(now.into_iter().rev().map(|number| self.handle(number)).collect())
    }

    /// C_FindObjectsFinal.
    pub(crate) fn end_search(&self, handle: CK_SESSION_HANDLE) -> Result<(), Rv> {
        let ended = self.session(handle)?.operations().search.take();
        ended.map(|_| ()).ok_or(rv(CKR_OPERATION_NOT_INITIALIZED))
    }

    /// C_GenerateKey.
    pub(crate) fn generate(&self, handle: CK_SESSION_HANDLE, mechanism: CK_MECHANISM_TYPE, template: &Template<'_>) -> Result<u64, Rv> {
        let session = self.session(handle)?;
        if mechanism != CKM_AES_KEY_GEN || !self.config.mechanisms.contains(&Mechanism::AesKeyGen) {
            return fail(CKR_MECHANISM_INVALID);
        }
        self.keep(&session, KeyRecord::generated(template)?)
    }

    /// C_CreateObject.
    pub(crate) fn create(&self, handle: CK_SESSION_HANDLE, template: &Template<'_>) -> Result<u64, Rv> {
        let session = self.session(handle)?;
        self.keep(&session, KeyRecord::created(template)?)
    }

    /// C_DestroyObject.
    pub(crate) fn destroy(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<(), Rv> {
        let session = self.session(handle)?;
        self.writable(&session, &self.object(object)?.record)?;
        self.token.remove(split(object).1)
    }

    /// C_SetAttributeValue.
    pub(crate) fn set_attributes(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: &Template<'_>) -> Result<(), Rv> {
        let session = self.session(handle)?;
        let key = self.object(object)?;
        self.writable(&session, &key.record)?;
        self.token.change(split(object).1, key.record.clone().changed(template)?)
    }

    /// The key of an object handle, for C_GetAttributeValue.
    pub(crate) fn object_in(&self, handle: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE) -> Result<std::sync::Arc<SecretKey>, Rv> {
        self.session(handle)?;
        self.object(object)
    }

    /// C_GenerateRandom.
    pub(crate) fn random(&self, handle: CK_SESSION_HANDLE, len: usize) -> Result<Vec<u8>, Rv> {
        self.session(handle)?;
        Ok(random(len))
    }

    /// The session of a handle.
    pub(crate) fn session(&self, handle: CK_SESSION_HANDLE) -> Result<std::sync::Arc<Session>, Rv> {
        self.sessions.session(split(handle).1)
    }

    /// The key of an object handle, if the application may see it.
    pub(crate) fn object(&self, handle: CK_OBJECT_HANDLE) -> Result<std::sync::Arc<SecretKey>, Rv> {
        let (partition, number) = split(handle);
        let key = (partition == Some(self.index)).then(|| self.token.key(number)).flatten().ok_or(rv(CKR_OBJECT_HANDLE_INVALID))?;
        self.may_use(&key)?;
        Ok(key)
    }

    /// That the login a key needs is there.
    pub(crate) fn may_use(&self, key: &SecretKey) -> Result<(), Rv> {
        if key.record.private && !self.sessions.logged_in() { fail(CKR_USER_NOT_LOGGED_IN) } else { Ok(()) }
    }

    /// Sleeps as long as a call takes here.
    pub(crate) fn pay(&self, call: Duration) {
        let jitter = self.config.latency.jitter.as_micros() as u64;
        let drawn = if jitter == 0 || call.is_zero() { 0 } else { draw() % (jitter + 1) };
        let whole = call + Duration::from_micros(drawn);
        if !whole.is_zero() {
            thread::sleep(whole);
        }
    }

    /// How many bytes an encryption adds behind ciphertext and tag.
    pub(crate) fn appended(&self) -> usize {
        match self.config.iv {
            IvRule::Caller | IvRule::Token => 0,
            IvRule::Appended(len) => len,
        }
    }

    fn keep(&self, session: &Session, record: KeyRecord) -> Result<u64, Rv> {
        self.writable(session, &record)?;
        let owner = (!record.token).then_some(session.number);
        let number = self.token.add(SecretKey::new(record, owner)?)?;
        Ok(self.handle(number))
    }

    fn writable(&self, session: &Session, record: &KeyRecord) -> Result<(), Rv> {
        if record.token && !session.read_write {
            return fail(CKR_SESSION_READ_ONLY);
        }
        if record.private && !self.sessions.logged_in() { fail(CKR_USER_NOT_LOGGED_IN) } else { Ok(()) }
    }

    fn handle(&self, number: u64) -> u64 {
        (self.index + 1) << NUMBER_BITS | number
    }
}

/// The partition index and the number in a session or object handle.
pub(crate) fn split(handle: u64) -> (Option<u64>, u64) {
    ((handle >> NUMBER_BITS).checked_sub(1), handle & ((1 << NUMBER_BITS) - 1))
}

fn draw() -> u64 {
    random(8).try_into().map_or(0, u64::from_ne_bytes)
}

/// The index is above these, so that handles stay readable and fit 48 bits for up to 65,535 partitions.
const NUMBER_BITS: u32 = 32;
