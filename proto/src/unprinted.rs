//! What `Debug` shows of messages with a secret in them: the rest of it. The generated one would show all.
//!
//! Always holds: `build.rs` names the same messages, or they would have two.

use std::fmt::{Debug, Formatter, Result};

use crate::{admin, sync};

impl Debug for sync::Credential {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Credential")
            .field("access_key_id", &self.access_key_id)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Debug for admin::LoginRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("LoginRequest").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Debug for admin::LoginResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("LoginResponse").field("duration", &self.duration).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateKeyStoreRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateKeyStoreRequest").field("name", &self.name).field("uri_path", &self.uri_path).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateKeyStoreResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateKeyStoreResponse").field("key_store", &self.key_store).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateCredentialResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut shown = f.debug_struct("CreateCredentialResponse");
        shown.field("credential", &self.credential).field("pending_nodes", &self.pending_nodes).finish_non_exhaustive()
    }
}

impl Debug for admin::RefreshRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RefreshRequest").finish_non_exhaustive()
    }
}

impl Debug for admin::LogoutRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("LogoutRequest").finish_non_exhaustive()
    }
}

impl Debug for admin::ChangePasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ChangePasswordRequest").finish_non_exhaustive()
    }
}

impl Debug for admin::CreateApiTokenResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateApiTokenResponse").field("api_token", &self.api_token).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateUserRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateUserRequest").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateUserResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateUserResponse").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Debug for admin::ResetPasswordRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ResetPasswordRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::ResetPasswordResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ResetPasswordResponse").finish_non_exhaustive()
    }
}

impl Debug for admin::UpdateKeyStoreRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("UpdateKeyStoreRequest").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::RotateCredentialResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RotateCredentialResponse")
            .field("key_store", &self.key_store)
            .field("credential", &self.credential)
            .finish_non_exhaustive()
    }
}

impl Debug for admin::BackupRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("BackupRequest").finish_non_exhaustive()
    }
}

impl Debug for admin::CreateAwsConnectionRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateAwsConnectionRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::UpdateAwsConnectionRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("UpdateAwsConnectionRequest").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::CreateCloudHsmKeyStoreRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateCloudHsmKeyStoreRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::UpdateCloudHsmKeyStoreRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("UpdateCloudHsmKeyStoreRequest").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Debug for admin::ConnectKeyStoreRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("ConnectKeyStoreRequest").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_prints_its_secret() {
        let secret = || "open sesame".to_owned();
        let credential = sync::Credential { secret_access_key: secret(), ..sync::Credential::default() };
        let record = sync::Record { body: Some(sync::record::Body::Credential(credential)) };
        let shown = [
            format!("{record:?}"),
            format!("{:?}", admin::LoginRequest { password: secret(), ..admin::LoginRequest::default() }),
            format!("{:?}", admin::LoginResponse { jwt: secret(), ..admin::LoginResponse::default() }),
            format!("{:?}", admin::CreateKeyStoreRequest { secret_access_key: secret(), ..admin::CreateKeyStoreRequest::default() }),
            format!("{:?}", admin::CreateKeyStoreResponse { secret_access_key: secret(), ..admin::CreateKeyStoreResponse::default() }),
            format!("{:?}", admin::CreateCredentialResponse { secret_access_key: secret(), ..admin::CreateCredentialResponse::default() }),
            format!("{:?}", admin::LoginResponse { refresh_token: secret(), ..admin::LoginResponse::default() }),
            format!("{:?}", admin::RefreshRequest { refresh_token: secret() }),
            format!("{:?}", admin::LogoutRequest { refresh_token: secret() }),
            format!("{:?}", admin::ChangePasswordRequest { old_password: secret(), new_password: secret() }),
            format!("{:?}", admin::CreateApiTokenResponse { token: secret(), ..admin::CreateApiTokenResponse::default() }),
            format!("{:?}", admin::CreateUserRequest { password: secret(), ..admin::CreateUserRequest::default() }),
            format!("{:?}", admin::CreateUserResponse { generated_password: secret(), ..admin::CreateUserResponse::default() }),
            format!("{:?}", admin::ResetPasswordRequest { password: secret(), ..admin::ResetPasswordRequest::default() }),
            format!("{:?}", admin::ResetPasswordResponse { generated_password: secret() }),
            format!("{:?}", admin::UpdateKeyStoreRequest { secret_access_key: secret(), ..admin::UpdateKeyStoreRequest::default() }),
            format!("{:?}", admin::RotateCredentialResponse { secret_access_key: secret(), ..admin::RotateCredentialResponse::default() }),
            format!("{:?}", admin::BackupRequest { passphrase: secret() }),
            format!("{:?}", admin::CreateCloudHsmKeyStoreRequest { key_store_password: secret(), ..Default::default() }),
            format!("{:?}", admin::UpdateCloudHsmKeyStoreRequest { key_store_password: secret(), ..Default::default() }),
            format!("{:?}", admin::ConnectKeyStoreRequest { key_store_password: secret(), ..Default::default() }),
            format!("{:?}", connection(secret(), String::new())),
            format!("{:?}", connection(String::new(), secret())),
            format!("{:?}", admin::UpdateAwsConnectionRequest { secret_access_key: secret(), ..Default::default() }),
            format!("{:?}", admin::UpdateAwsConnectionRequest { role_anywhere_private_key: secret(), ..Default::default() }),
        ];
        for text in shown {
            assert!(text.contains("..") && !text.contains("sesame"), "{text}");
        }
    }

    fn connection(secret_access_key: String, role_anywhere_private_key: String) -> admin::CreateAwsConnectionRequest {
        admin::CreateAwsConnectionRequest { secret_access_key, role_anywhere_private_key, ..Default::default() }
    }
}
