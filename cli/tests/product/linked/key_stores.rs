//! Linked key stores through REST, and what AWS has of them.

use serde_json::{Value, json};

use super::site::{KMS, Linked, STORES};
use crate::{
    http::Answer,
    rest::{
        strict::{KeyStore, decoded},
        text,
    },
};

#[test]
fn a_linked_key_store_is_connected_changed_disconnected_and_deleted_as_aws_has_it() {
    let linked = Linked::start();
    let store = linked.linked_store("life");
    let shown = &store.created;
    assert_eq!((&shown["local_hosted_params"]["linked_state"], text(shown, "/type")), (&json!(true), "LOCAL"));
    assert_eq!(text(shown, "/aws_param/connection_state"), "DISCONNECTED");
    let told = in_aws(&linked, &store.in_aws);
    assert_eq!(told["XksProxyConfiguration"]["UriPath"], shown["aws_param"]["xks_proxy_uri_path"]);
    assert_eq!(told["XksProxyConfiguration"]["AccessKeyId"], shown["access_key_id"]);

    // AWS fails, says why, and wants it disconnected before another try.
    linked.switches().fail_next_connect("XKS_PROXY_TIMED_OUT");
    linked.rest().post(&format!("{}/connect", store.path), &json!({ "key_store_password": "" }));
    let shown = until_state(&linked, &store.path, "FAILED");
    assert_eq!(text(&shown, "/aws_param/connection_error_code"), "XKS_PROXY_TIMED_OUT");
    assert_eq!(linked.rest().get(&format!("{STORES}?connection_state=FAILED"))["total"], 1);
    refused(&linked, "POST", &format!("{}/connect", store.path), (422, "CustomKeyStoreInvalidStateException"));
    refused(&linked, "DELETE", &store.path, (409, "disconnect it first"));
    disconnect(&linked, &store.path);
    let shown = linked.rest().get(&store.path);
    assert!(shown["aws_param"]["connection_error_code"].is_null(), "{shown}");
    // Twice is no error, and leaves none.
    linked.rest().act(&format!("{}/disconnect", store.path));
    assert!(linked.rest().get(&store.path)["failure"].is_null());

    linked.connect(&store.path);
    let shown = linked.rest().post(&format!("{}/connect", store.path), &json!({ "key_store_password": "" }));
    assert_eq!(text(&shown, "/aws_param/connection_state"), "CONNECTED", "nor does that begin anew");
    refused(&linked, "DELETE", &store.path, (409, "disconnect it first"));

    // While it is connected AWS takes a new name and path, and no new endpoint.
    let renamed = linked.rest().patch(&store.path, &json!({ "name": "renamed", "enable_success_audit_event": true }));
    assert_eq!((text(&renamed, "/name"), text(&renamed, "/aws_param/custom_key_store_name")), ("renamed", "renamed"));
    assert_eq!(renamed["enable_success_audit_event"], true);
    assert_eq!(in_aws(&linked, &store.in_aws)["CustomKeyStoreName"], "renamed");
    let path = json!({ "aws_param": { "xks_proxy_uri_path": "/moved/kms/xks/v1" } });
    assert_eq!(text(&linked.rest().patch(&store.path, &path), "/aws_param/xks_proxy_uri_path"), "/moved/kms/xks/v1");
    assert_eq!(in_aws(&linked, &store.in_aws)["XksProxyConfiguration"]["UriPath"], "/moved/kms/xks/v1");
    let nobody = json!({ "name": "nobody", "aws_param": { "xks_proxy_uri_endpoint": "https://localhost:1" } });
    let before = linked.rest().get(&store.path);
    for state in ["CONNECTED", "DISCONNECTED"] {
        let answer = linked.rest().send("PATCH", &store.path, nobody.to_string().as_bytes());
        assert!(answer.status == 422 && answer.text().contains("Exception"), "{state}: {} {}", answer.status, answer.text());
        let after = linked.rest().get(&store.path);
        assert_eq!(
            (&after["name"], &after["aws_param"]["xks_proxy_uri_endpoint"]),
            (&before["name"], &before["aws_param"]["xks_proxy_uri_endpoint"])
        );
        assert_eq!(in_aws(&linked, &store.in_aws)["CustomKeyStoreName"], "renamed");
        if state == "CONNECTED" {
            disconnect(&linked, &store.path);
        }
    }

    linked.rest().delete(&store.path);
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
    let answer = linked.rest().send("DELETE", &store.path, b"");
    assert!(answer.status == 404 && answer.text().contains("Resource not found"), "{}", answer.text());
}

