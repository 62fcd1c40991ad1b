//! A key of a group: what requests ask of it, and what is known of it on each member.
//!
//! Holds: whoever asks waits until its deadline at most, and takes no lock on the way but at the very first use of a key in a group
//! (`prove`). An HSM's fault is never told as the caller's.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use holdfast_proto::records::KeyUsage;
use tokio::sync::Mutex;
use tracing::warn;
use zeroize::Zeroizing;

use super::{
    front::{Front, Refused},
    group::Group,
    handles::{KeyName, MemberKey, SEEN_FOR},
    health::Checks,
    job::{Answer, Decrypt, Done, Encrypt, Encrypted, Fault, Job, Outcome, Proof, Ticket, Work},
    reference::{Reference, Trust},
    route::{Race, Won},
    status::Condition,
};
use crate::{Iv, KeyFault, Sealed, TAG_LENGTH};

/// A key as the members of a group hold it.
pub struct GroupKey {
    pub(super) group: Arc<Group>,
    pub(super) name: KeyName,
    /// In the order of the group's members.
    pub(super) holders: Box<[Holder]>,
    pub(super) reference: ArcSwapOption<Reference>,
    /// Held by whoever makes the reference.
    pub(super) proving: Mutex<()>,
    pub(super) checks: Checks,
    usage: ArcSwapOption<Usage>,
    accused: AtomicBool,
    me: Weak<Self>,
}

/// A member, as the holder of one key.
pub(super) struct Holder {
    pub(super) front: Arc<Front>,
    key: Arc<MemberKey>,
    born: Instant,
    /// Milliseconds from `born`; until then others are asked first, since the key was not there.
    lacking_until: AtomicU64,
}

/// An encryption.
pub struct ToEncrypt {
    /// Additional authenticated data, as AES-GCM gets it.
    pub aad: Vec<u8>,
    /// What to encrypt.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// Asks for SHA-256 over this ‖ IV ‖ ciphertext ‖ tag, and for a decryption that proves the result (CDIV).
    pub integrity: Option<Vec<u8>>,
}

/// A decryption.
pub struct ToDecrypt {
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    /// Additional authenticated data, as AES-GCM gets it.
    pub aad: Vec<u8>,
    /// Without the tag.
    pub ciphertext: Vec<u8>,
    /// The authentication tag.
    pub tag: [u8; TAG_LENGTH],
}

/// What an encryption on a token gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSealed {
    /// What was sealed.
    pub sealed: Sealed,
    /// What [`ToEncrypt::integrity`] asked for.
    pub integrity: Option<[u8; 32]>,
    /// How often the key has encrypted for this, or may have: 1, and one more for each try that failed its own check, on a member that
    /// failed, or on one that was slower.
    pub tries: u32,
}

/// What a member is to do, and where the outcome goes.
pub(super) struct Task {
    pub(super) work: Arc<Work>,
    pub(super) ticket: Arc<Ticket>,
    pub(super) answer: Answer,
}

/// How a member is given a task.
#[derive(Clone)]
pub(super) struct Posting {
    /// The member.
    pub(super) at: usize,
    /// Its generation just before.
    pub(super) generation: u64,
    /// It verifies this first.
    proof: Option<Arc<Proof>>,
    /// What it is measured by.
    reference: Option<Arc<Reference>>,
}

/// A member does not take a task.
pub(super) enum NotPosted {
    /// Its queue is full.
    Full,
    /// It is not up.
    NotServing,
}

struct Usage {
    usage: KeyUsage,
    read: Instant,
    at: usize,
    generation: u64,
}

impl GroupKey {
    pub(super) fn new(group: Arc<Group>, name: KeyName) -> Arc<Self> {
        let born = now();
        let holders: Box<[Holder]> = group.members().iter().map(|member| Holder::new(&member.front, &name, born)).collect();
        // Alone, there is nobody to differ from.
        let proof = if holders.len() > 1 { group.book().proof(&name) } else { None };
        let reference = proof.map(|proof| Reference::new(proof, holders.len(), born));
        Arc::new_cyclic(|me| Self {
            checks: Checks::new(holders.len(), born),
            group,
            name,
            holders,
            reference: ArcSwapOption::new(reference),
            proving: Mutex::new(()),
            usage: ArcSwapOption::empty(),
            accused: AtomicBool::new(false),
            me: Weak::clone(me),
        })
    }

