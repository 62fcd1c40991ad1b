//! Who may call the module on a session's behalf: the thread that owns the session, until the supervisor says otherwise.
//!
//! A gate belongs to one owner thread, which passes it around each C call, and is watched by one supervisor, which makes no C call. It is
//! **one atomic word**: the number of the present or last call, and a phase. Every change is a compare-and-exchange of that word, so
//! owner and supervisor agree on the order of all changes, and no second flag has to be kept in step with it:
//!
//! ```text
//!            enter            close               enter_to_end
//!   Idle ────────────▶ InCall ─────▶ LastCall ◀────────────── Closed
//!     ▲ ◀────────────                   └──────── leave ────────▶ ▲
//!     │      leave                                                │
//!     └──────────────────────────── close ────────────────────────┘
//!   owner, from all but Abandoned: retire ▶ Retired      supervisor, from all but Retired: abandon ▶ Abandoned
//! ```
//!
//! Always holds:
//! - A call that begins after `close` returned can only be the one that ends the session: `enter` wants `Idle`, which no path from
//!   `Closed` leads back to.
//! - No call at all begins once the gate is `Retired` or `Abandoned`: both are final. When every gate of a generation is in one of the two,
//!   nothing of that generation enters the module any more, and its session and object handles are out of use. Only then may the
//!   next generation begin, in which the same numbers may name other things.
//! - An abandoned owner learns of it from the `leave` of the call that it was given up in, and touches nothing afterwards.
//! - What an owner did before `retire` happened before whatever the supervisor does after it saw `Retired` (release and acquire).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Around each C call of one session.
pub(crate) struct Gate {
    word: AtomicU64,
}

/// How a gate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The owner is not in a call.
    Idle,
    /// The owner is in a call.
    InCall,
    /// Not in a call; only the one that ends the session may come.
    Closed,
    /// In a call; only the one that ends the session may follow.
    LastCall,
    /// Given up by the supervisor. Final.
    Abandoned,
    /// The owner has ended its session, or has none. Final.
    Retired,
}

/// A gate at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) phase: Phase,
    /// Number of the present or last call; 0: there was none.
    pub(crate) call: u64,
}

impl Gate {
    /// Open, with no call yet.
    pub(crate) fn open() -> Arc<Self> {
        Arc::new(Self { word: AtomicU64::new(pack(Look { phase: Phase::Idle, call: 0 })) })
    }

    /// The owner is about to call. False: it may not.
    pub(crate) fn enter(&self) -> bool {
        self.change(|now| match now.phase {
            Phase::Idle => Some(Look { phase: Phase::InCall, call: now.call + 1 }),
            Phase::InCall | Phase::Closed | Phase::LastCall | Phase::Abandoned | Phase::Retired => None,
        })
    }

    /// The owner is about to make the call that ends its session, which a closed gate still allows. False: it may not, and leaks it.
    pub(crate) fn enter_to_end(&self) -> bool {
        self.change(|now| match now.phase {
            Phase::Idle => Some(Look { phase: Phase::InCall, call: now.call + 1 }),
            Phase::Closed => Some(Look { phase: Phase::LastCall, call: now.call + 1 }),
            Phase::InCall | Phase::LastCall | Phase::Abandoned | Phase::Retired => None,
        })
    }

    /// The call has come back. False: its owner was given up meanwhile. It does nothing more and leaks the session.
    pub(crate) fn leave(&self) -> bool {
        self.change(|now| match now.phase {
            Phase::InCall => Some(Look { phase: Phase::Idle, ..now }),
            Phase::LastCall => Some(Look { phase: Phase::Closed, ..now }),
            Phase::Idle | Phase::Closed | Phase::Abandoned | Phase::Retired => None,
        })
    }

    /// The owner is done: it has no session any more and will never call again.
    pub(crate) fn retire(&self) {
        self.change(|now| match now.phase {
            Phase::Idle | Phase::InCall | Phase::Closed | Phase::LastCall => Some(Look { phase: Phase::Retired, ..now }),
            Phase::Abandoned | Phase::Retired => None,
        });
    }

