//! AES-GCM on a partition: C_EncryptInit to C_Decrypt.
//!
//! Holds: a call that fails ends its operation, but for a buffer that was too small (PKCS#11 v2.40, section 5.8); the operation is out
//! of the session while a call sleeps.

use cryptoki_sys::*;

use crate::{
    config::{IvRule, Mechanism},
    function::Function,
    gcm::TAG_LEN,
    key::random,
    partition::Partition,
    rv::{Rv, fail, rv},
    session::Operation,
};

/// CK_GCM_PARAMS of one encryption or decryption.
#[derive(Debug)]
pub(crate) struct GcmParams<'a> {
    pub(crate) iv: Option<&'a [u8]>,
    pub(crate) iv_bits: CK_ULONG,
    pub(crate) aad: &'a [u8],
    pub(crate) tag_bits: CK_ULONG,
}

/// How much room a caller has for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Room {
    /// None: it asks how much it needs.
    Asks,
    /// So many bytes.
    Bytes(usize),
}

/// What C_Encrypt and C_Decrypt bring.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The result.
    Done(Vec<u8>),
    /// Only its length.
    Needs(usize),
    /// Its length, which is more than the caller has room for.
    TooSmall(usize),
}

impl Partition {
    /// C_EncryptInit. What it gives is to be written over the caller's IV, which is as long.
    pub(crate) fn encrypt_init(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Result<GcmParams<'_>, Rv>,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Option<Vec<u8>>, Rv> {
        self.enter(Function::EncryptInit)?;
        self.pay(self.config.latency.init);
        let session = self.session(session)?;
        if session.operations().encrypt.is_some() {
            return fail(CKR_OPERATION_ACTIVE);
        }
        let params = self.gcm(mechanism)?;
        let key = self.key(key)?;
        if !key.record.encrypt {
            return fail(CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
        let iv = self.encryption_iv(params.iv)?;
        let written = (self.config.iv == IvRule::Token).then(|| iv.clone());
        session.operations().encrypt = Some(Operation { key, iv, aad: params.aad.to_vec() });
        Ok(written)
    }

    /// C_DecryptInit.
    pub(crate) fn decrypt_init(
        &self,
        session: CK_SESSION_HANDLE,
        mechanism: Result<GcmParams<'_>, Rv>,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Rv> {
        self.enter(Function::DecryptInit)?;
        self.pay(self.config.latency.init);
        let session = self.session(session)?;
        if session.operations().decrypt.is_some() {
            return fail(CKR_OPERATION_ACTIVE);
        }
        let params = self.gcm(mechanism)?;
        let key = self.key(key)?;
        if !key.record.decrypt {
            return fail(CKR_KEY_FUNCTION_NOT_PERMITTED);
        }
        let Some(iv) = params.iv.filter(|iv| (1..=256).contains(&iv.len())) else {
            return fail(CKR_MECHANISM_PARAM_INVALID);
        };
        // Luna firmware in FIPS mode was seen to need the length in bits here.
        if matches!(self.config.iv, IvRule::Appended(_)) && params.iv_bits != iv.len() as CK_ULONG * 8 {
            return fail(CKR_MECHANISM_PARAM_INVALID);
        }
        session.operations().decrypt = Some(Operation { key, iv: iv.to_vec(), aad: params.aad.to_vec() });
        Ok(())
    }

    /// C_Encrypt.
    pub(crate) fn encrypt(&self, handle: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Answer, Rv> {
        let passed = self.enter(Function::Encrypt);
        let session = self.session(handle);
        let operation = session.as_ref().map_or(None, |session| session.operations().encrypt.take());
        passed?;
        let session = session?;
        let operation = operation.ok_or(rv(CKR_OPERATION_NOT_INITIALIZED))?;
        self.pay(self.config.latency.call);
        session.check_alive()?;
        self.may_use(&operation.key)?;
        let needed = data.len() + TAG_LEN + self.appended();
        if let Some(short) = room.lacks(needed) {
            session.operations().encrypt = Some(operation);
            return Ok(short);
        }
        let mut sealed = operation.key.cipher.seal(&operation.iv, &operation.aad, data).map_err(|_| rv(CKR_GENERAL_ERROR))?;
        if self.appended() != 0 {
            sealed.extend_from_slice(&operation.iv);
        }
        Ok(Answer::Done(sealed))
    }

    /// C_Decrypt.
    pub(crate) fn decrypt(&self, handle: CK_SESSION_HANDLE, data: &[u8], room: Room) -> Result<Answer, Rv> {
        let passed = self.enter(Function::Decrypt);
        let session = self.session(handle);
        let operation = session.as_ref().map_or(None, |session| session.operations().decrypt.take());
        passed?;
        let session = session?;
        let operation = operation.ok_or(rv(CKR_OPERATION_NOT_INITIALIZED))?;
        self.pay(self.config.latency.call);
        session.check_alive()?;
        self.may_use(&operation.key)?;
        let needed = data.len().checked_sub(TAG_LEN).ok_or(rv(CKR_ENCRYPTED_DATA_LEN_RANGE))?;
        if let Some(short) = room.lacks(needed) {
            session.operations().decrypt = Some(operation);
            return Ok(short);
        }
        operation.key.cipher.open(&operation.iv, &operation.aad, data).map(Answer::Done).map_err(|_| self.config.bad_tag)
    }

    fn gcm<'a>(&self, mechanism: Result<GcmParams<'a>, Rv>) -> Result<GcmParams<'a>, Rv> {
        if !self.config.mechanisms.contains(&Mechanism::AesGcm) {
            return fail(CKR_MECHANISM_INVALID);
        }
        let params = mechanism?;
        if params.tag_bits != TAG_LEN as CK_ULONG * 8 {
            return fail(CKR_MECHANISM_PARAM_INVALID);
        }
        Ok(params)
    }

    fn key(&self, handle: CK_OBJECT_HANDLE) -> Result<std::sync::Arc<crate::key::SecretKey>, Rv> {
        let wrong = |error| if error == rv(CKR_OBJECT_HANDLE_INVALID) { rv(CKR_KEY_HANDLE_INVALID) } else { error };
        self.object(handle).map_err(wrong)
    }

    /// The IV of an encryption, by the partition's rule.
    fn encryption_iv(&self, given: Option<&[u8]>) -> Result<Vec<u8>, Rv> {
        match (self.config.iv, given) {
            (IvRule::Caller, Some(iv)) if (1..=256).contains(&iv.len()) => Ok(iv.to_vec()),
            (IvRule::Token, Some(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])) => Ok(random(12)),
            (IvRule::Caller | IvRule::Token, _) => fail(CKR_MECHANISM_PARAM_INVALID),
            (IvRule::Appended(len), _) => Ok(random(len)),
        }
    }
}

impl Room {
    fn lacks(self, needed: usize) -> Option<Answer> {
        match self {
            Self::Asks => Some(Answer::Needs(needed)),
            Self::Bytes(room) if room < needed => Some(Answer::TooSmall(needed)),
            Self::Bytes(_) => None,
        }
    }
}
