//! Key stores and their credentials, with the bodies that existing clients send and the types that they decode (contract §2.4, §7).

use std::collections::BTreeMap;

use holdfast_proto::{
    admin::{
        BlockKeyStoreRequest, DeleteCredentialRequest, DeleteKeyStoreRequest, GetKeyStoreRequest, ListCredentialsRequest,
        RotateCredentialRequest, UpdateKeyStoreRequest,
    },
    ids::UriPath,
    sync::{CredentialUse, NodeStatus},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::{node::Node, plane::Plane, records::Client};

const STORES: &str = "cckm/aws/custom-key-stores";

/// What a client decodes strictly.
#[derive(Deserialize)]
struct Strict {
    aws_param: BTreeMap<String, String>,
    local_hosted_params: StrictLocal,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct StrictLocal {
    blocked: bool,
    linked_state: bool,
    mtls_enabled: bool,
    max_credentials: u64,
    #[serde(default)]
    health_check_ciphertext: String,
    health_check_key_id: String,
    #[serde(default)]
    partition_id: String,
    source_container_type: String,
    source_key_tier: String,
}

/// A plane with a node, a KMS container and a key for health checks.
async fn ready() -> (Plane, Node) {
    let plane = Plane::with_demo().await;
    let node = plane.node("node-1").await;
    let client = Client::of(&plane).await;
    client.connection().await;
    client.container("c1").await;
    (plane, node)
}

async fn health_key(client: &Client<'_>, name: &str) -> String {
    let key = json!({"algorithm": "AES", "name": name, "unexportable": true, "undeletable": true, "usageMask": 60});
    client.done("POST", "vault/keys2", key).await["id"].as_str().unwrap().into()
}

/// The exact body of a known client.
fn body(name: &str, health_key: &str) -> Value {
    json!({"id": "", "aws_param": {"cloud_hsm_cluster_id": "", "custom_key_store_type": "EXTERNAL_KEY_STORE", "key_store_password": "",
        "trust_anchor_certificate": "", "xks_proxy_connectivity": "PUBLIC_ENDPOINT", "xks_proxy_uri_endpoint": "https://xks.example.com",
        "xks_proxy_vpc_endpoint_service_name": ""}, "kms": "k1", "name": name, "region": "eu-west-1",
        "enable_success_audit_event": false, "linked_state": false, "local_hosted_params": {"blocked": false,
        "health_check_key_id": health_key, "max_credentials": 8, "mtls_enabled": false, "partition_id": "", "source_key_tier": "local"},
        "key_store_password": "ignored"})
}

/// The same with a member changed.
fn with(mut body: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[member] = value.into();
    body
}

/// What a known client sends to change a store, whatever it changes.
fn zeros() -> Value {
    json!({"id": "", "aws_param": {"cloud_hsm_cluster_id": "", "custom_key_store_type": "", "key_store_password": "",
        "trust_anchor_certificate": "", "xks_proxy_connectivity": "", "xks_proxy_uri_endpoint": "",
        "xks_proxy_vpc_endpoint_service_name": ""}, "kms": "", "name": "", "region": "", "enable_success_audit_event": false,
        "linked_state": false, "local_hosted_params": {"blocked": false, "health_check_key_id": "", "max_credentials": 0,
        "mtls_enabled": false, "partition_id": "", "source_key_tier": ""}, "key_store_password": ""})
}

#[tokio::test]
async fn a_key_store_goes_through_its_life_as_clients_know_it() {
    let (plane, mut node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let created = client.done("POST", STORES, body("s1", &key)).await;
    let id = created["id"].as_str().unwrap().to_owned();
    let at = format!("{STORES}/{id}");
    let path = created["aws_param"]["xks_proxy_uri_path"].as_str().unwrap();
    assert_eq!(path, format!("/api/v1/cckm/aws/xks-proxy-endpoints/{id}/kms/xks/v1"));
    let path = UriPath::try_from(path).unwrap();
    let held = node.held();
    let credential = held.at(&path).unwrap().credentials().next().unwrap();
    assert_eq!(created["secret_access_key"], credential.secret.expose(), "the node has it when it is answered");
    assert_eq!(created["access_key_id"], credential.access_key_id.as_str());
    assert_eq!(created["createdAt"].as_str().unwrap().len(), "2026-01-01T00:00:00.000000000Z".len());

    let read = client.read(&at).await;
    assert_eq!(read["createdAt"].as_str().unwrap().len(), "2026-01-01T00:00:00.000000Z".len());
    assert!(read.get("secret_access_key").is_none() && read.get("access_key_id").is_none() && read.get("labels").is_none());
    assert_eq!((&read["kms"], &read["type"], &read["locally_hosted"]), (&"k1".into(), &"LOCAL".into(), &true.into()));
    let strict: Strict = serde_json::from_value(read.clone()).unwrap();
    let local = strict.local_hosted_params;
    assert_eq!((local.blocked, local.linked_state, local.mtls_enabled, local.max_credentials), (false, false, false, 8));
    assert_eq!((local.health_check_key_id.as_str(), local.source_key_tier.as_str()), (key.as_str(), "local"));
    assert_eq!((local.source_container_type.as_str(), local.partition_id.as_str()), ("local", ""));
    assert!(local.health_check_ciphertext.starts_with("07") && strict.labels.is_empty());
    assert!(!strict.aws_param.contains_key("connection_state") && !strict.aws_param.contains_key("xks_proxy_vpc_endpoint_service_name"));

    // Zeros mean nothing; blocked stays.
    assert_eq!(client.done("POST", &format!("{at}/block"), Value::Null).await["local_hosted_params"]["blocked"], true);
    assert!(node.held().at(&path).unwrap().header().blocked);
    let before = client.read(&at).await;
    client.done("PATCH", &at, zeros()).await;
    assert_eq!(client.read(&at).await, before);
    let audited = with(with(zeros(), "/enable_success_audit_event", true), "/name", "s2");
    let patched = client.done("PATCH", &at, audited).await;
    assert_eq!((&patched["name"], &patched["enable_success_audit_event"]), (&"s2".into(), &true.into()));
    assert_eq!(patched["local_hosted_params"]["blocked"], true);
    client.done("PATCH", &at, json!({"name": "s3"})).await;
    assert_eq!(client.read(&at).await["enable_success_audit_event"], true, "absent: unchanged");

    // The way through a VPC and back.
    let vpc = json!({"aws_param": {"xks_proxy_connectivity": "VPC_ENDPOINT_SERVICE", "xks_proxy_vpc_endpoint_service_name": "com.a"}});
    assert_eq!(client.done("PATCH", &at, vpc).await["aws_param"]["xks_proxy_vpc_endpoint_service_name"], "com.a");
    let public = client.done("PATCH", &at, json!({"aws_param": {"xks_proxy_connectivity": "PUBLIC_ENDPOINT"}})).await;
    assert!(public["aws_param"].get("xks_proxy_vpc_endpoint_service_name").is_none());

    // The same health key, by its name: told back as it was sent.
    for health in ["h1", key.as_str()] {
        let patched = client.done("PATCH", &at, with(zeros(), "/local_hosted_params/health_check_key_id", health)).await;
        assert_eq!(patched["local_hosted_params"]["health_check_key_id"], health);
    }

    client.done("POST", &format!("{at}/unblock"), Value::Null).await;
    let rotated = client.done("POST", &format!("{at}/rotate-credential"), Value::Null).await;
    assert_eq!((&rotated["credential_count"], &rotated["credential_version"]), (&2.into(), &2.into()));
    assert!(rotated["secret_access_key"].is_string());
    node.holds(|set| set.at(&path).unwrap().credentials().count() == 2).await;
    let oldest = rotated["oldest_credentials_id"].as_str().unwrap();
    client.done("DELETE", &format!("{at}/credentials/{oldest}"), Value::Null).await;
    assert_eq!(node.held().at(&path).unwrap().credentials().count(), 1);

    client.done("DELETE", &at, Value::Null).await;
    assert!(node.held().at(&path).is_none());
    client.refused(("GET", &at), Value::Null, (404, "NCERRResourceNotFound: Resource not found")).await;
    client.refused(("DELETE", &at), Value::Null, (404, "Resource not found")).await;
}

#[tokio::test]
async fn credentials_come_once_with_their_secret_and_the_last_one_stays() {
    let (plane, node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let made = client.done("POST", STORES, with(body("s1", &key), "/local_hosted_params/max_credentials", "3")).await;
    assert_eq!(made["local_hosted_params"]["max_credentials"], 3);
    let at = format!("{STORES}/{}", made["id"].as_str().unwrap());
    let created = client.done("POST", &format!("{at}/credential"), Value::Null).await;
    assert!(created["secret_access_key"].is_string());
    client.done("POST", &format!("{at}/credentials/"), Value::Null).await;
    let listed = client.read(&format!("{at}/credentials/?skip=0&limit=-1")).await;
    assert_eq!(listed["total"], 3);
    let ids: Vec<_> = listed["resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert!(listed["resources"].as_array().unwrap().iter().all(|one| one.get("secret_access_key").is_none()));
    for action in ["rotate-credential", "credentials"] {
        client.refused(("POST", &format!("{at}/{action}")), Value::Null, (409, &ids[0])).await;
    }
    let by_name = client.read(&format!("{at}/credentials?access_key_id={}", created["access_key_id"].as_str().unwrap())).await;
    assert_eq!((&by_name["total"], &by_name["resources"][0]["id"]), (&1.into(), &created["id"]));

    // A node says when it was used last.
    let id = |value: &Value| Uuid::try_parse(value.as_str().unwrap()).unwrap().as_bytes().to_vec();
    let used = CredentialUse { store_id: id(&made["id"]), credential_id: id(&created["id"]), used_ms: 1_700_000_000_123 };
    let status = NodeStatus { ready: true, targets: vec!["local".into()], credential_uses: vec![used], ..NodeStatus::default() };
    node.status(status).await;
    // What follows on the stream was read after it: the unblocking's acknowledgement.
    client.done("POST", &format!("{at}/block"), Value::Null).await;
    let one = client.read(&format!("{at}/credentials/{}", created["id"].as_str().unwrap())).await;
    assert_eq!(one["last_used_at"], "2023-11-14T22:13:20.123000Z");
    let request = ListCredentialsRequest { key_store_id: "s1".into() };
    let told = plane.admin().await.key_stores.list_credentials(request).await.unwrap().into_inner().credentials;
    assert_eq!(told.iter().map(|one| one.last_used_ms).collect::<Vec<_>>(), [0, 1_700_000_000_123, 0]);

    for id in &ids[..2] {
        client.done("DELETE", &format!("{at}/credentials/{id}"), Value::Null).await;
    }
    client.refused(("DELETE", &format!("{at}/credentials/{}", ids[2])), Value::Null, (409, "last credential")).await;
    client.refused(("GET", &format!("{at}/credentials/{}", ids[0])), Value::Null, (404, "Resource not found")).await;
}

#[tokio::test]
async fn what_a_key_store_can_t_be_is_refused_by_the_member_and_changes_nothing() {
    let (plane, _node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let good = body("s1", &key);
    let weak = json!({"algorithm": "AES", "name": "weak", "unexportable": true, "undeletable": true, "usageMask": 12});
    let weak = client.done("POST", "vault/keys2", weak).await["id"].clone();
    let table = [
        ("/name", Value::Null, "name"),
        ("/kms", json!("no such"), "kms"),
        ("/region", json!("ap-south-1"), "region"),
        ("/local_hosted_params/max_credentials", json!(21), "max_credentials"),
        ("/local_hosted_params/max_credentials", json!(1), "max_credentials"),
        ("/local_hosted_params/max_credentials", json!([]), "max_credentials"),
        ("/local_hosted_params/max_credentials", json!(0), "max_credentials"),
        ("/local_hosted_params/blocked", json!("yes"), "blocked"),
        ("/local_hosted_params/source_key_tier", json!("cloud"), "source_key_tier"),
        ("/local_hosted_params/source_key_tier", json!("hsm-luna"), "partition_id"),
        ("/local_hosted_params/health_check_key_id", json!(""), "health_check_key_id"),
        ("/local_hosted_params/health_check_key_id", json!("ab".repeat(32)), "health_check_key_id"),
        ("/local_hosted_params/health_check_key_id", weak, "health_check_key_id"),
        ("/aws_param/xks_proxy_uri_endpoint", json!("http://xks.example.com"), "xks_proxy_uri_endpoint"),
        ("/aws_param/xks_proxy_connectivity", json!("VPC_ENDPOINT_SERVICE"), "xks_proxy_vpc_endpoint_service_name"),
        ("/aws_param/custom_key_store_type", json!("AWS_CLOUDHSM"), "cloud_hsm_cluster_id"),
        ("/aws_param/custom_key_store_type", json!("AWS_S3"), "custom_key_store_type"),
        ("/aws_param/xks_proxy_uri_path", json!("/nothing"), "xks_proxy_uri_path"),
        ("/aws_param/access_key_id", json!("ABCDEFGHIJKLMNOP2345"), "access_key_id"),
    ];
    for (member, value, named) in table {
        client.refused(("POST", STORES), with(good.clone(), member, value), (400, named)).await;
    }
    // AWS itself calls no other port than 443, and is not asked.
    let with_port = with(with(good.clone(), "/linked_state", true), "/aws_param/xks_proxy_uri_endpoint", "https://xks.example.com:8443");
    client.refused(("POST", STORES), with_port, (400, "xks_proxy_uri_endpoint")).await;
    assert_eq!(client.read(&format!("{STORES}?kms=k1")).await["total"], 0);

    // Of a proxy that is taken over.
    let secret = "s".repeat(43);
    let taken = with(good.clone(), "/aws_param/xks_proxy_uri_path", "/old/kms/xks/v1");
    let taken = with(with(taken, "/aws_param/access_key_id", "ABCDEFGHIJKLMNOP2345"), "/aws_param/secret_access_key", secret.as_str());
    let taken = client.done("POST", STORES, taken).await;
    assert_eq!((&taken["access_key_id"], &taken["secret_access_key"]), (&"ABCDEFGHIJKLMNOP2345".into(), &secret.as_str().into()));
    client.refused(("POST", STORES), good.clone(), (409, "s1 exists already")).await;
    let at = format!("{STORES}/{}", taken["id"].as_str().unwrap());
    let fixed = [
        ("/kms", json!("other"), "kms"),
        ("/region", json!("us-east-1"), "region"),
        ("/linked_state", json!(true), "linked_state"),
        ("/aws_param/custom_key_store_type", json!("AWS_CLOUDHSM"), "custom_key_store_type"),
        ("/aws_param/cloud_hsm_cluster_id", json!("c"), "cloud_hsm_cluster_id"),
        ("/local_hosted_params/max_credentials", json!(9), "max_credentials"),
        ("/local_hosted_params/source_key_tier", json!("luna-hsm"), "source_key_tier"),
        ("/local_hosted_params/blocked", json!(true), "blocked"),
    ];
    let before = client.read(&at).await;
    for (member, value, named) in fixed {
        client.refused(("PATCH", &at), with(zeros(), member, value), (400, named)).await;
    }
    assert_eq!(client.read(&at).await, before);
    let more = json!({"aws_param": {"xks_proxy_uri_path": "/new/kms/xks/v1", "access_key_id": "ABCDEFGHIJKLMNOP2346", "secret_access_key": secret}});
    let moved = client.done("PATCH", &at, more.clone()).await;
    assert!(moved["aws_param"]["xks_proxy_uri_path"] == "/new/kms/xks/v1" && !moved.to_string().contains(&secret));
    assert_eq!(client.read(&format!("{at}/credentials")).await["total"], 2);
    client.refused(("PATCH", &at), more, (409, "access key id")).await;
}

#[tokio::test]
async fn lists_know_every_filter_in_every_spelling() {
    let (plane, _node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let one = client.done("POST", STORES, body("s1", &key)).await;
    client.done("POST", STORES, with(body("s2", &key), "/local_hosted_params/blocked", true)).await;
    let kms_id = one["kms_id"].as_str().unwrap();
    let id = one["id"].as_str().unwrap();
    let table = [
        (format!("id={id}"), 1),
        ("name=s1".into(), 1),
        ("kms=k1".into(), 2),
        (format!("kms={kms_id}"), 2),
        (format!("kms_id={kms_id}"), 2),
        ("region=eu-west-1&kms=k1".into(), 2),
        ("cloud_name=aws&kms=k1".into(), 2),
        ("type=LOCAL&kms=k1".into(), 2),
        ("type=REMOTE".into(), 0),
        ("blocked=true".into(), 1),
        ("linked_state=false&kms=k1".into(), 2),
        ("linked_state=true".into(), 0),
        ("xks_proxy_connectivity=PUBLIC_ENDPOINT&kms=k1".into(), 2),
        ("connection_state=CONNECTED".into(), 0),
        ("source_key_tier=local&kms=k1".into(), 2),
        ("source_key_tier=hsm-luna".into(), 0),
        ("custom_key_store_type=EXTERNAL_KEY_STORE&kms=k1".into(), 2),
        ("custom_key_store_type=CLOUD_HSM".into(), 0),
        ("custom_key_store_id=cks-0123456789abcdef0".into(), 0),
    ];
    for (filter, total) in table {
        let listed = client.read(&format!("{STORES}?{filter}")).await;
        assert_eq!(listed["total"], total, "{filter}");
    }
    let names = client.read(&format!("{STORES}/?kms=k1&sort=-name&skip=0&limit=1")).await;
    assert_eq!((&names["total"], &names["resources"][0]["name"]), (&2.into(), &"s2".into()));
    client.refused(("GET", &format!("{STORES}?nonsense=1")), Value::Null, (400, "nonsense")).await;
}

#[tokio::test]
async fn health_is_open_rare_and_fails_when_blocked_or_without_a_node() {
    let (plane, node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let one = client.done("POST", STORES, body("s1", &key)).await;
    let at = format!("{STORES}/{}", one["id"].as_str().unwrap());
    let ask = async |method: &str, at: &str| {
        let answer = plane.rest(&format!("{method} /api/v1/{at}/health HTTP/1.1\r\n"), b"").await;
        (answer.status, answer.text)
    };
    let before = client.read(&at).await;
    let (first, second, third) = tokio::join!(ask("POST", &at), ask("GET", &at), ask("GET", &at));
    let mut told = [first.0, second.0, third.0];
    told.sort_unstable();
    assert_eq!(told, [200, 200, 429]);
    assert!([first, second, third].iter().all(|(status, text)| *status == 429 || text.is_empty()));
    assert_eq!(client.read(&at).await, before);
    assert_eq!(ask("GET", &format!("{STORES}/{}", Uuid::nil())).await.0, 404);
    let other = client.done("POST", STORES, with(body("s2", &key), "/local_hosted_params/blocked", true)).await;
    assert_eq!(ask("GET", &format!("{STORES}/{}", other["id"].as_str().unwrap())).await.0, 409);
    let third = client.done("POST", STORES, body("s3", &key)).await;
    assert!(matches!(node.leave(), ()));
    let mut admin = plane.admin().await;
    while admin.nodes.list_nodes(holdfast_proto::admin::ListNodesRequest {}).await.unwrap().into_inner().nodes[0].connected {}
    let (status, text) = ask("POST", &format!("{STORES}/{}", third["id"].as_str().unwrap())).await;
    assert!(status == 503 && text.contains("no data plane"), "{status} {text}");
}

#[tokio::test]
async fn both_surfaces_refuse_alike() {
    let (plane, _node) = ready().await;
    let client = Client::of(&plane).await;
    let key = health_key(&client, "h1").await;
    let one = client.done("POST", STORES, with(body("s1", &key), "/local_hosted_params/max_credentials", 2)).await;
    client.done("POST", STORES, body("s2", &key)).await;
    let (id, nobody) = (one["id"].as_str().unwrap().to_owned(), Uuid::nil().to_string());
    let (at, nowhere) = (format!("{STORES}/{id}"), format!("{STORES}/{nobody}"));
    let mut admin = plane.admin().await.key_stores;
    admin.rotate_credential(RotateCredentialRequest { key_store_id: "s1".into() }).await.unwrap();

    let get = GetKeyStoreRequest { id: nobody.clone() };
    assert_eq!(admin.get_key_store(get).await.unwrap_err().code(), Code::NotFound);
    client.refused(("GET", &nowhere), Value::Null, (404, "NCERRResourceNotFound")).await;
    let block = BlockKeyStoreRequest { id: nobody.clone() };
    assert_eq!(admin.block_key_store(block).await.unwrap_err().code(), Code::NotFound);
    client.refused(("POST", &format!("{nowhere}/block")), Value::Null, (404, "NCERRResourceNotFound")).await;
    let delete = DeleteKeyStoreRequest { id: nobody.clone() };
    assert_eq!(admin.delete_key_store(delete).await.unwrap_err().code(), Code::NotFound);
    client.refused(("DELETE", &nowhere), Value::Null, (404, "NCERRResourceNotFound")).await;
    let rename = UpdateKeyStoreRequest { id: id.clone(), name: Some("s2".into()), ..UpdateKeyStoreRequest::default() };
    assert_eq!(admin.update_key_store(rename).await.unwrap_err().code(), Code::Aborted);
    client.refused(("PATCH", &at), json!({"name": "s2"}), (409, "NCERRConflict")).await;
    let endpoint = UpdateKeyStoreRequest { id: id.clone(), xks_proxy_uri_endpoint: Some("x".into()), ..UpdateKeyStoreRequest::default() };
    assert_eq!(admin.update_key_store(endpoint).await.unwrap_err().code(), Code::InvalidArgument);
    client.refused(("PATCH", &at), json!({"aws_param": {"xks_proxy_uri_endpoint": "x"}}), (400, "NCERRInvalidParamValue")).await;
    let rotate = RotateCredentialRequest { key_store_id: id.clone() };
    assert_eq!(admin.rotate_credential(rotate).await.unwrap_err().code(), Code::FailedPrecondition);
    client.refused(("POST", &format!("{at}/rotate-credential")), Value::Null, (409, "NCERRConflict")).await;
    let missing = DeleteCredentialRequest { key_store_id: id, id: nobody.clone() };
    assert_eq!(admin.delete_credential(missing).await.unwrap_err().code(), Code::NotFound);
    client.refused(("DELETE", &format!("{at}/credentials/{nobody}")), Value::Null, (404, "NCERRResourceNotFound")).await;
}
