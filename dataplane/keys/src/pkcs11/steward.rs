//! The thread that holds a partition's anchor session: it connects, runs canaries and does key tasks, one errand at a time.
//!
//! Always holds: as long as the anchor is open and logged in, so are all sessions of the process (PKCS#11 v2.40 section 5.6, C_Login). A
//! steward that was given up makes no call any more and ends when its call comes back; the supervisor does not listen to it.

use std::{path::Path, sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Sender};
use cryptoki_sys::CKR_TOKEN_WRITE_PROTECTED;

use super::{
    fault::{CallError, Class},
    gate::Gate,
    objects::{FindError, GenerateError},
    preflight::{self, Connected},
    probe::Canary,
    session::Session,
    settings::PartitionSettings,
    start::{Pkcs11Fault, Problem},
    status::{TokenFacts, TokenTask, TokenTaskDone},
    token::Token,
    worker::Report,
};

/// A steward's thread.
pub(crate) struct Steward {
    pub(crate) number: u64,
    pub(crate) gate: Arc<Gate>,
    pub(crate) errands: Receiver<Errand>,
    pub(crate) reports: Sender<Report>,
}

/// What a steward is sent for.
pub(crate) enum Errand {
    Canary,
    Task(TokenTask),
}

/// What it comes back with.
pub(crate) enum News {
    /// It is connected, and a canary passed.
    Opened(Opened),
    /// It could not connect. It has ended.
    NotOpened(Vec<Pkcs11Fault>),
    /// How long the slower call of a canary took.
    Canary(Result<Duration, CallError>),
    Task(Result<TokenTaskDone, TaskFault>),
}

/// A connection.
pub(crate) struct Opened {
    pub(crate) token: Arc<Token>,
    pub(crate) facts: TokenFacts,
    pub(crate) canary: Arc<Canary>,
    /// The token computes on the thread that calls it.
    pub(crate) computes_here: bool,
}

/// Why a key task was not done.
pub(crate) enum TaskFault {
    /// The token failed.
    Call(CallError),
    /// It can't be done.
    Refused(String),
}

impl Steward {
    /// Connects, then serves until its errands end.
    pub(crate) fn open(self, settings: &PartitionSettings, state_dir: &Path) {
        // Dropped last, after the anchor was.
        let _end = End(&self.gate);
        let faults = match self.connect(settings, state_dir) {
            Ok((anchor, canary, opened)) => {
                self.tell(News::Opened(opened));
                return self.serve(&anchor, &canary);
            }
            Err(faults) => faults,
        };
        // Who hears of the failure may open again: nothing of this try may be left.
        self.gate.retire();
        self.tell(News::NotOpened(faults));
    }

    /// Takes the place of a steward that was given up, in the same generation.
    pub(crate) fn attach(self, token: &Token, canary: &Canary) {
        let _end = End(&self.gate);
        let anchor = match open_anchor(token, &self.gate) {
            Ok(anchor) => anchor,
            Err(error) => return self.tell(News::Canary(Err(error))),
        };
        self.tell(News::Canary(canary.run(&anchor)));
        self.serve(&anchor, canary);
    }

    fn connect(&self, settings: &PartitionSettings, state_dir: &Path) -> Result<(Session, Arc<Canary>, Opened), Vec<Pkcs11Fault>> {
        let Connected { token, anchor, facts, .. } = preflight::connect(settings, state_dir, Arc::clone(&self.gate))?;
        let health = preflight::check_health_key(settings, &anchor).map_err(|fault| vec![fault])?;
        let unreachable = |error: CallError| vec![Pkcs11Fault::new(&settings.name, Problem::Unreachable { why: error.to_string() })];
        let canary = Arc::new(Canary::plant(&anchor, health.handle.handle()).map_err(unreachable)?);
        let computes_here = canary.computes_here(&anchor).map_err(unreachable)?;
        let opened = Opened { token: Arc::new(token), facts, canary: Arc::clone(&canary), computes_here };
        Ok((anchor, canary, opened))
    }

    fn serve(&self, anchor: &Session, canary: &Canary) {
        for errand in &self.errands {
            let news = match errand {
                Errand::Canary => News::Canary(canary.run(anchor)),
                Errand::Task(task) => News::Task(perform(anchor, &task)),
            };
            if self.gate.look().is_over() {
                return;
            }
            self.tell(news);
        }
    }

    /// A supervisor that is gone needs to know nothing.
    fn tell(&self, news: News) {
        let _ = self.reports.send(Report::Steward(self.number, news));
    }
}

impl TaskFault {
    /// Keys can't be listed or made since the connection is gone.
    pub(crate) const fn is_lost(&self) -> bool {
        match self {
            Self::Call(error) => match error.class {
                Class::Session | Class::Login | Class::Token => true,
                Class::Input | Class::Usage | Class::Key | Class::Unsure => false,
            },
            Self::Refused(_) => false,
        }
    }
}

fn perform(anchor: &Session, task: &TokenTask) -> Result<TokenTaskDone, TaskFault> {
    match task {
        TokenTask::List => anchor.list().map(TokenTaskDone::Keys).map_err(TaskFault::Call),
        TokenTask::Inspect(name) => anchor.attributes(name).map(TokenTaskDone::Key).map_err(|error| match error {
            FindError::Call(error) => TaskFault::Call(error),
            FindError::None | FindError::Many | FindError::NotAes256(_) => TaskFault::Refused(format!("{name}: {error}")),
        }),
        TokenTask::Generate(new) => anchor.generate(new).map(TokenTaskDone::Key).map_err(|error| match error {
            GenerateError::Call(error) => TaskFault::Call(error),
            GenerateError::Refused(why) => TaskFault::Refused(why),
        }),
    }
}

/// For writing, where the token allows it: key tasks make keys.
fn open_anchor(token: &Token, gate: &Arc<Gate>) -> Result<Session, CallError> {
    match token.open(true, Arc::clone(gate)) {
        Err(error) if error.rv == CKR_TOKEN_WRITE_PROTECTED => token.open(false, Arc::clone(gate)),
        opened => opened,
    }
}

struct End<'a>(&'a Gate);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.retire();
    }
}
