//! The workers of one generation, as their supervisor keeps count of them. No C call, and no thread, is made here.
//!
//! Always holds: a job that a worker began is taken off the count of those in use exactly once, by the worker that ends it or by the
//! supervisor that gives the worker up; a seat that was given up is never worked at again. Workers write their [`Seat`]; the
//! supervisor reads it and keeps the [`Roster`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    front::Front,
    gate::Gate,
    turns::{Turn, Turns},
};

/// Where one worker sits: what it shares with its supervisor.
pub(crate) struct Seat {
    pub(crate) number: u64,
    pub(crate) gate: Arc<Gate>,
    /// To be held while it takes jobs.
    pub(crate) turn: Turn,
    job: AtomicU8,
}

/// All seats of a generation. Seats of different generations have different numbers.
pub(crate) struct Roster {
    wanted: u32,
    turns: Arc<Turns>,
    /// How long opening a session may take.
    opening: Duration,
    members: Vec<Member>,
    next: u64,
}

/// A seat as the supervisor knows it.
struct Member {
    seat: Arc<Seat>,
    /// It has its session.
    seated: bool,
    /// What it was seen at last, and since when it has been at it.
    seen: Seen,
    since: Instant,
    /// It was told of already.
    told: bool,
}

/// What a seat is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing that could hang.
    Nothing,
    /// The call of a job, by its number.
    Call(u64),
    /// Opening its session.
    Opening,
}

impl Seat {
    fn new(number: u64, turns: &Arc<Turns>) -> Arc<Self> {
        Arc::new(Self { number, gate: Gate::open(), turn: Turn::new(Arc::clone(turns)), job: AtomicU8::new(NONE) })
    }

