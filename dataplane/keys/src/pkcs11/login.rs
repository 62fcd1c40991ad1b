//! Logging in, and the memory of PINs that a token refused (design §5: restarting nodes must not lock a token).
//!
//! Holds: a PIN that a token refused is not tried again, over restarts, until it changes or `partition retry-login`. A PIN that the token
//! never took is on record *before* it is tried: if the process dies or hangs in that call, nobody knows whether the token counted a wrong
//! PIN, so that it counts as refused. A PIN that the token took before is tried without a record: a token that hangs in `C_Login` must be
//! able to come back by itself, and a good PIN can be tried any number of times. Once refused, it is as good as any other.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::{constant_time, error::Unspecified, hmac, rand};
use cryptoki_sys::{
    CK_RV, CKR_PIN_EXPIRED, CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_LOCKED, CKR_USER_PIN_NOT_INITIALIZED,
};
use serde::{Deserialize, Serialize};
use tracing::error;
use uuid::Uuid;

use super::{
    durable,
    fault::{CallError, Class},
    pin::{Pin, PinError},
    session::{LoggedIn, Session},
    settings::PinSource,
};

/// How a partition logs in.
pub(crate) struct Login {
    source: PinSource,
    memory: Memory,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// There is no PIN.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The token refused this PIN earlier: it was not tried. The text says what it answered.
    #[error("the token refused this PIN earlier ({0})")]
    RefusedBefore(String),
    /// The token refused the PIN now.
    #[error("the token refused the PIN ({0})")]
    Refused(String),
    /// What was refused can't be read or kept, so nothing was tried.
    #[error("cannot keep the record of refused PINs")]
    Memory(#[from] io::Error),
    /// The token failed; the PIN may be right.
    #[error(transparent)]
    Call(CallError),
}

impl Login {
    /// Of the partition with this id.
    pub(crate) fn new(source: PinSource, state_dir: &Path, id: Uuid) -> Self {
        Self { source, memory: Memory::of(state_dir, id) }
    }

    /// Why the PIN, as it is now, may not be tried; none: it may. Nothing is asked of the token.
    pub(crate) fn refusal(&self) -> Result<Option<String>, LoginError> {
        let mac = self.memory.mac(&Pin::read(&self.source)?)?;
        Ok(match judge(&self.memory.read()?, &mac) {
            Verdict::Refused(why) => Some(why),
            Verdict::Good | Verdict::New => None,
        })
    }

    /// Logs in, once. That another session of this process was logged in already is as good.
    pub(crate) fn log_in(&self, session: &Session) -> Result<(), LoginError> {
        let pin = Pin::read(&self.source)?;
        let mac = self.memory.mac(&pin)?;
        let alone = self.memory.lock()?;
        let record = self.memory.read()?;
        let new = match judge(&record, &mac) {
            Verdict::Refused(why) => return Err(LoginError::RefusedBefore(why)),
            Verdict::Good => false,
            Verdict::New => {
                self.memory.write(&Record { attempt: Some(mac.clone()), ..record.clone() })?;
                true
            }
        };
        drop(alone);
        match session.login(&pin) {
            Ok(LoggedIn::Accepted) if new => self.keep(&Record { accepted: Some(mac), ..Record::default() }),
            Ok(LoggedIn::Accepted) => {}
            // The token did not look at the PIN.
            Ok(LoggedIn::Already) if new => self.keep(&record),
            Ok(LoggedIn::Already) => {}
            Err(call) if is_refusal(call, new) => {
                let why = match FINAL.contains(&call.rv) {
                    true => call.code(),
                    false => format!("{}, which may mean the PIN", call.code()),
                };
                self.keep(&Record { refused: Some(Refused { pin: mac, why: why.clone() }), ..Record::default() });
                return Err(LoginError::Refused(why));
            }
            // It failed otherwise, or was not called.
            Err(call) => {
                if new {
                    self.keep(&record);
                }
                return Err(LoginError::Call(call));
            }
        }
        Ok(())
    }

    /// After the token answered. A record that can't be written leaves the attempt on record, or a good PIN: nothing unsafe.
    fn keep(&self, record: &Record) {
        if let Err(cause) = self.memory.write(record) {
            error!(file = %self.memory.path.display(), %cause, "cannot keep the record of refused PINs");
        }
    }
}

/// Forgets what the token refused. False: there was nothing to forget.
pub(crate) fn forget(state_dir: &Path, id: Uuid) -> io::Result<bool> {
    let memory = Memory::of(state_dir, id);
    match memory.read() {
        Ok(Record { attempt: None, refused: None, .. }) => Ok(false),
        Ok(_) => durable::remove(&memory.path),
        // A record that can't be read blocks as well.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => durable::remove(&memory.path),
        Err(error) => Err(error),
    }
}

/// What is remembered of one partition. PINs are kept as HMACs, under a key of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The token took this one last.
    accepted: Option<String>,
    /// This one, which it never took, was on its way to the token.
    attempt: Option<String>,
    refused: Option<Refused>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    pin: String,
    /// The name of the code.
    why: String,
}

/// What a record says of a PIN.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Refused(String),
    /// The token took it before.
    Good,
    /// The token has not seen it.
    New,
}

