//! Texts of our own under a key: the canary that tells whether a token works, and proofs that two members hold the same key.
//!
//! Holds: a canary decrypts what was encrypted when its generation began, so one whose handle has come to name another key fails. None
//! of these texts is anybody's data.

use std::time::{Duration, Instant};

use aws_lc_rs::constant_time;
use rustix::time::{ClockId, clock_gettime};

use super::{
    fault::CallError,
    job::Proof,
    proof,
    session::{Opening, RawSealed, Session},
};

/// The health key of a partition in one generation, and a ciphertext under it.
pub(crate) struct Canary {
    key: u64,
    sealed: RawSealed,
}

impl Canary {
    /// Encrypts under this key, by its handle, and decrypts that again.
    pub(crate) fn plant(session: &Session, key: u64) -> Result<Self, CallError> {
        let canary = Self { key, sealed: session.encrypt(key, AAD, TEXT)? };
        canary.decrypt(session)?;
        Ok(canary)
    }

    /// Decrypts what it was planted with.
    pub(crate) fn decrypt(&self, session: &Session) -> Result<(), CallError> {
        let text = session.decrypt(self.key, opening(&self.sealed, AAD))?;
        // `CKR_OK`, and another text: no token that works does that.
        equal(&text, TEXT).then_some(()).ok_or(CallError::nonsense("C_Decrypt"))
    }

    /// Encrypts anew, and decrypts what it was planted with. How long the slower of the two took: a request's call is one of them.
    pub(crate) fn run(&self, session: &Session) -> Result<Duration, CallError> {
        let start = Instant::now();
        session.encrypt(self.key, AAD, TEXT)?;
        let encrypted = Instant::now();
        self.decrypt(session)?;
        Ok(encrypted.duration_since(start).max(encrypted.elapsed()))
    }

    /// Whether the token computes on the thread that calls it, rather than somewhere else while that waits: then at least half of a
    /// canary's time is CPU time of this thread. Asked while nobody else uses the token.
    pub(crate) fn computes_here(&self, session: &Session) -> Result<bool, CallError> {
        for _ in 0..TRIES {
            let (began, computed) = (Instant::now(), computing_time());
            self.run(session)?;
            let (took, computed) = (began.elapsed(), computing_time().saturating_sub(computed));
            if computed * 2 >= took {
                return Ok(true);
            }
            // So slow that no interruption explains it.
            if took > SLOW && computed * 10 < took {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// CPU time of this thread so far.
fn computing_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Encrypts the text that proofs are made of, bound to what it is a proof of.
pub(super) fn make_proof(session: &Session, key: u64, bound: &[u8]) -> Result<Proof, CallError> {
    let RawSealed { iv, ciphertext, tag } = session.encrypt(key, bound, proof::TEXT)?;
    Ok(Proof { iv: iv.to_vec(), ciphertext, tag })
}

/// Decrypts a proof. False: to another text.
pub(super) fn check_proof(session: &Session, key: u64, bound: &[u8], proof: &Proof) -> Result<bool, CallError> {
    let opening = Opening { iv: &proof.iv, aad: bound, ciphertext: &proof.ciphertext, tag: &proof.tag };
    Ok(equal(&session.decrypt(key, opening)?, proof::TEXT))
}

/// To decrypt what a session encrypted.
pub(super) fn opening<'a>(sealed: &'a RawSealed, aad: &'a [u8]) -> Opening<'a> {
    Opening { iv: &sealed.iv, aad, ciphertext: &sealed.ciphertext, tag: &sealed.tag }
}

/// In a time that does not tell where they differ.
pub(super) fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// Of several, since one may have been interrupted.
const TRIES: usize = 3;
const SLOW: Duration = Duration::from_millis(1);

/// What health checks and canaries encrypt.
pub(super) const TEXT: &[u8] = b"holdfast canary: nobody's data";
pub(super) const AAD: &[u8] = b"holdfast canary v1";
