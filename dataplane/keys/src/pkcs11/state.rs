//! How a partition goes from one state to the next: a pure table, and the pauses between tries.
//!
//! Always holds: work is taken in [`State::Up`] alone; a connection is opened in [`State::Opening`] alone, which only
//! [`State::Waiting`] and [`State::Refused`] lead to, and in both no thread of an earlier connection can enter the module any more.
//! The supervisor in `partition` turns what it sees into events and does what a new state asks for.

use std::time::Duration;

/// What a partition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A steward loads the module, finds the token, logs in and runs a canary.
    Opening,
    /// Connected; the first session that works is being opened.
    Staffing,
    /// Takes work.
    Up,
    /// A call is overdue: no new work until a canary comes back in time.
    Suspect,
    /// The connection is lost: its threads finish their calls or are given up.
    Draining,
    /// Nothing is connected; the next try is due later.
    Waiting,
    /// Nothing is connected; the PIN was refused. Tried again when that may have changed.
    Refused,
    /// More calls hang than may be given up on. Ends when one of them comes back after all.
    Exhausted,
    /// Ends. Final.
    Stopping,
}

/// What can happen to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The steward is logged in and its canary passed.
    Opened,
    /// It could not be opened, or not in time.
    OpenFailed,
    /// The PIN was refused, now or before.
    PinRefused,
    /// A worker has its session.
    Seated,
    /// No worker has a session, and none can get one.
    Unseated,
    /// A call takes longer than half of a request's deadline.
    Overdue,
    /// A canary passed in less than that.
    CanaryInTime,
    /// A canary passed, but took longer.
    CanaryLate,
    /// The token or the login is lost.
    Lost,
    /// No thread of the lost connection can enter the module any more.
    Drained,
    /// A call would have to be given up on, and no more may be.
    LeaksSpent,
    /// The pause is over.
    Due,
    /// An order.
    Stop,
}

impl State {
    /// The next state; none: it stays as it is.
    pub(crate) const fn after(self, event: Event) -> Option<Self> {
        match self {
            Self::Opening => match event {
                Event::Opened => Some(Self::Staffing),
                Event::OpenFailed => Some(Self::Waiting),
                Event::PinRefused => Some(Self::Refused),
                Event::LeaksSpent => Some(Self::Exhausted),
                Event::Stop => Some(Self::Stopping),
                Event::Seated
                | Event::Unseated
                | Event::Overdue
                | Event::CanaryInTime
                | Event::CanaryLate
                | Event::Lost
                | Event::Drained
                | Event::Due => None,
            },
            Self::Staffing => match event {
                Event::Seated => Some(Self::Up),
                Event::Unseated | Event::Lost => Some(Self::Draining),
                Event::LeaksSpent => Some(Self::Exhausted),
                Event::Stop => Some(Self::Stopping),
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Overdue
                | Event::CanaryInTime
                | Event::CanaryLate
                | Event::Drained
                | Event::Due => None,
            },
            Self::Up => match event {
                Event::Overdue | Event::CanaryLate => Some(Self::Suspect),
                Event::Unseated | Event::Lost => Some(Self::Draining),
                Event::LeaksSpent => Some(Self::Exhausted),
                Event::Stop => Some(Self::Stopping),
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Seated
                | Event::CanaryInTime
                | Event::Drained
                | Event::Due => None,
            },
            Self::Suspect => match event {
                Event::CanaryInTime => Some(Self::Up),
                Event::Unseated | Event::Lost => Some(Self::Draining),
                Event::LeaksSpent => Some(Self::Exhausted),
                Event::Stop => Some(Self::Stopping),
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Seated
                | Event::Overdue
                | Event::CanaryLate
                | Event::Drained
                | Event::Due => None,
            },
            Self::Draining => match event {
                Event::Drained => Some(Self::Waiting),
                Event::LeaksSpent => Some(Self::Exhausted),
                Event::Stop => Some(Self::Stopping),
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Seated
                | Event::Unseated
                | Event::Overdue
                | Event::CanaryInTime
                | Event::CanaryLate
                | Event::Lost
                | Event::Due => None,
            },
            Self::Waiting | Self::Refused => match event {
                Event::Due => Some(Self::Opening),
                Event::Stop => Some(Self::Stopping),
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Seated
                | Event::Unseated
                | Event::Overdue
                | Event::CanaryInTime
                | Event::CanaryLate
                | Event::Lost
                | Event::Drained
                | Event::LeaksSpent => None,
            },
            // Whatever hung has come back: it goes on where it was.
            Self::Exhausted => match event {
                Event::Opened => Some(Self::Staffing),
                Event::OpenFailed | Event::Drained => Some(Self::Waiting),
                Event::PinRefused => Some(Self::Refused),
                Event::Seated | Event::CanaryLate => Some(Self::Suspect),
                Event::CanaryInTime => Some(Self::Up),
                Event::Unseated | Event::Lost => Some(Self::Draining),
                Event::Stop => Some(Self::Stopping),
                Event::Overdue | Event::LeaksSpent | Event::Due => None,
            },
            Self::Stopping => match event {
                Event::Opened
                | Event::OpenFailed
                | Event::PinRefused
                | Event::Seated
                | Event::Unseated
                | Event::Overdue
                | Event::CanaryInTime
                | Event::CanaryLate
                | Event::Lost
                | Event::Drained
                | Event::LeaksSpent
                | Event::Due
                | Event::Stop => None,
            },
        }
    }
}

