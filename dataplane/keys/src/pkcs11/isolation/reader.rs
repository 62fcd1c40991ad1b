//! The one thread that reads from a child.
//!
//! Holds: outcomes go straight to whoever waits, everything else to the supervisor in the order in which it came; when the child says no
//! more, every job that it had is answered at once.

use std::{os::unix::net::UnixStream, sync::Arc, time::Instant};

use crossbeam_channel::Sender;

use super::{
    frame::{Inbox, ToParent},
    slots::Places,
    supervisor::{Event, What},
};
use crate::pkcs11::front::Front;

/// See above.
pub(super) struct Reader {
    pub(super) incarnation: u64,
    pub(super) front: Arc<Front>,
    pub(super) places: Places,
    /// Its read timeout is how long a child may be silent.
    pub(super) stream: UnixStream,
    pub(super) events: Sender<Event>,
}

impl Reader {
    /// Until the child ends, says nothing, or says what can't be.
    pub(super) fn run(mut self) {
        let mut inbox = Inbox::new();
        let broken = loop {
            match inbox.next(&mut &self.stream) {
                Ok(ToParent::Outcome(id, outcome)) => {
                    if let Some(pending) = self.places.take(id) {
                        pending.settle(&self.front, outcome);
                    }
                }
                Ok(said) => self.hear(said),
                Err(broken) => break broken,
            }
        };
        let why = format!("its process ended: {broken}");
        for pending in self.places.close() {
            pending.fail(&self.front, &why);
        }
        // The supervisor may be gone: then nobody has to know.
        let _ = self.events.send(Event { incarnation: self.incarnation, what: What::Ended(why) });
    }

    fn hear(&mut self, said: ToParent) {
        if let ToParent::Report(report) | ToParent::Opened(Ok(report)) = &said {
            self.places.grant(report.sessions);
            // Whatever hung was given up on before it came up.
            if report.condition.is_up() {
                for pending in self.places.reclaim(Instant::now()) {
                    pending.fail(&self.front, "the call did not come back");
                }
            }
        }
        let _ = self.events.send(Event { incarnation: self.incarnation, what: What::Said(said) });
    }
}
