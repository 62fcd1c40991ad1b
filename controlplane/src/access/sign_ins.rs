//! Renewing a sign-in without the password: refresh tokens (RFC 6749 §1.5), which live for days and are kept hashed.
//!
//! Always holds: a user has a bounded number of them, the oldest goes first; none outlives the user, its password or its disabling, since
//! each carries the user's generation. They are notes beside the configuration: a crash may lose the last of them, and their owner signs in
//! anew.

use std::time::{Duration, SystemTime};

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{
    Access, LoginError,
    opaque::Kind,
    token::{BadToken, Token, issue},
};
use crate::{
    clock::milliseconds,
    names::UserName,
    store::{
        View,
        entry::{Entry, SignIn, SignInsEntry, UserEntry},
    },
};

/// What a sign-in gives.
#[derive(Clone)]
pub struct SignedIn {
    /// For calls.
    pub token: Token,
    /// Names what renews it.
    pub refresh_id: Uuid,
    /// Renews it. Shown to whoever signed in.
    pub refresh: Secret,
    /// For how long it does.
    pub refresh_life: Duration,
}

/// Proof that a refresh token was good just now, and of what.
#[derive(Clone, Debug)]
pub struct Renewable {
    user: UserEntry,
    sign_in: SignIn,
}

impl Access {
    /// A new sign-in of a user who was made sure of.
    pub(super) async fn sign_in(&self, user: &UserEntry, now: SystemTime) -> Result<SignedIn, LoginError> {
        let token = issue(&*self.keys.current(now).await?, user, now)?;
        let (id, drawn) = (Uuid::new_v4(), Kind::Refresh.draw(user.id)?);
        let renew_for_ms = u64::try_from(self.renew_for.as_millis()).unwrap_or(u64::MAX);
        let expires_ms = milliseconds(now).saturating_add(renew_for_ms);
        let made = SignIn { id, hash: drawn.hash, generation: user.generation, expires_ms };
        let _turn = self.renewals.lock().await;
        let mut sign_ins = self.live(user, now).await?;
        sign_ins.push(made);
        let surplus = sign_ins.len().saturating_sub(MOST);
        sign_ins.drain(..surplus);
        self.writer.store().note(vec![Entry::SignIns(SignInsEntry { user: user.id, sign_ins })])?;
        Ok(SignedIn { token, refresh_id: id, refresh: drawn.text, refresh_life: self.renew_for })
    }

    /// What `refresh` renews.
    ///
    /// # Errors
    /// [`LoginError::Bad`].
    pub async fn renewable(&self, refresh: &Secret) -> Result<Renewable, LoginError> {
        self.renewable_at(refresh, SystemTime::now()).await
    }

    /// A new token for whoever has `refresh`, which goes on renewing until its end.
    ///
    /// # Errors
    /// Those of making a token.
    pub async fn refresh(&self, renewable: Renewable, refresh: Secret) -> Result<SignedIn, LoginError> {
        let Renewable { user, sign_in } = renewable;
        let now = SystemTime::now();
        let token = issue(&*self.keys.current(now).await?, &user, now)?;
        let refresh_life = Duration::from_millis(sign_in.expires_ms.saturating_sub(milliseconds(now)));
        Ok(SignedIn { token, refresh_id: sign_in.id, refresh, refresh_life })
    }

    /// Ends a sign-in: it is renewed no more. Tokens that are out die by themselves, within minutes.
    ///
    /// # Errors
    /// [`LoginError::Read`].
    pub async fn sign_out(&self, renewable: &Renewable) -> Result<(), LoginError> {
        let Renewable { user, sign_in } = renewable;
        let _turn = self.renewals.lock().await;
        let mut sign_ins = self.live(user, SystemTime::now()).await?;
        sign_ins.retain(|other| other.id != sign_in.id);
        Ok(self.writer.store().note(vec![Entry::SignIns(SignInsEntry { user: user.id, sign_ins })])?)
    }

    async fn renewable_at(&self, refresh: &Secret, now: SystemTime) -> Result<Renewable, LoginError> {
        let opaque = Kind::Refresh.read(refresh.expose()).ok_or(BadToken)?;
        let users = View::of(self.writer.store()).await?.users()?;
        let user = users.into_iter().find(|user| user.id == opaque.id && !user.disabled).ok_or(BadToken)?;
        let mut sign_ins = self.live(&user, now).await?.into_iter();
        let sign_in = sign_ins.find(|sign_in| opaque.is(&sign_in.hash)).ok_or(BadToken)?;
        Ok(Renewable { user, sign_in })
    }

    /// The sign-ins of a user that still can be renewed.
    async fn live(&self, user: &UserEntry, now: SystemTime) -> Result<Vec<SignIn>, LoginError> {
        let kept = View::of(self.writer.store()).await?.sign_ins(user.id)?.map(|entry| entry.sign_ins).unwrap_or_default();
        let now_ms = milliseconds(now);
        Ok(kept.into_iter().filter(|sign_in| sign_in.generation == user.generation && now_ms < sign_in.expires_ms).collect())
    }
}

impl Renewable {
    /// Whose sign-in it is.
    #[must_use]
    pub const fn user(&self) -> &UserName {
        &self.user.name
    }
}

/// Sign-ins of one user that can be renewed.
const MOST: usize = 20;

#[cfg(test)]
mod tests;
