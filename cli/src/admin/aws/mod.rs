//! `holdfast aws`: how AWS accounts are reached, and the policies that keys there may be given.

mod connection;
mod container;
mod template;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_proto::admin::GetAwsAccountRequest;

use super::{Admin, At, Out};
use crate::failure::Failure;

/// AWS accounts: connections to them, KMS containers, policy templates
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws container list")]
pub(crate) struct AwsArgs {
    #[command(subcommand)]
    noun: Noun,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Noun {
    Connection(connection::ConnectionArgs),
    Container(container::ContainerArgs),
    Template(template::TemplateArgs),
    Account(AccountArgs),
}

/// Asks AWS to which account a connection leads, and lists the regions of its AWS partition
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws account production")]
struct AccountArgs {
    /// The connection, by id or name
    connection: String,
    #[command(flatten)]
    role: Role,
}

/// A role to take on.
#[derive(Args, Debug)]
struct Role {
    /// ARN of a role to take on
    #[arg(long, value_name = "ARN")]
    assume_role: Option<String>,
    /// What that role's trust policy asks for
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}

impl Role {
    /// ARN and external id; empty where none is given.
    fn given(&self) -> (String, String) {
        (self.assume_role.clone().unwrap_or_default(), self.external_id.clone().unwrap_or_default())
    }
}

impl AwsArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.noun {
            Noun::Connection(args) => args.run(admin, out).await,
            Noun::Container(args) => args.run(admin, out).await,
            Noun::Template(args) => args.run(admin, out).await,
            Noun::Account(args) => account(admin, out, args).await,
        })
    }
}

async fn account(admin: &mut Admin, out: Out, args: &AccountArgs) -> Result<(), Failure> {
    let (assume_role_arn, assume_role_external_id) = args.role.given();
    let request = GetAwsAccountRequest { connection: args.connection.clone(), assume_role_arn, assume_role_external_id };
    let answer = admin.aws_connections.get_aws_account(request).await?.into_inner();
    out.one(&answer, [("account", answer.account_id.clone()), ("regions", answer.regions.join(" "))])
}
