//! Lists of key stores and keys, linked and not: what a filter finds is what shows the value that is asked for (contract §7.3, §8.1).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    site::{KMS, Linked, STORES},
    synchronization::{begun, cluster_store, ended, remote_store},
    upload::{exportable, native, upload},
};
use crate::rest::{hyok_key, text};

/// Where an object shows what a filter asks for.
enum Shows {
    At(&'static str),
    /// What is meant where nothing is shown.
    Or(&'static str, &'static str),
    By(fn(&Value) -> Vec<String>),
}

#[test]
fn each_filter_of_keys_finds_those_that_show_the_value_and_no_others() {
    let linked = Linked::start();
    let store = linked.connected_store("linked");
    linked.linked_key(&store, "hyok");
    let source = linked.source_key("other");
    let unlinked = linked.rest().post(STORES, &linked.new_store("unlinked", &source, false));
    let unlinked = linked.rest().post("cckm/aws/create-hyok-key", &hyok_key(text(&unlinked, "/id"), &source, ""));
    linked.rest().act(&format!("{}/block", path(&unlinked)));
    let template = linked.rest().post("cckm/aws/templates", &json!({ "kms": KMS, "name": "t", "key_users": ["alice"] }));
    let mut with_all = native("", "");
    with_all["policytemplate"] = template["id"].clone();
    with_all["aws_param"]["Alias"] = "team/native".into();
    with_all["aws_param"]["Tags"] = json!([{ "TagKey": "owner", "TagValue": "nile" }, { "TagKey": "stage", "TagValue": "" }]);
    with_all["aws_param"]["MultiRegion"] = true.into();
    linked.rest().post("cckm/aws/keys", &with_all);
    let mut elsewhere = native("RSA_2048", "SIGN_VERIFY");
    elsewhere["region"] = "eu-west-1".into();
    linked.rest().post("cckm/aws/keys", &elsewhere);
    let uploaded = exportable(&linked, "aes", ("AES", 256, ""));
    let uploaded = linked.rest().post("cckm/aws/upload-key", &upload(&uploaded, "", ""));
    let job = json!({ "name": "job", "operation": "cckm_key_rotation", "run_at": "0 0 1 1 *", "disabled": true });
    let job = linked.rest().post("scheduler/job-configs", &job);
    linked.rest().post(&format!("{}/enable-rotation-job", path(&uploaded)), &json!({ "job_config_id": job["id"] }));
    linked.rest().act(&format!("{}/disable", path(&uploaded)));
    let [gone, pending] = [(), ()].map(|()| linked.rest().post("cckm/aws/keys", &native("HMAC_256", "GENERATE_VERIFY_MAC")));
    linked.rest().post(&format!("{}/add-alias", path(&gone)), &json!({ "alias": "reborn" }));
    for (key, days) in [(&gone, 7), (&pending, 30)] {
        linked.rest().post(&format!("{}/schedule-deletion", path(key)), &json!({ "days": days }));
    }
    linked.switches().advance(Duration::from_hours(8 * 24));
    ended(&linked, &begun(&linked, &json!({ "kms": [KMS] })));
    assert_eq!(linked.rest().get(&path(&gone))["gone"], true);
    // Its alias is another's now.
    linked.rest().post(&format!("{}/add-alias", path(&uploaded)), &json!({ "alias": "reborn" }));
    let reborn = linked.rest().get("cckm/aws/keys?alias=reborn");
    assert_eq!((&reborn["total"], &reborn["resources"][0]["id"]), (&json!(1), &uploaded["id"]));
    // Clients that want it deleted look for these words, and take it for deleted.
    let answer = linked.rest().send("POST", &format!("{}/schedule-deletion", path(&gone)), br#"{"days":7}"#);
    assert!(answer.status == 409 && answer.text().contains("is pending deletion"), "{} {}", answer.status, answer.text());

    found_as_shown(&linked, "cckm/aws/keys", &KEYS);
    // As the known client looks for a key (contract §8.1), and more than one filter at once.
    let one = linked.rest().get("cckm/aws/keys?alias=team/native&region=us-east-1");
    assert_eq!((&one["total"], text(&one, "/resources/0/key_material_origin")), (&json!(1), "native"));
    assert_eq!(linked.rest().get("cckm/aws/keys?alias=team/native&region=eu-west-1")["total"], 0);
    let sorted = linked.rest().get("cckm/aws/keys?sort=region,-keystate&limit=-1");
    let order: Vec<_> = all(&sorted).iter().map(|key| (text(key, "/region"), text(key, "/aws_param/KeyState"))).collect();
    assert!(order.is_sorted_by(|one, next| (one.0, next.1) <= (next.0, one.1)), "{order:?}");
}

#[test]
fn each_filter_of_key_stores_finds_those_that_show_the_value_and_no_others() {
    let linked = Linked::start();
    linked.connected_store("connected");
    linked.linked_store("disconnected");
    let mut vpc = linked.new_store("by vpc", &linked.source_key("vpc"), false);
    vpc["aws_param"]["xks_proxy_connectivity"] = "VPC_ENDPOINT_SERVICE".into();
    vpc["aws_param"]["xks_proxy_vpc_endpoint_service_name"] = "com.amazonaws.vpce.eu-west-1.vpce-svc-0123456789abcdef0".into();
    (vpc["region"], vpc["enable_success_audit_event"]) = ("eu-west-1".into(), true.into());
    let vpc = linked.rest().post(STORES, &vpc);
    linked.rest().act(&format!("{STORES}/{}/block", text(&vpc, "/id")));
    let (remote, cluster) = (remote_store(&linked, "remote"), cluster_store(&linked, "cluster"));
    ended(&linked, &begun(&linked, &json!({ "kms": [KMS] })));

    found_as_shown(&linked, STORES, &KEY_STORES);
    for (filter, name) in [(format!("name={remote}"), "remote"), (format!("name={cluster}&type=CLOUD_HSM"), "cluster")] {
        let found = linked.rest().get(&format!("{STORES}?{filter}"));
        assert_eq!((&found["total"], text(&found, "/resources/0/name")), (&json!(1), name), "{filter}");
    }
    for spelling in ["custom_key_store_type=CLOUD_HSM", "custom_key_store_type=AWS_CLOUDHSM"] {
        assert_eq!(linked.rest().get(&format!("{STORES}?{spelling}"))["total"], 1, "{spelling}");
    }
    let sorted = linked.rest().get(&format!("{STORES}?sort=-type,name&limit=-1"));
    let order: Vec<_> = all(&sorted).iter().map(|store| (text(store, "/type"), text(store, "/name"))).collect();
    assert!(order.is_sorted_by(|one, next| (next.0, one.1) <= (one.0, next.1)), "{order:?}");
}

/// Each filter, asked for each value that any of the objects shows.
fn found_as_shown(linked: &Linked, list: &str, filters: &[(&str, Shows)]) {
    let whole = linked.rest().get(&format!("{list}?limit=-1"));
    let whole = all(&whole);
    for (name, shows) in filters {
        let mut showing = BTreeMap::<String, BTreeSet<&str>>::new();
        for object in whole {
            for value in shows.values(object) {
                showing.entry(value).or_default().insert(text(object, "/id"));
            }
        }
        let tells_apart = showing.values().any(|ids| ids.len() < whole.len());
        assert!(tells_apart || *name == "cloud_name", "{name} finds all: {showing:?}");
        for (value, ids) in showing {
            let found = linked.rest().get(&format!("{list}?{name}={}&limit=-1", encoded(&value)));
            let got: BTreeSet<_> = all(&found).iter().map(|object| text(object, "/id")).collect();
            assert_eq!((got, found["total"].as_u64()), (ids.clone(), u64::try_from(ids.len()).ok()), "{name}={value}");
        }
        assert_eq!(linked.rest().get(&format!("{list}?{name}=nothing-like-it"))["total"], 0, "{name}");
    }
}

impl Shows {
    fn values(&self, object: &Value) -> Vec<String> {
        match self {
            Self::At(path) => object.pointer(path).and_then(plain).into_iter().collect(),
            Self::Or(path, otherwise) => vec![object.pointer(path).and_then(plain).unwrap_or_else(|| (*otherwise).to_owned())],
            Self::By(of) => of(object),
        }
    }
}

/// As a filter spells it; what is empty is nothing.
fn plain(value: &Value) -> Option<String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Some(text).filter(|text| !text.is_empty())
}

fn encoded(text: &str) -> String {
    let byte = |b: u8| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(byte).collect()
}

fn all(list: &Value) -> &[Value] {
    list["resources"].as_array().unwrap()
}

fn path(key: &Value) -> String {
    format!("cckm/aws/keys/{}", text(key, "/id"))
}

fn tags(key: &Value) -> impl Iterator<Item = (&str, &str)> {
    let tags = key["aws_param"]["Tags"].as_array().into_iter().flatten();
    tags.map(|tag| (text(tag, "/TagKey"), text(tag, "/TagValue")))
}

fn container(object: &Value) -> Vec<String> {
    ["/kms", "/kms_id"].iter().filter_map(|path| object.pointer(path).and_then(plain)).collect()
}

/// All that the contract names, and our own.
const KEYS: [(&str, Shows); 26] = [
    ("id", Shows::At("/id")),
    ("keyid", Shows::At("/aws_param/KeyID")),
    ("arn", Shows::At("/aws_param/Arn")),
    (
        "alias",
        Shows::By(|key| {
            let aliases = key["aws_param"]["Alias"].as_array().into_iter().flatten().filter_map(Value::as_str);
            aliases.flat_map(|alias| [alias.to_owned(), alias.strip_prefix("alias/").unwrap().to_owned()]).collect()
        }),
    ),
    ("region", Shows::At("/region")),
    ("kms", Shows::By(container)),
    ("kms_id", Shows::At("/kms_id")),
    ("cloud_name", Shows::At("/cloud_name")),
    ("origin", Shows::At("/aws_param/Origin")),
    ("job_config_id", Shows::At("/labels/job_config_id")),
    (
        "cckm_policy_template_id",
        Shows::By(|key| tags(key).filter(|(name, _)| *name == "cckm_policy_template_id").map(|(_, value)| value.to_owned()).collect()),
    ),
    ("enabled", Shows::At("/aws_param/Enabled")),
    ("gone", Shows::At("/gone")),
    ("tags", Shows::By(|key| tags(key).flat_map(|(name, value)| [name.to_owned(), format!("{name}={value}")]).collect())),
    ("keystate", Shows::At("/aws_param/KeyState")),
    ("keyusage", Shows::Or("/aws_param/KeyUsage", "ENCRYPT_DECRYPT")),
    ("rotation_job_enabled", Shows::By(|key| vec![key.pointer("/labels/job_config_id").is_some().to_string()])),
    ("CustomerMasterKeySpec", Shows::Or("/aws_param/CustomerMasterKeySpec", "SYMMETRIC_DEFAULT")),
    ("key_material_origin", Shows::At("/key_material_origin")),
    ("key_source", Shows::At("/key_source")),
    ("multi_region", Shows::Or("/aws_param/MultiRegion", "false")),
    ("linked_state", Shows::At("/linked_state")),
    ("blocked", Shows::At("/blocked")),
    ("custom_key_store_id", Shows::At("/custom_key_store_id")),
    ("custom_key_store_name", Shows::At("/custom_key_store_name")),
    ("external_key_id", Shows::At("/aws_param/XksKeyConfiguration/Id")),
];

const KEY_STORES: [(&str, Shows); 16] = [
    ("id", Shows::At("/id")),
    (
        "name",
        Shows::By(|store| {
            let known = ["/name", "/aws_param/custom_key_store_name", "/aws_param/custom_key_store_id"];
            let names: BTreeSet<_> = known.iter().filter_map(|path| store.pointer(path).and_then(plain)).collect();
            names.into_iter().collect()
        }),
    ),
    ("kms", Shows::By(container)),
    ("kms_id", Shows::At("/kms_id")),
    ("region", Shows::At("/region")),
    ("cloud_name", Shows::At("/cloud_name")),
    ("type", Shows::At("/type")),
    ("blocked", Shows::At("/local_hosted_params/blocked")),
    ("linked_state", Shows::At("/local_hosted_params/linked_state")),
    ("xks_proxy_connectivity", Shows::At("/aws_param/xks_proxy_connectivity")),
    ("connection_state", Shows::At("/aws_param/connection_state")),
    ("source_key_tier", Shows::At("/local_hosted_params/source_key_tier")),
    ("custom_key_store_type", Shows::At("/aws_param/custom_key_store_type")),
    ("custom_key_store_id", Shows::At("/aws_param/custom_key_store_id")),
    ("credential_version", Shows::At("/credential_version")),
    ("enable_success_audit_event", Shows::At("/enable_success_audit_event")),
];
