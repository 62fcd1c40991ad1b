//! `holdfast aws connection`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use holdfast_proto::admin::{
    AwsConnection, CreateAwsConnectionRequest, DeleteAwsConnectionRequest, GetAwsConnectionRequest, ListAwsConnectionsRequest,
    UpdateAwsConnectionRequest,
};
use serde_json::json;

use super::Role;
use crate::{
    admin::{
        Admin, Out, passwords,
        shown::{moment, moment_or},
        whole,
    },
    failure::Failure,
};

/// Connections to AWS accounts, and their access keys
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws connection list")]
pub(super) struct ConnectionArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists connections
    #[command(after_help = "Example: holdfast aws connection list --json")]
    List,
    /// Shows a connection, without its secret
    #[command(after_help = "Example: holdfast aws connection show production")]
    Show(Named),
    /// Keeps a connection; without an access key AWS is asked as whom the control plane's host knows itself
    #[command(after_help = "\
Examples:
  holdfast aws connection create production --access-key-id AKIAIOSFODNN7EXAMPLE --secret-access-key-file secret
  holdfast aws connection create by-role --assume-role arn:aws:iam::123456789012:role/holdfast")]
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        given: Given,
    },
    /// Changes what is given and leaves the rest
    #[command(after_help = "Example: holdfast aws connection update production --description main")]
    Update {
        /// The connection, by id or name
        connection: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        given: Given,
    },
    /// Deletes a connection; refused while a KMS container uses it
    #[command(after_help = "Example: holdfast aws connection delete production")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The connection, by id or name
    connection: String,
}

#[derive(Args, Debug)]
struct Given {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The access key's id
    #[arg(long, value_name = "ID")]
    access_key_id: Option<String>,
    /// File that holds its secret
    #[arg(long, value_name = "FILE")]
    secret_access_key_file: Option<PathBuf>,
    #[command(flatten)]
    role: Role,
    /// Region where STS is asked
    #[arg(long)]
    region: Option<String>,
    /// Which endpoints of STS are asked
    #[arg(long, value_enum)]
    sts_endpoints: Option<StsEndpoints>,
    /// AWS's partition: aws, aws-us-gov or aws-cn
    #[arg(long, value_name = "PARTITION")]
    cloud: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StsEndpoints {
    /// The global one, for the regions that had it first
    Legacy,
    /// The region's own
    Regional,
}

impl Given {
    fn secret(&self) -> Result<String, Failure> {
        let secret = self.secret_access_key_file.as_deref().map(passwords::from_file).transpose()?;
        Ok(secret.map(|secret| secret.to_string()).unwrap_or_default())
    }

    fn sts_endpoints(&self) -> String {
        let name = self.sts_endpoints.map(|endpoints| match endpoints {
            StsEndpoints::Legacy => "legacy",
            StsEndpoints::Regional => "regional",
        });
        name.unwrap_or_default().to_owned()
    }
}

impl ConnectionArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => {
                let request = GetAwsConnectionRequest { id: named.connection.clone() };
                show(out, &whole(admin.aws_connections.get_aws_connection(request).await?.into_inner().connection, "connection")?)
            }
            Verb::Create { name, given } => create(admin, out, (name, given)).await,
            Verb::Update { connection, name, given } => update(admin, out, (connection, name.as_deref(), given)).await,
            Verb::Delete(named) => {
                admin.aws_connections.delete_aws_connection(DeleteAwsConnectionRequest { id: named.connection.clone() }).await?;
                out.done(&json!({}), &format!("{} is deleted", named.connection))
            }
        }
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.aws_connections.list_aws_connections(ListAwsConnectionsRequest {}).await?.into_inner().connections;
    out.list(&all, ["NAME", "ACCESS KEY ID", "ROLE", "ID"], |one| {
        [one.name.clone(), one.access_key_id.clone(), one.assume_role_arn.clone(), one.id.clone()]
    })
}

async fn create(admin: &mut Admin, out: Out, (name, given): (&str, &Given)) -> Result<(), Failure> {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let (assume_role_arn, assume_role_external_id) = given.role.given();
    let request = CreateAwsConnectionRequest {
        name: name.to_owned(),
        description: text(&given.description),
        access_key_id: text(&given.access_key_id),
        secret_access_key: given.secret()?,
        assume_role_arn,
        assume_role_external_id,
        region: text(&given.region),
        sts_endpoints: given.sts_endpoints(),
        cloud_name: text(&given.cloud),
        ..CreateAwsConnectionRequest::default()
    };
    let answer = admin.aws_connections.create_aws_connection(request).await?.into_inner();
    show(out, &whole(answer.connection, "connection")?)
}

async fn update(admin: &mut Admin, out: Out, (id, name, given): (&str, Option<&str>, &Given)) -> Result<(), Failure> {
    let text = |given: &Option<String>| given.clone().unwrap_or_default();
    let (assume_role_arn, assume_role_external_id) = given.role.given();
    let request = UpdateAwsConnectionRequest {
        id: id.to_owned(),
        name: name.unwrap_or_default().to_owned(),
        description: text(&given.description),
        access_key_id: text(&given.access_key_id),
        secret_access_key: given.secret()?,
        assume_role_arn,
        assume_role_external_id,
        region: text(&given.region),
        sts_endpoints: given.sts_endpoints(),
        cloud_name: text(&given.cloud),
        ..UpdateAwsConnectionRequest::default()
    };
    let answer = admin.aws_connections.update_aws_connection(request).await?.into_inner();
    show(out, &whole(answer.connection, "connection")?)
}

fn show(out: Out, one: &AwsConnection) -> Result<(), Failure> {
    let role_anywhere = one.role_anywhere.as_ref().map(|role| role.role_arn.clone()).unwrap_or_default();
    let last = one.last_connection.clone().unwrap_or_default();
    out.one(
        one,
        [
            ("name", one.name.clone()),
            ("id", one.id.clone()),
            ("description", one.description.clone()),
            ("access key id", one.access_key_id.clone()),
            ("role", one.assume_role_arn.clone()),
            ("external id", one.assume_role_external_id.clone()),
            ("role anywhere", role_anywhere),
            ("region", one.region.clone()),
            ("STS endpoints", one.sts_endpoints.clone()),
            ("cloud", one.cloud_name.clone()),
            ("last used", moment_or(last.at_ms, "")),
            ("it failed", last.failure),
            ("created", moment(one.created_ms)),
            ("updated", moment_or(one.updated_ms, "")),
        ],
    )
}