/// Pauses that double from a first to a last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    first: Duration,
    last: Duration,
    taken: u32,
}

impl Pauses {
    pub(crate) const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, taken: 0 }
    }

    /// The next pause.
    pub(crate) fn take(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.taken).and_then(|factor| self.first.checked_mul(factor));
        self.taken = self.taken.saturating_add(1);
        doubled.map_or(self.last, |pause| pause.min(self.last))
    }

    /// From the first one again.
    pub(crate) const fn reset(&mut self) {
        self.taken = 0;
    }
}

/// A pause made up to half as short, so that the nodes of a token that was gone do not come back all at once. `dice` is any number.
pub(crate) fn jittered(pause: Duration, dice: u16) -> Duration {
    pause - pause / 2 * u32::from(dice) / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        Event::{
            CanaryInTime, CanaryLate, Drained, Due, LeaksSpent, Lost, OpenFailed, Opened, Overdue, PinRefused, Seated, Stop, Unseated,
        },
        State::{Draining, Exhausted, Opening, Refused, Staffing, Stopping, Suspect, Up, Waiting},
        *,
    };

    const STATES: [State; 9] = [Opening, Staffing, Up, Suspect, Draining, Waiting, Refused, Exhausted, Stopping];
    const EVENTS: [Event; 13] =
        [Opened, OpenFailed, PinRefused, Seated, Unseated, Overdue, CanaryInTime, CanaryLate, Lost, Drained, LeaksSpent, Due, Stop];

    #[test]
    fn every_pair_of_state_and_event_goes_where_the_table_says() {
        // A column per event, in the order of `EVENTS`; a point: it stays.
        let table = "
            Opening    Staffing Waiting Refused .       .        .       .    .       .        .       Exhausted .       Stopping
            Staffing   .        .       .       Up      Draining .       .    .       Draining .       Exhausted .       Stopping
            Up         .        .       .       .       Draining Suspect .    Suspect Draining .       Exhausted .       Stopping
            Suspect    .        .       .       .       Draining .       Up   .       Draining .       Exhausted .       Stopping
            Draining   .        .       .       .       .        .       .    .       .        Waiting Exhausted .       Stopping
            Waiting    .        .       .       .       .        .       .    .       .        .       .         Opening Stopping
            Refused    .        .       .       .       .        .       .    .       .        .       .         Opening Stopping
            Exhausted  Staffing Waiting Refused Suspect Draining .       Up   Suspect Draining Waiting .         .       Stopping
            Stopping   .        .       .       .       .        .       .    .       .        .       .         .       .
        ";
        let mut rows = table.lines().map(str::split_whitespace).filter_map(|mut row| Some((row.next()?, row)));
        for state in STATES {
            let (name, mut row) = rows.next().unwrap();
            assert_eq!(name, format!("{state:?}"));
            for event in EVENTS {
                let next = state.after(event).map_or(".".to_owned(), |next| format!("{next:?}"));
                assert_eq!(next, row.next().unwrap(), "{state:?}, {event:?}");
            }
            assert_eq!(row.next(), None);
        }
        assert!(rows.next().is_none());
    }

    #[test]
    fn a_connection_is_opened_only_where_nothing_of_an_earlier_one_is_left() {
        for (state, event) in STATES.into_iter().flat_map(|state| EVENTS.map(|event| (state, event))) {
            if state.after(event) == Some(Opening) {
                assert!(matches!(state, Waiting | Refused), "{state:?}, {event:?}");
            }
            if matches!(state, Staffing | Up | Suspect) {
                let next = state.after(event);
                assert!(!matches!(next, Some(Opening | Waiting | Refused)), "{state:?}, {event:?} must drain first");
            }
        }
    }

    #[test]
    fn work_is_taken_again_only_after_a_canary_in_time_or_by_a_new_connection() {
        for (state, event) in STATES.into_iter().flat_map(|state| EVENTS.map(|event| (state, event))) {
            if state.after(event) == Some(Up) {
                let allowed = [(Staffing, Seated), (Suspect, CanaryInTime), (Exhausted, CanaryInTime)];
                assert!(allowed.contains(&(state, event)), "{state:?}, {event:?}");
            }
        }
    }

    #[test]
    fn every_state_but_the_last_can_be_stopped_and_left() {
        for state in STATES {
            assert_eq!(state.after(Stop), (state != Stopping).then_some(Stopping));
            let ways_out = EVENTS.into_iter().filter(|event| *event != Stop && state.after(*event).is_some()).count();
            assert_eq!(ways_out == 0, state == Stopping, "{state:?}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_last_and_start_anew_after_a_reset() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(5));
        let taken: Vec<_> = (0..8).map(|_| pauses.take().as_millis()).collect();
        assert_eq!(taken, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        pauses.taken = u32::MAX;
        assert_eq!(pauses.take(), Duration::from_secs(5));
        pauses.reset();
        assert_eq!(pauses.take(), Duration::from_millis(100));
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        let pause = Duration::from_secs(4);
        assert_eq!(jittered(pause, 0), pause);
        assert_eq!(jittered(pause, u16::MAX), pause / 2);
        assert!((0..=u16::MAX).step_by(997).all(|dice| (pause / 2..=pause).contains(&jittered(pause, dice))));
    }
}