fn judge(record: &Record, pin: &str) -> Verdict {
    let same = |kept: &str| constant_time::verify_slices_are_equal(kept.as_bytes(), pin.as_bytes()).is_ok();
    if let Some(refused) = record.refused.as_ref().filter(|refused| same(&refused.pin)) {
        return Verdict::Refused(refused.why.clone());
    }
    if record.attempt.as_deref().is_some_and(same) {
        return Verdict::Refused("an earlier attempt did not come to its end".into());
    }
    if record.accepted.as_deref().is_some_and(same) { Verdict::Good } else { Verdict::New }
}

/// Whether a failed login says something about the PIN. A code that does not say counts against a PIN that was never taken.
fn is_refusal(call: CallError, new: bool) -> bool {
    FINAL.contains(&call.rv) || (new && call.class == Class::Unsure)
}

/// The file of one partition.
struct Memory {
    path: PathBuf,
    key: PathBuf,
    lock: PathBuf,
    id: Uuid,
}

impl Memory {
    fn of(state_dir: &Path, id: Uuid) -> Self {
        let directory = durable::directory(state_dir);
        Self {
            path: directory.join(format!("pin-{id}.json")),
            key: directory.join("pin.key"),
            lock: directory.join(format!("pin-{id}.lock")),
            id,
        }
    }

    /// Until it drops, nobody else decides whether a PIN may be tried: two who start at once would both find that it was not. Not held
    /// while the token is asked, which may take for ever.
    fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.lock)?;
        file.lock()?;
        Ok(file)
    }

    fn read(&self) -> io::Result<Record> {
        match durable::read(&self.path)? {
            None => Ok(Record::default()),
            Some(content) => serde_json::from_slice(&content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        durable::write(&self.path, &serde_json::to_vec(record)?)
    }

    /// What stands for a PIN on disk. Bound to the partition, so that equal PINs don't show.
    fn mac(&self, pin: &Pin) -> io::Result<String> {
        let mut fresh = [0; KEY_LENGTH];
        rand::fill(&mut fresh).map_err(|Unspecified| io::Error::other("no randomness"))?;
        let key = durable::make(&self.key, &fresh)?;
        if key.len() != KEY_LENGTH {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is not {KEY_LENGTH} bytes long", self.key.display())));
        }
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        context.update(self.id.as_bytes());
        context.update(pin.bytes());
        Ok(context.sign().as_ref().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string can't fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }
}

const KEY_LENGTH: usize = 32;

/// After these no further try with the same PIN can do any good, and it may lock the token.
const FINAL: [CK_RV; 6] =
    [CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED, CKR_USER_PIN_NOT_INITIALIZED];

#[cfg(test)]
mod tests {
    use cryptoki_sys::{CKR_DEVICE_ERROR, CKR_GENERAL_ERROR};

    use super::*;

    #[test]
    fn what_a_record_says_of_a_pin() {
        let refused = |pin: &str| Some(Refused { pin: pin.into(), why: "CKR_PIN_INCORRECT".into() });
        let accepted = Some("good".to_owned());
        let attempt = Some("tried".to_owned());
        for (record, pin, verdict) in [
            (Record::default(), "any", Verdict::New),
            (Record { accepted: accepted.clone(), ..Record::default() }, "good", Verdict::Good),
            (Record { accepted: accepted.clone(), ..Record::default() }, "other", Verdict::New),
            (Record { refused: refused("bad"), ..Record::default() }, "bad", Verdict::Refused("CKR_PIN_INCORRECT".into())),
            (Record { refused: refused("bad"), ..Record::default() }, "other", Verdict::New),
            // Refused after it was good.
            (Record { accepted, refused: refused("good"), attempt: None }, "good", Verdict::Refused("CKR_PIN_INCORRECT".into())),
            (Record { attempt: attempt.clone(), ..Record::default() }, "other", Verdict::New),
        ] {
            assert_eq!(judge(&record, pin), verdict, "{record:?} {pin}");
        }
        let unfinished = Record { attempt, ..Record::default() };
        assert!(matches!(judge(&unfinished, "tried"), Verdict::Refused(_)));
    }

    #[test]
    fn a_code_that_does_not_say_counts_against_a_new_pin_alone() {
        for rv in FINAL {
            assert!(is_refusal(CallError::new("C_Login", rv), true) && is_refusal(CallError::new("C_Login", rv), false), "{rv:#x}");
        }
        let unsure = CallError::new("C_Login", CKR_GENERAL_ERROR);
        assert!(is_refusal(unsure, true) && !is_refusal(unsure, false));
        let token = CallError::new("C_Login", CKR_DEVICE_ERROR);
        assert!(!is_refusal(token, true) && !is_refusal(token, false));
    }

    #[test]
    fn a_record_that_cannot_be_read_blocks_until_it_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(7);
        let memory = Memory::of(state.path(), id);
        assert!(!forget(state.path(), id).unwrap());
        durable::write(&memory.path, b"{").unwrap();
        assert!(memory.read().is_err());
        assert!(forget(state.path(), id).unwrap());
        assert_eq!(memory.read().unwrap(), Record::default());
    }

    #[test]
    fn a_good_pin_is_not_forgotten_for_nothing() {
        let state = tempfile::tempdir().unwrap();
        let id = Uuid::from_u128(7);
        let memory = Memory::of(state.path(), id);
        let record = Record { accepted: Some("good".into()), ..Record::default() };
        memory.write(&record).unwrap();
        assert!(!forget(state.path(), id).unwrap());
        assert_eq!(memory.read().unwrap(), record);
    }
}
