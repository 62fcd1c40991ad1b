//! Who may do what. A login becomes a token, a token a [`Caller`], and a caller a [`Permit`]: the proof that each operation of `core` demands.
//!
//! Always holds: only this module makes callers and permits; what a role may do is one table.

pub mod lockout;
pub mod login;
pub mod password;
pub mod token;
mod trail;

use std::{fmt, marker::PhantomData};

use uuid::Uuid;

pub(crate) use self::trail::UnderWay;
pub use self::{
    login::{Access, LoginError},
    trail::Trail,
};
use crate::{names::UserName, store::entry::Role};

/// Someone whose token was verified.
#[derive(Clone, Debug)]
pub struct Caller {
    id: Uuid,
    name: UserName,
    roles: Vec<Role>,
    trail: Trail,
}

/// Proof that [`Who`] may use right `R`, with the [`Trail`] that what is changed by it goes to.
#[derive(Clone, Debug)]
pub struct Permit<R> {
    trail: Trail,
    right: PhantomData<R>,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user.
    User(UserName),
    /// The control plane itself, for a reason of its own.
    System(&'static str),
}

/// To look.
#[derive(Clone, Copy, Debug)]
pub enum Read {}
/// To block, unblock and rotate.
#[derive(Clone, Copy, Debug)]
pub enum Use {}
/// To create, change and delete key stores, credentials and keys.
#[derive(Clone, Copy, Debug)]
pub enum Manage {}
/// To manage nodes and users.
#[derive(Clone, Copy, Debug)]
pub enum Administer {}

/// A right, as a type for [`Permit`].
pub trait Right {
    /// The same as a value.
    const KIND: RightKind;
}

/// A right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightKind {
    /// See [`Read`].
    Read,
    /// See [`Use`].
    Use,
    /// See [`Manage`].
    Manage,
    /// See [`Administer`].
    Administer,
}

/// The caller's roles don't give the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("your roles don't allow you to {0}")]
pub struct Denied(RightKind);

impl Caller {
    /// Of one call, by a user who was made sure of.
    fn new(id: Uuid, name: UserName, roles: Vec<Role>) -> Self {
        let trail = Trail::new(Who::User(name.clone()));
        Self { id, name, roles, trail }
    }

    /// The proof for right `R`, if one of the caller's roles gives it.
    ///
    /// # Errors
    /// [`Denied`] otherwise.
    pub fn permit<R: Right>(&self) -> Result<Permit<R>, Denied> {
        if self.roles.iter().any(|role| grants(*role, R::KIND)) {
            return Ok(Permit { trail: self.trail.clone(), right: PhantomData });
        }
        Err(Denied(R::KIND))
    }

    /// The caller's name.
    #[must_use]
    pub const fn name(&self) -> &UserName {
        &self.name
    }

    /// The caller's id, as it stands in tokens.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What this call has changed.
    #[must_use]
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }
}

impl<R: Right> Permit<R> {
    /// Who holds it.
    #[must_use]
    pub fn who(&self) -> &Who {
        self.trail.who()
    }

    /// Where what is changed by it is recorded: hand it to [`Writer::change`](crate::core::Writer::change).
    #[must_use]
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }

    /// For what the control plane does by itself.
    pub(crate) fn system(reason: &'static str) -> Self {
        Self { trail: Trail::system(reason), right: PhantomData }
    }
}

impl Right for Read {
    const KIND: RightKind = RightKind::Read;
}

impl Right for Use {
    const KIND: RightKind = RightKind::Use;
}

impl Right for Manage {
    const KIND: RightKind = RightKind::Manage;
}

impl Right for Administer {
    const KIND: RightKind = RightKind::Administer;
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => name.fmt(f),
            Self::System(reason) => write!(f, "holdfast ({reason})"),
        }
    }
}

impl fmt::Display for RightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read this",
            Self::Use => "block, unblock or rotate",
            Self::Manage => "manage key stores and keys",
            Self::Administer => "manage nodes and users",
        })
    }
}

/// What each role may do.
const fn grants(role: Role, right: RightKind) -> bool {
    match (role, right) {
        (Role::Admin, RightKind::Read | RightKind::Use | RightKind::Manage | RightKind::Administer)
        | (Role::KeyAdmin, RightKind::Read | RightKind::Use | RightKind::Manage)
        | (Role::KeyUser, RightKind::Read | RightKind::Use)
        | (Role::Auditor, RightKind::Read) => true,
        (Role::KeyAdmin, RightKind::Administer)
        | (Role::KeyUser, RightKind::Manage | RightKind::Administer)
        | (Role::Auditor, RightKind::Use | RightKind::Manage | RightKind::Administer) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_role_and_right_has_its_answer() {
        let rights = [RightKind::Read, RightKind::Use, RightKind::Manage, RightKind::Administer];
        let table = [
            (Role::Admin, [true, true, true, true]),
            (Role::KeyAdmin, [true, true, true, false]),
            (Role::KeyUser, [true, true, false, false]),
            (Role::Auditor, [true, false, false, false]),
        ];
        for (role, answers) in table {
            assert_eq!(rights.map(|right| grants(role, right)), answers, "{role:?}");
        }
    }

    #[test]
    fn a_caller_gets_a_permit_by_any_of_its_roles() {
        let name = UserName::try_from("eve").unwrap();
        let caller = |roles: &[Role]| Caller::new(Uuid::nil(), name.clone(), roles.into());
        assert!(caller(&[Role::Auditor, Role::KeyAdmin]).permit::<Manage>().is_ok());
        assert_eq!(caller(&[Role::Auditor]).permit::<Use>().unwrap_err(), Denied(RightKind::Use));
        assert!(caller(&[]).permit::<Read>().is_err());
    }
}