#[test]
fn of_a_key_store_that_aws_does_not_take_nothing_is_left_and_one_that_was_there_stays_unlinked() {
    let linked = Linked::start();
    let key = linked.source_key("a key");
    linked.switches().refuse("CreateCustomKeyStore", "CustomKeyStoreNameInUseException", 1);
    let new = linked.new_store("taken", &key, true);
    let answer = linked.rest().send("POST", STORES, new.to_string().as_bytes());
    assert_eq!(answer.status, 422);
    let text_of = answer.text();
    assert!(text_of.contains("NCERRAWSRefused: AWS KMS CreateCustomKeyStore: CustomKeyStoreNameInUseException"), "{text_of}");
    assert_eq!(linked.rest().get(&format!("{STORES}?name=taken"))["total"], 0);

    // The same again, unlinked, and linked later.
    let created = linked.rest().post(STORES, &linked.new_store("taken", &key, false));
    let path = format!("{STORES}/{}", text(&created, "/id"));
    for action in ["connect", "disconnect"] {
        refused(&linked, "POST", &format!("{path}/{action}"), (409, "not linked"));
    }
    linked.switches().refuse("CreateCustomKeyStore", "XksProxyUriUnreachableException", 1);
    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": "https://localhost" } });
    let answer = linked.rest().send("POST", &format!("{path}/link"), link.to_string().as_bytes());
    assert!(answer.status == 422 && answer.text().contains("XksProxyUriUnreachableException"), "{}", answer.text());
    let seen: KeyStore = decoded(&linked.rest().get(&path));
    assert!(!seen.local_hosted_params.linked_state && seen.aws_param.connection_state.is_none());
    assert_eq!(seen.aws_param.xks_proxy_uri_endpoint.as_deref(), Some(linked.endpoint()), "as before");

    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": linked.endpoint() } });
    let shown = linked.rest().post(&format!("{path}/link"), &link);
    assert!(shown["local_hosted_params"]["linked_state"] == true && shown["secret_access_key"].is_null(), "{shown}");
    let id = text(&shown, "/aws_param/custom_key_store_id").to_owned();
    assert_eq!(in_aws(&linked, &id)["CustomKeyStoreName"], "taken");
    for query in ["linked_state=true&type=LOCAL".to_owned(), format!("custom_key_store_id={id}"), format!("name={id}")] {
        assert_eq!(linked.rest().get(&format!("{STORES}?{query}"))["total"], 1, "{query}");
    }
    let answer = linked.rest().send("POST", &format!("{path}/link"), link.to_string().as_bytes());
    assert!(answer.status == 409 && answer.text().contains("linked already"), "{}", answer.text());
}

#[test]
fn without_a_connected_data_plane_nothing_is_linked() {
    let mut linked = Linked::start();
    let key = linked.source_key("a key");
    let created = linked.rest().post(STORES, &linked.new_store("lonely", &key, false));
    let path = format!("{STORES}/{}", text(&created, "/id"));
    linked.kill_node(0);
    let link = json!({ "aws_param": { "xks_proxy_uri_endpoint": linked.endpoint() } });
    linked.wait_until("the node is seen to be gone", |linked| {
        let answer = linked.rest().send("POST", &format!("{path}/link"), link.to_string().as_bytes());
        answer.status == 503
    });
    assert_eq!(linked.rest().get(&path)["local_hosted_params"]["linked_state"], false);
}

