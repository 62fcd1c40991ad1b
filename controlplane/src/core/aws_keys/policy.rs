//! Key policies: where they come from, and which keys carry a template's.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    core::{CoreError, policy_templates},
    store::{
        View,
        entry::{AwsKeyEntry, ForAws, KeyPolicy, KmsContainerEntry},
    },
};

/// The policy that a key is to have in AWS; never empty.
///
/// # Errors
/// [`CoreError::NotFound`] for its template.
pub fn policy_of(view: &View, for_aws: &ForAws, kms: &KmsContainerEntry) -> Result<Map<String, Value>, CoreError> {
    Ok(match &for_aws.policy {
        KeyPolicy::Own(content) => policy_templates::document((kms.cloud, &kms.account_id), content),
        KeyPolicy::Template(id) => {
            let template = view.policy_template(*id)?.ok_or(CoreError::NotFound("policy template"))?;
            policy_templates::document((template.cloud, &template.account_id), &template.content)
        }
    })
}

/// Whether a key in AWS carries a template's policy; one whose deletion waits, too.
pub(in crate::core) fn carries(key: &AwsKeyEntry, template: Uuid) -> bool {
    match key.in_aws() {
        Some(told) => told.tags.iter().any(|tag| tag.key == TEMPLATE_TAG && Uuid::try_parse(&tag.value) == Ok(template)),
        // It is being made with it.
        None => key.doing.is_some() && key.for_aws.policy == KeyPolicy::Template(template),
    }
}

/// The tag that names the policy template of a key.
pub const TEMPLATE_TAG: &str = "cckm_policy_template_id";
