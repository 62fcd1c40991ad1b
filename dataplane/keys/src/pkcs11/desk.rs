//! Does jobs on one session, and says whose fault it is where one fails (design §5).
//!
//! Always holds: a job is done again at most once for a broken session and once for a handle that went stale, and only while its
//! deadline allows; a failure is the caller's only if the token said so, or if it would not say and a canary on the same session passed;
//! a handle is used in the generation that it was found in.

use std::{cell::Cell, sync::Arc, time::Instant};

use aws_lc_rs::digest;
use cryptoki_sys::{CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID};
use zeroize::Zeroizing;

use super::{
    crew::Seat,
    fault::{CallError, Class},
    handles::{Copied, Found, MemberKey},
    job::{Decrypt, Done, Encrypt, Encrypted, Fault, Outcome, Proof, Work},
    objects::{FindError, FoundKey},
    probe,
    proof::bound_to,
    session::{RawSealed, Session},
    worker::{Crew, Report, reconnecting},
};

/// A session and what is needed to use it.
pub(super) struct Desk<'a> {
    pub(super) crew: &'a Arc<Crew>,
    pub(super) seat: &'a Arc<Seat>,
    /// None after it broke and could not be opened anew.
    session: Option<Session>,
    no_session: Option<CallError>,
    /// How often the key has encrypted for the present job, or may have: over all attempts, since a key may do so only so often.
    encryptions: Cell<u32>,
}

/// A job without its answer.
pub(super) struct Task<'a> {
    pub(super) key: &'a MemberKey,
    pub(super) proof: Option<&'a Proof>,
    pub(super) work: &'a Work,
    pub(super) deadline: Instant,
}

/// Why an attempt ended.
enum Trouble {
    /// With an answer.
    Fault(Fault),
    /// With a call that failed, which is to be judged.
    Call(CallError),
}

/// What comes after a call that failed.
enum Next {
    Again,
    Answer(Fault),
}

/// What may still be done once more.
struct Spare {
    session: bool,
    key: bool,
}

impl<'a> Desk<'a> {
    /// Opens the session.
    pub(super) fn open(crew: &'a Arc<Crew>, seat: &'a Arc<Seat>) -> Result<Self, CallError> {
        let session = crew.token.open(false, Arc::clone(&seat.gate))?;
        Ok(Self { crew, seat, session: Some(session), no_session: None, encryptions: Cell::new(0) })
    }

    /// Does a job, again where that may help.
    pub(super) fn perform(&mut self, task: &Task<'_>) -> Outcome {
        let mut spare = Spare { session: true, key: true };
        self.encryptions.set(0);
        loop {
            let Some(session) = &self.session else { return Err(reconnecting()) };
            let error = match self.attempt(session, task) {
                Ok(done) => return Ok(done),
                Err(Trouble::Fault(fault)) => return Err(fault),
                Err(Trouble::Call(error)) => error,
            };
            match self.judge(&error, task, &mut spare) {
                Next::Again => {}
                Next::Answer(fault) => return Err(fault),
            }
        }
    }

    /// Why there is no session any more.
    pub(super) const fn take_no_session(&mut self) -> Option<CallError> {
        self.no_session.take()
    }

    fn attempt(&self, session: &Session, task: &Task<'_>) -> Result<Done, Trouble> {
        let found = match (task.work, task.key.found(self.crew.generation)) {
            // Asks the token, not what was found earlier.
            (Work::Describe, _) | (_, None) => self.find(session, task.key)?,
            (Work::Encrypt(_) | Work::Decrypt(_) | Work::Check | Work::MakeProof, Some(found)) => found,
        };
        if let Some(proof) = task.proof {
            self.prove(session, found, (proof, task))?;
        }
        match task.work {
            Work::Describe => Ok(Done::Described(found.usage)),
            Work::Encrypt(work) => self.encrypt(session, found, (work, task.deadline)).map(Done::Encrypted),
            Work::Decrypt(work) => decrypt(session, found, work).map(Done::Decrypted),
            Work::Check => self.check(session, found, task.deadline),
            Work::MakeProof => {
                // The others verify it by decrypting.
                allowed(found.usage.encrypt && found.usage.decrypt)?;
                Ok(Done::Proof(probe::make_proof(session, found.handle, &self.bound_to(task.key))?))
            }
        }
    }

