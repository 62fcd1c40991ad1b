//! The one thread that writes to a child.
//!
//! Holds: a job leaves the partition's queue only when the child has a session for it, so that "started" means what it means without
//! isolation; every job that was taken out of a queue is answered, put into a place, or was given up by whoever waited for it; a child
//! that does not read is told of and never waited for longer than the socket's write timeout.

use std::{error::Error, io, mem, os::unix::net::UnixStream, sync::Arc, time::Instant};

use crossbeam_channel::{Receiver, Sender, never, select};
use tracing::warn;

use super::{
    frame::{Do, Opening, Outbox, ToChild},
    slots::{Pending, Slots},
    supervisor::{Event, What},
};
use crate::pkcs11::{
    front::Front,
    job::{Fault, Job},
};

/// What the supervisor asks of it. The end of the channel ends the thread.
pub(super) enum Control {
    /// Write this.
    Send(ToChild),
    /// Jobs come from here now, or none do. What was left of the last ones fails.
    Serve(Option<Lane>),
}

/// The jobs of one generation of the child. Its queue has been taken from the front when the next one is named.
pub(super) struct Lane {
    pub(super) generation: u64,
    pub(super) jobs: Receiver<Job>,
}

/// See above.
pub(super) struct Dispatcher {
    pub(super) incarnation: u64,
    pub(super) front: Arc<Front>,
    pub(super) slots: Arc<Slots>,
    pub(super) stream: UnixStream,
    pub(super) control: Receiver<Control>,
    pub(super) events: Sender<Event>,
}

/// The child can't be written to, or what it answers is not read any more.
struct Deaf;

impl Dispatcher {
    /// Until the supervisor lets go of it. `opening` is the first frame.
    pub(super) fn run(self, opening: Opening) {
        let mut outbox = Outbox::new();
        let mut lane = None;
        let opened = match outbox.add(&ToChild::Open(Box::new(opening))) {
            Ok(()) => self.flush(&mut outbox),
            Err(unfit) => Err(self.deaf(&unfit)),
        };
        let served = opened.and_then(|()| self.serve(&mut outbox, &mut lane));
        if let Err(Deaf) = served {
            drop(outbox);
            self.fail_all(&mut lane);
        }
        drain(lane);
    }

    fn serve(&self, outbox: &mut Outbox, lane: &mut Option<Lane>) -> Result<(), Deaf> {
        let (no_place, no_job) = (never(), never());
        let mut place = None;
        loop {
            // A job is taken only when there is a place for it.
            let places = if place.is_none() { &self.slots.free } else { &no_place };
            let jobs = lane.as_ref().filter(|_| place.is_some()).map_or(&no_job, |lane| &lane.jobs);
            select! {
                recv(self.control) -> control => match control {
                    Ok(Control::Send(frame)) => self.send(outbox, &frame)?,
                    Ok(Control::Serve(next)) => drain(mem::replace(lane, next)),
                    Err(_) => return Ok(()),
                },
                recv(places) -> free => place = Some(free.map_err(|_| Deaf)?),
                recv(jobs) -> job => match (job, lane.as_ref(), place) {
                    (Ok(job), Some(lane), Some(free)) => place = self.dispatch(outbox, lane, (job, free))?,
                    (Ok(job), ..) => fail(job),
                    (Err(_), ..) => *lane = None,
                },
            }
        }
    }

    /// Sends a job, and with it those that wait and have a place too. Gives back a place that was not needed.
    fn dispatch(&self, outbox: &mut Outbox, lane: &Lane, first: (Job, u32)) -> Result<Option<u32>, Deaf> {
        let mut left = self.place(outbox, lane.generation, first);
        while outbox.has_room() {
            left = left.or_else(|| self.slots.free.try_recv().ok());
            let Some((place, job)) = left.and_then(|place| Some((place, lane.jobs.try_recv().ok()?))) else { break };
            left = self.place(outbox, lane.generation, (job, place));
        }
        self.flush(outbox)?;
        Ok(left)
    }

    /// Starts a job and readies its frame. Gives the place back when it was not needed.
    fn place(&self, outbox: &mut Outbox, generation: u64, (job, place): (Job, u32)) -> Option<u32> {
        if !job.ticket.start() {
            return Some(place);
        }
        let left = job.ticket.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            job.answer.give(Err(Fault::Expired));
            return Some(place);
        }
        let pending = Pending::new(job.answer, job.ticket, &self.front);
        let id = match self.slots.put(place, pending) {
            Ok(id) => id,
            Err(pending) => {
                // The reader has ended; the free places end next.
                pending.fail(&self.front, GONE);
                return None;
            }
        };
        let proof = job.proof.map(Arc::unwrap_or_clone);
        let frame = Do { id, generation, key: job.key.name.clone(), proof, work: job.work, left };
        if let Err(unfit) = outbox.add(&ToChild::Do(Box::new(frame))) {
            warn!(partition = %self.front.name, error = %unfit, "a job is too large for the partition's process");
            if let Some(pending) = self.slots.take(id) {
                pending.fail(&self.front, "the job is too large for the partition's process");
                return Some(place);
            }
        }
        None
    }

    fn send(&self, outbox: &mut Outbox, frame: &ToChild) -> Result<(), Deaf> {
        if let Err(unfit) = outbox.add(frame) {
            warn!(partition = %self.front.name, error = %unfit, "a frame for the partition's process is unfit");
        }
        self.flush(outbox)
    }

    fn flush(&self, outbox: &mut Outbox) -> Result<(), Deaf> {
        outbox.send(&mut &self.stream).map_err(|error| match error.kind() {
            // The reader says why.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Deaf,
            _ => self.deaf(&error),
        })
    }

    /// Jobs that were put into places stay there: the reader answers for them.
    fn deaf(&self, error: &dyn Error) -> Deaf {
        let what = What::Ended(format!("its process can't be written to: {error}"));
        let _ = self.events.send(Event { incarnation: self.incarnation, what });
        Deaf
    }

    /// The child is gone, and the supervisor may not know yet.
    fn fail_all(&self, lane: &mut Option<Lane>) {
        let no_job = never();
        loop {
            let jobs = lane.as_ref().map_or(&no_job, |lane| &lane.jobs);
            select! {
                recv(self.control) -> control => match control {
                    Ok(Control::Send(_)) => {}
                    Ok(Control::Serve(next)) => drain(mem::replace(lane, next)),
                    Err(_) => return,
                },
                recv(jobs) -> job => match job {
                    Ok(job) => fail(job),
                    Err(_) => *lane = None,
                },
            }
        }
    }
}

/// Fails what is left of a queue that no more jobs get into.
fn drain(lane: Option<Lane>) {
    lane.into_iter().flat_map(|lane| lane.jobs).for_each(fail);
}

fn fail(job: Job) {
    if job.ticket.start() {
        job.answer.give(Err(Fault::Token(GONE.to_owned())));
    }
}

const GONE: &str = "the partition's process ended";
