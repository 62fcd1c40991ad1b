//! `holdfast aws container`.

use clap::{ArgGroup, Args, Subcommand};
use holdfast_proto::admin::{
    CreateKmsContainerRequest, DeleteKmsContainerRequest, GetKmsContainerRequest, KmsAclChange, KmsContainer, ListKmsContainersRequest,
    UpdateKmsAclsRequest, UpdateKmsContainerRequest,
};
use serde_json::json;

use super::Role;
use crate::{
    admin::{
        Admin, Out,
        shown::{moment, moment_or},
        whole,
    },
    failure::Failure,
};

/// KMS containers: an AWS account in some regions each, where key stores and keys are
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws container list")]
pub(super) struct ContainerArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists KMS containers
    #[command(after_help = "Example: holdfast aws container list --json")]
    List,
    /// Shows a KMS container
    #[command(after_help = "Example: holdfast aws container show production")]
    Show(Named),
    /// Keeps a KMS container
    #[command(after_help = "Example: holdfast aws container create main --connection production --account 123456789012 --region eu-west-1")]
    Create {
        /// Its name
        name: String,
        /// The connection, by id or name
        #[arg(long)]
        connection: String,
        /// The AWS account, 12 digits; `holdfast aws account` tells it
        #[arg(long, value_name = "DIGITS")]
        account: String,
        /// A region; repeatable
        #[arg(long, required = true)]
        region: Vec<String>,
        #[command(flatten)]
        role: Role,
    },
    /// Changes what is given and leaves the rest
    #[command(after_help = "Example: holdfast aws container update main --region eu-west-1 --region us-east-1")]
    Update {
        /// The KMS container, by id or name
        container: String,
        /// Another connection, by id or name
        #[arg(long)]
        connection: Option<String>,
        /// A region, in the place of all that there were; repeatable
        #[arg(long)]
        region: Vec<String>,
        #[command(flatten)]
        role: Role,
    },
    /// Allows actions to a user or group
    #[command(after_help = "Example: holdfast aws container allow main --group operators --action keystoreconnect")]
    Allow(AclArgs),
    /// Allows actions to a user or group no longer
    #[command(after_help = "Example: holdfast aws container forbid main --user alice --action keycreate")]
    Forbid(AclArgs),
    /// Deletes a KMS container; refused while a key store or policy template is in it
    #[command(after_help = "Example: holdfast aws container delete main")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The KMS container, by id or name
    container: String,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("whom").required(true).args(["user", "group"]))]
struct AclArgs {
    /// The KMS container, by id or name
    container: String,
    /// The user
    #[arg(long)]
    user: Option<String>,
    /// The group
    #[arg(long)]
    group: Option<String>,
    /// An action, as in keycreate; repeatable. ACLs are kept and told, not enforced in this version
    #[arg(long, required = true)]
    action: Vec<String>,
}

impl ContainerArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => {
                let request = GetKmsContainerRequest { id: named.container.clone() };
                show(out, admin.kms_containers.get_kms_container(request).await?.into_inner().container)
            }
            Verb::Create { name, connection, account, region, role } => {
                let (assume_role_arn, assume_role_external_id) = role.given();
                let request = CreateKmsContainerRequest {
                    name: name.clone(),
                    account_id: account.clone(),
                    connection: connection.clone(),
                    regions: region.clone(),
                    assume_role_arn,
                    assume_role_external_id,
                };
                show(out, admin.kms_containers.create_kms_container(request).await?.into_inner().container)
            }
            Verb::Update { container, connection, region, role } => {
                let (assume_role_arn, assume_role_external_id) = role.given();
                let request = UpdateKmsContainerRequest {
                    id: container.clone(),
                    connection: connection.clone().unwrap_or_default(),
                    regions: region.clone(),
                    assume_role_arn,
                    assume_role_external_id,
                };
                show(out, admin.kms_containers.update_kms_container(request).await?.into_inner().container)
            }
            Verb::Allow(args) => args.run(admin, out, true).await,
            Verb::Forbid(args) => args.run(admin, out, false).await,
            Verb::Delete(named) => {
                admin.kms_containers.delete_kms_container(DeleteKmsContainerRequest { id: named.container.clone() }).await?;
                out.done(&json!({}), &format!("{} is deleted", named.container))
            }
        }
    }
}

impl AclArgs {
    async fn run(&self, admin: &mut Admin, out: Out, permit: bool) -> Result<(), Failure> {
        let change = KmsAclChange {
            user_id: self.user.clone().unwrap_or_default(),
            group: self.group.clone().unwrap_or_default(),
            permit,
            actions: self.action.clone(),
        };
        let request = UpdateKmsAclsRequest { id: self.container.clone(), changes: vec![change] };
        show(out, admin.kms_containers.update_kms_acls(request).await?.into_inner().container)
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.kms_containers.list_kms_containers(ListKmsContainersRequest {}).await?.into_inner().containers;
    out.list(&all, ["NAME", "ACCOUNT", "CONNECTION", "REGIONS", "ID"], |one| {
        [one.name.clone(), one.account_id.clone(), one.connection.clone(), one.regions.join(" "), one.id.clone()]
    })
}

fn show(out: Out, one: Option<KmsContainer>) -> Result<(), Failure> {
    let one = whole(one, "container")?;
    let acls = one.acls.iter().map(|acl| format!("{}{}: {}", acl.user_id, acl.group, acl.actions.join(" ")));
    out.one(
        &one,
        [
            ("name", one.name.clone()),
            ("id", one.id.clone()),
            ("account", one.account_id.clone()),
            ("connection", one.connection.clone()),
            ("regions", one.regions.join(" ")),
            ("role", one.assume_role_arn.clone()),
            ("external id", one.assume_role_external_id.clone()),
            ("cloud", one.cloud_name.clone()),
            ("allowed", acls.collect::<Vec<_>>().join("; ")),
            ("created", moment(one.created_ms)),
            ("updated", moment_or(one.updated_ms, "")),
        ],
    )
}