    /// Looks the key up and keeps its handle, or that of its copy, for all workers of this generation.
    fn find(&self, session: &Session, key: &MemberKey) -> Result<Found, Trouble> {
        let before = key.last(self.crew.generation);
        let there = session.find(&key.name);
        let same = |copied: &Copied| there.as_ref().is_ok_and(|there| there.handle == copied.original);
        let (kept, ended) = match before.and_then(|before| before.copied) {
            // Its usage is looked at on the token: a copy that may do more is not asked for more.
            Some(copied) if same(&copied) && before.map(|before| before.usage) == there.as_ref().ok().map(|there| there.usage) => {
                (Some(copied), None)
            }
            ended => (None, ended),
        };
        if let Some(ended) = ended {
            key.forget();
            session.end_copy(ended.copy);
        }
        match there {
            Ok(there) => {
                let found = self.handle(session, there, kept)?;
                key.keep(found);
                Ok(found)
            }
            Err(FindError::Call(error)) => Err(error.into()),
            // Who is not logged in sees no private keys: that says nothing of the key.
            Err(FindError::None) if !session.is_logged_in()? => Err(Trouble::Fault(self.lost(LOGIN_LOST.into()))),
            Err(error @ (FindError::None | FindError::Many | FindError::NotAes256(_))) => {
                Err(Trouble::Fault(Fault::Missing(format!("{}: {error}", key.name))))
            }
        }
    }

    /// What a key that is there is used by.
    fn handle(&self, session: &Session, there: FoundKey, kept: Option<Copied>) -> Result<Found, Trouble> {
        let copy = match kept {
            Some(kept) => Some(kept.copy),
            None if self.crew.token.vendor().session_copies => session.copy(there.handle)?,
            None => None,
        };
        let copied = copy.map(|copy| Copied { original: there.handle, copy, seen: Instant::now() });
        let handle = copy.unwrap_or(there.handle).handle();
        Ok(Found { handle, copied, generation: self.crew.generation, usage: there.usage })
    }

