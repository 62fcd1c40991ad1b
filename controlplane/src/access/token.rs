//! Tokens: JWTs signed with ES256 (RFC 7518 §3.4) for 300 seconds. Keys are made at start and rotated, and live in memory only.
//!
//! Always holds: a token verifies for its life, over one rotation; after a restart nobody is logged in.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Caller;
use crate::{
    names::UserName,
    store::entry::{Role, UserEntry},
};

/// Makes and verifies tokens.
pub struct Tokens(RwLock<Keys>);

/// A token.
#[derive(Clone)]
pub struct Token {
    /// The JWT.
    pub jwt: String,
    /// How long it lives.
    pub life: Duration,
}

/// A key could not be made, or a token not be signed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No key.
    #[error("making a signing key failed")]
    Key(#[source] rcgen::Error),
    /// No signature.
    #[error("signing a token failed")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

/// The token is not one of ours, or has expired. Which, is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is invalid or has expired")]
pub struct BadToken;

struct Keys {
    current: Key,
    previous: Option<Key>,
}

struct Key {
    id: String,
    made: SystemTime,
    sign: EncodingKey,
    verify: DecodingKey,
}

/// What clients of this API know as a token's claims.
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: String,
    iss: String,
    acc: String,
    preferred_username: UserName,
    cust: Custom,
    jwtid: Uuid,
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

impl Tokens {
    /// With a fresh key.
    ///
    /// # Errors
    /// [`TokenError::Key`] without randomness.
    pub fn new(now: SystemTime) -> Result<Self, TokenError> {
        Ok(Self(RwLock::new(Keys { current: Key::generate(now)?, previous: None })))
    }

    /// A token for a user whose password was checked.
    pub(super) fn issue(&self, user: &UserEntry, now: SystemTime) -> Result<Token, TokenError> {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(keys.current.made).is_ok_and(|age| age >= ROTATE_AFTER) {
            let fresh = Key::generate(now)?;
            keys.previous = Some(std::mem::replace(&mut keys.current, fresh));
        }
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            aud: AUDIENCE.into(),
            sub: format!("local|{}", user.id),
            iss: ISSUER.into(),
            acc: ISSUER.into(),
            preferred_username: user.name.clone(),
            cust: Custom { domain_id: Uuid::nil(), groups: user.roles.clone(), sid: Uuid::new_v4(), zone_id: Uuid::nil() },
            jwtid: Uuid::new_v4(),
            iat,
            exp: iat + LIFE.as_secs(),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(keys.current.id.clone());
        let jwt = encode(&header, &claims, &keys.current.sign).map_err(TokenError::Sign)?;
        Ok(Token { jwt, life: LIFE })
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`BadToken`].
    pub fn verify(&self, jwt: &str, now: SystemTime) -> Result<Caller, BadToken> {
        let kid = decode_header(jwt).ok().and_then(|header| header.kid).ok_or(BadToken)?;
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = [Some(&keys.current), keys.previous.as_ref()].into_iter().flatten().find(|key| key.id == kid).ok_or(BadToken)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // Judged below against the caller's clock.
        validation.validate_exp = false;
        let claims = decode::<Claims>(jwt, &key.verify, &validation).map_err(|_| BadToken)?.claims;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = claims.sub.strip_prefix("local|").and_then(|id| Uuid::try_parse(id).ok()).ok_or(BadToken)?;
        if now >= claims.exp {
            return Err(BadToken);
        }
        Ok(Caller::new(id, claims.preferred_username, claims.cust.groups))
    }
}

impl Key {
    fn generate(now: SystemTime) -> Result<Self, TokenError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TokenError::Key)?;
        Ok(Self {
            id: Uuid::new_v4().to_string(),
            made: now,
            sign: EncodingKey::from_ec_der(pair.serialized_der()),
            verify: DecodingKey::from_ec_der(pair.public_key_raw()),
        })
    }
}

const LIFE: Duration = Duration::from_secs(300);
/// Longer than a token's life, so that one previous key is enough.
const ROTATE_AFTER: Duration = Duration::from_hours(1);
const ISSUER: &str = "kylo";
const AUDIENCE: &str = "holdfast";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Read, store::entry::Stamps};

    fn user() -> UserEntry {
        let name = UserName::try_from("admin").unwrap();
        UserEntry { id: Uuid::from_u128(5), name, password_hash: String::new(), roles: vec![Role::Auditor], stamps: Stamps::default() }
    }

    #[test]
    fn a_token_lives_300_seconds_even_over_a_rotation_of_the_key() {
        let start = SystemTime::now();
        let tokens = Tokens::new(start).unwrap();
        let late = start + ROTATE_AFTER - Duration::from_secs(1);
        let token = tokens.issue(&user(), late).unwrap();
        let rotated = tokens.issue(&user(), start + ROTATE_AFTER).unwrap();
        assert_ne!(decode_header(&token.jwt).unwrap().kid, decode_header(&rotated.jwt).unwrap().kid);
        let caller = tokens.verify(&token.jwt, late + Duration::from_secs(298)).unwrap();
        assert_eq!((caller.id(), caller.name().as_str()), (Uuid::from_u128(5), "admin"));
        assert!(caller.permit::<Read>().is_ok());
        assert_eq!(tokens.verify(&token.jwt, late + LIFE).unwrap_err(), BadToken);
        tokens.issue(&user(), start + ROTATE_AFTER * 2).unwrap();
        assert_eq!(tokens.verify(&token.jwt, late).unwrap_err(), BadToken);
    }

    #[test]
    fn an_altered_or_foreign_token_is_refused() {
        let now = SystemTime::now();
        let tokens = Tokens::new(now).unwrap();
        let jwt = tokens.issue(&user(), now).unwrap().jwt;
        assert!(tokens.verify(&jwt, now).is_ok());
        let (body, _) = jwt.rsplit_once('.').unwrap();
        let none = jsonwebtoken::encode(&Header::default(), &serde_json::json!({}), &EncodingKey::from_secret(b"x")).unwrap();
        for bad in ["", "a.b.c", body, &format!("{body}."), &format!("{jwt}A"), &none] {
            assert_eq!(tokens.verify(bad, now).unwrap_err(), BadToken, "{bad}");
        }
        for at in 0..jwt.len() {
            let mut bent = jwt.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bent).unwrap();
            // The last character of a part holds spare bits (RFC 4648 §3.5); a decoder that ignores them changes nothing.
            let same = tokens.verify(&bent, now).is_ok();
            assert!(!same, "byte {at}");
        }
        assert_eq!(Tokens::new(now).unwrap().verify(&jwt, now).unwrap_err(), BadToken);
    }
}
