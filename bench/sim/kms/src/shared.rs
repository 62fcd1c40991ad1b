//! What every call of one simulator shares: settings, state, clock, faults.
//!
//! Always holds: the state's lock is never held across an await; what [`Shared::change`] changed is in the state file, if there is one,
//! before anybody is told.

use std::{
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
};

/// What every call shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: SimSettings,
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    client_certificate: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    /// With the state of the last run, if there is a state file that has one.
    ///
    /// # Errors
    /// The state file is there and can't be read.
    pub(crate) fn open(settings: SimSettings) -> Result<Arc<Self>, SimError> {
        let state = settings.state_file.as_deref().map_or_else(|| Ok(State::default()), persist::read)?;
        Ok(Arc::new(Self {
            clock: Clock::ahead_by(state.ahead_ms),
            faults: Faults::default(),
            client_certificate: AtomicBool::new(settings.client_certificate),
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
        if let Some(path) = &self.settings.state_file {
            persist::write(path, &state).map_err(|error| {
                tracing::error!(%error, "the state file can't be written");
                AwsException::new(ErrorName::KmsInternal, "The simulator's state file can't be written.")
            })?;
        }
        Ok(done)
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
