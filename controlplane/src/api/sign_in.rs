//! Signing in and out, the same by either surface. Needs no token, and is in the audit file by whoever it says to be.

use holdfast_proto::secret::Secret;

use super::{Api, call::Origin, error::Refusal};
use crate::access::{
    LoginError,
    lockout::Try,
    sign_ins::{Renewable, SignedIn},
};

impl Api {
    /// With a password.
    ///
    /// # Errors
    /// As [`LoginError`].
    pub(super) async fn sign_in(&self, origin: Origin<'_>, name: &str, password: Secret) -> Result<SignedIn, Refusal> {
        let attempt = Try { name, peer: origin.peer };
        self.open_call(origin, name, "login", async { Ok(self.access.login(attempt, password).await?) }).await
    }

    /// With a refresh token.
    ///
    /// # Errors
    /// As [`LoginError`]: `Unauthorized` for one that renews nothing.
    pub(super) async fn refresh(&self, origin: Origin<'_>, refresh: Secret) -> Result<SignedIn, Refusal> {
        let renewable = self.access.renewable(&refresh).await;
        let who = name(&renewable);
        self.open_call(origin, &who, "refresh", async { Ok(self.access.refresh(renewable?, refresh).await?) }).await
    }

    /// Ends what a refresh token renews.
    ///
    /// # Errors
    /// As [`Api::refresh`].
    pub(super) async fn sign_out(&self, origin: Origin<'_>, refresh: &Secret) -> Result<(), Refusal> {
        let renewable = self.access.renewable(refresh).await;
        let who = name(&renewable);
        self.open_call(origin, &who, "logout", async { Ok(self.access.sign_out(&renewable?).await?) }).await
    }
}

fn name(renewable: &Result<Renewable, LoginError>) -> String {
    renewable.as_ref().map(|renewable| renewable.user().to_string()).unwrap_or_default()
}