    /// Encrypts.
    ///
    /// # Errors
    /// [`KeyFault`], but never `Input`.
    pub async fn encrypt(&self, what: ToEncrypt, deadline: Instant) -> Result<TokenSealed, KeyFault> {
        let ToEncrypt { aad, plaintext, integrity } = what;
        let won = self.run(Work::Encrypt(Encrypt { aad, plaintext, integrity }), deadline).await?;
        match won.done {
            Done::Encrypted(encrypted) => {
                let tries = encrypted.tries.saturating_add(won.wasted);
                Ok(TokenSealed { tries, ..encrypted.try_into()? })
            }
            Done::Decrypted(_) | Done::Described(_) | Done::Checked | Done::Proof(_) => Err(KeyFault::Token),
        }
    }

    /// Decrypts.
    ///
    /// # Errors
    /// [`KeyFault`]; `Input` only where a token said that the ciphertext does not verify.
    pub async fn decrypt(&self, what: ToDecrypt, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
        let ToDecrypt { iv, aad, ciphertext, tag } = what;
        match self.run(Work::Decrypt(Decrypt { iv, aad, ciphertext, tag }), deadline).await?.done {
            Done::Decrypted(plaintext) => Ok(plaintext),
            Done::Encrypted(_) | Done::Described(_) | Done::Checked | Done::Proof(_) => Err(KeyFault::Token),
        }
    }

    /// What the token allows the key to be used for; at most 10 seconds old.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub async fn usage(&self, deadline: Instant) -> Result<KeyUsage, KeyFault> {
        let is_fresh = |known: &Usage| {
            let holder = self.holders.get(known.at);
            now().saturating_duration_since(known.read) < SEEN_FOR && holder.is_some_and(|of| of.front.generation() == known.generation)
        };
        if let Some(known) = self.usage.load().as_deref().filter(|known| is_fresh(known)) {
            return Ok(known.usage);
        }
        let Won { done, at, generation, .. } = self.run(Work::Describe, deadline).await?;
        match done {
            Done::Described(usage) => {
                self.usage.store(Some(Arc::new(Usage { usage, read: now(), at, generation })));
                Ok(usage)
            }
            Done::Encrypted(_) | Done::Decrypted(_) | Done::Checked | Done::Proof(_) => Err(KeyFault::Token),
        }
    }

    async fn run(&self, work: Work, deadline: Instant) -> Result<Won, KeyFault> {
        let reference = self.reference(deadline).await?;
        Race::new(self, reference, work).run(deadline).await
    }

    /// What a member would be given a task with: the proof, where it has not verified that in its present generation. None: it is
    /// excluded.
    pub(super) fn posting(&self, at: usize, reference: Option<&Arc<Reference>>) -> Option<Posting> {
        // Read before the task is queued: if it moves in between, what is learned counts for the generation that is gone.
        let generation = self.holders.get(at)?.front.generation();
        let proof = match reference.map(|reference| reference.trust(at, generation)) {
            None | Some(Trust::Proved) => None,
            Some(Trust::ToProve(proof)) => Some(proof),
            Some(Trust::Excluded) => return None,
        };
        Some(Posting { at, generation, proof, reference: reference.cloned() })
    }

    /// Gives a member a task.
    pub(super) fn post(&self, posting: &Posting, task: Task) -> Result<(), NotPosted> {
        let Task { work, ticket, answer } = task;
        let Some(holder) = self.holders.get(posting.at) else { return Err(NotPosted::NotServing) };
        let job = Job { key: Arc::clone(&holder.key), proof: posting.proof.clone(), work, ticket, answer };
        holder.front.submit(job).map_err(|refused| match refused {
            Refused::Full(_) => NotPosted::Full,
            Refused::NotUp(_) => NotPosted::NotServing,
        })
    }

    /// Keeps what an outcome tells of the member.
    pub(super) fn learn(&self, posted: &Posting, outcome: &Outcome) {
        let (Some(holder), reference) = (self.holders.get(posted.at), posted.reference.as_ref()) else { return };
        match outcome {
            Ok(_) => {
                if posted.proof.is_some()
                    && let Some(reference) = reference
                {
                    reference.prove(posted.at, posted.generation);
                }
            }
            Err(Fault::NotProved) => {
                if reference.is_some_and(|reference| reference.exclude(posted.at, posted.generation)) {
                    warn!(partition = %holder.front.name, group = self.group.name(), key = %self.name,
                        "the key on this partition is not the group's key of that name: it does not serve the key until it is connected anew");
                    self.accuse();
                }
            }
            Err(Fault::Missing(why)) => {
                if holder.lacks(now()) {
                    warn!(partition = %holder.front.name, group = self.group.name(), key = %self.name, why, "the partition can't serve the key");
                }
            }
            Err(Fault::Input | Fault::Usage | Fault::SelfCheck | Fault::Expired | Fault::Session | Fault::Token(_)) => {}
        }
    }

    /// It was done by a member that need not, or did, verify the proof in the generation that it was done in.
    pub(super) fn is_sound(&self, posted: &Posting) -> bool {
        let unmoved = || self.holders.get(posted.at).is_some_and(|holder| holder.front.generation() == posted.generation);
        posted.reference.is_none() || posted.proof.is_some() || unmoved()
    }

    /// The member is up and not excluded.
    pub(super) fn may_serve(&self, at: usize, reference: Option<&Arc<Reference>>) -> bool {
        let excluded = |of: &Holder| reference.is_some_and(|by| by.trust(at, of.front.generation()) == Trust::Excluded);
        self.holders.get(at).is_some_and(|holder| holder.front.is_up() && !excluded(holder))
    }

    /// Why none of the members serves that were not `tried`.
    pub(super) fn nobody(&self, reference: Option<&Arc<Reference>>, tried: &[usize]) -> KeyFault {
        let excluded = |at: usize, of: &Holder| reference.is_some_and(|by| by.trust(at, of.front.generation()) == Trust::Excluded);
        let untried = self.holders.iter().enumerate().filter(|(at, holder)| !tried.contains(at) && !excluded(*at, holder));
        let mut fault = KeyFault::Missing;
        for (_, holder) in untried {
            match *holder.front.condition() {
                Condition::Suspect => return KeyFault::Late,
                Condition::Starting | Condition::Up | Condition::Down(_) | Condition::PinRefused(_) | Condition::Exhausted => {
                    fault = KeyFault::Token;
                }
            }
        }
        fault
    }

    /// The member does not serve this key in its present generation.
    pub(super) fn is_excluded(&self, at: usize) -> bool {
        let generation = self.holders.get(at).map(|holder| holder.front.generation());
        let reference = self.reference.load();
        reference.as_deref().zip(generation).is_some_and(|(by, generation)| by.trust(at, generation) == Trust::Excluded)
    }

    pub(super) fn weak(&self) -> Weak<Self> {
        Weak::clone(&self.me)
    }

    fn accuse(&self) {
        if !self.accused.swap(true, Ordering::AcqRel) {
            self.group.accuse(self.weak());
        }
        self.group.nudge();
    }
}

