//! Policy templates, named by id or name.

use std::sync::Arc;

use holdfast_proto::admin as wire;
use tonic::{Request, Response, Status};

use super::{
    Refusal,
    convert::{NS_PER_MS, document, said},
};
use crate::{
    access::{Manage, Permit, Read},
    api::{Api, call::Call},
    core::policy_templates::{GivenContent, NewTemplate, policy},
    store::entry::{PolicyContent, PolicyPeople, PolicyTemplateEntry},
};

/// The service.
pub(super) struct PolicyTemplatesApi(pub(super) Arc<Api>);

#[tonic::async_trait]
impl wire::policy_templates_server::PolicyTemplates for PolicyTemplatesApi {
    async fn list_policy_templates(
        &self,
        request: Request<wire::ListPolicyTemplatesRequest>,
    ) -> Result<Response<wire::ListPolicyTemplatesResponse>, Status> {
        let core = &self.0.core;
        let act = |permit: Permit<Read>, _| async move {
            let templates = core.policy_templates(&permit).await?.into_iter().map(template).collect();
            Ok(wire::ListPolicyTemplatesResponse { templates })
        };
        self.0.rpc(request, Call::new("policy_template.list", ""), act).await
    }

    async fn get_policy_template(
        &self,
        request: Request<wire::GetPolicyTemplateRequest>,
    ) -> Result<Response<wire::GetPolicyTemplateResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("policy_template.get", &request.get_ref().id));
        let act = |permit: Permit<Read>, q: wire::GetPolicyTemplateRequest| async move {
            let found = core.policy_template(&permit, &q.id).await?;
            Ok(wire::GetPolicyTemplateResponse { template: Some(template(found)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn create_policy_template(
        &self,
        request: Request<wire::CreatePolicyTemplateRequest>,
    ) -> Result<Response<wire::CreatePolicyTemplateResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("policy_template.create", &request.get_ref().name));
        let act = |permit: Permit<Manage>, q: wire::CreatePolicyTemplateRequest| async move {
            let content = content(&q.document, q.people)?;
            let new = NewTemplate { name: said(q.name), account_id: said(q.account_id), kms: said(q.kms), content };
            let made = core.create_policy_template(&permit, new).await?;
            Ok(wire::CreatePolicyTemplateResponse { template: Some(template(made)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn update_policy_template(
        &self,
        request: Request<wire::UpdatePolicyTemplateRequest>,
    ) -> Result<Response<wire::UpdatePolicyTemplateResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("policy_template.update", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::UpdatePolicyTemplateRequest| async move {
            let changed = core.change_policy_template(&permit, &q.id, (content(&q.document, q.people)?, q.auto_push)).await?;
            Ok(wire::UpdatePolicyTemplateResponse { template: Some(template(changed)) })
        };
        self.0.rpc(request, call, act).await
    }

    async fn delete_policy_template(
        &self,
        request: Request<wire::DeletePolicyTemplateRequest>,
    ) -> Result<Response<wire::DeletePolicyTemplateResponse>, Status> {
        let (core, call) = (&self.0.core, Call::new("policy_template.delete", &request.get_ref().id));
        let act = |permit: Permit<Manage>, q: wire::DeletePolicyTemplateRequest| async move {
            core.delete_policy_template(&permit, &q.id).await?;
            Ok(wire::DeletePolicyTemplateResponse {})
        };
        self.0.rpc(request, call, act).await
    }
}

/// People that are given take the place of all that were named before.
fn content(text: &str, people: Option<wire::PolicyPeople>) -> Result<GivenContent, Refusal> {
    let policy = document("document", text)?;
    let Some(people) = people else { return Ok(GivenContent { policy, ..GivenContent::default() }) };
    Ok(GivenContent {
        policy,
        external_accounts: Some(people.external_accounts),
        key_admins: Some(people.key_admins),
        key_admins_roles: Some(people.key_admins_roles),
        key_users: Some(people.key_users),
        key_users_roles: Some(people.key_users_roles),
    })
}

fn template(entry: PolicyTemplateEntry) -> wire::PolicyTemplate {
    let document = policy(&entry).to_string();
    let people = match entry.content {
        PolicyContent::People(people) => Some(told(people)),
        PolicyContent::Default | PolicyContent::Given(_) => None,
    };
    wire::PolicyTemplate {
        id: entry.id.to_string(),
        name: entry.name,
        account_id: entry.account_id,
        kms: entry.kms_as_sent.unwrap_or_default(),
        people,
        document,
        is_verified: entry.verified,
        created_ms: entry.stamps.created_ns / NS_PER_MS,
        updated_ms: entry.stamps.updated_ns / NS_PER_MS,
    }
}

fn told(people: PolicyPeople) -> wire::PolicyPeople {
    let PolicyPeople { external_accounts, key_admins, key_admins_roles, key_users, key_users_roles } = people;
    wire::PolicyPeople { external_accounts, key_admins, key_admins_roles, key_users, key_users_roles }
}
