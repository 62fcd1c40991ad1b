//! How every call goes, by whichever surface: find out who calls, demand the right, act, and record who did what and how it ended.

use std::net::IpAddr;

use super::{
    Api,
    error::{Kind, Refusal},
};
use crate::{
    access::{Caller, Permit, Right},
    audit::{Record, Via},
};

/// Where a call came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin<'a> {
    /// The surface.
    pub(super) via: Via,
    /// What [`bearer`] found in `Authorization`.
    pub(super) token: Option<&'a str>,
    /// The caller's address.
    pub(super) peer: Option<IpAddr>,
}

/// What the audit file calls a call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    operation: &'static str,
    target: String,
}

impl Call {
    /// Such as `hyok_key.block`, and the id or name of what it is done to; empty where it is done to none, as for a list.
    pub(super) fn new(operation: &'static str, target: impl Into<String>) -> Self {
        Self { operation, target: target.into() }
    }
}

impl Api {
    /// Has `act` do a call's work, if the caller has right `R`; its audit line has the outcome, and what was changed by the permit.
    ///
    /// ```text
    /// let origin = Origin { via: Via::Rest, token: bearer(authorization), peer: Some(peer.ip()) };
    /// let call = Call::new("key_store.block", &id);
    /// let applied = api.call(origin, call, |permit: Permit<Use>| async move { Ok(core.set_key_store_blocked(&permit, id, true).await?) });
    /// ```
    ///
    /// # Errors
    /// `Unauthorized` without a valid token; `Forbidden` where the caller's roles don't give the right; what `act` says.
    pub(super) async fn call<R: Right, T, F>(
        &self,
        origin: Origin<'_>,
        call: Call,
        act: impl FnOnce(Permit<R>) -> F + Send,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>> + Send,
    {
        let caller = self.caller(origin).await;
        let (who, trail) = caller.as_ref().map_or_else(|_| (String::new(), None), |c| (c.who().to_string(), Some(c.trail().clone())));
        let record = Record { who: &who, via: origin.via, peer: origin.peer, operation: call.operation, target: &call.target };
        let begun = self.audit.begin(record, trail);
        let result = match caller.and_then(|caller| Ok(caller.permit::<R>()?)) {
            Ok(permit) => act(permit).await,
            Err(refusal) => Err(refusal),
        };
        begun.end(outcome(&result));
        result
    }

    /// A call that needs no token, such as a login: `who` is what the caller says.
    ///
    /// # Errors
    /// What `act` says.
    pub(super) async fn open_call<T>(
        &self,
        origin: Origin<'_>,
        who: &str,
        operation: &'static str,
        act: impl Future<Output = Result<T, Refusal>> + Send,
    ) -> Result<T, Refusal> {
        let record = Record { who, via: origin.via, peer: origin.peer, operation, target: "" };
        let begun = self.audit.begin(record, None);
        let result = act.await;
        begun.end(outcome(&result));
        result
    }

    async fn caller(&self, origin: Origin<'_>) -> Result<Caller, Refusal> {
        let token = origin.token.ok_or_else(|| Refusal::new(Kind::Unauthorized, "log in first: there is no bearer token"))?;
        Ok(self.access.caller(token).await?)
    }
}

/// The token in an `Authorization` header: what follows `Bearer` (RFC 6750 §2.1).
pub(super) fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (scheme, token) = authorization?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// What the audit file says of an outcome.
fn outcome<T>(outcome: &Result<T, Refusal>) -> &'static str {
    outcome.as_ref().map_or_else(Refusal::name, |_| "ok")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_s_token_is_taken() {
        assert_eq!(bearer(Some("bEaReR a.b.c")), Some("a.b.c"));
        for other in [None, Some(""), Some("Bearer"), Some("Basic a"), Some("a.b.c")] {
            assert_eq!(bearer(other), None, "{other:?}");
        }
    }
}
