//! `holdfast credential`: what AWS KMS signs with.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use holdfast_proto::admin::{CreateCredentialRequest, DeleteCredentialRequest, ListCredentialsRequest};

use super::{
    Admin, At, Out,
    credential_file::SecretOut,
    shown::{moment, moment_or, warn_of_pending},
    whole,
};
use crate::failure::Failure;

/// Credentials of key stores: what AWS KMS signs its requests with
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast credential list payments")]
pub(crate) struct CredentialArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists a key store's credentials, with when each was used last
    #[command(after_help = "Example: holdfast credential list payments")]
    List {
        /// The key store, by id or name
        key_store: String,
    },
    Create(CreateArgs),
    /// Deletes a credential; refused for the last one
    #[command(after_help = "Example: holdfast credential delete payments 0b9c8e0e-5b4b-4a62-8c51-6a9f2d8e8a11")]
    Delete {
        /// The key store, by id or name
        key_store: String,
        /// The credential's id, or its access key id
        credential: String,
    },
}

/// Makes one more credential; its secret is shown once
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast credential create payments --out credential.json")]
struct CreateArgs {
    /// The key store, by id or name
    key_store: String,
    /// Write the credential to a new file, for its owner alone, and don't print it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl CredentialArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List { key_store } => list(admin, out, key_store).await,
            Verb::Create(args) => create(admin, out, args).await,
            Verb::Delete { key_store, credential } => delete(admin, out, (key_store, credential)).await,
        })
    }
}

async fn list(admin: &mut Admin, out: Out, key_store: &str) -> Result<(), Failure> {
    let request = ListCredentialsRequest { key_store_id: key_store.to_owned() };
    let all = admin.key_stores.list_credentials(request).await?.into_inner().credentials;
    out.list(&all, ["ACCESS KEY ID", "VERSION", "CREATED", "LAST USED", "ID"], |one| {
        let (created, used) = (moment(one.created_ms), moment_or(one.last_used_ms, "never"));
        [one.access_key_id.clone(), one.version.to_string(), created, used, one.id.clone()]
    })
}

async fn create(admin: &mut Admin, out: Out, args: &CreateArgs) -> Result<(), Failure> {
    let file = SecretOut::new(args.out.as_deref())?;
    let request = CreateCredentialRequest { key_store_id: args.key_store.clone() };
    let answer = admin.key_stores.create_credential(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    let credential = whole(answer.credential.clone(), "credential")?;
    if file.keep(&answer)? {
        let secret = format!("{}  shown this once", answer.secret_access_key);
        return out.one(&answer, [("access key id", credential.access_key_id), ("secret access key", secret), ("id", credential.id)]);
    }
    out.one(&credential, [("access key id", credential.access_key_id.clone()), ("id", credential.id.clone())])
}

async fn delete(admin: &mut Admin, out: Out, which: (&str, &str)) -> Result<(), Failure> {
    let (key_store, named) = which;
    let request = ListCredentialsRequest { key_store_id: key_store.to_owned() };
    let all = admin.key_stores.list_credentials(request).await?.into_inner().credentials;
    // A name that none has is the control plane's to refuse.
    let id = all.iter().find(|one| one.access_key_id == named).map_or(named, |one| one.id.as_str());
    let request = DeleteCredentialRequest { key_store_id: key_store.to_owned(), id: id.to_owned() };
    let answer = admin.key_stores.delete_credential(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{named} is deleted"))
}
