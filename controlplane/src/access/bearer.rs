//! Whose a token is: a sign-in's (JWT) or a tool's.
//!
//! Always holds: what the caller may do is looked up at each call, so that a change of roles, a disabling or a deletion counts at once; a
//! tool may do what both its token and its owner may.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use tracing::warn;
use uuid::Uuid;

use super::{
    Access, Caller, Who, covers,
    opaque::{Kind, Opaque},
    token::{BadToken, verify},
};
use crate::{
    clock::milliseconds,
    store::{
        ReadError, View,
        entry::{ApiTokenEntry, Entry, TokenUsedEntry},
    },
};

/// Why nobody knows whose a token is.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// It is nobody's.
    #[error(transparent)]
    Bad(#[from] BadToken),
    /// The store can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// When each tool's token was last noted to be used, milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<HashMap<Uuid, u64>>);

impl Access {
    /// Whose token this is.
    ///
    /// # Errors
    /// [`CallerError`].
    pub async fn caller(&self, token: &str) -> Result<Caller, CallerError> {
        match Kind::Api.read(token) {
            Some(opaque) => self.tool(opaque, SystemTime::now()).await,
            None => self.user(token, SystemTime::now()).await,
        }
    }

    async fn user(&self, jwt: &str, now: SystemTime) -> Result<Caller, CallerError> {
        let bearer = verify(&self.keys.all(), jwt, now)?;
        let user = View::of(self.writer.store()).await?.user(&bearer.name)?;
        let same = user.filter(|user| user.id == bearer.id && user.generation == bearer.generation && !user.disabled);
        let user = same.ok_or(BadToken)?;
        Ok(Caller::new(Who::User(user.name), user.id, user.roles))
    }

    async fn tool(&self, opaque: Opaque, now: SystemTime) -> Result<Caller, CallerError> {
        let now_ms = milliseconds(now);
        let view = View::of(self.writer.store()).await?;
        let lives = |token: &ApiTokenEntry| opaque.is(&token.hash) && token.expires_ms.is_none_or(|end| now_ms < end);
        let token = view.api_token(opaque.id)?.filter(lives).ok_or(BadToken)?;
        let owner = view.user(&token.owner)?.filter(|owner| !owner.disabled).ok_or(BadToken)?;
        drop(view);
        self.note_use(token.id, now_ms);
        let roles = token.roles.into_iter().filter(|role| covers(&owner.roles, *role)).collect();
        Ok(Caller::new(Who::Tool { owner: owner.name, token: token.name }, owner.id, roles))
    }

    /// Notes when a token was last used, once a minute at most.
    fn note_use(&self, token: Uuid, used_ms: u64) {
        {
            let mut used = self.used.0.lock().unwrap_or_else(PoisonError::into_inner);
            let noted = used.entry(token).or_default();
            if *noted != 0 && used_ms.saturating_sub(*noted) < NOTE_AGAIN_MS {
                return;
            }
            *noted = used_ms;
        }
        if let Err(error) = self.writer.store().note(vec![Entry::TokenUsed(TokenUsedEntry { token, used_ms })]) {
            warn!(error = &error as &dyn std::error::Error, "the use of a tool's token was not noted");
        }
    }
}

const NOTE_AGAIN_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::{
            Administer, Manage, Own, Permit, Read, Use,
            fixtures::{access, admin, put},
        },
        store::entry::{Role, Stamps, UserEntry},
    };

    fn api_token(roles: &[Role], expires_ms: Option<u64>) -> (ApiTokenEntry, String) {
        let id = Uuid::from_u128(77);
        let drawn = Kind::Api.draw(id).unwrap();
        let (owner, stamps) = (admin().name, Stamps::default());
        let entry = ApiTokenEntry { id, name: "ci".into(), owner, roles: roles.into(), hash: drawn.hash, expires_ms, stamps };
        (entry, drawn.text.expose().to_owned())
    }

    async fn jwt(access: &Access) -> String {
        access.sign_in(&admin(), SystemTime::now()).await.unwrap().token.jwt
    }

    #[tokio::test]
    async fn a_change_of_roles_counts_at_the_next_call() {
        let access = access().await;
        let jwt = jwt(&access).await;
        assert!(access.caller(&jwt).await.unwrap().permit::<Administer>().is_ok());
        put(&access, vec![Entry::User(UserEntry { roles: vec![Role::Auditor], ..admin() })]).await;
        let caller = access.caller(&jwt).await.unwrap();
        assert!(caller.permit::<Read>().is_ok() && caller.permit::<Use>().is_err());
    }

    #[tokio::test]
    async fn a_tool_may_what_both_its_token_and_its_owner_may() {
        let access = access().await;
        let (entry, text) = api_token(&[Role::KeyAdmin], None);
        put(&access, vec![Entry::ApiToken(entry)]).await;
        let caller = access.caller(&text).await.unwrap();
        assert_eq!(caller.who().to_string(), "admin (token ci)");
        let manage: Result<Permit<Manage>, _> = caller.permit();
        assert!(manage.is_ok() && caller.permit::<Administer>().is_err() && caller.permit::<Own>().is_err());
        put(&access, vec![Entry::User(UserEntry { roles: vec![Role::KeyUser], ..admin() })]).await;
        assert!(access.caller(&text).await.unwrap().permit::<Read>().is_err(), "a role that its owner lost counts for nothing");
        put(&access, vec![Entry::User(UserEntry { disabled: true, ..admin() })]).await;
        assert!(access.caller(&text).await.is_err());
    }

    #[tokio::test]
    async fn an_expired_or_foreign_tool_s_token_is_refused() {
        let access = access().await;
        let now = SystemTime::now();
        let (entry, text) = api_token(&[Role::Auditor], Some(milliseconds(now) + 1_000));
        put(&access, vec![Entry::ApiToken(entry)]).await;
        let opaque = Kind::Api.read(&text).unwrap();
        assert!(access.tool(opaque, now).await.is_ok());
        assert!(access.tool(opaque, now + std::time::Duration::from_secs(1)).await.is_err());
        let (_, other) = api_token(&[Role::Auditor], None);
        assert!(access.caller(&other).await.is_err());
        let nobody_s = Kind::Api.draw(Uuid::from_u128(78)).unwrap().text;
        assert!(access.caller(nobody_s.expose()).await.is_err());
    }

    #[tokio::test]
    async fn the_last_use_of_a_token_is_noted_once_a_minute_and_moves_no_revision() {
        let access = access().await;
        let (entry, text) = api_token(&[Role::Auditor], None);
        put(&access, vec![Entry::ApiToken(entry)]).await;
        let (opaque, now) = (Kind::Api.read(&text).unwrap(), SystemTime::now());
        let revision = access.writer.store().head().revision();
        let used = async || View::of(access.writer.store()).await.unwrap().token_used(opaque.id).unwrap().map(|used| used.used_ms);
        assert_eq!(used().await, None);
        for (later, noted) in [(0, 0), (59, 0), (60, 60)] {
            access.tool(opaque, now + std::time::Duration::from_secs(later)).await.unwrap();
            assert_eq!(used().await, Some(milliseconds(now) + noted * 1_000), "{later}");
        }
        assert_eq!(access.writer.store().head().revision(), revision);
    }
}
