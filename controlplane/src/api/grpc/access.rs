//! Signing in, one's own password, and what tools sign in with.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{admin as wire, secret::Secret};
use tonic::{Request, Response, Status};

use super::{id, stranger, users::roles};
use crate::{
    access::{Own, Permit, Read, lockout::Try, sign_ins::SignedIn},
    api::{Api, call::Call},
    core::users::tokens::{KnownApiToken, NewApiToken},
    store::entry::{ApiTokenEntry, Role},
};

/// The service.
pub(super) struct AccessApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::access_server::Access for AccessApi {
    async fn login(&self, request: Request<wire::LoginRequest>) -> Result<Response<wire::LoginResponse>, Status> {
        let origin = stranger(request.extensions());
        let wire::LoginRequest { username, password } = request.into_inner();
        Ok(Response::new(answer(self.0.sign_in(origin, &username, Secret::new(password)).await?)))
    }

    async fn refresh(&self, request: Request<wire::RefreshRequest>) -> Result<Response<wire::LoginResponse>, Status> {
        let origin = stranger(request.extensions());
        let refresh = Secret::new(request.into_inner().refresh_token);
        Ok(Response::new(answer(self.0.refresh(origin, refresh).await?)))
    }

    async fn logout(&self, request: Request<wire::LogoutRequest>) -> Result<Response<wire::LogoutResponse>, Status> {
        let origin = stranger(request.extensions());
        self.0.sign_out(origin, &Secret::new(request.into_inner().refresh_token)).await?;
        Ok(Response::new(wire::LogoutResponse {}))
    }

    async fn who_am_i(&self, request: Request<wire::WhoAmIRequest>) -> Result<Response<wire::WhoAmIResponse>, Status> {
        let act = |permit: Permit<Read>, _| async move {
            let caller = permit.caller();
            let name = caller.who().user().map(ToString::to_string).unwrap_or_default();
            Ok(wire::WhoAmIResponse { id: caller.id().to_string(), name, roles: texts(caller.roles()) })
        };
        self.0.rpc(request, Call::new("who_am_i", ""), act).await
    }

    async fn change_password(
        &self,
        request: Request<wire::ChangePasswordRequest>,
    ) -> Result<Response<wire::ChangePasswordResponse>, Status> {
        let (api, peer) = (&self.0, stranger(request.extensions()).peer);
        let act = |permit: Permit<Own>, q: wire::ChangePasswordRequest| async move {
            let name = permit.user().map(ToString::to_string).unwrap_or_default();
            let checked = api.access.check_password(Try { name: &name, peer }, Secret::new(q.old_password)).await?;
            api.core.change_password(&permit, &checked, Secret::new(q.new_password)).await?;
            Ok(wire::ChangePasswordResponse {})
        };
        self.0.rpc(request, Call::new("user.change_password", ""), act).await
    }

    async fn create_api_token(
        &self,
        request: Request<wire::CreateApiTokenRequest>,
    ) -> Result<Response<wire::CreateApiTokenResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("api_token.create", &request.get_ref().name));
        let act = |permit: Permit<Own>, q: wire::CreateApiTokenRequest| async move {
            let life = (q.life_seconds > 0).then(|| Duration::from_secs(q.life_seconds));
            let new = NewApiToken { name: q.name, roles: roles(&q.roles)?, life };
            let created = core.create_api_token(&permit, new).await?;
            Ok(wire::CreateApiTokenResponse {
                api_token: Some(api_token(created.token, None)),
                // The one time that it is shown.
                token: created.text.expose().to_owned(),
            })
        };
        self.0.rpc(request, call, act).await
    }

    async fn list_api_tokens(&self, request: Request<wire::ListApiTokensRequest>) -> Result<Response<wire::ListApiTokensResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let shown = |known: KnownApiToken| api_token(known.token, known.used_ms);
            Ok(wire::ListApiTokensResponse { api_tokens: core.api_tokens(&permit).await?.into_iter().map(shown).collect() })
        };
        self.0.rpc(request, Call::new("api_token.list", ""), act).await
    }

    async fn revoke_api_token(
        &self,
        request: Request<wire::RevokeApiTokenRequest>,
    ) -> Result<Response<wire::RevokeApiTokenResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("api_token.revoke", &request.get_ref().id));
        let act = |permit: Permit<Own>, q: wire::RevokeApiTokenRequest| async move {
            core.revoke_api_token(&permit, id("id", &q.id)?).await?;
            Ok(wire::RevokeApiTokenResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

fn answer(signed_in: SignedIn) -> wire::LoginResponse {
    wire::LoginResponse {
        jwt: signed_in.token.jwt,
        duration: u32::try_from(signed_in.token.life.as_secs()).unwrap_or(u32::MAX),
        refresh_token: signed_in.refresh.expose().to_owned(),
        refresh_duration: signed_in.refresh_life.as_secs(),
    }
}

pub(super) fn texts(roles: &[Role]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

fn api_token(token: ApiTokenEntry, used_ms: Option<u64>) -> wire::ApiToken {
    wire::ApiToken {
        id: token.id.to_string(),
        name: token.name,
        owner: token.owner.to_string(),
        roles: texts(&token.roles),
        created_ms: token.stamps.created_ns / 1_000_000,
        expires_ms: token.expires_ms.unwrap_or_default(),
        last_used_ms: used_ms.unwrap_or_default(),
    }
}
