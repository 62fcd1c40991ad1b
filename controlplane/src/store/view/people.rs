//! Who may use the API, and what they sign in with.

use uuid::Uuid;

use super::View;
use crate::{
    names::UserName,
    store::{
        ReadError, Within,
        entry::{ApiTokenEntry, EntryName, SignInsEntry, SigningKeyEntry, TokenUsedEntry, UserEntry},
    },
};

impl View {
    /// A user.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn user(&self, name: &UserName) -> Result<Option<UserEntry>, ReadError> {
        self.one(&EntryName::User(name.clone()))
    }

    /// All users.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn users(&self) -> Result<Vec<UserEntry>, ReadError> {
        self.all(Within::Users)
    }

    /// All tool's tokens.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn api_tokens(&self) -> Result<Vec<ApiTokenEntry>, ReadError> {
        self.all(Within::ApiTokens)
    }

    /// One tool's token.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn api_token(&self, id: Uuid) -> Result<Option<ApiTokenEntry>, ReadError> {
        self.one(&EntryName::ApiToken(id))
    }

    /// A user's sign-ins that can be renewed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn sign_ins(&self, user: Uuid) -> Result<Option<SignInsEntry>, ReadError> {
        self.one(&EntryName::SignIns(user))
    }

    /// All signing keys.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn signing_keys(&self) -> Result<Vec<SigningKeyEntry>, ReadError> {
        self.all(Within::SigningKeys)
    }

    /// One signing key.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn signing_key(&self, id: Uuid) -> Result<Option<SigningKeyEntry>, ReadError> {
        self.one(&EntryName::SigningKey(id))
    }

    /// When a tool's token was last used.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn token_used(&self, token: Uuid) -> Result<Option<TokenUsedEntry>, ReadError> {
        self.one(&EntryName::TokenUsed(token))
    }
}