#[test]
fn a_cloudhsm_key_store_is_created_connected_changed_and_deleted_in_aws() {
    let linked = Linked::start();
    let place = json!({ "kms": KMS, "region": "us-east-1" });
    let clusters = linked.rest().post(&format!("{STORES}/get-unused-cloudhsm-clusters"), &place);
    let unused = clusters["resources"].as_array().unwrap().len();
    assert_eq!(clusters["total"], unused);
    let fit = |cluster: &&Value| cluster["State"] == "ACTIVE" && cluster["Hsms"].as_array().is_some_and(|hsms| hsms.len() >= 2);
    let cluster = clusters["resources"].as_array().unwrap().iter().find(fit).unwrap_or_else(|| panic!("{clusters}"));
    let (cluster_id, anchor) = (text(cluster, "/ClusterId"), text(cluster, "/Certificates/ClusterCertificate"));

    let created = linked.rest().post(STORES, &on_cluster(cluster_id, anchor));
    let path = format!("{STORES}/{}", text(&created, "/id"));
    let seen: KeyStore = decoded(&linked.rest().get(&path));
    assert_eq!((seen.name.as_str(), text(&created, "/type")), ("on a cluster", "CloudHSM"));
    assert_eq!((seen.local_hosted_params.linked_state, seen.local_hosted_params.max_credentials), (false, 0), "as it was sent");
    assert_eq!(seen.aws_param.custom_key_store_type.as_deref(), Some("AWS_CLOUDHSM"));
    assert_eq!(text(&created, "/aws_param/cloud_hsm_cluster_id"), cluster_id);
    assert_eq!(text(&created, "/aws_param/trust_anchor_certificate"), anchor);
    assert!(seen.aws_param.key_store_password.is_none());
    for spelling in ["type=CloudHSM", "custom_key_store_type=CLOUD_HSM", "custom_key_store_type=AWS_CLOUDHSM"] {
        assert_eq!(linked.rest().get(&format!("{STORES}?{spelling}"))["total"], 1, "{spelling}");
    }
    let left = linked.rest().post(&format!("{STORES}/get-unused-cloudhsm-clusters"), &place);
    assert!(left["resources"].as_array().unwrap().iter().all(|left| left["ClusterId"] != cluster_id), "{left}");

    // Not for these.
    for action in ["block", "unblock", "rotate-credential", "disable-credential-rotation-job", "link"] {
        refused(&linked, "POST", &format!("{path}/{action}"), (409, "CloudHSM"));
    }
    for read in ["credentials", "health"] {
        refused(&linked, "GET", &format!("{path}/{read}"), (409, "CloudHSM"));
    }

    linked.rest().post(&format!("{path}/connect"), &json!({ "key_store_password": "not-the-password" }));
    let shown = until_state(&linked, &path, "FAILED");
    assert_eq!(text(&shown, "/aws_param/connection_error_code"), "INVALID_CREDENTIALS");
    disconnect(&linked, &path);
    linked.rest().post(&format!("{path}/connect"), &json!({ "key_store_password": PASSWORD }));
    until_state(&linked, &path, "CONNECTED");
    let rename = json!({ "name": "renamed", "linked_state": false, "local_hosted_params": { "max_credentials": 0, "blocked": false } });
    linked.switches().refuse("UpdateCustomKeyStore", "CustomKeyStoreInvalidStateException", 1);
    let answer = linked.rest().send("PATCH", &path, rename.to_string().as_bytes());
    assert!(answer.status == 422 && answer.text().contains("CustomKeyStoreInvalidStateException"), "{}", answer.text());
    assert_eq!(linked.rest().get(&path)["name"], "on a cluster");
    refused(&linked, "DELETE", &path, (409, "disconnect it first"));
    let kinds = json!({ "custom_key_store_type": "EXTERNAL_KEY_STORE" });
    for (field, other) in [
        ("kms", json!({ "kms": "another" })),
        ("region", json!({ "region": "eu-west-1" })),
        ("custom_key_store_type", json!({ "aws_param": kinds })),
    ] {
        let answer = linked.rest().send("PATCH", &path, other.to_string().as_bytes());
        assert!(answer.status == 400 && answer.text().contains(field), "{field}: {} {}", answer.status, answer.text());
    }
    let mut rename = rename;
    (rename["kms"], rename["region"]) = (KMS.into(), "us-east-1".into());
    rename["aws_param"] = json!({ "custom_key_store_type": "AWS_CLOUDHSM" });
    assert_eq!(linked.rest().patch(&path, &rename)["name"], "renamed");
    disconnect(&linked, &path);
    let told = linked.kms("DescribeCustomKeyStores", &json!({}));
    assert_eq!(told["CustomKeyStores"][0]["CustomKeyStoreName"], "renamed");

    linked.rest().delete(&path);
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
    assert_eq!(linked.rest().post(&format!("{STORES}/get-unused-cloudhsm-clusters"), &place)["total"], unused);
}

