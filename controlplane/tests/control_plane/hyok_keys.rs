//! HYOK keys and virtual keys, over REST and gRPC: the same outcome by both.

use holdfast_proto::{
    admin::{CreateHyokKeyRequest, CreateKeyStoreRequest, GetHyokKeyRequest, GetVirtualKeyRequest, ListHyokKeysRequest, LoginRequest},
    ids::{KeyId, StoreId},
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    node::{Node, SOON, active},
    plane::{Admin, Answer, Plane},
};

/// What is done to a good body.
type Change = fn(&mut Value);

/// REST with a token, and a key store of tier `local` that a node serves.
struct Scene {
    plane: Plane,
    node: Node,
    admin: Admin,
    token: String,
    store: StoreId,
}

impl Scene {
    async fn new() -> Self {
        let plane = Plane::with_demo().await;
        let node = plane.node("node-1").await;
        assert!(plane.running.demo_served(SOON).await.unwrap());
        let mut admin = plane.admin().await;
        let login = LoginRequest { username: "admin".into(), password: plane.report.admin_password.expose().to_owned() };
        let token = plane.stranger().await.access.login(login).await.unwrap().into_inner().jwt;
        let request = CreateKeyStoreRequest { name: "mine".into(), region: "us-east-1".into(), ..CreateKeyStoreRequest::default() };
        let store = admin.key_stores.create_key_store(request).await.unwrap().into_inner().key_store.unwrap();
        let store = StoreId(store.id.parse().unwrap());
        Self { plane, node, admin, token, store }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let head =
            format!("{method} /api/v1/cckm/{path} HTTP/1.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n", self.token);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.plane.rest(&head, body.as_bytes()).await
    }

    /// A source key as the known client makes it.
    async fn source(&self, name: &str) -> String {
        let head = format!("POST /api/v1/vault/keys2 HTTP/1.1\r\nauthorization: Bearer {}\r\n", self.token);
        let body = json!({"algorithm": "AES", "name": name, "unexportable": true, "undeletable": true, "usageMask": 60});
        let made = self.plane.rest(&head, body.to_string().as_bytes()).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    }

    fn body(&self, source: &str) -> Value {
        json!({
            "local_hosted_params": {
                "custom_key_store_id": self.store.to_string(), "source_key_id": source, "blocked": false, "linked_state": false,
                "source_key_tier": "local",
            },
            "aws_param": {"Description": "d", "Tags": null, "Alias": ""},
            "key_users": null, "key_users_roles": null, "key_admins": null, "key_admins_roles": null, "external_accounts": null,
            "policytemplate": null,
        })
    }
}

