//! What every call of one simulator shares: settings, state, clock, faults.
//!
//! Always holds: the state's lock is never held across an await; what [`Shared::change`] changed is in the state file, if there is one,
//! before anybody is told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    clock::Clock,
    error::{AwsException, ErrorName},
    faults::Faults,
    persist,
    serve::SimError,
    settings::SimSettings,
    state::State,
    switches::WireHolds,
    xks::{ClientCa, Links, Rates},
};

/// What every call shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: SimSettings,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) links: Links,
    pub(crate) rates: Rates,
    pub(crate) healths: Healths,
    pub(crate) wire_holds: WireHolds,
    pub(crate) client_ca: ClientCa,
    client_certificate: AtomicBool,
    stopped: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    /// With the state of the last run, if there is a state file that has one.
    ///
    /// # Errors
    /// The state file is there and can't be read.
    pub(crate) fn open(settings: SimSettings) -> Result<Arc<Self>, SimError> {
        let mut state = settings.state_file.as_deref().map_or_else(|| Ok(State::default()), persist::read)?;
        let links = Links::new(settings.proxy_ca.as_deref())?;
        let client_ca = match &state.client_ca {
            Some(kept) => kept.clone(),
            None => {
                let drawn = state.client_ca.insert(ClientCa::draw().map_err(SimError::ClientCa)?).clone();
                if let Some(path) = &settings.state_file {
                    persist::write(path, &state).map_err(|cause| SimError::StateFile { path: path.clone(), cause })?;
                }
                drawn
            }
        };
        Ok(Arc::new(Self {
            links,
            client_ca,
            rates: Rates::of(settings.requests_per_second),
            healths: Healths::default(),
            wire_holds: WireHolds::default(),
            clock: Clock::ahead_by(state.ahead_ms),
            faults: Faults::default(),
            client_certificate: AtomicBool::new(settings.client_certificate),
            stopped: AtomicBool::new(false),
            state: Mutex::new(state),
            settings,
        }))
    }

    /// Reads the state.
    pub(crate) fn look<T>(&self, reader: impl FnOnce(&State) -> T) -> T {
        reader(&self.lock())
    }

    /// Changes the state: `change` makes all its checks before its first change, since what it changed stays when it fails.
    ///
    /// # Errors
    /// What `change` fails with, or `KMSInternalException` if the state file can't be written.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, AwsException>) -> Result<T, AwsException> {
        let mut state = self.lock();
        let done = change(&mut state)?;
        if let Some(path) = self.settings.state_file.as_ref().filter(|_| !self.stopped.load(Ordering::Relaxed)) {
            persist::write(path, &state).map_err(|error| {
                tracing::error!(%error, "the state file can't be written");
                AwsException::new(ErrorName::KmsInternal, "The simulator's state file can't be written.")
            })?;
        }
        Ok(done)
    }

    /// Leaves the state file to the next simulator; what still runs of this one changes it no more.
    pub(crate) fn stop(&self) {
        let _last_writer = self.lock();
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        let ahead_ms = self.clock.advance(by);
        let kept = self.change(|state| {
            state.ahead_ms = ahead_ms;
            Ok(())
        });
        if let Err(error) = kept {
            tracing::error!(%error, "the clock's setting was not kept");
        }
    }

    /// Whether a client certificate is shown to proxies.
    pub(crate) fn show_certificate(&self, on: bool) {
        self.client_certificate.store(on, Ordering::Relaxed);
    }

    /// Whether it is.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.client_certificate.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the last health check of each store's proxy ended.
#[derive(Debug, Default)]
pub(crate) struct Healths {
    last: Mutex<BTreeMap<String, Option<String>>>,
}

impl Healths {
    /// Notes a check: `None` for well, else what was wrong.
    pub(crate) fn note(&self, store_id: &str, wrong: Option<String>) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(store_id.to_owned(), wrong);
    }

    /// All that were checked, by id.
    pub(crate) fn all(&self) -> BTreeMap<String, Option<String>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