    /// For the supervisor: no call begins any more but the one that ends the session.
    pub(crate) fn close(&self) {
        self.change(|now| match now.phase {
            Phase::Idle => Some(Look { phase: Phase::Closed, ..now }),
            Phase::InCall => Some(Look { phase: Phase::LastCall, ..now }),
            Phase::Closed | Phase::LastCall | Phase::Abandoned | Phase::Retired => None,
        });
    }

    /// For the supervisor: gives the owner up, wherever it is. False: there is nothing to give up, it has retired or was given up before.
    pub(crate) fn abandon(&self) -> bool {
        self.change(|now| match now.phase {
            Phase::Idle | Phase::InCall | Phase::Closed | Phase::LastCall => Some(Look { phase: Phase::Abandoned, ..now }),
            Phase::Abandoned | Phase::Retired => None,
        })
    }

    /// For the supervisor: gives the owner up if it still is in that very call.
    pub(crate) fn abandon_call(&self, call: u64) -> bool {
        self.change(|now| match now.phase {
            Phase::InCall | Phase::LastCall if now.call == call => Some(Look { phase: Phase::Abandoned, ..now }),
            Phase::InCall | Phase::LastCall | Phase::Idle | Phase::Closed | Phase::Abandoned | Phase::Retired => None,
        })
    }

    /// How it is now.
    pub(crate) fn look(&self) -> Look {
        unpack(self.word.load(Ordering::Acquire))
    }

    /// Makes one change, or none where the rule says so.
    fn change(&self, rule: impl Fn(Look) -> Option<Look>) -> bool {
        let rule = |word| rule(unpack(word)).map(pack);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, rule).is_ok()
    }
}

impl Look {
    /// The owner is inside the module.
    pub(crate) const fn is_in_call(self) -> bool {
        match self.phase {
            Phase::InCall | Phase::LastCall => true,
            Phase::Idle | Phase::Closed | Phase::Abandoned | Phase::Retired => false,
        }
    }

    /// Calls may begin.
    pub(crate) const fn is_open(self) -> bool {
        match self.phase {
            Phase::Idle | Phase::InCall => true,
            Phase::Closed | Phase::LastCall | Phase::Abandoned | Phase::Retired => false,
        }
    }

    /// Nothing of this owner will enter the module again.
    pub(crate) const fn is_over(self) -> bool {
        match self.phase {
            Phase::Abandoned | Phase::Retired => true,
            Phase::Idle | Phase::InCall | Phase::Closed | Phase::LastCall => false,
        }
    }
}

/// The number of the call above the phase: 2^61 calls are some 70,000 years at a million a second.
const fn pack(look: Look) -> u64 {
    let phase = match look.phase {
        Phase::Idle => 0,
        Phase::InCall => 1,
        Phase::Closed => 2,
        Phase::LastCall => 3,
        Phase::Abandoned => 4,
        Phase::Retired => 5,
    };
    (look.call << PHASE_BITS) | phase
}

const fn unpack(word: u64) -> Look {
    let phase = match word & ((1 << PHASE_BITS) - 1) {
        0 => Phase::Idle,
        1 => Phase::InCall,
        2 => Phase::Closed,
        3 => Phase::LastCall,
        4 => Phase::Abandoned,
        // Only `pack` makes words.
        _ => Phase::Retired,
    };
    Look { phase, call: word >> PHASE_BITS }
}