#[test]
fn a_key_store_that_aws_got_from_someone_else_is_shown_connected_and_otherwise_left_alone() {
    let linked = Linked::start();
    let key = linked.source_key("a key");
    let ours = linked.rest().post(STORES, &linked.new_store("served here", &key, false));
    let made = json!({
        "CustomKeyStoreName": "by hand", "CustomKeyStoreType": "EXTERNAL_KEY_STORE", "XksProxyUriEndpoint": linked.endpoint(),
        "XksProxyUriPath": ours["aws_param"]["xks_proxy_uri_path"], "XksProxyConnectivity": "PUBLIC_ENDPOINT",
        "XksProxyAuthenticationCredential": { "AccessKeyId": ours["access_key_id"], "RawSecretAccessKey": ours["secret_access_key"] },
    });
    let id = text(&linked.kms("CreateCustomKeyStore", &made), "/CustomKeyStoreId").to_owned();
    synchronize(&linked);
    let found = linked.rest().get(&format!("{STORES}?type=REMOTE"));
    assert_eq!(found["total"], 1, "{found}");
    let shown = &found["resources"][0];
    assert_eq!((text(shown, "/name"), text(shown, "/aws_param/custom_key_store_id")), ("by hand", id.as_str()));
    assert_eq!((&shown["locally_hosted"], &shown["gone"]), (&json!(false), &json!(false)));
    decoded::<KeyStore>(shown);
    let path = format!("{STORES}/{}", text(shown, "/id"));
    linked.connect(&path);
    disconnect(&linked, &path);
    for action in ["block", "rotate-credential", "link"] {
        refused(&linked, "POST", &format!("{path}/{action}"), (409, "another proxy"));
    }
    refused(&linked, "DELETE", &path, (409, "another proxy"));
    refused(&linked, "PATCH", &path, (409, "another proxy"));

    // What is gone there is shown as gone, and can be put away.
    linked.kms("DeleteCustomKeyStore", &json!({ "CustomKeyStoreId": id }));
    synchronize(&linked);
    assert_eq!(linked.rest().get(&path)["gone"], true);
    linked.rest().delete(&path);
    assert_eq!(linked.rest().get(STORES)["resources"].as_array().unwrap().iter().filter(|one| one["type"] == "REMOTE").count(), 0);
}

fn synchronize(linked: &Linked) {
    let all = json!({ "kms": [KMS], "regions": [], "synchronize_all": false });
    let job = linked.rest().post(&format!("{STORES}/synchronization-jobs"), &all);
    let job = format!("{STORES}/synchronization-jobs/{}", text(&job, "/id"));
    assert_eq!(linked.until_shown(&job, |job| job["overall_status"] != "in progress")["overall_status"], "completed");
}

/// The known client's body for a key store on a cluster (contract §7.2, D14).
fn on_cluster(cluster: &str, anchor: &str) -> Value {
    json!({
        "id": "",
        "aws_param": {
            "cloud_hsm_cluster_id": cluster, "custom_key_store_type": "AWS_CLOUDHSM", "key_store_password": PASSWORD,
            "trust_anchor_certificate": anchor, "xks_proxy_connectivity": "", "xks_proxy_uri_endpoint": "",
            "xks_proxy_vpc_endpoint_service_name": "",
        },
        "kms": KMS, "name": "on a cluster", "region": "us-east-1", "enable_success_audit_event": false, "linked_state": false,
        "local_hosted_params": {
            "blocked": false, "health_check_key_id": "", "max_credentials": 0, "mtls_enabled": false, "partition_id": "",
            "source_key_tier": "",
        },
        "key_store_password": "",
    })
}

fn disconnect(linked: &Linked, path: &str) {
    linked.rest().act(&format!("{path}/disconnect"));
    until_state(linked, path, "DISCONNECTED");
}

fn until_state(linked: &Linked, path: &str, state: &str) -> Value {
    linked.until_shown(path, |shown| shown["aws_param"]["connection_state"] == state)
}

fn in_aws(linked: &Linked, id: &str) -> Value {
    linked.kms("DescribeCustomKeyStores", &json!({ "CustomKeyStoreId": id }))["CustomKeyStores"][0].clone()
}

fn refused(linked: &Linked, method: &str, path: &str, (status, words): (u16, &str)) {
    let answer: Answer = linked.rest().send(method, path, b"{}");
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    assert!(answer.text().contains(words), "{method} {path}: {}", answer.text());
}

/// The `kmsuser` password of all clusters of the simulator.
const PASSWORD: &str = "kmsuser-password";