fn id(answer: &Answer) -> String {
    answer.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_lives_over_rest_as_the_contract_has_it_and_reaches_the_node() {
    let mut scene = Scene::new().await;
    let source = scene.source("source").await;
    let made = scene.ask("POST", "aws/create-hyok-key", scene.body(&source)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let (text, key) = (id(&made), KeyId(id(&made).parse().unwrap()));
    let expected = json!({
        "linked_state": false, "blocked": false, "key_source": "local", "key_material_origin": "cckm", "key_type": "symmetric",
        "region": "us-east-1", "cloud_name": "aws", "custom_key_store_id": scene.store.to_string(), "custom_key_store_name": "mine",
        "locally_hosted": true, "gone": false,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(made.body[name], *value, "{name}");
    }
    assert_eq!(made.body["local_hosted_params"]["source_key_id"], source.as_str());
    assert_eq!(made.body.get("labels"), None);
    let aws = json!({"XksKeyConfiguration": {"Id": text}, "KeyState": "Enabled", "Enabled": true, "Description": "d", "Origin": "EXTERNAL_KEY_STORE"});
    assert_eq!(made.body["aws_param"], aws);
    scene.node.holds(|set| active(set, scene.store, key) == Some(0)).await;

    let (one, two) = (
        scene.ask("GET", &format!("aws/keys/{text}"), Value::Null).await,
        scene.ask("GET", &format!("aws/keys/{text}"), Value::Null).await,
    );
    assert_eq!((one.status, one.body.to_string()), (200, two.body.to_string()));
    let over_grpc = scene.admin.hyok_keys.get_hyok_key(GetHyokKeyRequest { id: text.clone() }).await.unwrap().into_inner().key.unwrap();
    assert_eq!((over_grpc.external_key_id.as_str(), over_grpc.description.as_str()), (text.as_str(), "d"));
    let silent = scene.ask("GET", &format!("virtual/keys/{}", over_grpc.virtual_key_id), Value::Null).await;
    assert_eq!(silent.status, 404);
    let silent = scene.ask("GET", &format!("aws/keys/{}/versions", over_grpc.virtual_key_id), Value::Null).await;
    assert_eq!(silent.status, 404);
    assert_eq!(scene.ask("GET", "virtual/keys", Value::Null).await.body["resources"], json!([]));
    let by_grpc = GetVirtualKeyRequest { id: over_grpc.virtual_key_id };
    assert_eq!(scene.admin.virtual_keys.get_virtual_key(by_grpc).await.unwrap().into_inner().virtual_key.unwrap().hyok_key_id, text);

    for (action, blocked) in [("block", true), ("block", true), ("unblock", false)] {
        let changed = scene.ask("POST", &format!("aws/keys/{text}/{action}"), Value::Null).await;
        assert_eq!((changed.status, &changed.body["blocked"]), (200, &blocked.into()), "{action}");
        assert_eq!(changed.body["local_hosted_params"]["blocked"], blocked);
        scene.node.holds(|set| set.store(scene.store).unwrap().key(key).unwrap().key().blocked == blocked).await;
    }

    let next = scene.source("next").await;
    let same = json!({"source_key_tier": "local", "source_key_id": source});
    assert_eq!(scene.ask("POST", &format!("aws/keys/{text}/rotate"), same).await.status, 409);
    let rotated = scene.ask("POST", &format!("aws/keys/{text}/rotate"), json!({"source_key_tier": "local", "source_key_id": next})).await;
    assert_eq!(rotated.status, 200, "{}", rotated.body);
    scene.node.holds(|set| active(set, scene.store, key) == Some(1)).await;
    let versions = scene.ask("GET", &format!("aws/keys/{text}/versions?sort=-version"), Value::Null).await.body;
    assert_eq!(versions["total"], 2);
    assert_eq!((&versions["resources"][0]["source_key_id"], &versions["resources"][0]["version"]), (&next.as_str().into(), &1.into()));
}

#[tokio::test]
async fn a_deleted_key_is_gone_everywhere_and_its_external_id_is_free_again() {
    let mut scene = Scene::new().await;
    let source = scene.source("source").await;
    let mut body = scene.body(&source);
    body["external_key_id"] = "old-key".into();
    let made = scene.ask("POST", "aws/create-hyok-key", body.clone()).await;
    assert_eq!(made.body["aws_param"]["XksKeyConfiguration"]["Id"], "old-key", "{}", made.body);
    assert_eq!(scene.ask("POST", "aws/create-hyok-key", body.clone()).await.status, 409);
    let key = KeyId(id(&made).parse().unwrap());
    scene.node.holds(|set| active(set, scene.store, key) == Some(0)).await;
    let delete = holdfast_proto::admin::DeleteHyokKeyRequest { id: id(&made) };
    let gone = scene.admin.hyok_keys.delete_hyok_key(delete.clone()).await.unwrap().into_inner();
    assert_eq!(gone.pending_nodes, [""; 0]);
    assert!(scene.node.held().store(scene.store).unwrap().key(key).is_none());
    assert_eq!(scene.admin.hyok_keys.delete_hyok_key(delete).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(scene.ask("GET", &format!("aws/keys/{}", id(&made)), Value::Null).await.status, 404);
    // Its source key was named, not made for it: it stays.
    let again = scene.ask("POST", "aws/create-hyok-key", body).await;
    assert_eq!(again.status, 201, "{}", again.body);
    let path = format!("aws/keys/{}", id(&again));
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.status, 204);
    assert!(scene.node.held().store(scene.store).unwrap().key(KeyId(id(&again).parse().unwrap())).is_none());
    let none = scene.ask("DELETE", &path, Value::Null).await;
    assert_eq!((none.status, none.body["codeDesc"].as_str()), (404, Some("NCERRResourceNotFound: Resource not found: key")));
}

#[tokio::test]
async fn grpc_takes_a_key_store_by_its_id_or_its_name() {
    let mut scene = Scene::new().await;
    let id = scene.store.to_string();
    for (name, key_store_id) in [("by id", id.as_str()), ("by name", "mine")] {
        let new = CreateHyokKeyRequest { key_store_id: key_store_id.into(), name: name.into(), ..CreateHyokKeyRequest::default() };
        let made = scene.admin.hyok_keys.create_hyok_key(new).await.unwrap().into_inner().key.unwrap();
        assert_eq!(made.key_store_id, id, "{name}");
    }
    for key_store_id in [id.as_str(), "mine"] {
        let list = ListHyokKeysRequest { key_store_id: key_store_id.into() };
        assert_eq!(scene.admin.hyok_keys.list_hyok_keys(list).await.unwrap().into_inner().keys.len(), 2, "{key_store_id}");
    }
    for (key_store_id, code) in [("none such", Code::NotFound), ("", Code::InvalidArgument)] {
        let new = CreateHyokKeyRequest { key_store_id: key_store_id.into(), ..CreateHyokKeyRequest::default() };
        assert_eq!(scene.admin.hyok_keys.create_hyok_key(new).await.unwrap_err().code(), code, "{key_store_id}");
    }
}

#[tokio::test]
async fn bad_wishes_for_a_key_are_refused_by_name_and_lists_are_filtered_and_cut() {
    let scene = Scene::new().await;
    let source = scene.source("source").await;
    let cases: [(Change, u16, &str); 6] = [
        (|body| body["local_hosted_params"]["linked_state"] = true.into(), 400, "linked_state"),
        (|body| body["local_hosted_params"]["source_key_tier"] = "luna-hsm".into(), 400, "source_key_tier"),
        (|body| body["local_hosted_params"]["source_key_id"] = "".into(), 400, "source_key_id"),
        (|body| body["local_hosted_params"]["source_key_id"] = "no such key".into(), 404, "Resource not found: source key"),
        (|body| body["local_hosted_params"]["custom_key_store_id"] = "6f9619ff-8b86-d011-b42d-00c04fc964ff".into(), 404, "key store"),
        (|body| body["policytemplate"] = "none such".into(), 404, "policy template"),
    ];
    for (change, status, words) in cases {
        let mut body = scene.body(&source);
        change(&mut body);
        let refused = scene.ask("POST", "aws/create-hyok-key", body).await;
        assert_eq!(refused.status, status, "{words}: {}", refused.body);
        assert!(refused.body["codeDesc"].as_str().unwrap().contains(words), "{words}: {}", refused.body);
    }
    for _ in 0..3 {
        assert_eq!(scene.ask("POST", "aws/create-hyok-key", scene.body(&source)).await.status, 201);
    }
    let mine = format!("aws/keys?custom_key_store_id={}", scene.store);
    let table = [("&limit=2", 3, 2), ("&key_source=local&limit=-1", 3, 3), ("&blocked=true", 0, 0), ("&keyid=x", 0, 0), ("&skip=2", 3, 1)];
    for (query, total, shown) in table {
        let page = scene.ask("GET", &format!("{mine}{query}"), Value::Null).await.body;
        assert_eq!((&page["total"], page["resources"].as_array().unwrap().len()), (&total.into(), shown), "{query}");
    }
}

#[tokio::test]
async fn a_virtual_key_backs_one_key_and_goes_when_it_is_deletable_and_free() {
    let scene = Scene::new().await;
    let source = scene.source("source").await;
    let made = scene.ask("POST", "virtual/keys", json!({"source_key_id": source, "source_key_tier": "local"})).await;
    assert_eq!((made.status, &made.body["deletable"], &made.body["version"]), (201, &false.into(), &0.into()), "{}", made.body);
    assert_eq!((&made.body["source_key_id"], &made.body["source_key_tier"]), (&source.as_str().into(), &"local".into()));
    let path = format!("virtual/keys/{}", id(&made));
    let key = scene.ask("POST", "aws/create-hyok-key", scene.body(&id(&made))).await;
    assert_eq!((key.status, &key.body["local_hosted_params"]["source_key_id"]), (201, &id(&made).into()), "{}", key.body);
    assert_eq!(scene.ask("POST", "aws/create-hyok-key", scene.body(&id(&made))).await.status, 409);
    assert_eq!(scene.ask("PATCH", &path, json!({"deletable": true})).await.body["deletable"], true);
    assert_eq!(scene.ask("DELETE", &path, Value::Null).await.status, 409);
    let found = scene.ask("GET", &format!("virtual/keys?source_key_id={source}"), Value::Null).await.body;
    assert_eq!((&found["total"], &found["resources"][0]["id"]), (&1.into(), &id(&made).into()));
    for path in [path.clone(), format!("aws/keys/{}", id(&made)), format!("aws/keys/{}", id(&key))] {
        let versions = scene.ask("GET", &format!("{path}/versions"), Value::Null).await.body;
        assert_eq!((&versions["total"], &versions["resources"][0]["source_key_id"]), (&1.into(), &source.as_str().into()), "{path}");
    }
}