const PHASE_BITS: u32 = 3;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU32},
        thread,
    };

    use super::*;

    const PHASES: [Phase; 6] = [Phase::Idle, Phase::InCall, Phase::Closed, Phase::LastCall, Phase::Abandoned, Phase::Retired];

    fn at(phase: Phase) -> Gate {
        Gate { word: AtomicU64::new(pack(Look { phase, call: 7 })) }
    }

    /// What one operation does to a gate in each phase: whether it says so, and the phase after it.
    fn walk(operation: impl Fn(&Gate) -> bool) -> Vec<(bool, Look)> {
        PHASES.map(at).iter().map(|gate| (operation(gate), gate.look())).collect()
    }

    fn looks(expected: [(bool, Phase, u64); 6]) -> Vec<(bool, Look)> {
        expected.map(|(said, phase, call)| (said, Look { phase, call })).into()
    }

    #[test]
    fn every_operation_in_every_phase_does_what_the_drawing_says() {
        use Phase::{Abandoned, Closed, Idle, InCall, LastCall, Retired};
        let no_call = [(false, InCall, 7), (false, LastCall, 7), (false, Abandoned, 7), (false, Retired, 7)];
        let [in_call, last, gone, done] = no_call;
        assert_eq!(walk(Gate::enter), looks([(true, InCall, 8), in_call, (false, Closed, 7), last, gone, done]));
        assert_eq!(walk(Gate::enter_to_end), looks([(true, InCall, 8), in_call, (true, LastCall, 8), last, gone, done]));
        let idle = (false, Idle, 7);
        assert_eq!(walk(Gate::leave), looks([idle, (true, Idle, 7), (false, Closed, 7), (true, Closed, 7), gone, done]));
        let given_up = (true, Abandoned, 7);
        assert_eq!(walk(Gate::abandon), looks([given_up, given_up, given_up, given_up, gone, done]));
        assert_eq!(walk(|gate| gate.abandon_call(7)), looks([idle, given_up, (false, Closed, 7), given_up, gone, done]));
        assert_eq!(walk(|gate| gate.abandon_call(6)), looks([idle, in_call, (false, Closed, 7), last, gone, done]));
        let said = |operation: fn(&Gate)| {
            walk(move |gate| {
                operation(gate);
                true
            })
        };
        let retired = (true, Retired, 7);
        assert_eq!(said(Gate::retire), looks([retired, retired, retired, retired, (true, Abandoned, 7), retired]));
        let [closed, last] = [(true, Closed, 7), (true, LastCall, 7)];
        assert_eq!(said(Gate::close), looks([closed, last, closed, last, (true, Abandoned, 7), retired]));
    }

    #[test]
    fn no_call_of_an_old_generation_begins_once_its_gates_are_over() {
        for round in 0..2_000 {
            let gate = Gate::open();
            let next_generation = Arc::new(AtomicBool::new(false));
            let calls = Arc::new(AtomicU32::new(0));
            let owner = {
                let (gate, next_generation, calls) = (Arc::clone(&gate), Arc::clone(&next_generation), Arc::clone(&calls));
                thread::spawn(move || {
                    while gate.enter() {
                        assert!(!next_generation.load(Ordering::SeqCst), "a call began in the next generation");
                        calls.fetch_add(1, Ordering::Relaxed);
                        assert!(gate.leave(), "nobody gave this owner up");
                    }
                    if gate.enter_to_end() {
                        assert!(!next_generation.load(Ordering::SeqCst), "a session was ended in the next generation");
                        assert!(gate.leave());
                    }
                    gate.retire();
                })
            };
            // Different moments of the owner's run in different rounds.
            for _ in 0..round % 97 {
                std::hint::spin_loop();
            }
            gate.close();
            while !gate.look().is_over() {
                thread::yield_now();
            }
            next_generation.store(true, Ordering::SeqCst);
            owner.join().unwrap();
            assert_eq!(gate.look().phase, Phase::Retired);
            let counted = u64::from(calls.load(Ordering::Relaxed));
            assert_eq!(gate.look().call, counted + 1, "the last call was the one that ended the session");
        }
    }

    #[test]
    fn an_owner_that_is_given_up_learns_of_it_once_and_never_calls_again() {
        for round in 0..2_000 {
            let gate = Gate::open();
            let owner = {
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    let mut told = 0;
                    while gate.enter() {
                        if !gate.leave() {
                            told += 1;
                        }
                    }
                    assert!(!gate.enter() && !gate.enter_to_end());
                    gate.retire();
                    told
                })
            };
            for _ in 0..round % 89 {
                std::hint::spin_loop();
            }
            assert!(gate.abandon(), "the owner never retires before");
            assert!(!gate.abandon(), "an owner is given up once");
            let told = owner.join().unwrap();
            assert!(told <= 1);
            assert_eq!(gate.look().phase, Phase::Abandoned, "it stays given up");
        }
    }

    #[test]
    fn only_the_call_that_was_seen_to_hang_is_given_up() {
        let gate = Gate::open();
        assert!(gate.enter());
        let seen = gate.look();
        assert!(gate.leave() && gate.enter(), "it came back, and another call is under way");
        assert!(!gate.abandon_call(seen.call));
        assert!(gate.leave());
    }
}