    /// The member has the key that made the proof, or must not serve it.
    fn prove(&self, session: &Session, found: Found, (proof, task): (&Proof, &Task<'_>)) -> Result<(), Trouble> {
        allowed(found.usage.decrypt)?;
        let checked = probe::check_proof(session, found.handle, &self.bound_to(task.key), proof);
        let same = self.verifies(session, checked, task.deadline)?.unwrap_or(false);
        same.then_some(()).ok_or(Trouble::Fault(Fault::NotProved))
    }

    fn bound_to(&self, key: &MemberKey) -> Vec<u8> {
        bound_to(&self.crew.front.group, &key.name)
    }

    /// Encrypts, and where asked to, decrypts the result again before it is given out.
    fn encrypt(&self, session: &Session, found: Found, (work, deadline): (&Encrypt, Instant)) -> Result<Encrypted, Trouble> {
        allowed(found.usage.encrypt && (work.integrity.is_none() || found.usage.decrypt))?;
        for _ in 0..SELF_CHECKS {
            self.encryptions.update(|so_far| so_far + 1);
            let sealed = session.encrypt(found.handle, &work.aad, &work.plaintext)?;
            let integrity = work.integrity.as_deref().map(|prefix| hash(prefix, &sealed));
            let good = integrity.is_none() || {
                let back = session.decrypt(found.handle, probe::opening(&sealed, &work.aad));
                self.verifies(session, back, deadline)?.is_some_and(|text| probe::equal(&text, &work.plaintext))
            };
            if good {
                let RawSealed { iv, ciphertext, tag } = sealed;
                return Ok(Encrypted { iv: iv.to_vec(), ciphertext, tag, integrity, tries: self.encryptions.get() });
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(Trouble::Fault(Fault::SelfCheck))
    }

    fn check(&self, session: &Session, found: Found, deadline: Instant) -> Result<Done, Trouble> {
        allowed(found.usage.encrypt && found.usage.decrypt)?;
        let sealed = session.encrypt(found.handle, probe::AAD, probe::TEXT)?;
        let back = session.decrypt(found.handle, probe::opening(&sealed, probe::AAD));
        let same = self.verifies(session, back, deadline)?.is_some_and(|text| probe::equal(&text, probe::TEXT));
        same.then_some(Done::Checked).ok_or(Trouble::Fault(Fault::SelfCheck))
    }

    /// Of a decryption of our own ciphertext: none where it does not verify, which is the token's fault and no caller's.
    fn verifies<T>(&self, session: &Session, decrypted: Result<T, CallError>, deadline: Instant) -> Result<Option<T>, Trouble> {
        match decrypted {
            Ok(text) => Ok(Some(text)),
            Err(error) => match error.class {
                Class::Input => Ok(None),
                Class::Unsure => match self.ask_canary(session, deadline) {
                    Asked::Passed => Ok(None),
                    Asked::Failed => Err(Trouble::Fault(self.lost(error.to_string()))),
                    Asked::NoTime => Err(Trouble::Fault(self.doubtful(&error))),
                },
                Class::Usage | Class::Key | Class::Session | Class::Login | Class::Token => Err(error.into()),
            },
        }
    }

    /// What to do about a call that failed.
    fn judge(&mut self, error: &CallError, task: &Task<'_>, spare: &mut Spare) -> Next {
        if !self.seat.gate.look().is_open() {
            return Next::Answer(reconnecting());
        }
        let in_time = Instant::now() < task.deadline;
        match error.class {
            Class::Input => Next::Answer(Fault::Input),
            Class::Usage => Next::Answer(Fault::Usage),
            Class::Key => {
                task.key.forget();
                match std::mem::take(&mut spare.key) && in_time {
                    true => Next::Again,
                    false => Next::Answer(Fault::Missing(format!("{}: {error}", task.key.name))),
                }
            }
            Class::Session => match self.reopen(error) {
                Ok(()) if std::mem::take(&mut spare.session) && in_time => Next::Again,
                Ok(()) => Next::Answer(self.broken()),
                Err(fault) => Next::Answer(fault),
            },
            Class::Login | Class::Token => Next::Answer(self.lost(error.to_string())),
            Class::Unsure => Next::Answer(self.unsure(error, task)),
        }
    }

    /// The code does not say whose fault it is. A canary on the same session does.
    fn unsure(&self, error: &CallError, task: &Task<'_>) -> Fault {
        let Some(session) = &self.session else { return reconnecting() };
        match (self.ask_canary(session, task.deadline), task.work) {
            // What fails here can only be the caller's own ciphertext: decryptions of ours were judged by `verifies`.
            (Asked::Passed, Work::Decrypt(_)) if error.function.starts_with(DECRYPTION) => Fault::Input,
            (Asked::Passed, _) => Fault::Token(error.to_string()),
            (Asked::Failed, _) => self.lost(error.to_string()),
            (Asked::NoTime, _) => self.doubtful(error),
        }
    }

    fn ask_canary(&self, session: &Session, deadline: Instant) -> Asked {
        if Instant::now() >= deadline {
            return Asked::NoTime;
        }
        match self.crew.canary.decrypt(session) {
            Ok(()) => Asked::Passed,
            Err(_) => Asked::Failed,
        }
    }

    /// Opens another session instead of one that broke.
    fn reopen(&mut self, error: &CallError) -> Result<(), Fault> {
        if let Some(broken) = self.session.take()
            && matches!(error.rv, CKR_SESSION_HANDLE_INVALID | CKR_SESSION_CLOSED)
        {
            // It is gone already, and its number may by now be that of another worker's.
            broken.leak();
        }
        let session = match self.crew.token.open(false, Arc::clone(&self.seat.gate)) {
            Ok(session) => session,
            Err(_) if !self.seat.gate.look().is_open() => return Err(reconnecting()),
            Err(error) if matches!(error.class, Class::Login | Class::Token) => {
                self.no_session = Some(error);
                return Err(self.lost(error.to_string()));
            }
            Err(error) => {
                self.no_session = Some(error);
                return Err(self.broken());
            }
        };
        // A new session of a token that is logged in is so too: else all sessions were lost, and the handles with them.
        let logged_in = session.is_logged_in();
        self.session = Some(session);
        match logged_in {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.lost(LOGIN_LOST.into())),
            Err(error) => Err(self.lost(error.to_string())),
        }
    }

    /// Tells that the partition must be connected again, unless this worker is being sent home as it is.
    fn lost(&self, why: String) -> Fault {
        if !self.seat.gate.look().is_open() {
            return reconnecting();
        }
        self.crew.tell(Report::Lost(self.crew.generation, why.clone()));
        Fault::Token(why)
    }

    /// A session broke again, or there is none to be had: if that is so for the steward too, the partition is down.
    fn broken(&self) -> Fault {
        self.crew.tell(Report::Doubt(self.crew.generation));
        Fault::Session
    }

    /// No time is left to find out more: the steward is asked to.
    fn doubtful(&self, error: &CallError) -> Fault {
        self.crew.tell(Report::Doubt(self.crew.generation));
        Fault::Token(error.to_string())
    }
}

/// What a canary told.
enum Asked {
    Passed,
    Failed,
    NoTime,
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

fn decrypt(session: &Session, found: Found, work: &Decrypt) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    allowed(found.usage.decrypt)?;
    Ok(session.decrypt(found.handle, work.into())?)
}

/// The key's usage, as the token has it, allows this.
fn allowed(by_usage: bool) -> Result<(), Trouble> {
    by_usage.then_some(()).ok_or(Trouble::Fault(Fault::Usage))
}

/// What [`Encrypt::integrity`] asks for.
fn hash(prefix: &[u8], sealed: &RawSealed) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [prefix, &*sealed.iv, &sealed.ciphertext, &sealed.tag] {
        context.update(part);
    }
    let mut hash = [0; digest::SHA256_OUTPUT_LEN];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// An encryption that fails its own check is done once more (design §5).
const SELF_CHECKS: u32 = 2;

const LOGIN_LOST: &str = "the token is not logged in any more";

/// How the names of the calls of a decryption begin.
const DECRYPTION: &str = "C_Decrypt";
