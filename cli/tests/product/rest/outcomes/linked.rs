//! The rows about AWS. What they ask is refused before AWS would be asked: nothing in this test answers as AWS.

use holdfast_proto::admin::{
    AddAwsKeyAliasRequest, AddAwsKeyTagsRequest, AwsTag, CancelSynchronizationRequest, ConnectKeyStoreRequest, CreateAwsKeyRequest,
    CreateCloudHsmKeyRequest, DisableCredentialRotationJobRequest, DisconnectKeyStoreRequest, EnableAwsKeyRequest,
    EnableCredentialRotationJobRequest, GetSynchronizationRequest, KeyPolicy, LinkHyokKeyRequest, ListSynchronizationsRequest,
    RotateAwsKeyMaterialRequest, ScheduleAwsKeyDeletionRequest, SetAwsKeyPolicyRequest, StartSynchronizationRequest,
};
use serde_json::json;

use super::{Row, UNKNOWN, act, read};

/// What AWS would be asked for a key store, and for a key in it: neither is linked.
pub(super) fn linked_key_stores(store: &str, hyok: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, status) in [(UNKNOWN, 404), (store, 409)] {
        let path = |action: &str| format!("cckm/aws/custom-key-stores/{id}/{action}");
        let same = id.to_owned();
        let id = same.clone();
        rows.push(act(status, path("connect"), move |grpc| {
            let message = ConnectKeyStoreRequest { id: id.clone(), ..Default::default() };
            grpc.ask(message, async |client, request| client.key_stores.connect_key_store(request).await)
        }));
        let id = same.clone();
        rows.push(act(status, path("disconnect"), move |grpc| {
            let message = DisconnectKeyStoreRequest { id: id.clone() };
            grpc.ask(message, async |client, request| client.key_stores.disconnect_key_store(request).await)
        }));
        let id = same.clone();
        rows.push(act(status, path("disable-credential-rotation-job"), move |grpc| {
            let message = DisableCredentialRotationJobRequest { id: id.clone() };
            grpc.ask(message, async |client, request| client.key_stores.disable_credential_rotation_job(request).await)
        }));
        let id = same.clone();
        let job = json!({ "job_config_id": UNKNOWN });
        rows.push(Row {
            body: job,
            ..act(status, path("enable-credential-rotation-job"), move |grpc| {
                let message = EnableCredentialRotationJobRequest { id: id.clone(), job_id: UNKNOWN.to_owned() };
                grpc.ask(message, async |client, request| client.key_stores.enable_credential_rotation_job(request).await)
            })
        });
        let id = same.clone();
        rows.push(act(status, path("create-aws-key"), move |grpc| {
            let message = CreateCloudHsmKeyRequest { key_store: id.clone(), key: None };
            grpc.ask(message, async |client, request| client.aws_keys.create_cloud_hsm_key(request).await)
        }));
    }
    for (id, status) in [(UNKNOWN, 404), (hyok, 409)] {
        let same = id.to_owned();
        rows.push(act(status, format!("cckm/aws/keys/{id}/link"), move |grpc| {
            let message = LinkHyokKeyRequest { id: same.clone(), for_aws: None };
            grpc.ask(message, async |client, request| client.hyok_keys.link_hyok_key(request).await)
        }));
    }
    rows
}

/// What is done to a key in AWS: to one that is not linked, and to one that is not there.
pub(super) fn keys_in_aws(hyok: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, status) in [(UNKNOWN, 404), (hyok, 409)] {
        let path = |action: &str| format!("cckm/aws/keys/{id}/{action}");
        let same = id.to_owned();
        let id = same.clone();
        rows.push(act(status, path("enable"), move |grpc| {
            let message = EnableAwsKeyRequest { id: id.clone() };
            grpc.ask(message, async |client, request| client.aws_keys.enable_aws_key(request).await)
        }));
        let id = same.clone();
        rows.push(Row {
            body: json!({ "alias": "a" }),
            ..act(status, path("add-alias"), move |grpc| {
                let message = AddAwsKeyAliasRequest { id: id.clone(), alias: "a".to_owned() };
                grpc.ask(message, async |client, request| client.aws_keys.add_aws_key_alias(request).await)
            })
        });
        let id = same.clone();
        rows.push(Row {
            body: json!({ "tags": [{ "tag_key": "k", "tag_value": "not this: !" }] }),
            ..act(400, path("add-tags"), move |grpc| {
                let tags = vec![AwsTag { key: "k".to_owned(), value: "not this: !".to_owned() }];
                grpc.ask(AddAwsKeyTagsRequest { id: id.clone(), tags }, async |client, request| {
                    client.aws_keys.add_aws_key_tags(request).await
                })
            })
        });
        let id = same.clone();
        rows.push(Row {
            body: json!({ "days": 3 }),
            ..act(400, path("schedule-deletion"), move |grpc| {
                let message = ScheduleAwsKeyDeletionRequest { id: id.clone(), days: 3 };
                grpc.ask(message, async |client, request| client.aws_keys.schedule_aws_key_deletion(request).await)
            })
        });
        let id = same.clone();
        rows.push(Row {
            body: json!({ "policytemplate": UNKNOWN }),
            ..act(404, path("policy"), move |grpc| {
                let policy = Some(KeyPolicy { template: UNKNOWN.to_owned(), ..Default::default() });
                let message = SetAwsKeyPolicyRequest { id: id.clone(), policy };
                grpc.ask(message, async |client, request| client.aws_keys.set_aws_key_policy(request).await)
            })
        });
        rows.push(act(status, path("rotate-material"), move |grpc| {
            let message = RotateAwsKeyMaterialRequest { id: same.clone() };
            grpc.ask(message, async |client, request| client.aws_keys.rotate_aws_key_material(request).await)
        }));
    }
    let elsewhere = json!({ "kms": "kms", "region": "eu-central-1" });
    rows.push(Row {
        body: elsewhere,
        ..act(400, "cckm/aws/keys".to_owned(), |grpc| {
            let message = CreateAwsKeyRequest { kms: "kms".to_owned(), region: "eu-central-1".to_owned(), ..Default::default() };
            grpc.ask(message, async |client, request| client.aws_keys.create_aws_key(request).await)
        })
    });
    rows
}

pub(super) fn synchronizations() -> Vec<Row> {
    let path = "cckm/aws/custom-key-stores/synchronization-jobs";
    let mut rows = vec![
        read(200, path.to_owned(), |grpc| {
            let message = ListSynchronizationsRequest {};
            grpc.ask(message, async |client, request| client.synchronization.list_synchronizations(request).await)
        }),
        read(404, format!("{path}/{UNKNOWN}"), |grpc| {
            let message = GetSynchronizationRequest { id: UNKNOWN.to_owned() };
            grpc.ask(message, async |client, request| client.synchronization.get_synchronization(request).await)
        }),
        act(404, format!("{path}/{UNKNOWN}/cancel"), |grpc| {
            let message = CancelSynchronizationRequest { id: UNKNOWN.to_owned() };
            grpc.ask(message, async |client, request| client.synchronization.cancel_synchronization(request).await)
        }),
    ];
    let body = json!({ "kms": ["kms"], "synchronize_all": true });
    rows.push(Row {
        body,
        ..act(400, path.to_owned(), |grpc| {
            let message = StartSynchronizationRequest { kms: vec!["kms".to_owned()], synchronize_all: true, ..Default::default() };
            grpc.ask(message, async |client, request| client.synchronization.start_synchronization(request).await)
        })
    });
    rows
}
