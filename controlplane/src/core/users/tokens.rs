//! Tokens for tools: made by a user who signed in, shown once, kept hashed. A tool acts for its owner, with the token's roles as far as the
//! owner still has them.
//!
//! Always holds: when a token is made its owner may do all that the token may; tokens go with their owner.

use std::time::Duration;

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{found, some_roles};
use crate::{
    access::{
        Administer, Caller, Own, Permit, Read, covers,
        opaque::{Drawn, Kind},
    },
    clock::now_ns,
    core::{Core, CoreError, write::Plan},
    names::UserName,
    store::{
        ReadError, View,
        entry::{ApiTokenEntry, Entry, EntryChange, EntryName, Role, Stamps},
    },
};

/// A token that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApiToken {
    /// What its owner calls it: unique among the owner's, 1–64 characters.
    pub name: String,
    /// What it may do; empty: all that its owner may.
    pub roles: Vec<Role>,
    /// How long it lives; none: for ever.
    pub life: Option<Duration>,
}

/// A new token.
#[derive(Clone, Debug)]
pub struct CreatedApiToken {
    /// The token.
    pub token: ApiTokenEntry,
    /// Its text, shown this once.
    pub text: Secret,
}

/// A token with what is noted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownApiToken {
    /// The token.
    pub token: ApiTokenEntry,
    /// When it was last used, to the minute, milliseconds since 1970.
    pub used_ms: Option<u64>,
}

impl Core {
    /// Makes a token for a tool of whoever signed in.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for a name, or a role that its owner's roles don't cover; [`CoreError::Exists`];
    /// [`CoreError::State`] where its owner has too many.
    pub async fn create_api_token(&self, permit: &Permit<Own>, new: NewApiToken) -> Result<CreatedApiToken, CoreError> {
        let owner = permit.user().ok_or(CoreError::NotFound("user"))?;
        let (id, stamps) = (Uuid::new_v4(), Stamps::new(now_ns()));
        if new.name.is_empty() || new.name.chars().count() > LONGEST_NAME || new.name.chars().any(char::is_control) {
            return Err(CoreError::Invalid { field: "name", detail: format!("must have 1 to {LONGEST_NAME} printable characters") });
        }
        let life_ms = new.life.map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
        let expires_ms = life_ms.map(|life| (stamps.created_ns / 1_000_000).saturating_add(life));
        let Drawn { text, hash } = Kind::Api.draw(id).map_err(|_| CoreError::Random)?;
        let plan = |view: &View| {
            let user = found(view, owner)?;
            let roles = if new.roles.is_empty() { user.roles.clone() } else { some_roles(new.roles.clone())? };
            if let Some(more) = roles.iter().find(|role| !covers(&user.roles, **role)) {
                let detail = format!("you can't give a tool the role {more}, which may do more than you");
                return Err(CoreError::Invalid { field: "roles", detail });
            }
            let others = of(view, owner)?;
            if others.iter().any(|other| other.name == new.name) {
                return Err(CoreError::Exists { what: "API token", name: new.name.clone() });
            }
            if others.len() >= MOST {
                return Err(CoreError::State(format!("you have {MOST} API tokens; revoke one first")));
            }
            let token = ApiTokenEntry { id, name: new.name.clone(), owner: owner.clone(), roles, hash, expires_ms, stamps };
            Ok(Plan { changes: vec![EntryChange::put(Entry::ApiToken(token.clone()))], answer: token })
        };
        let (token, _) = self.writer.change(permit.trail(), plan).await?;
        Ok(CreatedApiToken { token, text })
    }

    /// The caller's tokens; all users' for who may administer.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn api_tokens(&self, permit: &Permit<Read>) -> Result<Vec<KnownApiToken>, CoreError> {
        let view = self.view().await?;
        let seen = view.api_tokens()?.into_iter().filter(|token| has_say(permit.caller(), token));
        let known = |token: ApiTokenEntry| Ok(KnownApiToken { used_ms: view.token_used(token.id)?.map(|used| used.used_ms), token });
        seen.map(known).collect()
    }

    /// Revokes a token of whoever signed in, or anyone's for who may administer: it is refused from now on.
    ///
    /// # Errors
    /// [`CoreError::NotFound`], also for another's.
    pub async fn revoke_api_token(&self, permit: &Permit<Own>, id: Uuid) -> Result<(), CoreError> {
        let plan = |view: &View| {
            view.api_token(id)?.filter(|token| has_say(permit.caller(), token)).ok_or(CoreError::NotFound("API token"))?;
            let changes = [EntryName::ApiToken(id), EntryName::TokenUsed(id)].map(EntryChange::Delete);
            Ok(Plan { changes: changes.into(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }
}

/// Whether a token is the caller's to see and to revoke.
fn has_say(caller: &Caller, token: &ApiTokenEntry) -> bool {
    caller.who().user() == Some(&token.owner) || caller.permit::<Administer>().is_ok()
}

/// A user's tokens.
pub(super) fn of(view: &View, owner: &UserName) -> Result<Vec<ApiTokenEntry>, ReadError> {
    Ok(view.api_tokens()?.into_iter().filter(|token| token.owner == *owner).collect())
}

const LONGEST_NAME: usize = 64;
/// Tokens of one user.
const MOST: usize = 50;
