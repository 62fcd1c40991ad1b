//! Source keys, partitions and HSM connections over REST, as clients of this API write them.

use serde_json::{Value, json};

use crate::{
    node::SOON,
    plane::{Answer, Plane},
    source_keys::{ID, blue, reporting},
};

/// Calls with one token.
struct Rest<'a> {
    plane: &'a Plane,
    jwt: String,
}

impl Rest<'_> {
    async fn call(&self, call: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.plane.rest_as(&self.jwt, call, &body).await
    }

    async fn ok(&self, call: &str, body: Value) -> Value {
        let answer = self.call(call, &body).await;
        assert!((200..300).contains(&answer.status), "{call}: {} {}", answer.status, answer.body);
        answer.body
    }

    async fn refused(&self, call: &str, body: Value, (status, words): (u16, &str)) {
        let answer = self.call(call, &body).await;
        let text = answer.body["codeDesc"].as_str().unwrap_or_default();
        assert!(answer.status == status && text.contains(words), "{call} {body}: {} {}", answer.status, answer.body);
    }
}

async fn rest(plane: &Plane) -> Rest<'_> {
    Rest { plane, jwt: plane.jwt().await }
}

/// The body that the known client sends for a health check key, to the letter.
fn exact(name: &str) -> Value {
    json!({"algorithm": "AES", "name": name, "unexportable": true, "undeletable": true, "usageMask": 60})
}

#[tokio::test]
async fn the_known_client_s_body_makes_a_key_for_external_key_stores() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    let rest = rest(&plane).await;
    let answer = rest.call("POST vault/keys2", &exact("source")).await;
    assert_eq!(answer.status, 201);
    let made = answer.body;
    let id = made["id"].as_str().unwrap();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()), "{id}");
    assert_eq!(
        (&made["name"], &made["algorithm"], &made["size"], &made["usageMask"], &made["version"]),
        (&json!("source"), &json!("AES"), &json!(256), &json!(60), &json!(0))
    );
    assert_eq!((&made["unexportable"], &made["undeletable"], &made["state"]), (&json!(true), &json!(true), &json!("Active")));
    assert!(made.get("material").is_none() && !made.to_string().contains("sealed"), "{made}");

    let by_id = rest.ok(&format!("GET vault/keys2/{id}"), Value::Null).await;
    assert_eq!(by_id, rest.ok("GET vault/keys2/source/", Value::Null).await);
    assert_eq!(by_id["createdAt"].as_str().unwrap().len(), "2023-11-14T22:13:20.123456Z".len());
    rest.refused(&format!("DELETE vault/keys2/{id}"), Value::Null, (409, "Key is not deletable")).await;
    rest.refused("GET vault/keys2/nothing", Value::Null, (404, "Resource not found")).await;
    // One digit of its second half is wrong.
    let bent: String = id.chars().take(63).chain([if id.ends_with('0') { '1' } else { '0' }]).collect();
    rest.refused(&format!("GET vault/keys2/{bent}"), Value::Null, (404, "Resource not found")).await;
}

