//! Users of the admin API.
//!
//! Always holds: someone who may administer can sign in: the last enabled `admin` is not deleted, disabled or demoted. A change of a user
//! counts at the next call; a new password, a disabling and a deletion end all that was signed in before.

pub mod tokens;

use holdfast_proto::secret::Secret;
use uuid::Uuid;

use super::{Core, CoreError, write::Plan};
use crate::{
    access::{
        Administer, Own, PasswordChecked, Permit,
        password::{HashFailed, Hashed, generate},
    },
    clock::now_ns,
    names::UserName,
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, Role, Stamps, UserEntry},
    },
};

/// A user who is to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Unique.
    pub name: UserName,
    /// None: one is generated.
    pub password: Option<Secret>,
    /// One at least.
    pub roles: Vec<Role>,
}

/// A user with a password that nobody has but who asked.
#[derive(Clone, Debug)]
pub struct WithPassword {
    /// The user.
    pub user: UserEntry,
    /// The password, where it was generated: shown this once.
    pub generated: Option<Secret>,
}

impl Core {
    /// Adds a user.
    ///
    /// # Errors
    /// [`CoreError::Exists`]; [`CoreError::Invalid`] for a password or roles that will not do.
    pub async fn create_user(&self, permit: &Permit<Administer>, new: NewUser) -> Result<WithPassword, CoreError> {
        let NewUser { name, password, roles } = new;
        let roles = some_roles(roles)?;
        let (password, generated) = given_or_generated(password)?;
        let user = hashed(password, move |password| new_user(name, password, roles)).await?;
        let plan = |view: &View| match view.user(&user.name)? {
            Some(other) => Err(CoreError::Exists { what: "user", name: other.name.to_string() }),
            None => Ok(Plan { changes: vec![EntryChange::put(Entry::User(user.clone()))], answer: () }),
        };
        self.writer.change(permit.trail(), plan).await?;
        Ok(WithPassword { user, generated })
    }

    /// All users.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn users(&self, _permit: &Permit<Administer>) -> Result<Vec<UserEntry>, CoreError> {
        Ok(self.view().await?.users()?)
    }

    /// One user.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn user(&self, _permit: &Permit<Administer>, name: &UserName) -> Result<UserEntry, CoreError> {
        found(&self.view().await?, name)
    }

    /// Gives a user other roles.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for the last admin; [`CoreError::Invalid`] for no roles.
    pub async fn set_user_roles(&self, permit: &Permit<Administer>, name: &UserName, roles: Vec<Role>) -> Result<UserEntry, CoreError> {
        let roles = some_roles(roles)?;
        self.change_user(permit, name, |user| user.roles.clone_from(&roles)).await
    }

    /// Lets a user sign in no more, and ends all sign-ins; or lets the user sign in again.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for the last admin.
    pub async fn set_user_disabled(&self, permit: &Permit<Administer>, name: &UserName, disabled: bool) -> Result<UserEntry, CoreError> {
        let change = |user: &mut UserEntry| {
            user.generation += u64::from(disabled && !user.disabled);
            user.disabled = disabled;
        };
        self.change_user(permit, name, change).await
    }

    /// Gives a user a new password, generated where none is given, and ends all sign-ins.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::Invalid`] for a password that will not do.
    pub async fn reset_password(
        &self,
        permit: &Permit<Administer>,
        name: &UserName,
        password: Option<Secret>,
    ) -> Result<WithPassword, CoreError> {
        let (password, generated) = given_or_generated(password)?;
        let hash = hashed(password, good_hash).await?;
        let user = self.change_user(permit, name, |user| set_password(user, &hash)).await?;
        Ok(WithPassword { user, generated })
    }

    /// Gives whoever signed in another password, and ends all sign-ins, this one too.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for a password that will not do; [`CoreError::State`] where the password was changed since it was checked.
    pub async fn change_password(&self, permit: &Permit<Own>, checked: &PasswordChecked, password: Secret) -> Result<(), CoreError> {
        let name = permit.user().ok_or(CoreError::NotFound("user"))?;
        let hash = hashed(password, good_hash).await?;
        let plan = |view: &View| {
            let mut user = found(view, name)?;
            if !checked.is_of(&user) {
                return Err(CoreError::State("the password was changed meanwhile".into()));
            }
            set_password(&mut user, &hash);
            user.stamps = user.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::User(user))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }

    /// Removes a user, with its tokens and all that is signed in.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] for the last admin.
    pub async fn delete_user(&self, permit: &Permit<Administer>, name: &UserName) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let user = found(view, name)?;
            keeps_an_admin(&view.users()?, name, None)?;
            let tokens = tokens::of(view, name)?;
            let tokens = tokens.iter().flat_map(|token| [EntryName::ApiToken(token.id), EntryName::TokenUsed(token.id)]);
            let names = tokens.chain([EntryName::SignIns(user.id), EntryName::User(name.clone())]);
            Ok(Plan { changes: names.map(EntryChange::Delete).collect(), answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }

    async fn change_user(
        &self,
        permit: &Permit<Administer>,
        name: &UserName,
        change: impl Fn(&mut UserEntry) + Send + Sync,
    ) -> Result<UserEntry, CoreError> {
        let plan = |view: &View| {
            let before = found(view, name)?;
            let mut user = before.clone();
            change(&mut user);
            if user == before {
                return Ok(Plan { changes: Vec::new(), answer: user });
            }
            keeps_an_admin(&view.users()?, name, Some(&user))?;
            user.stamps = user.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::User(user.clone()))], answer: user })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }
}

