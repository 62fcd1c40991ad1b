//! Logging in. An unknown user costs what a known one costs, and is told the same.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use holdfast_proto::secret::Secret;
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::spawn_blocking,
};

use super::{
    Caller,
    lockout::Lockouts,
    password::{HashFailed, Hashed, generate},
    token::{BadToken, Token, TokenError, Tokens},
};
use crate::{
    names::UserName,
    store::{ReadError, Store, View},
};

/// Logs users in and knows them by their tokens.
pub struct Access {
    store: Arc<dyn Store>,
    tokens: Tokens,
    lockouts: Mutex<Lockouts>,
    /// Verified for users that don't exist, so that they take as long.
    nobody: Hashed,
    /// Argon2 takes 19 MiB at a time.
    hashing: Semaphore,
    /// One permit for whoever hashes or waits for a turn, so that those who wait are not without number.
    queue: Semaphore,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No such user, or another password.
    #[error("the user name or password is wrong")]
    Wrong,
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
    /// No token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The control plane is stopping.
    #[error("stopping")]
    Stopping,
}

/// Access can't be offered.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No hash.
    #[error(transparent)]
    Hash(#[from] HashFailed),
}

impl Access {
    /// Access to the users in `store`.
    ///
    /// # Errors
    /// [`AccessError`] without randomness.
    pub fn new(store: Arc<dyn Store>) -> Result<Self, AccessError> {
        Ok(Self {
            store,
            tokens: Tokens::new(SystemTime::now())?,
            lockouts: Mutex::default(),
            nobody: Hashed::new(&generate()?)?,
            hashing: Semaphore::new(HASHES_AT_ONCE),
            queue: Semaphore::new(HASHES_AT_ONCE + MOST_WAITING),
        })
    }

    /// Checks a password and makes a token.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn login(&self, name: &str, password: Secret) -> Result<Token, LoginError> {
        let _place = self.queue.try_acquire().map_err(|refused| match refused {
            TryAcquireError::NoPermits => LoginError::Crowded,
            TryAcquireError::Closed => LoginError::Stopping,
        })?;
        let _turn = self.hashing.acquire().await.map_err(|_| LoginError::Stopping)?;
        if let Some(left) = self.lockouts().locked(name, Instant::now()) {
            return Err(LoginError::Locked { seconds: left.as_secs() + 1 });
        }
        let user = match UserName::try_from(name) {
            Ok(name) => View::of(&self.store).await?.user(&name)?,
            Err(_) => None,
        };
        let hashed = user.as_ref().map_or_else(|| self.nobody.clone(), |user| Hashed::stored(user.password_hash.clone()));
        let fits = spawn_blocking(move || hashed.verify(&password)).await.map_err(|_| LoginError::Stopping)?;
        match user.filter(|_| fits) {
            Some(user) => {
                self.lockouts().succeeded(name);
                Ok(self.tokens.issue(&user, SystemTime::now())?)
            }
            None => {
                self.lockouts().failed(name, Instant::now());
                Err(LoginError::Wrong)
            }
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn caller(&self, jwt: &str) -> Result<Caller, BadToken> {
        self.tokens.verify(jwt, SystemTime::now())
    }

    fn lockouts(&self) -> std::sync::MutexGuard<'_, Lockouts> {
        self.lockouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const HASHES_AT_ONCE: usize = 2;
/// About two seconds' worth.
const MOST_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::Pin, task::Poll};

    use uuid::Uuid;

    use super::*;
    use crate::store::{
        entry::{Entry, EntryChange, Role, Stamps, UserEntry},
        memory::MemoryStore,
    };

    async fn access() -> Access {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let user = UserEntry {
            id: Uuid::from_u128(1),
            name: UserName::try_from("admin").unwrap(),
            password_hash: Hashed::new(&Secret::new("right".into())).unwrap().as_str().into(),
            roles: vec![Role::Admin],
            stamps: Stamps::default(),
        };
        store.commit(store.head().revision(), vec![EntryChange::Put(Entry::User(user))]).await.unwrap();
        Access::new(store).unwrap()
    }

    async fn login(access: &Access, name: &str, password: &str) -> Result<Token, LoginError> {
        access.login(name, Secret::new(password.into())).await
    }

    #[tokio::test]
    async fn a_right_password_gives_a_token_of_that_user() {
        let access = access().await;
        let token = login(&access, "admin", "right").await.unwrap();
        assert_eq!(access.caller(&token.jwt).unwrap().name().as_str(), "admin");
        assert_eq!(token.life.as_secs(), 300);
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
        assert!(matches!(login(&access, "admin", "right").await, Err(LoginError::Locked { .. })));
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
        assert!(login(&access, "admin", "right").await.is_ok());
    }

    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
    }
}