#[tokio::test]
async fn keys_are_listed_with_filters_changed_and_deleted() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    assert!(plane.running.demo_served(SOON).await.unwrap());
    let rest = rest(&plane).await;
    for body in [
        json!({"name": "a", "algorithm": "rsa", "size": 3072, "labels": {"k": ""}, "unknown": {}, "size2": null}),
        json!({"name": "b", "algorithm": "EC", "curveid": "secp256k1", "description": ""}),
        json!({"name": "c", "algorithm": "hmac-sha512", "labels": {}, "meta": {"owner_id": ""}}),
        exact("d"),
    ] {
        rest.ok("POST vault/keys2", body).await;
    }
    let names = async |query: &str| {
        let page = rest.ok(&format!("GET vault/keys2?{query}"), Value::Null).await;
        let names: Vec<_> = page["resources"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect();
        (names.join(","), page["total"].as_u64().unwrap())
    };
    assert_eq!(names("algorithm=rsa").await, ("a".into(), 1));
    assert_eq!(names("name=b").await, ("b".into(), 1));
    assert_eq!(names("unexportable=false&sort=-name&limit=2").await, ("c,b".into(), 3));
    assert_eq!(names("size=512&undeletable=false").await, ("c".into(), 1));
    assert_eq!(names("name=none").await, (String::new(), 0));
    rest.refused("GET vault/keys2?nam=a", Value::Null, (400, "nam")).await;

    let a = rest.ok("GET vault/keys2/a", Value::Null).await;
    assert_eq!((&a["labels"], &a["format"], &a["objectType"]), (&json!({"k": ""}), &json!("pkcs8"), &json!("Private Key")));
    let renamed = rest.ok("PATCH vault/keys2/a", json!({"name": "e", "description": "d", "undeletable": null})).await;
    assert_eq!((&renamed["id"], &renamed["name"], &renamed["description"]), (&a["id"], &json!("e"), &json!("d")));
    rest.refused("PATCH vault/keys2/e", json!({"name": "b"}), (409, "exists")).await;
    rest.refused("PATCH vault/keys2/e", json!({"usageMask": 1}), (400, "usageMask: ")).await;
    rest.refused("PATCH vault/keys2/d", json!({"unexportable": false}), (400, "unexportable: ")).await;
    let unchanged = rest.ok("PATCH vault/keys2/d", json!({})).await;
    assert_eq!(unchanged["createdAt"], unchanged["updatedAt"]);
    for name in ["e", "b", "c"] {
        assert_eq!(rest.call(&format!("DELETE vault/keys2/{name}"), &Value::Null).await.status, 204);
    }
    rest.ok("PATCH vault/keys2/d", json!({"undeletable": false})).await;
    assert_eq!(rest.call("DELETE vault/keys2/d", &Value::Null).await.status, 204);
    // What is left was made with the demo.
    assert_eq!(names("limit=-1").await.1, 2);
}

#[tokio::test]
async fn keys_that_cannot_be_made_here_are_refused_by_the_member_and_without_a_node_that_is_said() {
    let plane = Plane::with_demo().await;
    let rest = rest(&plane).await;
    rest.refused("POST vault/keys2", exact("k"), (503, "no data plane that serves local")).await;
    let _node = plane.node("node-1").await;
    for (body, words) in [
        (json!({"algorithm": "tdes"}), "algorithm: "),
        (json!({"algorithm": "opaque"}), "algorithm: "),
        (json!({"material": "00"}), "material: keys are generated"),
        (json!({"size": 512}), "size: "),
        (json!({"size": "big"}), "size: must be u32"),
        (json!({"algorithm": "ec", "curveid": "c2pnb163v1"}), "curveid: "),
        (json!({"state": "Pre-Active"}), "state: "),
        (json!({"deactivationDate": "2030-01-01T00:00:00Z"}), "deactivationDate: "),
        (json!({"usageMask": 124, "unexportable": true}), "usageMask: "),
        (json!({"labels": {"a": 5}}), "labels.a: must be a string"),
    ] {
        rest.refused("POST vault/keys2", body, (400, words)).await;
    }
    assert_eq!(plane.rest_as("no.such.token", "POST vault/keys2", "{").await.status, 401);
}