/// The entry of a new user. Hashing is slow by design.
pub(crate) fn new_user(name: UserName, password: &Secret, roles: Vec<Role>) -> Result<UserEntry, CoreError> {
    let password_hash = good_hash(password)?;
    let stamps = Stamps::new(now_ns());
    Ok(UserEntry { id: Uuid::new_v4(), name, password_hash, roles, disabled: false, generation: 0, stamps })
}

fn found(view: &View, name: &UserName) -> Result<UserEntry, CoreError> {
    view.user(name)?.ok_or(CoreError::NotFound("user"))
}

fn set_password(user: &mut UserEntry, hash: &str) {
    user.password_hash = hash.into();
    user.generation += 1;
}

/// Refuses a change (none: a deletion) of user `name` after which nobody who can sign in is an admin.
fn keeps_an_admin(users: &[UserEntry], name: &UserName, after: Option<&UserEntry>) -> Result<(), CoreError> {
    let administers = |user: &UserEntry| !user.disabled && user.roles.contains(&Role::Admin);
    let others = users.iter().any(|user| user.name != *name && administers(user));
    let was = users.iter().any(|user| user.name == *name && administers(user));
    if others || !was || after.is_some_and(administers) {
        return Ok(());
    }
    Err(CoreError::State("this is the last enabled user with the role admin; make another first".into()))
}

/// Roles in order, each once; one at least.
fn some_roles(mut roles: Vec<Role>) -> Result<Vec<Role>, CoreError> {
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        return Err(CoreError::Invalid { field: "roles", detail: "name one at least: admin, key-admin, key-user, auditor".into() });
    }
    Ok(roles)
}

/// The password, and what to show of it.
fn given_or_generated(password: Option<Secret>) -> Result<(Secret, Option<Secret>), CoreError> {
    match password {
        Some(given) => Ok((given, None)),
        None => {
            let generated = generate()?;
            Ok((generated.clone(), Some(generated)))
        }
    }
}

fn good_hash(password: &Secret) -> Result<String, CoreError> {
    let characters = password.expose().chars().count();
    if !(FEWEST_CHARACTERS..=MOST_CHARACTERS).contains(&characters) {
        let detail = format!("must have {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters");
        return Err(CoreError::Invalid { field: "password", detail });
    }
    Ok(Hashed::new(password)?.as_str().into())
}

/// Hashes off the request's thread.
async fn hashed<T: Send + 'static>(
    password: Secret,
    hash: impl FnOnce(&Secret) -> Result<T, CoreError> + Send + 'static,
) -> Result<T, CoreError> {
    tokio::task::spawn_blocking(move || hash(&password)).await.unwrap_or(Err(HashFailed.into()))
}

/// NIST SP 800-63B §5.1.1.2.
const FEWEST_CHARACTERS: usize = 8;
const MOST_CHARACTERS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, roles: &[Role], disabled: bool) -> UserEntry {
        UserEntry {
            id: Uuid::nil(),
            name: UserName::try_from(name).unwrap(),
            password_hash: String::new(),
            roles: roles.into(),
            disabled,
            generation: 0,
            stamps: Stamps::default(),
        }
    }

    #[test]
    fn the_last_enabled_admin_stays() {
        let (admin, key_admin) = (&[Role::Auditor, Role::Admin][..], &[Role::KeyAdmin][..]);
        let eve = || user("eve", admin, false);
        let users = [eve(), user("bob", admin, true), user("kim", key_admin, false)];
        let [name, bob, kim] = users.each_ref().map(|user| user.name.clone());
        for after in [None, Some(user("eve", key_admin, false)), Some(user("eve", admin, true))] {
            assert!(matches!(keeps_an_admin(&users, &name, after.as_ref()), Err(CoreError::State(_))), "{after:?}");
        }
        assert!(keeps_an_admin(&users, &name, Some(&user("eve", &[Role::Admin], false))).is_ok());
        // What others are is no matter.
        for other in [&bob, &kim] {
            assert!(keeps_an_admin(&users, other, None).is_ok(), "{other}");
        }
        let two = [eve(), user("bob", admin, false)];
        assert!(keeps_an_admin(&two, &name, None).is_ok());
    }

    #[test]
    fn roles_are_kept_in_order_and_once_and_there_is_one_at_least() {
        assert_eq!(some_roles(vec![Role::Auditor, Role::Admin, Role::Auditor]).unwrap(), [Role::Admin, Role::Auditor]);
        assert!(some_roles(Vec::new()).is_err());
    }

    #[test]
    fn a_password_has_a_least_and_a_greatest_length_in_characters() {
        for bad in ["", "seven77", &"é".repeat(1_025)] {
            assert!(matches!(good_hash(&Secret::new(bad.into())), Err(CoreError::Invalid { field: "password", .. })));
        }
        for good in ["eight888", &"é".repeat(1_024)] {
            assert!(good_hash(&Secret::new(good.into())).is_ok());
        }
    }
}
