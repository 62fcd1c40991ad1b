//! Who may do what. A login becomes a token, a token a [`Caller`], and a caller a [`Permit`]: the proof that each operation of `core` demands.
//!
//! Always holds: only this module makes callers and permits; what a role may do is one table.

pub mod bearer;
#[cfg(test)]
mod fixtures;
mod keys;
pub mod lockout;
pub mod login;
pub(crate) mod opaque;
pub mod password;
pub mod sign_ins;
pub mod token;
mod trail;

use std::{fmt, marker::PhantomData};

use uuid::Uuid;

pub(crate) use self::trail::UnderWay;
pub use self::{
    login::{Access, AccessSettings, LoginError, PasswordChecked},
    trail::Trail,
};
use crate::{names::UserName, store::entry::Role};

/// Someone whose token was verified.
#[derive(Clone, Debug)]
pub struct Caller {
    id: Uuid,
    roles: Vec<Role>,
    trail: Trail,
}

/// Proof that a caller has right `R`, with the [`Trail`] that what is changed by it goes to.
#[derive(Clone, Debug)]
pub struct Permit<R> {
    caller: Caller,
    right: PhantomData<R>,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user who signed in.
    User(UserName),
    /// A tool, by a token that a user made for it.
    Tool {
        /// The user.
        owner: UserName,
        /// What the user calls the token.
        token: String,
    },
    /// The control plane itself, for a reason of its own.
    System(&'static str),
}

/// To change one's own password and to make tokens for tools: all users may who signed in, no tool may.
#[derive(Clone, Copy, Debug)]
pub enum Own {}
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
    /// See [`Own`].
    Own,
    /// See [`Read`].
    Read,
    /// See [`Use`].
    Use,
    /// See [`Manage`].
    Manage,
    /// See [`Administer`].
    Administer,
}

/// The caller doesn't have the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// None of its roles gives it.
    #[error("your roles don't allow you to {0}")]
    Roles(RightKind),
    /// It is a tool.
    #[error("a tool's token does not allow that; sign in with your password")]
    Tool,
}

impl Caller {
    /// Of one call, by someone who was made sure of.
    fn new(who: Who, id: Uuid, roles: Vec<Role>) -> Self {
        Self { id, roles, trail: Trail::new(who) }
    }

    /// The proof for right `R`, if one of the caller's roles gives it.
    ///
    /// # Errors
    /// [`Denied`] otherwise.
    pub fn permit<R: Right>(&self) -> Result<Permit<R>, Denied> {
        match (R::KIND, self.who()) {
            (RightKind::Own, Who::Tool { .. } | Who::System(_)) => Err(Denied::Tool),
            (kind, _) if self.roles.iter().any(|role| grants(*role, kind)) => Ok(Permit { caller: self.clone(), right: PhantomData }),
            (kind, _) => Err(Denied::Roles(kind)),
        }
    }

    /// Who calls.
    #[must_use]
    pub fn who(&self) -> &Who {
        self.trail.who()
    }

    /// The user's id, as it stands in tokens.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What the caller may do now.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
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
        self.caller.who()
    }

    /// Who holds it, with all that they may do.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where what is changed by it is recorded: hand it to [`Writer::change`](crate::core::Writer::change).
    #[must_use]
    pub const fn trail(&self) -> &Trail {
        self.caller.trail()
    }

    /// For what the control plane does by itself.
    pub(crate) fn system(reason: &'static str) -> Self {
        let caller = Caller { id: Uuid::nil(), roles: vec![Role::Admin], trail: Trail::system(reason) };
        Self { caller, right: PhantomData }
    }
}

impl Permit<Own> {
    /// The user who signed in.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        match self.who() {
            Who::User(name) => Some(name),
            Who::Tool { .. } | Who::System(_) => None,
        }
    }
}

impl Who {
    /// The user who acts, or whose tool acts.
    #[must_use]
    pub const fn user(&self) -> Option<&UserName> {
        match self {
            Self::User(name) | Self::Tool { owner: name, .. } => Some(name),
            Self::System(_) => None,
        }
    }
}

impl Right for Own {
    const KIND: RightKind = RightKind::Own;
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
            Self::Tool { owner, token } => write!(f, "{owner} (token {token})"),
            Self::System(reason) => write!(f, "holdfast ({reason})"),
        }
    }
}

impl fmt::Display for RightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "manage your own password and tokens",
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
        (Role::Admin, RightKind::Own | RightKind::Read | RightKind::Use | RightKind::Manage | RightKind::Administer)
        | (Role::KeyAdmin, RightKind::Own | RightKind::Read | RightKind::Use | RightKind::Manage)
        | (Role::KeyUser, RightKind::Own | RightKind::Read | RightKind::Use)
        | (Role::Auditor, RightKind::Own | RightKind::Read) => true,
        (Role::KeyAdmin, RightKind::Administer)
        | (Role::KeyUser, RightKind::Manage | RightKind::Administer)
        | (Role::Auditor, RightKind::Use | RightKind::Manage | RightKind::Administer) => false,
    }
}

/// Whether someone with `roles` may do all that `role` may.
pub(crate) fn covers(roles: &[Role], role: Role) -> bool {
    RIGHTS.iter().all(|right| !grants(role, *right) || roles.iter().any(|had| grants(*had, *right)))
}

const RIGHTS: [RightKind; 5] = [RightKind::Own, RightKind::Read, RightKind::Use, RightKind::Manage, RightKind::Administer];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_role_and_right_has_its_answer() {
        let table = [
            (Role::Admin, [true, true, true, true, true]),
            (Role::KeyAdmin, [true, true, true, true, false]),
            (Role::KeyUser, [true, true, true, false, false]),
            (Role::Auditor, [true, true, false, false, false]),
        ];
        for (role, answers) in table {
            assert_eq!(RIGHTS.map(|right| grants(role, right)), answers, "{role:?}");
        }
    }

    #[test]
    fn a_role_covers_itself_and_those_that_may_do_less() {
        let order = [Role::Admin, Role::KeyAdmin, Role::KeyUser, Role::Auditor];
        for (had, role) in order.iter().enumerate() {
            for (asked, less) in order.iter().enumerate() {
                assert_eq!(covers(&[*role], *less), had <= asked, "{role:?} {less:?}");
            }
        }
        assert!(covers(&[Role::Auditor, Role::KeyUser], Role::KeyUser));
        assert!(!covers(&[], Role::Auditor));
    }

    #[test]
    fn a_caller_gets_a_permit_by_any_of_its_roles() {
        let name = UserName::try_from("eve").unwrap();
        let caller = |roles: &[Role]| Caller::new(Who::User(name.clone()), Uuid::nil(), roles.into());
        assert!(caller(&[Role::Auditor, Role::KeyAdmin]).permit::<Manage>().is_ok());
        assert_eq!(caller(&[Role::Auditor]).permit::<Use>().unwrap_err(), Denied::Roles(RightKind::Use));
        assert!(caller(&[]).permit::<Read>().is_err());
        assert_eq!(caller(&[Role::Auditor]).permit::<Own>().unwrap().user(), Some(&name));
    }

    #[test]
    fn a_tool_may_what_its_roles_give_but_not_what_only_its_owner_may() {
        let who = Who::Tool { owner: UserName::try_from("eve").unwrap(), token: "ci".into() };
        assert_eq!(who.to_string(), "eve (token ci)");
        let tool = Caller::new(who, Uuid::nil(), vec![Role::Admin]);
        assert!(tool.permit::<Administer>().is_ok());
        assert_eq!(tool.permit::<Own>().unwrap_err(), Denied::Tool);
    }
}
