//! When a child is given up on, as pure functions.
//!
//! Holds: a child that is up, or whose token refused the PIN, is left alone; any other ends within a bound.

use std::time::Duration;

use crate::pkcs11::{state::Pauses, status::Condition};

/// What is wrong with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing that a new process would mend.
    None,
    /// It did not say yet whether the partition was started.
    Opening,
    /// Calls hang.
    Hung,
    /// The token is gone, or can't be connected to.
    Lost,
    /// More calls hang than the child gives up on.
    Exhausted,
}

/// What is wrong with a child that said so much.
pub(super) const fn trouble(is_open: bool, condition: &Condition, leaked: u32) -> Trouble {
    if !is_open {
        return Trouble::Opening;
    }
    match condition {
        Condition::Up | Condition::PinRefused(_) => Trouble::None,
        Condition::Suspect => Trouble::Hung,
        // A call that hangs may hold what the next connection needs.
        Condition::Down(_) if leaked > 0 => Trouble::Hung,
        Condition::Down(_) => Trouble::Lost,
        Condition::Starting => Trouble::Opening,
        Condition::Exhausted => Trouble::Exhausted,
    }
}

/// How long a child may be in it; none: for ever. `open` is the time that opening the token may take.
pub(super) const fn patience(trouble: Trouble, open: Duration) -> Option<Duration> {
    match trouble {
        Trouble::None => None,
        Trouble::Opening => Some(open.saturating_add(HUNG)),
        Trouble::Hung => Some(HUNG),
        Trouble::Lost => Some(if LOST.as_millis() > open.as_millis() * 2 { LOST } else { open.saturating_mul(2) }),
        Trouble::Exhausted => Some(Duration::ZERO),
    }
}

impl Trouble {
    /// For operators.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "nothing is wrong with its process",
            Self::Opening => "its process did not open the token in time",
            Self::Hung => "a call to the token hung",
            Self::Lost => "its process could not connect to the token",
            Self::Exhausted => "too many calls to the token hung",
        }
    }
}

/// A suspect child is killed after so long (design §5).
const HUNG: Duration = Duration::from_secs(2);

/// Some modules find a token that came back only when they are loaded anew.
const LOST: Duration = Duration::from_secs(30);

/// A child that was up for so long was not at fault for the next one's wait.
pub(super) const STABLE: Duration = Duration::from_secs(30);

/// The pauses before a next child.
pub(super) const PAUSES: Pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(5));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_its_trouble() {
        let open = Duration::from_secs(10);
        let (none, hung, lost) = ((Trouble::None, None), (Trouble::Hung, Some(HUNG)), (Trouble::Lost, Some(LOST)));
        let opening = (Trouble::Opening, Some(open + HUNG));
        let table = [
            (Condition::Starting, opening, opening),
            (Condition::Up, none, none),
            (Condition::Suspect, hung, hung),
            (Condition::Down("gone".into()), lost, hung),
            (Condition::PinRefused("no".into()), none, none),
            (Condition::Exhausted, (Trouble::Exhausted, Some(Duration::ZERO)), (Trouble::Exhausted, Some(Duration::ZERO))),
        ];
        for (condition, with_none_leaked, with_some_leaked) in table {
            for (leaked, wanted) in [(0, with_none_leaked), (3, with_some_leaked)] {
                let trouble = trouble(true, &condition, leaked);
                assert_eq!((trouble, patience(trouble, open)), wanted, "{condition:?}, {leaked} leaked");
            }
            assert_eq!(super::trouble(false, &condition, 0), Trouble::Opening);
        }
    }

    #[test]
    fn a_slow_opening_is_waited_for() {
        let open = Duration::from_secs(40);
        assert_eq!(patience(Trouble::Lost, open), Some(open * 2));
    }
}
