//! One OS thread, one session: takes jobs from its partition's queue and answers each once.
//!
//! Always holds: the session is used by this thread only. Once its gate is closed it makes no call but the one that ends the session;
//! once it was given up it makes none at all, answers the job it came back with, and ends. `desk` does the jobs; this file says what
//! becomes of the thread, its seat and its session.

use std::{sync::Arc, time::Instant};

use crossbeam_channel::{Receiver, Sender};

use super::{
    crew::Seat,
    desk::{Desk, Task},
    fault::CallError,
    front::Front,
    gate::Phase,
    job::{Fault, Job},
    probe::Canary,
    steward::News,
    token::Token,
};

/// What all workers of a generation have in common.
pub(crate) struct Crew {
    pub(crate) generation: u64,
    pub(crate) token: Arc<Token>,
    pub(crate) canary: Arc<Canary>,
    pub(crate) front: Arc<Front>,
    pub(crate) reports: Sender<Report>,
}

/// What a partition's threads tell their supervisor.
pub(crate) enum Report {
    /// The worker at this seat has its session.
    Seated(u64),
    /// It has ended. With an error: it could not open a session.
    Left(u64, Option<CallError>),
    /// The token or the login is lost, in this generation.
    Lost(u64, String),
    /// A call ended so oddly that a canary should tell how the token is, in this generation.
    Doubt(u64),
    /// Of the steward of this number.
    Steward(u64, News),
}

/// Works until the queue is closed, the session can't be had any more, or the seat is given up.
pub(crate) fn work(crew: &Arc<Crew>, seat: &Arc<Seat>, jobs: &Receiver<Job>) {
    // Dropped last, after the session was.
    let mut end = End { crew, seat, why: None };
    let mut desk = match Desk::open(crew, seat) {
        Ok(desk) => desk,
        Err(error) => {
            end.why = Some(error);
            return;
        }
    };
    crew.tell(Report::Seated(seat.number));
    loop {
        seat.turn.hold();
        let Ok(job) = jobs.recv() else { return };
        end.why = serve(&mut desk, job);
        // A closed gate is no reason to go: what is left in the queue must be answered.
        if end.why.is_some() || seat.gate.look().is_over() {
            return;
        }
    }
}

/// One job. An error: there is no session any more, and none to be had.
fn serve(desk: &mut Desk<'_>, job: Job) -> Option<CallError> {
    // Nobody waits for one that was given up.
    if !job.ticket.start() {
        return None;
    }
    let (crew, seat) = (desk.crew, desk.seat);
    let began = Instant::now();
    let Job { key, proof, work, ticket, answer } = job;
    let outcome = if began >= ticket.deadline {
        Err(Fault::Expired)
    } else if seat.begin(&crew.front) {
        let outcome = desk.perform(&Task { key: &key, proof: proof.as_deref(), work: &work, deadline: ticket.deadline });
        seat.finish(&crew.front);
        outcome
    } else {
        Err(reconnecting())
    };
    crew.front.record(began.elapsed(), outcome.as_ref().err());
    answer.give(outcome);
    desk.take_no_session()
}

/// The answer to jobs of a connection that is being ended.
pub(crate) fn reconnecting() -> Fault {
    Fault::Token("the partition is being connected again".into())
}

impl Crew {
    /// A supervisor that is gone needs to know nothing.
    pub(crate) fn tell(&self, report: Report) {
        let _ = self.reports.send(report);
    }
}

/// Leaves the seat, however the thread ends.
struct End<'a> {
    crew: &'a Crew,
    seat: &'a Seat,
    why: Option<CallError>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.seat.finish(&self.crew.front);
        self.seat.turn.pass_on();
        self.seat.gate.retire();
        // Of one that was given up nobody wants to hear.
        if self.seat.gate.look().phase == Phase::Retired {
            self.crew.tell(Report::Left(self.seat.number, self.why.take()));
        }
    }
}
