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
        ];
        for text in shown {
            assert!(text.contains("..") && !text.contains("sesame"), "{text}");
        }
    }
}
