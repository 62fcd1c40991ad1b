//! Key stores and keys on CloudHSM clusters: used like others; and a control plane that dies at any step of a change to one finds its way
//! when it is back, as with others.

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    key_crashes::{keys_in_aws, made},
    site::{KMS, Linked, STORES},
    store_crashes::stores_in_aws,
};
use crate::rest::text;

#[test]
fn a_key_on_a_cluster_is_made_and_changed_like_others() {
    let linked = Linked::start();
    let [cluster, ..] = clusters(&linked);
    let id = text(&linked.rest().post(STORES, &new_store("on a cluster", &cluster)), "/id").to_owned();
    let store = format!("{STORES}/{id}");
    let create = format!("{store}/create-aws-key");
    let early = linked.rest().send("POST", &create, new_key("h1").to_string().as_bytes());
    assert!(early.status == 409 && early.text().contains("CONNECTED"), "{} {}", early.status, early.text());
    linked.rest().post(&format!("{store}/connect"), &password());
    linked.until_shown(&store, state("CONNECTED"));
    let made = linked.rest().post(&create, &new_key("h1"));
    assert_eq!((&made["linked_state"], &made["blocked"]), (&json!(true), &json!(false)));
    for (member, value) in [("key_source", "CloudHSM"), ("key_material_origin", "CloudHSM"), ("custom_key_store_id", &id)] {
        assert_eq!(text(&made, &format!("/{member}")), value);
    }
    assert_eq!((text(&made, "/aws_param/Origin"), &made["aws_param"]["Alias"]), ("AWS_CLOUDHSM", &json!(["alias/h1"])));
    assert!(made["aws_param"]["Policy"].as_object().is_some_and(|policy| !policy.is_empty()));
    assert_eq!(linked.round_trip("alias/h1"), "aGVsbG8=");
    let key = format!("cckm/aws/keys/{}", text(&made, "/id"));
    linked.rest().act(&format!("{key}/disable"));
    let blocked = linked.rest().send("POST", &format!("{key}/block"), b"");
    assert!(blocked.status == 404 && blocked.text().contains("key"), "{} {}", blocked.status, blocked.text());
    linked.rest().post(&format!("{key}/schedule-deletion"), &json!({ "days": 30 }));
    assert_eq!(text(&linked.rest().get(&key), "/aws_param/KeyState"), "PendingDeletion");
}

#[test]
fn after_a_crash_a_key_store_on_a_cluster_is_as_aws_has_it_and_what_aws_did_not_do_can_be_asked_again() {
    let mut linked = Linked::start();
    let [cluster, related, other] = clusters(&linked);
    linked.crash(("CreateCustomKeyStore", When::After), ("POST", STORES, &new_store("made", &cluster)));
    let shown =
        linked.until_shown(&format!("{STORES}?name=made"), |page| page["resources"][0]["aws_param"]["custom_key_store_id"].is_string());
    assert_eq!(text(&shown, "/resources/0/aws_param/connection_state"), "DISCONNECTED");
    let store = format!("{STORES}/{}", text(&shown, "/resources/0/id"));

    let change = |name: &str, cluster: &Value| json!({ "name": name, "aws_param": { "cloud_hsm_cluster_id": cluster["ClusterId"] } });
    let is = |name: &'static str, cluster: &Value| {
        let cluster = cluster["ClusterId"].clone();
        move |shown: &Value| shown["name"] == name && shown["aws_param"]["cloud_hsm_cluster_id"] == cluster
    };
    linked.crash(("UpdateCustomKeyStore", When::After), ("PATCH", &store, &change("changed", &related)));
    linked.until_shown(&store, is("changed", &related));
    // That AWS has done nothing is believed only when it is late: of both at once.
    linked.crash(("UpdateCustomKeyStore", When::Before), ("PATCH", &store, &change("changed again", &cluster)));
    linked.crash(("CreateCustomKeyStore", When::Before), ("POST", STORES, &new_store("not made", &other)));
    linked.until_shown(&store, is("changed", &related));
    linked.until_shown(&format!("{STORES}?name=not%20made"), |page| page["total"] == 0);
    assert_eq!(stores_in_aws(&linked), ["changed"]);
    linked.rest().patch(&store, &change("changed again", &cluster));
    assert!(is("changed again", &cluster)(&linked.rest().get(&store)));
    let made = linked.rest().post(STORES, &new_store("not made", &other));
    assert_eq!(stores_in_aws(&linked), ["changed again", "not made"]);

    linked.crash(("DeleteCustomKeyStore", When::After), ("DELETE", &store, &Value::Null));
    linked.until_shown(&format!("{STORES}?name=changed%20again"), |page| page["total"] == 0);
    let store = format!("{STORES}/{}", text(&made, "/id"));
    linked.crash(("DeleteCustomKeyStore", When::Before), ("DELETE", &store, &Value::Null));
    assert_eq!(stores_in_aws(&linked), ["not made"]);
    linked.wait_until("it can be deleted again", |linked| linked.rest().send("DELETE", &store, b"").status == 204);
    assert!(stores_in_aws(&linked).is_empty());
}

