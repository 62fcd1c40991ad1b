//! Signing in with a password. An unknown user costs what a known one costs, and is told the same; so is one who was disabled.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use holdfast_proto::secret::Secret;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, TryAcquireError},
    task::spawn_blocking,
};
use uuid::Uuid;

use super::{
    bearer::Used,
    keys::{KeyError, Keys},
    lockout::{Lockouts, Try},
    opaque::NoRandomness,
    password::{HashFailed, Hashed, generate},
    sign_ins::SignedIn,
    token::BadToken,
};
use crate::{
    core::Writer,
    names::UserName,
    store::{ReadError, View, entry::UserEntry, seal::ControlSeal},
};

/// Signs users in and knows them, and their tools, by their tokens.
pub struct Access {
    pub(super) writer: Arc<Writer>,
    pub(super) keys: Keys,
    /// How long a sign-in can be renewed.
    pub(super) renew_for: Duration,
    /// Who changes a user's sign-ins takes turns.
    pub(super) renewals: AsyncMutex<()>,
    pub(super) used: Used,
    lockouts: Mutex<Lockouts>,
    /// Verified for users that don't exist, so that they take as long.
    nobody: Hashed,
    /// Argon2 takes 19 MiB at a time.
    hashing: Semaphore,
    /// One permit for whoever hashes or waits for a turn, so that those who wait are not without number.
    queue: Semaphore,
}

/// What access is made of.
pub struct AccessSettings {
    /// Of the store with the users.
    pub writer: Arc<Writer>,
    /// Protects the keys that sign tokens.
    pub seal: ControlSeal,
    /// How long a sign-in can be renewed without the password.
    pub renew_for: Duration,
}

/// Proof that a user's password was given just now.
#[derive(Clone, Debug)]
pub struct PasswordChecked {
    user: Uuid,
    generation: u64,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, or another password.
    #[error("the user name or password is wrong")]
    Wrong,
    /// What was to renew a sign-in renews none.
    #[error(transparent)]
    Bad(#[from] BadToken),
    /// Too many tries failed.
    #[error("too many failed logins: try again in {seconds} s")]
    Locked {
        /// Until the next try.
        seconds: u64,
    },
    /// Too many are being checked or wait for it.
    #[error("too many sign-ins at once: try again later")]
    Crowded,
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no key to sign a token with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No signature.
    #[error("signing a token failed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// No refresh token could be drawn.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The control plane is stopping.
    #[error("stopping")]
    Stopping,
}

/// Access can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashFailed),
}

impl Access {
    /// Access to the users in a store.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn open(settings: AccessSettings) -> Result<Self, AccessError> {
        let AccessSettings { writer, seal, renew_for } = settings;
        Ok(Self {
            keys: Keys::load(Arc::clone(&writer), seal).await?,
            writer,
            renew_for,
            renewals: AsyncMutex::default(),
            used: Used::default(),
            lockouts: Mutex::default(),
            nobody: Hashed::new(&generate()?)?,
            hashing: Semaphore::new(HASHES_AT_ONCE),
            queue: Semaphore::new(HASHES_AT_ONCE + MOST_WAITING),
        })
    }

    /// Checks a password and signs its user in.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(&self, attempt: Try<'_>, password: Secret) -> Result<SignedIn, LoginError> {
        let user = self.check(attempt, password).await?;
        self.sign_in(&user, SystemTime::now()).await
    }

    /// Checks the password of a user who is signed in, as for a login: whoever got hold of a token must not guess it.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn check_password(&self, attempt: Try<'_>, password: Secret) -> Result<PasswordChecked, LoginError> {
        let user = self.check(attempt, password).await?;
        Ok(PasswordChecked { user: user.id, generation: user.generation })
    }

    async fn check(&self, attempt: Try<'_>, password: Secret) -> Result<UserEntry, LoginError> {
        let _place = self.queue.try_acquire().map_err(|refused| match refused {
            TryAcquireError::NoPermits => LoginError::Crowded,
            TryAcquireError::Closed => LoginError::Stopping,
        })?;
        let _turn = self.hashing.acquire().await.map_err(|_| LoginError::Stopping)?;
        if let Some(left) = self.lockouts().locked(attempt, Instant::now()) {
            return Err(LoginError::Locked { seconds: left.as_secs() + 1 });
        }
        let user = match UserName::try_from(attempt.name) {
            Ok(name) => View::of(self.writer.store()).await?.user(&name)?,
            Err(_) => None,
        };
        let hashed = user.as_ref().map_or_else(|| self.nobody.clone(), |user| Hashed::stored(user.password_hash.clone()));
        let fits = spawn_blocking(move || hashed.verify(&password)).await.map_err(|_| LoginError::Stopping)?;
        match user.filter(|user| fits && !user.disabled) {
            Some(user) => {
                self.lockouts().succeeded(attempt, Instant::now());
                Ok(user)
            }
            None => {
                self.lockouts().failed(attempt, Instant::now());
                Err(LoginError::Wrong)
            }
        }
    }

    fn lockouts(&self) -> MutexGuard<'_, Lockouts> {
        self.lockouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PasswordChecked {
    /// Whether it was this user's, and still is.
    pub(crate) fn is_of(&self, user: &UserEntry) -> bool {
        (self.user, self.generation) == (user.id, user.generation)
    }
}

const HASHES_AT_ONCE: usize = 2;
/// About two seconds' worth.
const MOST_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use super::*;
    use crate::access::fixtures::{access, place};

    async fn login(access: &Access, name: &str, password: &str) -> Result<SignedIn, LoginError> {
        access.login(place(name), Secret::new(password.into())).await
    }

    #[tokio::test]
    async fn a_right_password_gives_a_token_of_that_user() {
        let access = access().await;
        let signed_in = login(&access, "admin", "right password").await.unwrap();
        assert_eq!(access.caller(&signed_in.token.jwt).await.unwrap().who().to_string(), "admin");
        assert_eq!(signed_in.token.life.as_secs(), 300);
    }

    #[tokio::test]
    async fn unknown_users_and_wrong_passwords_are_told_the_same_and_locked_out_alike() {
        let access = access().await;
        for name in ["admin", "nobody", "no body!"] {
            for _ in 0..5 {
                assert!(matches!(login(&access, name, "wrong").await, Err(LoginError::Wrong)));
            }
            assert!(matches!(login(&access, name, "wrong").await, Err(LoginError::Locked { .. })));
        }
        assert!(matches!(login(&access, "admin", "right password").await, Err(LoginError::Locked { .. })));
    }

    #[tokio::test]
    async fn beyond_the_queue_sign_ins_are_refused_until_there_is_room_again() {
        let access = access().await;
        let all: Vec<_> = (0..HASHES_AT_ONCE + MOST_WAITING + 3).map(|n| format!("nobody-{n}")).collect();
        let mut answers: Vec<_> = all.iter().map(|name| Box::pin(login(&access, name, "wrong"))).collect();
        // All turns are taken, so that whoever is let in waits.
        let turns = access.hashing.acquire_many(u32::try_from(HASHES_AT_ONCE).unwrap()).await.unwrap();
        let mut refused = 0;
        for answer in &mut answers {
            match poll_once(answer.as_mut()).await {
                Poll::Pending => assert_eq!(refused, 0, "who came first waits"),
                Poll::Ready(answer) => {
                    assert!(matches!(answer, Err(LoginError::Crowded)));
                    refused += 1;
                }
            }
        }
        assert_eq!(refused, 3);
        // Those who go away make room.
        drop(answers);
        drop(turns);
        assert!(login(&access, "admin", "right password").await.is_ok());
    }

    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}