impl Holder {
    fn new(front: &Arc<Front>, name: &KeyName, born: Instant) -> Self {
        Self { front: Arc::clone(front), key: MemberKey::new(name.clone()), born, lacking_until: AtomicU64::new(0) }
    }

    /// The key was not there lately.
    pub(super) fn is_lacking(&self, now: Instant) -> bool {
        let until = self.lacking_until.load(Ordering::Relaxed);
        until != 0 && self.age(now) < until
    }

    /// The key is not there. True: that is news.
    fn lacks(&self, now: Instant) -> bool {
        let before = self.lacking_until.swap(self.age(now + LACKING_FOR), Ordering::Relaxed);
        before <= self.age(now)
    }

    fn age(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

impl TryFrom<Encrypted> for TokenSealed {
    type Error = KeyFault;

    /// A token that gives an IV of another length has failed.
    fn try_from(encrypted: Encrypted) -> Result<Self, KeyFault> {
        let iv = Iv::try_from(&encrypted).map_err(|_| KeyFault::Token)?;
        let Encrypted { ciphertext, tag, integrity, tries, .. } = encrypted;
        Ok(Self { sealed: Sealed { iv, ciphertext, tag }, integrity, tries })
    }
}

impl fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupKey({}, {})", self.group.name(), self.name)
    }
}

/// The clock that deadlines are on: tokio's, which a test can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// For how long a member that did not have a key is asked after the others.
const LACKING_FOR: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
