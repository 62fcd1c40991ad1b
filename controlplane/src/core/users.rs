//! Users of the admin API.

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{CoreError, draw::now_ns};
use crate::{
    access::password::Hashed,
    names::UserName,
    store::entry::{Role, Stamps, UserEntry},
};

/// The entry of a new user. Hashing is slow by design.
pub(crate) fn new_user(name: UserName, password: &Secret, roles: Vec<Role>) -> Result<UserEntry, CoreError> {
    if password.expose().chars().count() < FEWEST_CHARACTERS {
        return Err(CoreError::Invalid { field: "password", detail: format!("must have at least {FEWEST_CHARACTERS} characters") });
    }
    let password_hash = Hashed::new(password)?.as_str().into();
    Ok(UserEntry { id: Uuid::new_v4(), name, password_hash, roles, stamps: Stamps::new(now_ns()) })
}

/// NIST SP 800-63B §5.1.1.2.
const FEWEST_CHARACTERS: usize = 8;
