//! Users.

use std::sync::Arc;

use holdfast_proto::{admin as wire, secret::Secret};
use tonic::{Request, Response, Status};

use super::access::texts;
use crate::{
    access::{Administer, Permit},
    api::{
        Api,
        call::Call,
        error::{Kind, Refusal},
    },
    core::users::NewUser,
    names::UserName,
    store::entry::{Role, UserEntry},
};

/// The service.
pub(super) struct UsersApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::users_server::Users for UsersApi {
    async fn list_users(&self, request: Request<wire::ListUsersRequest>) -> Result<Response<wire::ListUsersResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Administer>, _| async move {
            Ok(wire::ListUsersResponse { users: core.users(&permit).await?.iter().map(user).collect() })
        };
        self.0.rpc(request, Call::new("user.list", ""), act).await
    }

    async fn get_user(&self, request: Request<wire::GetUserRequest>) -> Result<Response<wire::GetUserResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("user.get", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::GetUserRequest| async move {
            Ok(wire::GetUserResponse { user: Some(user(&core.user(&permit, &name(&q.name)?).await?)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_user(&self, request: Request<wire::CreateUserRequest>) -> Result<Response<wire::CreateUserResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("user.create", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::CreateUserRequest| async move {
            let new = NewUser { name: name(&q.name)?, password: given(q.password), roles: roles(&q.roles)? };
            let created = core.create_user(&permit, new).await?;
            Ok(wire::CreateUserResponse { user: Some(user(&created.user)), generated_password: shown(created.generated) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_user_roles(&self, request: Request<wire::SetUserRolesRequest>) -> Result<Response<wire::SetUserRolesResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("user.set_roles", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::SetUserRolesRequest| async move {
            let changed = core.set_user_roles(&permit, &name(&q.name)?, roles(&q.roles)?).await?;
            Ok(wire::SetUserRolesResponse { user: Some(user(&changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn set_user_enabled(
        &self,
        request: Request<wire::SetUserEnabledRequest>,
    ) -> Result<Response<wire::SetUserEnabledResponse>, Status> {
        let operation = if request.get_ref().enabled { "user.enable" } else { "user.disable" };
        let (core, call) = (&self.0.core, Call::new(operation, &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::SetUserEnabledRequest| async move {
            let changed = core.set_user_disabled(&permit, &name(&q.name)?, !q.enabled).await?;
            Ok(wire::SetUserEnabledResponse { user: Some(user(&changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn reset_password(&self, request: Request<wire::ResetPasswordRequest>) -> Result<Response<wire::ResetPasswordResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("user.reset_password", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::ResetPasswordRequest| async move {
            let reset = core.reset_password(&permit, &name(&q.name)?, given(q.password)).await?;
            Ok(wire::ResetPasswordResponse { generated_password: shown(reset.generated) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_user(&self, request: Request<wire::DeleteUserRequest>) -> Result<Response<wire::DeleteUserResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("user.delete", &request.get_ref().name));
        let act = |permit: Permit<Administer>, q: wire::DeleteUserRequest| async move {
            core.delete_user(&permit, &name(&q.name)?).await?;
            Ok(wire::DeleteUserResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

/// Roles by their names.
pub(super) fn roles(texts: &[String]) -> Result<Vec<Role>, Refusal> {
    let role = |text: &String| {
        let known = Role::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| Refusal::new(Kind::Invalid, "roles: must be of admin, key-admin, key-user, auditor"))
    };
    texts.iter().map(role).collect()
}

fn name(text: &str) -> Result<UserName, Refusal> {
    UserName::try_from(text).map_err(|error| Refusal::new(Kind::Invalid, format!("name: {error}")))
}

fn given(password: String) -> Option<Secret> {
    (!password.is_empty()).then(|| Secret::new(password))
}

/// The one time that it is shown.
fn shown(generated: Option<Secret>) -> String {
    generated.map(|password| password.expose().to_owned()).unwrap_or_default()
}

fn user(user: &UserEntry) -> wire::User {
    wire::User {
        id: user.id.to_string(),
        name: user.name.to_string(),
        roles: texts(&user.roles),
        enabled: !user.disabled,
        created_ms: user.stamps.created_ns / 1_000_000,
        updated_ms: user.stamps.updated_ns / 1_000_000,
    }
}
