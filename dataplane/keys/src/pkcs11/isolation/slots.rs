//! The jobs that an isolated partition's child works on, one place for each of its sessions.
//!
//! Holds: a job that was put in is answered once, by whoever takes it out; after [`Places::close`] nothing can be put in that would stay.
//! A place belongs to one thread at a time: the dispatcher takes a free one from a channel and fills it, the reader empties it and gives
//! it back, so no two requests meet at a lock.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::frame::JobId;
use crate::pkcs11::{
    front::Front,
    job::{Answer, Fault, Outcome, Ticket},
};

/// The dispatcher's side.
pub(super) struct Slots {
    places: Box<[Mutex<Place>]>,
    closed: AtomicBool,
    /// Places to fill. Ends with [`Places`].
    pub(super) free: Receiver<u32>,
}

/// The reader's side.
pub(super) struct Places {
    slots: Arc<Slots>,
    free: Sender<u32>,
    /// Places without a session.
    parked: Vec<u32>,
    /// Places that are free or filled.
    granted: usize,
    /// Sessions.
    wanted: usize,
}

/// A job that the child has.
pub(super) struct Pending {
    answer: Answer,
    ticket: Arc<Ticket>,
    since: Instant,
}

#[derive(Default)]
struct Place {
    turn: u32,
    pending: Option<Pending>,
}

impl Slots {
    /// For at most so many sessions. None is free until [`Places::grant`].
    pub(super) fn new(most: u32) -> (Arc<Self>, Places) {
        let (give, free) = unbounded();
        let places = (0..most).map(|_| Mutex::default()).collect();
        let slots = Arc::new(Self { places, closed: AtomicBool::new(false), free });
        (Arc::clone(&slots), Places { slots, free: give, parked: (0..most).rev().collect(), granted: 0, wanted: 0 })
    }

    /// Fills a free place. After the end the job comes back.
    pub(super) fn put(&self, place: u32, pending: Pending) -> Result<JobId, Pending> {
        let Some(slot) = self.place(place) else { return Err(pending) };
        let mut filled = lock(slot);
        filled.turn = filled.turn.wrapping_add(1);
        let id = JobId { place, turn: filled.turn };
        filled.pending = Some(pending);
        drop(filled);
        // `close` sets this before it looks at the places: either it finds the job, or the job is found here.
        if self.closed.load(Ordering::SeqCst) {
            return self.take(id).map_or(Ok(id), Err);
        }
        Ok(id)
    }

    /// Empties a place, if that job is still in it.
    pub(super) fn take(&self, id: JobId) -> Option<Pending> {
        let mut place = lock(self.place(id.place)?);
        if place.turn == id.turn { place.pending.take() } else { None }
    }

    fn place(&self, place: u32) -> Option<&Mutex<Place>> {
        self.places.get(usize::try_from(place).ok()?)
    }
}

impl Places {
    /// Takes out a job that came back. None: it was answered for already.
    pub(super) fn take(&mut self, id: JobId) -> Option<Pending> {
        let pending = self.slots.take(id)?;
        self.give_back(id.place);
        Some(pending)
    }

    /// As many places as there are sessions. Those of running jobs go when the jobs come back.
    pub(super) fn grant(&mut self, sessions: u32) {
        self.wanted = usize::try_from(sessions).unwrap_or(usize::MAX);
        while self.granted < self.wanted {
            let Some(place) = self.parked.pop() else { return };
            self.granted += 1;
            self.free(place);
        }
        while self.granted > self.wanted {
            let Ok(place) = self.slots.free.try_recv() else { return };
            self.granted -= 1;
            self.parked.push(place);
        }
    }

    /// Takes out jobs that nobody has waited for since a while: their sessions hang, and others were opened in their stead.
    pub(super) fn reclaim(&mut self, now: Instant) -> Vec<Pending> {
        let slots = Arc::clone(&self.slots);
        let mut given_up = Vec::new();
        for (place, slot) in (0..).zip(&slots.places) {
            let is_over = |pending: &mut Pending| now.duration_since(pending.ticket.deadline) > GRACE;
            let over = lock(slot).pending.take_if(is_over);
            if let Some(pending) = over {
                given_up.push(pending);
                self.give_back(place);
            }
        }
        given_up
    }

