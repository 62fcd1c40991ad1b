//! `holdfast aws template`.

use clap::{ArgGroup, Args, Subcommand};
use holdfast_proto::admin::{
    CreatePolicyTemplateRequest, DeletePolicyTemplateRequest, GetPolicyTemplateRequest, ListPolicyTemplatesRequest, PolicyTemplate,
    UpdatePolicyTemplateRequest,
};
use serde_json::json;

use crate::{
    admin::{
        Admin, Out,
        policy::PolicyContent,
        shown::{moment, moment_or, yes_or_no},
        whole,
    },
    failure::Failure,
};

/// Policy templates: key policies that many keys in AWS can have
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast aws template list")]
pub(super) struct TemplateArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists policy templates
    #[command(after_help = "Example: holdfast aws template list --json")]
    List,
    /// Shows a policy template
    #[command(after_help = "Example: holdfast aws template show payments")]
    Show(Named),
    /// Keeps a policy template; of which nothing is said, it is AWS's default policy
    #[command(group = ArgGroup::new("place").required(true).args(["kms", "account"]))]
    #[command(after_help = "Example: holdfast aws template create payments --kms main --key-user alice --key-admin-role keepers")]
    Create {
        /// Its name
        name: String,
        /// The KMS container, by id or name
        #[arg(long, value_name = "CONTAINER")]
        kms: Option<String>,
        /// The AWS account, where no KMS container is named
        #[arg(long, value_name = "DIGITS")]
        account: Option<String>,
        #[command(flatten)]
        content: PolicyContent,
    },
    /// Sets what the policy says, in the place of what it was
    #[command(after_help = "Example: holdfast aws template update payments --policy policy.json")]
    Update {
        /// The policy template, by id or name
        template: String,
        /// Give it to all keys that have the template, too
        #[arg(long)]
        push: bool,
        #[command(flatten)]
        content: PolicyContent,
    },
    /// Deletes a policy template; refused while a key has it
    #[command(after_help = "Example: holdfast aws template delete payments")]
    Delete(Named),
}

#[derive(Args, Debug)]
struct Named {
    /// The policy template, by id or name
    template: String,
}

impl TemplateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => {
                let request = GetPolicyTemplateRequest { id: named.template.clone() };
                show(out, admin.policy_templates.get_policy_template(request).await?.into_inner().template)
            }
            Verb::Create { name, kms, account, content } => {
                let request = CreatePolicyTemplateRequest {
                    name: name.clone(),
                    account_id: account.clone().unwrap_or_default(),
                    kms: kms.clone().unwrap_or_default(),
                    document: content.document()?,
                    people: content.people(),
                };
                show(out, admin.policy_templates.create_policy_template(request).await?.into_inner().template)
            }
            Verb::Update { template, push, content } => {
                let request = UpdatePolicyTemplateRequest {
                    id: template.clone(),
                    document: content.document()?,
                    people: content.people(),
                    auto_push: *push,
                };
                show(out, admin.policy_templates.update_policy_template(request).await?.into_inner().template)
            }
            Verb::Delete(named) => {
                admin.policy_templates.delete_policy_template(DeletePolicyTemplateRequest { id: named.template.clone() }).await?;
                out.done(&json!({}), &format!("{} is deleted", named.template))
            }
        }
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.policy_templates.list_policy_templates(ListPolicyTemplatesRequest {}).await?.into_inner().templates;
    out.list(&all, ["NAME", "ACCOUNT", "KMS CONTAINER", "ID"], |one| {
        [one.name.clone(), one.account_id.clone(), one.kms.clone(), one.id.clone()]
    })
}

fn show(out: Out, one: Option<PolicyTemplate>) -> Result<(), Failure> {
    let one = whole(one, "template")?;
    out.one(
        &one,
        [
            ("name", one.name.clone()),
            ("id", one.id.clone()),
            ("account", one.account_id.clone()),
            ("KMS container", one.kms.clone()),
            ("policy", one.document.clone()),
            ("keys had it", yes_or_no(one.is_verified)),
            ("created", moment(one.created_ms)),
            ("updated", moment_or(one.updated_ms, "")),
        ],
    )
}
