//! Signing in.

use std::sync::Arc;

use holdfast_proto::{admin as wire, secret::Secret};
use tonic::{Request, Response, Status};

use super::peer;
use crate::{
    api::{Api, call::Origin},
    audit::Via,
};

/// The service.
pub(super) struct AccessApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::access_server::Access for AccessApi {
    async fn login(&self, request: Request<wire::LoginRequest>) -> Result<Response<wire::LoginResponse>, Status> {
        let origin = Origin { via: Via::Grpc, token: None, peer: peer(request.extensions()) };
        let wire::LoginRequest { username, password } = request.into_inner();
        let login = async { Ok(self.0.access.login(&username, Secret::new(password)).await?) };
        let token = self.0.open_call(origin, &username, "login", login).await?;
        let duration = u32::try_from(token.life.as_secs()).unwrap_or(u32::MAX);
        Ok(Response::new(wire::LoginResponse { jwt: token.jwt, duration, ..wire::LoginResponse::default() }))
    }

    async fn refresh(&self, _: Request<wire::RefreshRequest>) -> Result<Response<wire::LoginResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn logout(&self, _: Request<wire::LogoutRequest>) -> Result<Response<wire::LogoutResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn who_am_i(&self, _: Request<wire::WhoAmIRequest>) -> Result<Response<wire::WhoAmIResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn change_password(&self, _: Request<wire::ChangePasswordRequest>) -> Result<Response<wire::ChangePasswordResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn create_api_token(&self, _: Request<wire::CreateApiTokenRequest>) -> Result<Response<wire::CreateApiTokenResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_api_tokens(&self, _: Request<wire::ListApiTokensRequest>) -> Result<Response<wire::ListApiTokensResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn revoke_api_token(&self, _: Request<wire::RevokeApiTokenRequest>) -> Result<Response<wire::RevokeApiTokenResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }
}