    /// The end: all jobs.
    pub(super) fn close(self) -> Vec<Pending> {
        self.slots.closed.store(true, Ordering::SeqCst);
        self.slots.places.iter().filter_map(|place| lock(place).pending.take()).collect()
    }

    fn give_back(&mut self, place: u32) {
        if self.granted > self.wanted {
            self.granted -= 1;
            self.parked.push(place);
        } else {
            self.free(place);
        }
    }

    fn free(&self, place: u32) {
        // Never closed: the other end is in `slots`.
        let _ = self.free.send(place);
    }
}

impl Pending {
    /// A job that goes to the child now.
    pub(super) fn new(answer: Answer, ticket: Arc<Ticket>, front: &Front) -> Self {
        front.in_use().fetch_add(1, Ordering::Relaxed);
        Self { answer, ticket, since: Instant::now() }
    }

    /// Answers.
    pub(super) fn settle(self, front: &Front, outcome: Outcome) {
        front.in_use().fetch_sub(1, Ordering::Relaxed);
        front.record(self.since.elapsed(), outcome.as_ref().err());
        self.answer.give(outcome);
    }

    /// Answers that the token failed.
    pub(super) fn fail(self, front: &Front, why: &str) {
        self.settle(front, Err(Fault::Token(why.to_owned())));
    }
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    // Nothing panics while it holds one; if it did, a place would still be whole.
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long after its deadline a job keeps its place.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(front: &Front, deadline: Instant) -> (Pending, Receiver<Outcome>) {
        let (give, outcome) = unbounded();
        let answer = Answer::new(move |outcome| give.send(outcome).unwrap());
        (Pending::new(answer, Ticket::new(deadline), front), outcome)
    }

    fn front() -> Arc<Front> {
        Front::new("p", "p", unbounded().0)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn there_are_as_many_free_places_as_sessions() {
        let (slots, mut places) = Slots::new(4);
        for (sessions, free) in [(0, 0), (3, 3), (9, 4), (1, 1), (4, 4), (0, 0)] {
            places.grant(sessions);
            assert_eq!(slots.free.len(), free, "{sessions} sessions");
        }
    }

    #[test]
    fn a_place_whose_session_went_away_goes_when_its_job_comes_back() {
        let (front, (slots, mut places)) = (front(), Slots::new(2));
        places.grant(2);
        let ids = [(); 2].map(|()| {
            let place = slots.free.recv().unwrap();
            slots.put(place, pending(&front, later()).0).ok().unwrap()
        });
        places.grant(1);
        places.take(ids[0]).unwrap();
        assert_eq!(slots.free.len(), 0);
        places.take(ids[1]).unwrap();
        assert_eq!(slots.free.len(), 1);
    }

    #[test]
    fn a_job_is_answered_once_and_a_late_outcome_does_not_meet_the_next_one() {
        let (front, (slots, mut places)) = (front(), Slots::new(1));
        places.grant(1);
        let place = slots.free.recv().unwrap();
        let (first, _) = pending(&front, Instant::now());
        let old = slots.put(place, first).ok().unwrap();
        let over = places.reclaim(Instant::now() + GRACE * 2);
        assert_eq!(over.len(), 1);
        assert_eq!(slots.free.recv().unwrap(), place, "the place is free again");
        let (second, _) = pending(&front, later());
        let new = slots.put(place, second).ok().unwrap();
        assert!(places.take(old).is_none());
        assert!(places.reclaim(Instant::now()).is_empty(), "somebody waits for it");
        assert!(places.take(new).is_some());
        assert!(places.take(new).is_none());
    }

    #[test]
    fn the_end_finds_every_job_and_lets_none_in() {
        let (front, (slots, mut places)) = (front(), Slots::new(2));
        places.grant(2);
        let (before, outcome) = pending(&front, later());
        slots.put(slots.free.recv().unwrap(), before).ok().unwrap();
        for pending in places.close() {
            pending.fail(&front, "gone");
        }
        assert_eq!(outcome.try_recv().unwrap().unwrap_err(), Fault::Token("gone".into()));
        let (after, _outcome) = pending(&front, later());
        assert!(slots.put(slots.free.recv().unwrap(), after).is_err());
        assert!(slots.free.recv().is_err(), "nothing is given back any more");
        assert_eq!(front.in_use().load(Ordering::Relaxed), 1, "the job that came back is not settled yet");
    }
}
