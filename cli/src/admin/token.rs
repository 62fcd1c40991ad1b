//! `holdfast token`: what tools sign in with.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use holdfast_proto::admin::{CreateApiTokenRequest, ListApiTokensRequest, RevokeApiTokenRequest};
use serde_json::json;

use super::{
    Admin, At, Out, PrivateFile,
    shown::{moment, moment_or},
    user::Role,
    whole,
};
use crate::failure::Failure;

/// API tokens: what tools sign in with, as HOLDFAST_TOKEN or as a Bearer token
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast token list")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Create(CreateArgs),
    /// Lists your tokens; an admin sees everybody's
    #[command(after_help = "Example: holdfast token list")]
    List,
    /// Ends a token at once
    #[command(after_help = "Example: holdfast token revoke 3e0e3a70-6f4c-4f7e-8a35-0f5d1c7d2e11")]
    Revoke {
        /// The token's id
        id: String,
    },
}

/// Makes a token, which is shown once
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast token create backup --role auditor --days 90
  holdfast token create terraform --out terraform.token")]
struct CreateArgs {
    /// What it is for
    name: String,
    /// Of your own roles; repeatable [default: all of them]
    #[arg(long, value_enum)]
    role: Vec<Role>,
    /// How long it lives [default: for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
    /// Write the token to a new file, for its owner alone, and don't print it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl TokenArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::Create(args) => create(admin, out, args).await,
            Verb::List => list(admin, out).await,
            Verb::Revoke { id } => {
                admin.access.revoke_api_token(RevokeApiTokenRequest { id: id.clone() }).await?;
                out.done(&json!({}), &format!("{id} is revoked"))
            }
        })
    }
}

async fn create(admin: &mut Admin, out: Out, args: &CreateArgs) -> Result<(), Failure> {
    let file = args.out.as_deref().map(PrivateFile::new).transpose()?;
    let life_seconds = args.days.map_or(0, |days| u64::from(days) * 24 * 60 * 60);
    let request = CreateApiTokenRequest { name: args.name.clone(), roles: Role::names(&args.role), life_seconds };
    let answer = admin.access.create_api_token(request).await?.into_inner();
    let token = whole(answer.api_token.clone(), "api_token")?;
    let (roles, expires) = (token.roles.join(", "), moment_or(token.expires_ms, "never"));
    match file {
        None => {
            let shown = format!("{}  shown this once", answer.token);
            out.one(&answer, [("token", shown), ("id", token.id), ("roles", roles), ("expires", expires)])
        }
        Some(mut file) => {
            file.write(answer.token.as_bytes())?;
            file.write(b"\n")?;
            file.finish()?;
            out.one(&token, [("id", token.id.clone()), ("roles", roles), ("expires", expires)])
        }
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.access.list_api_tokens(ListApiTokensRequest {}).await?.into_inner().api_tokens;
    out.list(&all, ["NAME", "OWNER", "ROLES", "CREATED", "EXPIRES", "LAST USED", "ID"], |token| {
        [
            token.name.clone(),
            token.owner.clone(),
            token.roles.join(" "),
            moment(token.created_ms),
            moment_or(token.expires_ms, "never"),
            moment_or(token.last_used_ms, "never"),
            token.id.clone(),
        ]
    })
}
