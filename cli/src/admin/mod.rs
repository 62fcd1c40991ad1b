//! The verbs that ask the control plane: gRPC underneath, one file per noun.
//!
//! Always holds: TLS is verified; a secret goes to standard output, or into a file for its owner alone, when it is made and never again;
//! what a program reads with `--json` is the message of the admin API, field for field.

mod aws;
mod aws_key;
mod connect;
mod credential;
mod credential_file;
mod hyok;
mod job;
mod keystore;
mod login;
mod maintenance;
mod node;
mod partition;
mod passwords;
mod policy;
mod private_file;
mod session;
mod shown;
mod source_key;
mod synchronization;
mod token;
mod user;
mod virtual_key;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use self::connect::SignedIn;
pub(crate) use self::{
    aws::AwsArgs,
    aws_key::AwsKeyArgs,
    connect::Admin,
    credential::CredentialArgs,
    hyok::HyokArgs,
    job::JobArgs,
    keystore::KeystoreArgs,
    login::{LoginArgs, LogoutArgs, WhoAmIArgs},
    maintenance::{BackupArgs, ResealArgs},
    node::{ForgetArgs, ListArgs as NodeListArgs, ResyncArgs},
    partition::{AddArgs, AddedArgs, KeyAdoptArgs, KeyGenerateArgs, KeyListArgs, RemoveArgs},
    passwords::{ask, from_file},
    private_file::PrivateFile,
    shown::Out,
    source_key::KeyArgs,
    synchronization::SyncArgs,
    token::TokenArgs,
    user::UserArgs,
    virtual_key::VirtualKeyArgs,
};
use crate::failure::{Failure, Kind};

/// Whom a verb asks, and how it answers.
#[derive(Args, Clone, Debug)]
pub(crate) struct At {
    /// File of `holdfast login` [env: HOLDFAST_SESSION] [default: ~/.config/holdfast/session.json]
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help_heading = "Control plane",
        long_help = "File of `holdfast login` [env: HOLDFAST_SESSION] [default: ~/.config/holdfast/session.json]\n\n\
            Without a login: HOLDFAST_SERVER=https://HOST:PORT, HOLDFAST_TOKEN (of `holdfast token create`) and, for an authority that the \
            system doesn't know, HOLDFAST_CA=FILE"
    )]
    session: Option<PathBuf>,
    /// For programs: the answer, or the error on standard error, as JSON
    #[arg(long, global = true, help_heading = "Control plane")]
    json: bool,
}

impl At {
    /// Connects as whom the session or the environment names, and does it. Where a session's token is refused before its time, nothing was
    /// done yet, and it is done with a new one.
    pub(crate) fn run(&self, act: &impl AsyncFn(&mut Admin, Out) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
        let done = runtime().and_then(|runtime| {
            runtime.block_on(async {
                let mut caller = SignedIn::new(self.session.as_deref()).await?;
                match act(&mut caller.admin, self.out()).await {
                    Err(failure) if failure.kind() == Kind::SignIn && caller.renew().await? => act(&mut caller.admin, self.out()).await,
                    done => done,
                }
            })
        });
        self.told(done.map(|()| ExitCode::SUCCESS))
    }

    /// A failure in the form that was asked for, with what helps.
    fn told<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        done.map_err(|failure| connect::advised(failure).in_json(self.json))
    }

    const fn out(&self) -> Out {
        Out::new(self.json)
    }
}

/// A command asks one thing after another: one thread will do.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|cause| Failure::new(format!("cannot start a runtime: {cause}")))
}

/// A member of an answer that the API promises.
fn whole<T>(member: Option<T>, name: &str) -> Result<T, Failure> {
    member.ok_or_else(|| Failure::new(format!("the control plane's answer lacks {name}: is it another version?")))
}
