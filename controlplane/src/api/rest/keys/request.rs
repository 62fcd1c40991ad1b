//! What clients say of a HYOK key that is to be.

use holdfast_proto::{
    ids::{ExternalKeyId, StoreId},
    records::LegacyFormat,
};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::for_aws::ForAwsMembers;
use crate::{
    api::error::Refusal,
    core::{
        CoreError,
        hyok_keys::{Link, NewHyokKey, SourceOf},
    },
    store::entry::LegacyEntry,
};

/// A key that is to be.
#[derive(Default, Deserialize, ToSchema)]
pub(super) struct CreateHyokKey {
    #[schema(required, nullable = false)]
    local_hosted_params: Option<CreateHyokKeyHosting>,
    #[serde(flatten)]
    for_aws: ForAwsMembers,
    /// Of a proxy that is taken over: the `XksKeyId` that AWS has; else the key's own id.
    external_key_id: Option<String>,
    /// Of a proxy that is taken over, how it made its AAD: `none`, `aws-sample` or `raw-concat`.
    legacy_format: Option<String>,
    /// The version that opens its ciphertexts: 0, which is the one that the key is made with.
    legacy_version: Option<u32>,
}

/// What the key is on.
#[derive(Default, Deserialize, ToSchema)]
struct CreateHyokKeyHosting {
    /// The key store's id.
    #[schema(required, nullable = false)]
    custom_key_store_id: Option<String>,
    /// A virtual key; in a store of tier `local` a key of `vault/keys2`.
    #[schema(required, nullable = false)]
    source_key_id: Option<String>,
    /// `local`, `luna-hsm` or `hsm-luna`: the store's.
    source_key_tier: Option<String>,
    blocked: Option<bool>,
    /// Make it in AWS as well: the key store must be linked and connected.
    linked_state: Option<bool>,
}

impl CreateHyokKey {
    /// The key store that it names.
    pub(super) fn store(&self) -> Option<&str> {
        self.local_hosted_params.as_ref()?.custom_key_store_id.as_deref()
    }

    /// What is asked, if it can be.
    pub(super) fn parse(self) -> Result<NewHyokKey, Refusal> {
        let hosted = self.local_hosted_params.unwrap_or_default();
        let store = hosted.custom_key_store_id.ok_or_else(|| Refusal::invalid("local_hosted_params.custom_key_store_id", REQUIRED))?;
        let store = Uuid::try_parse(&store).map_err(|_| CoreError::NotFound("key store"))?;
        let source = hosted.source_key_id.ok_or_else(|| Refusal::invalid("local_hosted_params.source_key_id", REQUIRED))?;
        let external_id = self.external_key_id.map(|id| ExternalKeyId::try_from(id.as_str())).transpose();
        let (for_aws, template) = self.for_aws.parse()?;
        Ok(NewHyokKey {
            external_id: external_id.map_err(|e| Refusal::invalid("external_key_id", e))?,
            legacy: legacy(self.legacy_format.as_deref(), self.legacy_version)?,
            blocked: hosted.blocked.unwrap_or(false),
            link: if hosted.linked_state == Some(true) { Link::Linked } else { Link::Unlinked },
            source: SourceOf::Named(source),
            tier_as_sent: hosted.source_key_tier,
            template,
            for_aws: for_aws.clone(),
            ..NewHyokKey::new(StoreId(store), for_aws.alias)
        })
    }
}

fn legacy(format: Option<&str>, version: Option<u32>) -> Result<Option<LegacyEntry>, Refusal> {
    let format = match format {
        None | Some("none") => None,
        Some("aws-sample") => Some(LegacyFormat::AwsSample),
        Some("raw-concat") => Some(LegacyFormat::RawConcat),
        Some(_) => return Err(Refusal::invalid("legacy_format", "must be none, aws-sample or raw-concat")),
    };
    if version.is_some_and(|version| version != 0) {
        return Err(Refusal::invalid("legacy_version", "must be 0, the version that the key is made with"));
    }
    Ok(format.map(|format| LegacyEntry { format, version: 0 }))
}

pub(super) const REQUIRED: &str = "is required";

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::entry::{ForAws, KeyPolicy, PolicyContent};

    /// What is done to a good body.
    type Change = fn(&mut Value);

    fn parsed(change: impl FnOnce(&mut Value)) -> Result<NewHyokKey, Refusal> {
        let mut body = json!({"local_hosted_params": {
            "custom_key_store_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "source_key_id": "s", "source_key_tier": "local"
        }});
        change(&mut body);
        serde_json::from_value::<CreateHyokKey>(body).unwrap().parse()
    }

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_said_is_kept() {
        let bare = parsed(|_| {}).unwrap();
        assert_eq!((bare.link, bare.blocked, bare.external_id, bare.legacy), (Link::Unlinked, false, None, None));
        assert_eq!((bare.source, bare.for_aws), (SourceOf::Named("s".into()), ForAws::default()));
        let full = parsed(|body| {
            body["aws_param"] =
                json!({"Alias": "alias/a", "Description": "d", "Tags": [{"TagKey": "k", "TagValue": "v"}], "Policy": {"a": ""}});
            body["external_key_id"] = "old".into();
            body["legacy_format"] = "raw-concat".into();
            body["BypassPolicyLockoutSafetyCheck"] = true.into();
        })
        .unwrap();
        assert_eq!((full.for_aws.alias.as_str(), full.for_aws.description.as_str(), full.for_aws.tags.len()), ("a", "d", 1));
        assert!(full.for_aws.bypass_lockout_check);
        assert_eq!(full.legacy, Some(LegacyEntry { format: LegacyFormat::RawConcat, version: 0 }));
        assert!(matches!(full.for_aws.policy, KeyPolicy::Own(PolicyContent::Given(_))));
    }

    #[test]
    fn the_ways_to_say_a_policy_exclude_each_other_and_a_single_name_is_a_list() {
        let said = |policy: bool, template: bool, people: bool| {
            parsed(|body| {
                if policy {
                    body["aws_param"] = json!({"Policy": {"Version": "2012-10-17"}});
                }
                if template {
                    body["policytemplate"] = "t".into();
                }
                if people {
                    body["key_users"] = "alice".into();
                }
            })
        };
        for (policy, template, people) in (0..8).map(|bits| (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0)) {
            let ways = usize::from(policy) + usize::from(template) + usize::from(people);
            assert_eq!(said(policy, template, people).is_ok(), ways <= 1, "{policy} {template} {people}");
        }
        let KeyPolicy::Own(PolicyContent::People(people)) = said(false, false, true).unwrap().for_aws.policy else { panic!("people") };
        assert_eq!(people.key_users, ["alice"]);
    }

    #[test]
    fn a_fault_names_its_member() {
        let cases: [(Change, &str); 5] = [
            (|body| body["local_hosted_params"]["custom_key_store_id"] = Value::Null, "local_hosted_params.custom_key_store_id: "),
            (|body| body["local_hosted_params"]["source_key_id"] = Value::Null, "local_hosted_params.source_key_id: "),
            (|body| body["legacy_format"] = "odd".into(), "legacy_format: "),
            (|body| body["legacy_version"] = 1.into(), "legacy_version: "),
            (|body| body["external_key_id"] = "a b".into(), "external_key_id: "),
        ];
        for (change, begin) in cases {
            let refusal = parsed(change).unwrap_err();
            assert!(refusal.text().starts_with(begin), "{begin}: {}", refusal.text());
        }
    }
}
