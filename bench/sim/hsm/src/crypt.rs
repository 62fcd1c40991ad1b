//! AES-GCM on a partition: C_EncryptInit to C_Decrypt.
//!
//! Holds: a call that fails ends its operation, but for a buffer that was too small (PKCS#11 v2.40, section 5.8); the operation is out
//! of the session while a call sleeps; a call keeps to the session that its handle named when it came, also when another has got that
//! handle by the time it wakes.

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
        let session = self.session(session);
        self.enter(Function::EncryptInit)?;
        self.pay(self.config.latency.init);
        let session = session?;
        session.check_alive()?;
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
        let session = self.session(session);
        self.enter(Function::DecryptInit)?;
        self.pay(self.config.latency.init);
        let session = session?;
        session.check_alive()?;
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
        let session = self.session(handle);
        let passed = self.enter(Function::Encrypt);
        let operation = session.as_ref().map_or(None, |session| session.operations().encrypt.take());
        passed?;
        let session = session?;
        session.check_alive()?;
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
        let session = self.session(handle);
        let passed = self.enter(Function::Decrypt);
        let operation = session.as_ref().map_or(None, |session| session.operations().decrypt.take());
        passed?;
        let session = session?;
        session.check_alive()?;
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

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Instant};

    use super::*;
    use crate::config::Config;

    const SESSION: u64 = 1 << 32 | 1;

    fn partition(more: &str) -> Partition {
        let text = format!("[[partition]]\nlabel = 'a'\npin = '1'\n{more}\n[[partition.key]]\nid = '01'\nlabel = 'k'");
        let config = Config::parse(Path::new("sim.toml"), &text).unwrap().partitions.remove(0);
        let partition = Partition::open(config, 0, None).unwrap();
        assert_eq!(partition.open_session(CKF_SERIAL_SESSION), Ok(SESSION));
        partition.log_in(SESSION, CKU_USER, b"1").unwrap();
        partition
    }

    fn key(partition: &Partition) -> u64 {
        partition.search(SESSION, &[]).unwrap();
        let found = partition.found(SESSION, 9).unwrap();
        partition.end_search(SESSION).unwrap();
        found[0]
    }

    fn gcm<'a>(iv: Option<&'a [u8]>) -> Result<GcmParams<'a>, Rv> {
        Ok(GcmParams { iv, iv_bits: iv.map_or(0, |iv| iv.len() as CK_ULONG * 8), aad: b"aad", tag_bits: 128 })
    }

    #[test]
    fn asking_for_the_length_or_having_too_little_room_keeps_the_operation() {
        let partition = partition("");
        let key = key(&partition);
        assert!(matches!(partition.encrypt(SESSION, b"x", Room::Asks), Err(e) if e == rv(CKR_OPERATION_NOT_INITIALIZED)));
        partition.encrypt_init(SESSION, gcm(Some(&[1; 12])), key).unwrap();
        assert_eq!(partition.encrypt_init(SESSION, gcm(Some(&[1; 12])), key), fail(CKR_OPERATION_ACTIVE));
        assert!(matches!(partition.encrypt(SESSION, b"secret", Room::Asks), Ok(Answer::Needs(22))));
        assert!(matches!(partition.encrypt(SESSION, b"secret", Room::Bytes(21)), Ok(Answer::TooSmall(22))));
        let Ok(Answer::Done(sealed)) = partition.encrypt(SESSION, b"secret", Room::Bytes(22)) else { panic!("not done") };
        assert!(matches!(partition.encrypt(SESSION, b"x", Room::Asks), Err(e) if e == rv(CKR_OPERATION_NOT_INITIALIZED)));
        partition.decrypt_init(SESSION, gcm(Some(&[1; 12])), key).unwrap();
        assert_eq!(partition.decrypt_init(SESSION, gcm(Some(&[1; 12])), key), fail(CKR_OPERATION_ACTIVE));
        assert!(matches!(partition.decrypt(SESSION, &sealed, Room::Asks), Ok(Answer::Needs(6))));
        assert!(matches!(partition.decrypt(SESSION, &sealed, Room::Bytes(5)), Ok(Answer::TooSmall(6))));
        assert!(matches!(partition.decrypt(SESSION, &sealed, Room::Bytes(6)), Ok(Answer::Done(plain)) if plain == b"secret"));
    }

    #[test]
    fn an_appended_iv_needs_none_from_the_caller_but_its_bits_to_decrypt() {
        for (more, len) in [("iv = 'appended'", 16), ("iv = 'appended'\niv_len = 12", 12)] {
            let partition = partition(more);
            let key = key(&partition);
            assert_eq!(partition.encrypt_init(SESSION, gcm(None), key), Ok(None));
            let Ok(Answer::Done(sealed)) = partition.encrypt(SESSION, b"", Room::Bytes(99)) else { panic!("not done") };
            let (sealed, iv) = sealed.split_at(TAG_LEN);
            assert_eq!(iv.len(), len);
            let bits_missing = gcm(Some(iv)).map(|params| GcmParams { iv_bits: 0, ..params });
            assert_eq!(partition.decrypt_init(SESSION, bits_missing, key), fail(CKR_MECHANISM_PARAM_INVALID));
            partition.decrypt_init(SESSION, gcm(Some(iv)), key).unwrap();
            assert!(matches!(partition.decrypt(SESSION, sealed, Room::Bytes(0)), Ok(Answer::Done(plain)) if plain.is_empty()));
        }
    }

    #[test]
    fn the_latency_is_paid_by_each_call_that_travels() {
        let partition = partition("latency_us = 20000\njitter_us = 10\ninit_latency_us = 5000");
        let key = key(&partition);
        let start = Instant::now();
        partition.encrypt_init(SESSION, gcm(Some(&[1; 12])), key).unwrap();
        let init = start.elapsed().as_millis();
        assert!(matches!(partition.encrypt(SESSION, b"x", Room::Asks), Ok(Answer::Needs(17))));
        assert!(init >= 5 && start.elapsed().as_millis() >= 25);
    }
}