#[tokio::test]
async fn a_partition_is_added_by_its_connection_and_its_keys_are_made_by_and_by() {
    let plane = Plane::with_demo().await;
    let rest = rest(&plane).await;
    let partitions = json!([{"partition_label": "token", "serial_number": "42"}]);
    let connection = json!({"name": "luna", "products": ["cckm"], "partitions": partitions, "is_ha_enabled": false, "password": "s3same"});
    let made = rest.ok("POST connectionmgmt/services/luna-network/connections", connection.clone()).await;
    assert_eq!((&made["partitions"], made.get("password")), (&partitions, None));
    assert!(!std::fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap().contains("s3same"));
    rest.refused("POST connectionmgmt/services/luna-network/connections", connection, (409, "luna exists")).await;
    let add = json!({"connection": "luna"});
    rest.refused("POST cckm/hsm/luna/add-partition", add.clone(), (503, "no connected data plane reports a partition")).await;

    let (_node, _) = reporting(&plane, blue()).await;
    rest.refused("POST cckm/hsm/luna/add-partition", json!({}), (400, "connection: ")).await;
    rest.refused("POST cckm/hsm/luna/add-partition", json!({"connection": "none"}), (404, "Resource not found")).await;
    let added = rest.ok("POST cckm/hsm/luna/add-partition", add.clone()).await;
    assert_eq!((&added["id"], &added["group"], &added["status"]), (&json!(ID), &json!("blue"), &json!("up")));
    rest.refused("POST cckm/hsm/luna/add-partition", add, (409, "exists")).await;
    let listed = rest.ok("GET cckm/hsm/luna/partitions?partition_label=token", Value::Null).await;
    assert_eq!((&listed["total"], &listed["resources"][0]["serial_number"]), (&json!(1), &json!("42")));

    let attributes = ["CKA_ENCRYPT", "CKA_DECRYPT", "CKA_WRAP", "CKA_UNWRAP", "CKA_SENSITIVE"];
    let new = json!({"label": "k", "size": 256, "partition_id": ID, "mechanism": "CKM_AES_KEY_GEN", "attributes": attributes});
    let begun = rest.call("POST cckm/hsm/luna/keys", &new).await;
    assert_eq!((begun.status, &begun.body["status"], &begun.body["algorithm"]), (202, &json!("in_progress"), &json!("aes")));
    let id = begun.body["id"].as_str().unwrap();
    let path = format!("cckm/hsm/luna/keys/{id}");
    let available = async { while rest.ok(&format!("GET {path}"), Value::Null).await["status"] != "AVAILABLE" {} };
    tokio::time::timeout(SOON, available).await.unwrap();
    // It is no key of the vault.
    rest.refused(&format!("GET vault/keys2/{id}"), Value::Null, (404, "Resource not found")).await;
    rest.refused("DELETE cckm/hsm/luna/partitions/token", Value::Null, (409, "was made on that partition")).await;
    for (member, value) in [
        ("size", json!(128)),
        ("mechanism", json!("CKM_DES3_KEY_GEN")),
        ("attributes", json!(["CKA_EXTRACTABLE"])),
        ("attributes", json!(["CKA_ENCRYPT"])),
        ("label", json!("")),
        ("partition_id", Value::Null),
    ] {
        let mut bad = new.clone();
        bad[member] = value;
        rest.refused("POST cckm/hsm/luna/keys", bad, (400, member)).await;
    }
    rest.refused("DELETE connectionmgmt/services/luna-network/connections/luna", Value::Null, (409, "was added by that")).await;
    for gone in [&path, "cckm/hsm/luna/partitions/token", "connectionmgmt/services/luna-network/connections/luna"] {
        assert_eq!(rest.call(&format!("DELETE {gone}"), &Value::Null).await.status, 204, "{gone}");
    }
}

#[tokio::test]
async fn servers_are_kept_as_given_and_stay_while_a_connection_names_them() {
    let plane = Plane::with_demo().await;
    let rest = rest(&plane).await;
    let servers = "connectionmgmt/services/luna-network/servers";
    let meta = json!({"rack": "", "slots": [1, 2]});
    let made = rest
        .ok(&format!("POST {servers}"), json!({"hostname": "hsm.example", "hsm_certificate": "pem", "channel": "NTLS", "meta": meta}))
        .await;
    assert_eq!((&made["hsm_certificate"], &made["meta"]), (&json!("pem"), &meta));
    rest.refused(&format!("POST {servers}"), json!({"hostname": "hsm.example"}), (409, "exists")).await;
    rest.refused(&format!("POST {servers}"), json!({"channel": "STC"}), (400, "hostname: ")).await;
    rest.refused(&format!("POST {servers}"), json!({"hostname": "h", "channel": "TCP"}), (400, "channel: ")).await;
    let changed = rest.ok(&format!("PATCH {servers}/hsm.example"), json!({"channel": "STC", "hostname": ""})).await;
    assert_eq!((&changed["channel"], &changed["hostname"], &changed["meta"]), (&json!("STC"), &json!("hsm.example"), &meta));

    let named = json!({"name": "c", "partitions": [{"partition_label": "p", "hostname": "hsm.example"}]});
    rest.ok("POST connectionmgmt/services/luna-network/connections", named).await;
    rest.refused(&format!("DELETE {servers}/hsm.example"), Value::Null, (409, "names that server")).await;
    let changed =
        rest.ok("PATCH connectionmgmt/services/luna-network/connections/c", json!({"partitions": [{"serial_number": "7"}]})).await;
    assert_eq!((&changed["name"], &changed["partitions"]), (&json!("c"), &json!([{"partition_label": "", "serial_number": "7"}])));
    let list = rest.ok(&format!("GET {servers}?channel=STC&skip=0&limit=-1"), Value::Null).await;
    assert_eq!((&list["total"], &list["limit"]), (&json!(1), &json!(-1)));
    assert_eq!(rest.call(&format!("DELETE {servers}/{}", made["id"].as_str().unwrap()), &Value::Null).await.status, 204);
}
