//! The rows about AWS. What they ask is refused before AWS would be asked: nothing in this test answers as AWS.

use holdfast_proto::admin::{
    AddAwsKeyAliasRequest, AddAwsKeyTagsRequest, AwsTag, CancelSynchronizationRequest, ConnectKeyStoreRequest, CreateAwsKeyRequest,
    CreateCloudHsmKeyRequest, DeleteAwsKeyMaterialRequest, DisableCredentialRotationJobRequest, DisconnectKeyStoreRequest,
    EnableAwsKeyRequest, EnableCredentialRotationJobRequest, GetSynchronizationRequest, KeyPolicy, LinkHyokKeyRequest,
    ListSynchronizationsRequest, RotateAwsKeyMaterialRequest, ScheduleAwsKeyDeletionRequest, SetAwsKeyPolicyRequest,
    StartSynchronizationRequest,
};
use serde_json::json;

use super::{Asked, Expected, Row, UNKNOWN, act, acts, of_each, read};

/// What AWS would be asked for a key store, and for a key in it: neither is linked.
pub(super) fn linked_key_stores(store: &str, hyok: &str) -> Vec<Row> {
    let asked = [
        acts("/connect", |grpc, id| {
            let message = ConnectKeyStoreRequest { id, ..Default::default() };
            grpc.ask(message, async |client, request| client.key_stores.connect_key_store(request).await)
        }),
        acts("/disconnect", |grpc, id| {
            grpc.ask(DisconnectKeyStoreRequest { id }, async |client, request| client.key_stores.disconnect_key_store(request).await)
        }),
        acts("/disable-credential-rotation-job", |grpc, id| {
            let message = DisableCredentialRotationJobRequest { id };
            grpc.ask(message, async |client, request| client.key_stores.disable_credential_rotation_job(request).await)
        }),
        Asked {
            body: json!({ "job_config_id": UNKNOWN }),
            ..acts("/enable-credential-rotation-job", |grpc, id| {
                let message = EnableCredentialRotationJobRequest { id, job_id: UNKNOWN.to_owned() };
                grpc.ask(message, async |client, request| client.key_stores.enable_credential_rotation_job(request).await)
            })
        },
        acts("/create-aws-key", |grpc, key_store| {
            let message = CreateCloudHsmKeyRequest { key_store, key: None };
            grpc.ask(message, async |client, request| client.aws_keys.create_cloud_hsm_key(request).await)
        }),
    ];
    let link = acts("/link", |grpc, id| {
        let message = LinkHyokKeyRequest { id, for_aws: None };
        grpc.ask(message, async |client, request| client.hyok_keys.link_hyok_key(request).await)
    });
    let mut rows = of_each("cckm/aws/custom-key-stores", [(UNKNOWN, 404), (store, 409)], &asked);
    rows.extend(of_each("cckm/aws/keys", [(UNKNOWN, 404), (hyok, 409)], &[link]));
    rows
}

/// What is done to a key in AWS: to one that is not linked, and to one that is not there.
pub(super) fn keys_in_aws(hyok: &str) -> Vec<Row> {
    let asked = [
        acts("/enable", |grpc, id| {
            grpc.ask(EnableAwsKeyRequest { id }, async |client, request| client.aws_keys.enable_aws_key(request).await)
        }),
        Asked {
            body: json!({ "alias": "a" }),
            ..acts("/add-alias", |grpc, id| {
                let message = AddAwsKeyAliasRequest { id, alias: "a".to_owned() };
                grpc.ask(message, async |client, request| client.aws_keys.add_aws_key_alias(request).await)
            })
        },
        Asked {
            status: Expected::Always(400),
            body: json!({ "tags": [{ "tag_key": "k", "tag_value": "not this: !" }] }),
            ..acts("/add-tags", |grpc, id| {
                let tags = vec![AwsTag { key: "k".to_owned(), value: "not this: !".to_owned() }];
                grpc.ask(AddAwsKeyTagsRequest { id, tags }, async |client, request| client.aws_keys.add_aws_key_tags(request).await)
            })
        },
        Asked {
            status: Expected::Always(400),
            body: json!({ "days": 3 }),
            ..acts("/schedule-deletion", |grpc, id| {
                let message = ScheduleAwsKeyDeletionRequest { id, days: 3 };
                grpc.ask(message, async |client, request| client.aws_keys.schedule_aws_key_deletion(request).await)
            })
        },
        Asked {
            status: Expected::Always(404),
            body: json!({ "policytemplate": UNKNOWN }),
            ..acts("/policy", |grpc, id| {
                let policy = Some(KeyPolicy { template: UNKNOWN.to_owned(), ..Default::default() });
                let message = SetAwsKeyPolicyRequest { id, policy };
                grpc.ask(message, async |client, request| client.aws_keys.set_aws_key_policy(request).await)
            })
        },
        acts("/rotate-material", |grpc, id| {
            let message = RotateAwsKeyMaterialRequest { id };
            grpc.ask(message, async |client, request| client.aws_keys.rotate_aws_key_material(request).await)
        }),
        acts("/delete-material", |grpc, id| {
            let message = DeleteAwsKeyMaterialRequest { id, ..Default::default() };
            grpc.ask(message, async |client, request| client.aws_keys.delete_aws_key_material(request).await)
        }),
    ];
    let mut rows = of_each("cckm/aws/keys", [(UNKNOWN, 404), (hyok, 409)], &asked);
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
