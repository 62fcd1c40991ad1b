//! `holdfast user`: who may use the admin API.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use holdfast_proto::admin::{
    ChangePasswordRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, ResetPasswordRequest,
    SetUserEnabledRequest, SetUserRolesRequest, User,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    Admin, At, Out,
    passwords::{self, PasswordSource},
    shown::{moment, yes_or_no},
    whole,
};
use crate::failure::Failure;

/// Users of the admin API
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast user list")]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists all users
    #[command(after_help = "Example: holdfast user list --json")]
    List,
    /// Shows a user
    #[command(after_help = "Example: holdfast user show alice")]
    Show(Named),
    /// Makes a user; without a password one is generated and shown once
    #[command(after_help = "Example: holdfast user create alice --role key-admin --password-file alice.password")]
    Create {
        /// The user's name
        name: String,
        /// What the user may do; repeatable
        #[arg(long, value_enum, required = true)]
        role: Vec<Role>,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Sets what a user may do, in the place of what it was
    #[command(after_help = "Example: holdfast user set-roles alice --role key-user --role auditor")]
    SetRoles {
        /// The user's name
        name: String,
        /// What the user may do; repeatable
        #[arg(long, value_enum, required = true)]
        role: Vec<Role>,
    },
    /// Lets a user in again
    #[command(after_help = "Example: holdfast user enable alice")]
    Enable(Named),
    /// Locks a user out at once, tokens included
    #[command(after_help = "Example: holdfast user disable alice")]
    Disable(Named),
    /// Gives a user another password; without one it is generated and shown once
    #[command(after_help = "Example: holdfast user reset-password alice")]
    ResetPassword {
        /// The user's name
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Changes your own password, which is asked for; all sessions end
    #[command(after_help = "Example: holdfast user change-password --password-file new.password")]
    ChangePassword {
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Deletes a user
    #[command(after_help = "Example: holdfast user delete alice")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The user's name
    name: String,
}

/// The roles that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Everything, users and backups too
    Admin,
    /// Key stores and keys
    KeyAdmin,
    /// Uses keys
    KeyUser,
    /// Sees everything, changes nothing
    Auditor,
}

impl Role {
    /// As the API calls them.
    pub(super) fn names(roles: &[Self]) -> Vec<String> {
        let name = |role: &Self| match role {
            Self::Admin => "admin",
            Self::KeyAdmin => "key-admin",
            Self::KeyUser => "key-user",
            Self::Auditor => "auditor",
        };
        roles.iter().map(|role| name(role).to_owned()).collect()
    }
}

impl UserArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        // Read once, though a call may be made twice.
        let password = self.at.told(self.verb.password())?;
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(Named { name }) => {
                let request = GetUserRequest { name: name.clone() };
                show(out, &whole(admin.users.get_user(request).await?.into_inner().user, "user")?)
            }
            Verb::Create { name, role, .. } => create(admin, out, (name, role, &password)).await,
            Verb::SetRoles { name, role } => {
                let request = SetUserRolesRequest { name: name.clone(), roles: Role::names(role) };
                show(out, &whole(admin.users.set_user_roles(request).await?.into_inner().user, "user")?)
            }
            Verb::Enable(Named { name }) => set_enabled(admin, out, (name, true)).await,
            Verb::Disable(Named { name }) => set_enabled(admin, out, (name, false)).await,
            Verb::ResetPassword { name, .. } => {
                let request = ResetPasswordRequest { name: name.clone(), password: password.new.to_string() };
                let answer = admin.users.reset_password(request).await?.into_inner();
                match answer.generated_password.as_str() {
                    "" => out.done(&answer, &format!("{name} has another password")),
                    made => out.done(&answer, &format!("password of {name}: {made}  shown this once")),
                }
            }
            Verb::ChangePassword { .. } => {
                let request = ChangePasswordRequest { old_password: password.old.to_string(), new_password: password.new.to_string() };
                admin.access.change_password(request).await?;
                out.done(&json!({}), "the password is changed; `holdfast login` signs in with it")
            }
            Verb::Delete(Named { name }) => {
                admin.users.delete_user(DeleteUserRequest { name: name.clone() }).await?;
                out.done(&json!({}), &format!("{name} is deleted"))
            }
        })
    }
}

/// What a verb was given, or asked for; empty where it has none.
#[derive(Default)]
struct Passwords {
    old: Zeroizing<String>,
    new: Zeroizing<String>,
}

impl Verb {
    fn password(&self) -> Result<Passwords, Failure> {
        match self {
            Self::Create { password, .. } | Self::ResetPassword { password, .. } => {
                Ok(Passwords { new: password.given()?.unwrap_or_default(), ..Passwords::default() })
            }
            Self::ChangePassword { password } => {
                let old = passwords::ask("old password", "it on a terminal")?;
                let new = match password.given()? {
                    Some(new) => new,
                    None => passwords::ask_twice("new password", "--password-file")?,
                };
                Ok(Passwords { old, new })
            }
            Self::List | Self::Show(_) | Self::SetRoles { .. } | Self::Enable(_) | Self::Disable(_) | Self::Delete(_) => {
                Ok(Passwords::default())
            }
        }
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.users.list_users(ListUsersRequest {}).await?.into_inner().users;
    out.list(&all, ["NAME", "ROLES", "ENABLED", "CREATED"], |user| {
        [user.name.clone(), user.roles.join(" "), yes_or_no(user.enabled), moment(user.created_ms)]
    })
}

async fn create(admin: &mut Admin, out: Out, new: (&str, &[Role], &Passwords)) -> Result<(), Failure> {
    let (name, roles, passwords) = new;
    let request = CreateUserRequest { name: name.to_owned(), password: passwords.new.to_string(), roles: Role::names(roles) };
    let answer = admin.users.create_user(request).await?.into_inner();
    if answer.generated_password.is_empty() {
        return out.done(&answer, &format!("{name} is made"));
    }
    out.done(&answer, &format!("{name} is made; password: {}  shown this once", answer.generated_password))
}

async fn set_enabled(admin: &mut Admin, out: Out, which: (&str, bool)) -> Result<(), Failure> {
    let (name, enabled) = which;
    let request = SetUserEnabledRequest { name: name.to_owned(), enabled };
    show(out, &whole(admin.users.set_user_enabled(request).await?.into_inner().user, "user")?)
}

fn show(out: Out, user: &User) -> Result<(), Failure> {
    out.one(
        user,
        [
            ("name", user.name.clone()),
            ("roles", user.roles.join(", ")),
            ("enabled", yes_or_no(user.enabled)),
            ("id", user.id.clone()),
            ("created", moment(user.created_ms)),
            ("updated", moment(user.updated_ms)),
        ],
    )
}
