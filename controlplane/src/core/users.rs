//! Users of the admin API.

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{Core, CoreError, draw::now_ns, write::Plan};
use crate::{
    access::{
        Administer, Permit,
        password::{HashFailed, Hashed, generate},
    },
    names::UserName,
    store::{
        View,
        entry::{Entry, EntryChange, Role, Stamps, UserEntry},
    },
};

impl Core {
    /// Gives a user a new, generated password, which is shown this once.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn reset_password(&self, permit: &Permit<Administer>, name: &UserName) -> Result<Secret, CoreError> {
        let password = generate()?;
        let hashing = password.clone();
        let hashed = tokio::task::spawn_blocking(move || Hashed::new(&hashing)).await.unwrap_or(Err(HashFailed))?;
        let plan = |view: &View| {
            let mut user = view.user(name)?.ok_or(CoreError::NotFound("user"))?;
            user.password_hash = hashed.as_str().into();
            user.stamps = user.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::Put(Entry::User(user))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(password)
    }
}

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
