//! How a key of a group gets its proof, and how that can be replaced. See `proof` for what a proof is.
//!
//! Holds: the reference of a key changes under its `proving` lock only. Requests wait for that lock at the very first use of a key;
//! from then on, restarts included, there is something to go by.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout_at;
use tracing::{error, warn};

use super::{
    job::{Answer, Done, Fault, Outcome, Proof, Ticket, Work},
    key::{GroupKey, NotPosted, Posting, Task, now},
    reference::{Reference, Trust},
    route::{Attempt, gravity},
};
use crate::KeyFault;

/// A member and its generation.
#[derive(Clone, Copy)]
struct Maker {
    at: usize,
    generation: u64,
}

impl GroupKey {
    /// What members are measured by; none where there is one member only. Made at first use. Of one that is to be looked at again one
    /// request does that; the others go by it meanwhile.
    pub(super) async fn reference(&self, deadline: Instant) -> Result<Option<Arc<Reference>>, KeyFault> {
        if self.is_alone() {
            return Ok(None);
        }
        let known = self.reference.load_full();
        let _turn = match &known {
            Some(fresh) if !fresh.is_stale(now()) => return Ok(known),
            Some(_) => match self.proving.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(known),
            },
            None => match timeout_at(deadline.into(), self.proving.lock()).await {
                Ok(turn) => turn,
                Err(_) => return Err(KeyFault::NotStarted),
            },
        };
        // Whoever had the lock before may have made it.
        match self.known_reference() {
            Some(made) => Ok(Some(made)),
            None => self.first_proof(deadline).await.map(Some).or_else(|fault| known.map(Some).ok_or(fault)),
        }
    }

    /// The first member in order that is up makes the proof. Each has half of the time that is left.
    async fn first_proof(&self, deadline: Instant) -> Result<Arc<Reference>, KeyFault> {
        let mut failed = None;
        for at in 0..self.holders.len() {
            let Some(posting) = self.posting(at, None) else { continue };
            let until = now() + deadline.saturating_duration_since(now()) / 2;
            let fault = match Attempt::post(self, posting, Arc::new(Work::MakeProof), until) {
                Ok(mut attempt) => match attempt.outcome(until).await {
                    Ok(outcome) => match self.made(&attempt.posted, outcome) {
                        Ok(reference) => return Ok(reference),
                        Err(fault) => fault,
                    },
                    Err(true) => KeyFault::Late,
                    Err(false) => KeyFault::NotStarted,
                },
                Err(NotPosted::Full) => KeyFault::Full,
                Err(NotPosted::NotServing) => continue,
            };
            failed = failed.into_iter().chain([fault]).max_by_key(|fault| gravity(*fault));
        }
        Err(failed.unwrap_or_else(|| self.nobody(None, &[])))
    }

    /// Takes what came of [`Work::MakeProof`] for the reference.
    fn made(&self, posted: &Posting, outcome: Outcome) -> Result<Arc<Reference>, KeyFault> {
        self.learn(posted, &outcome);
        match outcome {
            Ok(Done::Proof(proof)) => Ok(self.adopt(proof, Maker { at: posted.at, generation: posted.generation })),
            Err(Fault::Usage) => {
                let reference = Reference::unprovable(self.holders.len(), now());
                self.reference.store(Some(Arc::clone(&reference)));
                Ok(reference)
            }
            Err(Fault::Missing(_)) => Err(KeyFault::Missing),
            Err(Fault::Expired) => Err(KeyFault::NotStarted),
            Ok(Done::Encrypted(_) | Done::Decrypted(_) | Done::Described(_) | Done::Checked)
            | Err(Fault::Input | Fault::NotProved | Fault::SelfCheck | Fault::Session | Fault::Token(_)) => Err(KeyFault::Token),
        }
    }

    fn adopt(&self, proof: Proof, maker: Maker) -> Arc<Reference> {
        let reference = Reference::new(proof.clone(), self.holders.len(), now());
        reference.prove(maker.at, maker.generation);
        self.reference.store(Some(Arc::clone(&reference)));
        self.group.book().keep(&self.name, proof);
        self.group.nudge();
        reference
    }

    #[cfg(test)]
    pub(super) fn adopt_for_tests(&self, proof: Proof) -> Arc<Reference> {
        self.adopt(proof, Maker { at: 0, generation: 0 })
    }

    fn known_reference(&self) -> Option<Arc<Reference>> {
        self.reference.load_full().filter(|known| !known.is_stale(now()))
    }

    pub(super) fn is_alone(&self) -> bool {
        self.holders.len() <= 1
    }

    /// Has every member that is up, and has not yet, prove the key now. For threads that may wait: some seconds.
    pub(super) fn establish(&self) {
        if self.is_alone() {
            return;
        }
        let made = {
            let _turn = self.proving.blocking_lock();
            self.known_reference().or_else(|| {
                (0..self.holders.len()).find_map(|at| {
                    let (posted, outcome) = self.ask(at, None, Work::MakeProof)?;
                    self.made(&posted, outcome).ok()
                })
            })
        };
        let Some(reference) = made else { return };
        for (at, holder) in self.holders.iter().enumerate() {
            let to_prove = matches!(reference.trust(at, holder.front.generation()), Trust::ToProve(_));
            if to_prove
                && !holder.is_lacking(now())
                && let Some((posted, outcome)) = self.ask(at, Some(&reference), Work::Describe)
            {
                self.learn(&posted, &outcome);
            }
        }
    }

    /// Puts a proof in question that every member has failed: where they all verify a new one, that replaces it.
    pub(super) fn challenge(&self) {
        let Some(reference) = self.reference.load_full().filter(|reference| reference.may_be_challenged()) else { return };
        let all = 0..self.holders.len();
        if !all.clone().all(|at| self.is_excluded(at) && self.holders.get(at).is_some_and(|holder| holder.front.is_up())) {
            return;
        }
        let _turn = self.proving.blocking_lock();
        let (proof, maker) = match self.ask(0, None, Work::MakeProof) {
            Some((posted, Ok(Done::Proof(proof)))) => (proof, Maker { at: posted.at, generation: posted.generation }),
            // Not now; its next failure, or the next round.
            Some(_) | None => return,
        };
        let candidate = Reference::new(proof.clone(), self.holders.len(), now());
        for at in all.skip(1) {
            match self.ask(at, Some(&candidate), Work::Describe) {
                Some((_, Ok(_))) => {}
                Some((_, Err(Fault::NotProved | Fault::Missing(_) | Fault::Usage))) => {
                    reference.stands();
                    error!(group = self.group.name(), key = %self.name,
                        "no two partitions of the group agree on this key, and none has the one that was proved: nobody serves it");
                    return;
                }
                Some((_, Err(Fault::Input | Fault::SelfCheck | Fault::Expired | Fault::Session | Fault::Token(_)))) | None => return,
            }
        }
        self.adopt(proof, maker);
        warn!(group = self.group.name(), key = %self.name,
            "every partition of the group has another key of this name than the one that was proved, and all have the same: it is taken. \
             What was encrypted under the earlier one can't be decrypted");
    }

    /// Asks a member and waits. None: it does not take work, or not for this key.
    fn ask(&self, at: usize, reference: Option<&Arc<Reference>>, work: Work) -> Option<(Posting, Outcome)> {
        let (sender, outcome) = crossbeam_channel::bounded(1);
        let ticket = Ticket::new(now() + PATIENCE);
        let answer = Answer::new(move |outcome| {
            // Nobody waits any more.
            let _ = sender.send(outcome);
        });
        let posted = self.posting(at, reference)?;
        self.post(&posted, Task { work: Arc::new(work), ticket: Arc::clone(&ticket), answer }).ok()?;
        let outcome = outcome.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            ticket.give_up();
            Err(Fault::Token("it did not answer in time".into()))
        });
        Some((posted, outcome))
    }
}

/// For how long a member is waited for where no request waits.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