    /// The worker begins a job, which counts as in use from here on. False: it was given up and must not.
    pub(crate) fn begin(&self, front: &Front) -> bool {
        // Counted before it can be seen: nobody takes off what was not put on.
        front.in_use().fetch_add(1, Ordering::Relaxed);
        let began = self.job.compare_exchange(NONE, ONE, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !began {
            front.in_use().fetch_sub(1, Ordering::Relaxed);
        }
        began
    }

    /// The worker has ended its job, if it was at one.
    pub(crate) fn finish(&self, front: &Front) {
        // Fails where the supervisor came first.
        if self.job.compare_exchange(ONE, NONE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            front.in_use().fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The supervisor counts on this seat no more.
    fn write_off(&self, front: &Front) {
        self.turn.pass_on();
        if self.job.swap(WRITTEN_OFF, Ordering::AcqRel) == ONE {
            front.in_use().fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn has_a_job(&self) -> bool {
        self.job.load(Ordering::Acquire) == ONE
    }
}

impl Roster {
    /// For this many workers.
    pub(crate) fn new(wanted: u32, opening: Duration) -> Self {
        Self { wanted, turns: Turns::of(wanted), opening, members: Vec::new(), next: 0 }
    }

    /// For the workers of the next generation, of which so many serve at once. Those of the last one have retired or were given up.
    pub(crate) fn renew(&mut self, wanted: u32, at_once: u32) {
        self.members.clear();
        self.wanted = wanted;
        self.turns = Turns::of(at_once);
    }

    /// How many it is for.
    pub(crate) const fn wanted(&self) -> u32 {
        self.wanted
    }

    /// A seat for one more worker, unless all are taken or one is being opened: sessions open one after another.
    pub(crate) fn hire(&mut self, now: Instant) -> Option<Arc<Seat>> {
        let full = self.members.len() >= usize::try_from(self.wanted).unwrap_or(usize::MAX);
        if full || self.is_opening() {
            return None;
        }
        self.next += 1;
        let seat = Seat::new(self.next, &self.turns);
        self.members.push(Member { seat: Arc::clone(&seat), seated: false, seen: Seen::Opening, since: now, told: false });
        Some(seat)
    }

    /// A worker has its session.
    pub(crate) fn seated(&mut self, number: u64) {
        for member in self.members.iter_mut().filter(|member| member.seat.number == number) {
            member.seated = true;
        }
    }

    /// A worker is gone. False: it was not on the roster any more.
    pub(crate) fn left(&mut self, number: u64) -> bool {
        let before = self.members.len();
        self.members.retain(|member| member.seat.number != number);
        self.members.len() < before
    }

    /// Workers that have their session.
    pub(crate) fn sessions(&self) -> u32 {
        count(self.members.iter().filter(|member| member.seated))
    }

    /// A session is being opened.
    pub(crate) fn is_opening(&self) -> bool {
        self.members.iter().any(|member| !member.seated)
    }

    /// A worker could take a job at once.
    pub(crate) fn has_a_free_one(&self) -> bool {
        self.members.iter().any(|member| member.seated && !member.seat.has_a_job())
    }

    /// Looks at every seat. True: a job's call that was not told of yet has taken longer than `overdue`.
    pub(crate) fn look(&mut self, now: Instant, overdue: Duration) -> bool {
        let mut news = false;
        for member in &mut self.members {
            let seen = member.at();
            if seen != member.seen {
                (member.seen, member.since, member.told) = (seen, now, false);
            }
            if matches!(seen, Seen::Call(_)) && !member.told && member.has_been_at_it(now, overdue) {
                member.told = true;
                // Somebody who stands by takes its place meanwhile.
                member.seat.turn.pass_on();
                news = true;
            }
        }
        news
    }

    /// Workers that have been in one call for longer than this, or in opening their session for longer than that may take.
    pub(crate) fn stuck(&self, now: Instant, than: Duration) -> u32 {
        count(self.members.iter().filter(|member| member.is_stuck(now, than, self.opening)))
    }

    /// Gives those up, so many of them at most. How many sessions that leaks.
    pub(crate) fn give_up_stuck(&mut self, (now, than): (Instant, Duration), most: u32, front: &Front) -> u32 {
        let (mut leaked, opening) = (0, self.opening);
        self.members.retain(|member| {
            let look = member.seat.gate.look();
            let stuck = leaked < most && look.is_in_call() && member.is_stuck(now, than, opening);
            // Between the look and the word it may have come back: then it stays.
            let gone = stuck && member.seat.gate.abandon_call(look.call);
            if gone {
                member.seat.write_off(front);
                leaked += 1;
            }
            !gone
        });
        leaked
    }

    /// The token works again: calls that were told of get their time anew before they are given up, since they may be on their way back.
    pub(crate) fn forgive(&mut self, now: Instant) {
        for member in self.members.iter_mut().filter(|member| member.told) {
            member.since = now;
        }
    }

    /// No worker begins another call, but for the one that ends its session.
    pub(crate) fn close(&self) {
        self.members.iter().for_each(|member| member.seat.gate.close());
        // Those who stand by go home too.
        self.turns.add(count(self.members.iter()));
    }

    /// Workers that may still enter the module.
    pub(crate) fn not_over(&self) -> u32 {
        count(self.members.iter().filter(|member| !member.seat.gate.look().is_over()))
    }

    /// Gives all of them up. How many sessions that leaks.
    pub(crate) fn give_up_all(&mut self, front: &Front) -> u32 {
        let leaked = count(self.members.iter().filter(|member| member.seat.gate.abandon()));
        self.members.drain(..).for_each(|member| member.seat.write_off(front));
        leaked
    }
}

impl Member {
    fn at(&self) -> Seen {
        let look = self.seat.gate.look();
        match (self.seated, look.is_in_call() && self.seat.has_a_job()) {
            (false, _) => Seen::Opening,
            (true, true) => Seen::Call(look.call),
            (true, false) => Seen::Nothing,
        }
    }

    fn has_been_at_it(&self, now: Instant, than: Duration) -> bool {
        now.saturating_duration_since(self.since) >= than
    }

    fn is_stuck(&self, now: Instant, than: Duration, opening: Duration) -> bool {
        let than = match self.seen {
            Seen::Nothing => return false,
            Seen::Call(_) => than,
            Seen::Opening => opening,
        };
        self.at() == self.seen && self.has_been_at_it(now, than) && self.seat.gate.look().is_in_call()
    }
}

fn count<T>(of: impl Iterator<Item = T>) -> u32 {
    u32::try_from(of.count()).unwrap_or(u32::MAX)
}

/// Whether a seat has a job.
const NONE: u8 = 0;
const ONE: u8 = 1;
/// It was given up. Final.
const WRITTEN_OFF: u8 = 2;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{super::gate::Phase, *};

    const OVERDUE: Duration = Duration::from_millis(100);
    const STUCK: Duration = Duration::from_secs(2);

    fn front() -> Arc<Front> {
        let (orders, _) = crossbeam_channel::unbounded();
        Front::new("p", "g", orders)
    }

    fn in_use(front: &Front) -> u32 {
        front.in_use().load(Ordering::SeqCst)
    }

    /// A roster of seated workers.
    fn seated(workers: u32, now: Instant) -> (Roster, Vec<Arc<Seat>>) {
        let mut roster = Roster::new(workers, STUCK);
        let mut seats = Vec::new();
        while let Some(seat) = roster.hire(now) {
            roster.seated(seat.number);
            seats.push(seat);
        }
        (roster, seats)
    }

    #[test]
    fn sessions_open_one_after_another_up_to_the_number_asked_for() {
        let now = Instant::now();
        let mut roster = Roster::new(2, STUCK);
        let first = roster.hire(now).unwrap();
        assert!(roster.hire(now).is_none(), "the first one is being opened");
        assert_eq!((roster.sessions(), roster.is_opening()), (0, true));
        roster.seated(first.number);
        let second = roster.hire(now).unwrap();
        roster.seated(second.number);
        assert_eq!(roster.sessions(), 2);
        assert!(roster.hire(now).is_none(), "all are there");
        assert!(roster.left(first.number));
        assert!(!roster.left(first.number));
        assert_eq!(roster.sessions(), 1);
        let third = roster.hire(now).unwrap();
        assert_ne!(third.number, first.number, "a late word of a worker that is gone is of nobody else");
    }

    #[test]
    fn a_call_is_told_of_once_when_it_is_overdue_and_the_next_one_again() {
        let (front, start) = (front(), Instant::now());
        let (mut roster, seats) = seated(1, start);
        assert!(seats[0].begin(&front) && seats[0].gate.enter());
        assert!(!roster.look(start, OVERDUE));
        assert!(!roster.look(start + OVERDUE / 2, OVERDUE));
        assert!(roster.look(start + OVERDUE, OVERDUE));
        assert!(!roster.look(start + OVERDUE * 9, OVERDUE), "told of already");
        assert!(seats[0].gate.leave() && seats[0].gate.enter());
        let next = start + OVERDUE * 10;
        assert!(!roster.look(next, OVERDUE), "another call of the same job");
        assert!(roster.look(next + OVERDUE, OVERDUE));
        assert!(seats[0].gate.leave());
        seats[0].finish(&front);
        assert!(!roster.look(next + OVERDUE * 9, OVERDUE), "nobody waits for a worker without a job");
    }

    #[test]
    fn no_seat_has_the_number_of_one_of_an_earlier_generation() {
        let now = Instant::now();
        let (mut roster, seats) = seated(2, now);
        roster.give_up_all(&front());
        roster.renew(3, 3);
        let seat = roster.hire(now).unwrap();
        assert!(seats.iter().all(|earlier| earlier.number != seat.number));
        assert!(!roster.left(seats[0].number), "a late word of an earlier generation");
    }

    #[test]
    fn only_a_worker_inside_the_module_is_stuck_and_given_up() {
        let (front, start) = (front(), Instant::now());
        let (mut roster, seats) = seated(3, start);
        for seat in &seats {
            assert!(seat.begin(&front));
        }
        assert!(seats[0].gate.enter() && seats[1].gate.enter());
        roster.look(start, OVERDUE);
        assert_eq!(roster.stuck(start + STUCK, STUCK), 2, "the third is at its job, but not in a call");
        assert!(seats[1].gate.leave());
        seats[1].finish(&front);
        assert_eq!(roster.give_up_stuck((start + STUCK, STUCK), 9, &front), 1);
        assert_eq!(seats[0].gate.look().phase, Phase::Abandoned);
        assert_eq!((roster.sessions(), in_use(&front)), (2, 1));
        assert!(roster.has_a_free_one());
        // The one that was given up comes back.
        assert!(!seats[0].gate.leave());
        seats[0].finish(&front);
        assert!(!seats[0].begin(&front));
        assert_eq!(in_use(&front), 1, "its job was taken off once");
    }

    #[test]
    fn a_call_that_hung_with_the_token_gets_its_time_anew_when_that_works_again() {
        let (front, start) = (front(), Instant::now());
        let (mut roster, seats) = seated(1, start);
        assert!(seats[0].begin(&front) && seats[0].gate.enter());
        roster.look(start, OVERDUE);
        assert!(roster.look(start + OVERDUE, OVERDUE));
        let again = start + STUCK * 9;
        assert_eq!(roster.stuck(again, STUCK), 1);
        roster.forgive(again);
        assert_eq!(roster.stuck(again + STUCK / 2, STUCK), 0);
        assert!(!roster.look(again + STUCK / 2, OVERDUE), "told of already");
        assert_eq!(roster.stuck(again + STUCK, STUCK), 1);
    }

    #[test]
    fn a_worker_that_hangs_while_it_opens_its_session_is_stuck() {
        let (front, start) = (front(), Instant::now());
        let mut roster = Roster::new(1, STUCK);
        let seat = roster.hire(start).unwrap();
        assert!(seat.gate.enter());
        assert!(!roster.look(start + STUCK, OVERDUE), "no request waits for it");
        assert_eq!(roster.give_up_stuck((start + STUCK, STUCK), 9, &front), 1);
        assert!(!roster.is_opening());
        assert_eq!(in_use(&front), 0);
    }

    #[test]
    fn closing_leaves_nobody_who_may_enter_once_all_have_retired_or_were_given_up() {
        let (front, start) = (front(), Instant::now());
        let (mut roster, seats) = seated(3, start);
        assert!(seats[0].begin(&front) && seats[0].gate.enter());
        roster.close();
        assert_eq!(roster.not_over(), 3);
        assert!(seats[1].gate.enter_to_end() && seats[1].gate.leave());
        seats[1].gate.retire();
        seats[2].gate.retire();
        assert_eq!(roster.not_over(), 1);
        assert_eq!(roster.give_up_all(&front), 1, "those that retired leak nothing");
        assert_eq!((roster.not_over(), roster.sessions(), in_use(&front)), (0, 0, 0));
        assert!(!seats[0].gate.leave());
    }

    #[test]
    fn jobs_in_use_are_right_however_worker_and_supervisor_race() {
        let front = front();
        for round in 0..2_000 {
            let (mut roster, seats) = seated(1, Instant::now());
            let worker = {
                let (seat, front) = (Arc::clone(&seats[0]), Arc::clone(&front));
                thread::spawn(move || {
                    while seat.begin(&front) {
                        seat.finish(&front);
                    }
                })
            };
            for _ in 0..round % 83 {
                std::hint::spin_loop();
            }
            assert_eq!(roster.give_up_all(&front), 1);
            worker.join().unwrap();
            assert_eq!(in_use(&front), 0);
        }
    }
}
