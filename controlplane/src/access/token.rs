//! Sign-in tokens: JWTs signed with ES256 (RFC 7518 §3.4) for 300 seconds, with the claims that clients of this API know.
//!
//! Always holds: a token verifies for its life, over a rotation of keys and over a restart. What its user may do is not taken from it:
//! `bearer` looks at the user as it is now.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::Key;
use crate::{
    names::UserName,
    store::entry::{Role, UserEntry},
};

/// A token.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub jwt: String,
    /// How long it lives.
    pub life: Duration,
}

/// What a token proves: who signed in, and when, as told by the user's generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) id: Uuid,
    pub(super) name: UserName,
    pub(super) generation: u64,
}

/// The token is not one of ours, was revoked, or has expired. Which, is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is invalid or has expired")]
pub struct BadToken;

#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    iss: String,
    acc: String,
    preferred_username: UserName,
    cust: Custom,
    jwtid: Uuid,
    /// The user's generation.
    generation: u64,
    iat: u64,
    exp: u64,
}

#[derive(Serialize, Deserialize)]
struct Custom {
    domain_id: Uuid,
    groups: Vec<Role>,
    sid: Uuid,
    zone_id: Uuid,
}

/// A token for a user who was made sure of.
///
/// # Errors
/// Where signing fails.
pub(super) fn issue(key: &Key, user: &UserEntry, now: SystemTime) -> Result<Token, jsonwebtoken::errors::Error> {
    let iat = seconds(now);
    let claims = Claims {
        aud: AUDIENCE.into(),
        sub: format!("local|{}", user.id),
        iss: ISSUER.into(),
        acc: ISSUER.into(),
        preferred_username: user.name.clone(),
        cust: Custom { domain_id: Uuid::nil(), groups: user.roles.clone(), sid: Uuid::new_v4(), zone_id: Uuid::nil() },
        jwtid: Uuid::new_v4(),
        generation: user.generation,
        iat,
        exp: iat + LIFE.as_secs(),
    };
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key.id.to_string());
    Ok(Token { jwt: encode(&header, &claims, &key.sign)?, life: LIFE })
}

/// Whose token this is.
///
/// # Errors
/// [`BadToken`].
pub(super) fn verify(keys: &[Arc<Key>], jwt: &str, now: SystemTime) -> Result<Bearer, BadToken> {
    let kid = decode_header(jwt).ok().and_then(|header| header.kid).ok_or(BadToken)?;
    let key = keys.iter().find(|key| key.id.to_string() == kid).ok_or(BadToken)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    // Judged below against the caller's clock.
    validation.validate_exp = false;
    let claims = decode::<Claims>(jwt, &key.verify, &validation).map_err(|_| BadToken)?.claims;
    let id = claims.sub.strip_prefix("local|").and_then(|id| Uuid::try_parse(id).ok()).ok_or(BadToken)?;
    if seconds(now) >= claims.exp {
        return Err(BadToken);
    }
    Ok(Bearer { id, name: claims.preferred_username, generation: claims.generation })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How long a token lives.
pub(super) const LIFE: Duration = Duration::from_secs(300);
const ISSUER: &str = "kylo";
const AUDIENCE: &str = "holdfast";

#[cfg(test)]
mod tests;