#[test]
fn after_a_crash_a_key_store_on_a_cluster_is_connected_and_its_keys_are_made_or_can_be() {
    let mut linked = Linked::start();
    let [cluster, ..] = clusters(&linked);
    let store = format!("{STORES}/{}", text(&linked.rest().post(STORES, &new_store("a store", &cluster)), "/id"));
    let connect = format!("{store}/connect");
    linked.crash(("ConnectCustomKeyStore", When::After), ("POST", &connect, &password()));
    linked.until_shown(&store, state("CONNECTED"));

    let create = format!("{store}/create-aws-key");
    for (operation, when, alias) in
        [("CreateKey", When::After, "one"), ("CreateAlias", When::After, "two"), ("CreateAlias", When::Before, "three")]
    {
        linked.crash((operation, when), ("POST", &create, &new_key(alias)));
        made(&linked, alias);
    }
    linked.crash(("CreateKey", When::Before), ("POST", &create, &new_key("four")));
    linked.until_shown("cckm/aws/keys?linked_state=false&custom_key_store_name=a%20store", |page| page["total"] == 0);
    assert_eq!(keys_in_aws(&linked), 3);
    linked.rest().post(&create, &new_key("four"));
    made(&linked, "four");
    assert_eq!(keys_in_aws(&linked), 4);

    linked.rest().act(&format!("{store}/disconnect"));
    linked.until_shown(&store, state("DISCONNECTED"));
    // AWS is told the password first.
    for held in [("UpdateCustomKeyStore", When::After), ("ConnectCustomKeyStore", When::Before)] {
        linked.crash(held, ("POST", &connect, &password()));
        // Until it is known it is as AWS last told.
        assert_eq!(text(&linked.rest().good("GET", &store, b""), "/aws_param/connection_state"), "DISCONNECTED");
        linked.wait_until("something can be begun again", |linked| {
            linked.rest().send("PATCH", &store, json!({ "name": "a store" }).to_string().as_bytes()).status == 200
        });
        assert_eq!(text(&linked.rest().get(&store), "/aws_param/connection_state"), "DISCONNECTED");
    }
    linked.rest().post(&connect, &password());
    linked.until_shown(&store, state("CONNECTED"));
    assert_eq!(linked.round_trip("alias/one"), "aGVsbG8=");
}

/// Three clusters that are fit for a key store, as AWS describes them; the first two of one backup.
pub(super) fn clusters(linked: &Linked) -> [Value; 3] {
    let unused = linked.rest().post(&format!("{STORES}/get-unused-cloudhsm-clusters"), &json!({ "kms": KMS, "region": "us-east-1" }));
    let fit = |cluster: &&Value| cluster["State"] == "ACTIVE" && cluster["Hsms"].as_array().is_some_and(|hsms| hsms.len() >= 2);
    let mut fit: Vec<_> = unused["resources"].as_array().unwrap().iter().filter(fit).cloned().collect();
    fit.sort_by_key(|cluster| fit_order(&unused, cluster));
    fit.try_into().unwrap_or_else(|other| panic!("{other:?}"))
}

/// Clusters of one backup have one certificate: those first.
fn fit_order(all: &Value, cluster: &Value) -> usize {
    let same = |other: &&Value| other["Certificates"] == cluster["Certificates"];
    usize::MAX - all["resources"].as_array().unwrap().iter().filter(same).count()
}

fn new_store(name: &str, cluster: &Value) -> Value {
    json!({
        "name": name, "kms": KMS, "region": "us-east-1", "local_hosted_params": { "max_credentials": 0 },
        "aws_param": {
            "custom_key_store_type": "AWS_CLOUDHSM", "cloud_hsm_cluster_id": cluster["ClusterId"],
            "key_store_password": CLUSTER_PASSWORD, "trust_anchor_certificate": cluster["Certificates"]["ClusterCertificate"],
        },
    })
}

/// The known client's body (contract §9).
fn new_key(alias: &str) -> Value {
    json!({
        "aws_param": { "Description": "on a cluster", "Tags": null, "Alias": alias }, "key_users": null, "key_users_roles": null,
        "key_admins": null, "key_admins_roles": null, "external_accounts": null, "policytemplate": null,
    })
}

fn password() -> Value {
    json!({ "key_store_password": CLUSTER_PASSWORD })
}

fn state(state: &'static str) -> impl Fn(&Value) -> bool {
    move |shown| shown["aws_param"]["connection_state"] == state
}

/// Of every cluster's `kmsuser`.
pub(super) const CLUSTER_PASSWORD: &str = "kmsuser-password";
