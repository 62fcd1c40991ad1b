//! REST and gRPC tell the same of what linked mode has: each member of gRPC's message is found in REST's answer, or is known to be only here.

mod tables;

use holdfast_proto::admin::{
    GetAwsAccountRequest, GetAwsConnectionRequest, GetAwsKeyRequest, GetHyokKeyRequest, GetKeyStoreRequest, GetSynchronizationRequest,
    ListAwsConnectionsRequest, ListAwsKeysRequest, ListHyokKeysRequest, ListJobsRequest, ListKeyStoresRequest, ListSynchronizationsRequest,
};
use serde::Serialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::tables::{ACCOUNT, AWS_KEY, CONNECTED, HYOK_KEY, JOB, KEY_STORE, SYNCHRONIZATION};
use super::{
    site::{CONNECTION, KMS, Linked, STORES},
    synchronization::{begun, cluster_store, ended, found_store, remote_store},
    upload::{days_from_now, exportable, native, upload},
};
use crate::rest::text;

/// Where REST tells a member.
enum Told {
    At(&'static str),
    /// A time: RFC 3339 there, milliseconds here.
    Time(&'static str),
    By(fn(&Value) -> Value),
    /// Of gRPC alone.
    Nowhere,
}

/// Members of a message, each with where REST tells it.
type Table = [(&'static str, Told)];

#[test]
fn what_one_api_tells_of_key_stores_and_keys_in_aws_the_other_tells_too() {
    let linked = Linked::start();
    let store = linked.connected_store("both");
    let credentials = linked.rest().post(CONFIGS, &config("credentials", "cckm_xks_credential_rotation"));
    linked.rest().post(&format!("{}/enable-credential-rotation-job", store.path), &json!({ "job_config_id": credentials["id"] }));
    let hyok = linked.linked_key(&store, "hyok");
    let source = exportable(&linked, "aes", ("AES", 256, ""));
    let mut uploaded = upload(&source, "", "");
    (uploaded["aws_param"]["ValidTo"], uploaded["key_expiration"]) = (days_from_now(30).into(), true.into());
    let uploaded = linked.rest().post("cckm/aws/upload-key", &uploaded);
    let mut plain = native("", "");
    plain["aws_param"]["Alias"] = "plain".into();
    plain["aws_param"]["Description"] = "made by AWS".into();
    plain["aws_param"]["Tags"] = json!([{ "TagKey": "owner", "TagValue": "nile" }]);
    plain["aws_param"]["MultiRegion"] = true.into();
    let plain = linked.rest().post("cckm/aws/keys", &plain);
    let path = |key: &Value| format!("cckm/aws/keys/{}", text(key, "/id"));
    linked.rest().post(&format!("{}/replicate-key", path(&plain)), &json!({ "replica_region": "eu-west-1", "aws_param": {} }));
    linked.rest().post(&format!("{}/enable-auto-rotation", path(&plain)), &json!({ "rotation_period_in_days": 100 }));
    let keys = linked.rest().post(CONFIGS, &config("keys", "cckm_key_rotation"));
    linked.rest().post(&format!("{}/enable-rotation-job", path(&uploaded)), &json!({ "job_config_id": keys["id"] }));
    let deleted = linked.rest().post("cckm/aws/keys", &native("HMAC_256", "GENERATE_VERIFY_MAC"));
    linked.rest().post(&format!("{}/schedule-deletion", path(&deleted)), &json!({ "days": 7 }));
    let (remote, cluster) = (remote_store(&linked, "remote"), cluster_store(&linked, "cluster"));
    ended(&linked, &begun(&linked, &json!({ "kms": [KMS] })));

    let mut faults = Vec::new();
    for id in [store.id.as_str(), text(&found_store(&linked, &remote), "/id"), text(&found_store(&linked, &cluster), "/id")] {
        let asked = || {
            let (mut admin, message) = (linked.admin(), GetKeyStoreRequest { id: id.to_owned() });
            let request = admin.request(message);
            linked.block_on(admin.client.key_stores.get_key_store(request)).unwrap().into_inner().key_store.unwrap()
        };
        let (told, shown) = both(asked, || linked.rest().get(&format!("{STORES}/{id}")));
        faults.extend(differences(&told, &shown, &KEY_STORE));
    }
    for key in [&hyok, &uploaded, &plain, &deleted] {
        let asked = || {
            let (mut admin, message) = (linked.admin(), GetAwsKeyRequest { id: text(key, "/id").to_owned() });
            let request = admin.request(message);
            linked.block_on(admin.client.aws_keys.get_aws_key(request)).unwrap().into_inner().key.unwrap()
        };
        let (told, shown) = both(asked, || linked.rest().get(&path(key)));
        faults.extend(differences(&told, &shown, &AWS_KEY));
    }
    let asked = || {
        let (mut admin, message) = (linked.admin(), GetHyokKeyRequest { id: text(&hyok, "/id").to_owned() });
        let request = admin.request(message);
        linked.block_on(admin.client.hyok_keys.get_hyok_key(request)).unwrap().into_inner().key.unwrap()
    };
    let with_versions = || {
        let mut shown = linked.rest().get(&path(&hyok));
        shown["versions"] = linked.rest().get(&format!("{}/versions", path(&hyok)))["resources"].clone();
        shown
    };
    let (told, shown) = both(asked, with_versions);
    faults.extend(differences(told.aws.as_ref().unwrap(), &shown, &AWS_KEY));
    faults.extend(differences(&told, &shown, &HYOK_KEY));
    assert!(faults.is_empty(), "{faults:#?}");

    let mut admin = linked.admin();
    // And there are no others.
    let request = admin.request(ListKeyStoresRequest {});
    let stores = linked.block_on(admin.client.key_stores.list_key_stores(request)).unwrap().into_inner().key_stores;
    assert_eq!(sorted(stores.into_iter().map(|store| store.id)), ids(&linked, STORES));
    let request = admin.request(ListAwsKeysRequest::default());
    let in_aws = linked.block_on(admin.client.aws_keys.list_aws_keys(request)).unwrap().into_inner().keys;
    assert_eq!(
        sorted(in_aws.into_iter().filter(|key| key.linked_state).map(|key| key.id)),
        ids(&linked, "cckm/aws/keys?linked_state=true")
    );
    let request = admin.request(ListHyokKeysRequest::default());
    let hyok = linked.block_on(admin.client.hyok_keys.list_hyok_keys(request)).unwrap().into_inner().keys;
    assert_eq!(sorted(hyok.into_iter().map(|key| key.id)), ids(&linked, "cckm/aws/keys?origin=EXTERNAL_KEY_STORE"));
}

#[test]
fn what_one_api_tells_of_connections_accounts_and_synchronization_the_other_tells_too() {
    let linked = Linked::start();
    let mut admin = linked.admin();
    let path = "connectionmgmt/services/aws/connections";
    let unused = linked.rest().get(&format!("{path}/{CONNECTION}"));
    assert!(unused.get("last_connection_ok").is_none() && unused.get("last_connection_at").is_none(), "{unused}");

    let shown = linked.rest().post("cckm/aws/accounts", &json!({ "connection": CONNECTION }));
    let request = admin.request(GetAwsAccountRequest { connection: CONNECTION.to_owned(), ..Default::default() });
    let told = linked.block_on(admin.client.aws_connections.get_aws_account(request)).unwrap().into_inner();
    let mut faults = differences(&told, &shown, &ACCOUNT);

    let job = begun(&linked, &json!({ "kms": [KMS], "regions": ["us-east-1"] }));
    let shown = ended(&linked, &job);
    let request = admin.request(GetSynchronizationRequest { id: text(&shown, "/id").to_owned() });
    let told = linked.block_on(admin.client.synchronization.get_synchronization(request)).unwrap().into_inner().job.unwrap();
    faults.extend(differences(&told, &shown, &SYNCHRONIZATION));
    let request = admin.request(ListSynchronizationsRequest {});
    let jobs = linked.block_on(admin.client.synchronization.list_synchronizations(request)).unwrap().into_inner().jobs;
    assert_eq!(sorted(jobs.into_iter().map(|job| job.id)), [text(&shown, "/id")]);
    let jobs = "cckm/aws/custom-key-stores/synchronization-jobs";
    assert_eq!(ids(&linked, jobs), ids(&linked, &format!("{jobs}?id={}", text(&shown, "/id"))));

    let let_in = linked.rest().get(&format!("{path}/{CONNECTION}"));
    assert_eq!((&let_in["last_connection_ok"], let_in.get("last_connection_error")), (&json!(true), None), "{let_in}");
    linked.switches().refuse("GetCallerIdentity", "InvalidClientTokenId", 1);
    let body = json!({ "connection": CONNECTION }).to_string();
    assert_eq!(linked.rest().send("POST", "cckm/aws/accounts", body.as_bytes()).status, 422);
    let refused = linked.rest().get(&format!("{path}/{CONNECTION}"));
    assert_eq!(refused["last_connection_ok"], false, "{refused}");
    assert!(text(&refused, "/last_connection_error").contains("InvalidClientTokenId"), "{refused}");
    assert!(text(&refused, "/last_connection_at") > text(&let_in, "/last_connection_at"));
    // Reading is no use of it, and neither moves what Terraform compares.
    assert_eq!(linked.rest().get(&format!("{path}/{CONNECTION}")), refused);
    assert_eq!((&refused["updatedAt"], &let_in["updatedAt"]), (&unused["updatedAt"], &unused["updatedAt"]));
    let listed = linked.rest().get(&format!("{path}?name={CONNECTION}"));
    assert_eq!(listed["resources"][0]["last_connection_ok"], false, "{listed}");
    // What AWS refuses to a role that somebody asked for is not the connection's fault.
    let as_it_was = linked.rest().post("cckm/aws/accounts", &json!({ "connection": CONNECTION }));
    assert_eq!(as_it_was["account_id"], linked.sim().settings().account_id);
    linked.switches().refuse("GetCallerIdentity", "InvalidClientTokenId", 1);
    let role = format!("arn:aws:iam::{}:role/keys", linked.sim().settings().account_id);
    let body = json!({ "connection": CONNECTION, "assume_role_arn": role }).to_string();
    assert_eq!(linked.rest().send("POST", "cckm/aws/accounts", body.as_bytes()).status, 422);
    let shown = linked.rest().get(&format!("{path}/{CONNECTION}"));
    assert_eq!(shown["last_connection_ok"], true, "{shown}");

    let request = admin.request(GetAwsConnectionRequest { id: CONNECTION.to_owned() });
    let told = linked.block_on(admin.client.aws_connections.get_aws_connection(request)).unwrap().into_inner().connection.unwrap();
    faults.extend(differences(&told, &shown, &CONNECTED));
    let request = admin.request(ListAwsConnectionsRequest {});
    let all = linked.block_on(admin.client.aws_connections.list_aws_connections(request)).unwrap().into_inner().connections;
    assert_eq!(all, [told]);
    assert!(faults.is_empty(), "{faults:#?}");
}

/// All jobs, and how they last ended.
pub(super) fn jobs_alike(linked: &Linked) {
    let mut admin = linked.admin();
    let request = admin.request(ListJobsRequest {});
    let jobs = linked.block_on(admin.client.jobs.list_jobs(request)).unwrap().into_inner().jobs;
    assert!(jobs.iter().any(|job| job.last_run.is_some()), "{jobs:?}");
    // One may run again meanwhile.
    let faults = jobs.iter().flat_map(|told| {
        let shown = linked.rest().get(&format!("{CONFIGS}/{}", told.id));
        let again = told.last_run.as_ref().is_some_and(|ran| Some(ran.ended_ms) != time_of(&shown["last_run"]["ended"]).as_u64());
        if again { Vec::new() } else { differences(told, &shown, &JOB) }
    });
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What both APIs tell of one state: what AWS does by itself is followed meanwhile.
fn both<M>(grpc: impl Fn() -> M, rest: impl Fn() -> Value) -> (M, Value) {
    let mut before = rest();
    for _ in 0..100 {
        let (told, after) = (grpc(), rest());
        if before == after {
            return (told, after);
        }
        before = after;
    }
    panic!("it changes all the time: {before}");
}

/// Members that REST does not tell, or not so.
fn differences(told: &impl Serialize, shown: &Value, table: &Table) -> Vec<String> {
    let told = serde_json::to_value(told).unwrap();
    let members = told.as_object().unwrap();
    let left_out = members.keys().filter(|name| table.iter().all(|(known, _)| known != name));
    let mut faults: Vec<_> = left_out.map(|name| format!("{name} is not compared")).collect();
    for (name, at) in table {
        let there = match at {
            Told::At(path) => shown.pointer(path).cloned().unwrap_or_default(),
            Told::Time(path) => shown.pointer(path).map(time_of).unwrap_or_default(),
            Told::By(of) => of(shown),
            Told::Nowhere => continue,
        };
        let here = members.get(*name).unwrap_or_else(|| panic!("there is no {name} in {told}"));
        if said(here) != said(&there) {
            faults.push(format!("{name}: {here} over gRPC, {there} over REST, of {}", shown["id"]));
        }
    }
    faults
}

/// What says nothing is told as nothing.
fn said(value: &Value) -> Option<&Value> {
    let nothing = [json!(null), json!(false), json!(0), json!(""), json!([]), json!({})];
    Some(value).filter(|value| !nothing.contains(value))
}

fn time_of(text: &Value) -> Value {
    let time = text.as_str().map(|text| OffsetDateTime::parse(text, &Rfc3339).unwrap());
    time.map_or(Value::Null, |time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap().into())
}

fn ids(linked: &Linked, list: &str) -> Vec<String> {
    let all = format!("{list}{}limit=-1", if list.contains('?') { "&" } else { "?" });
    let listed = linked.rest().get(&all);
    sorted(listed["resources"].as_array().unwrap().iter().map(|one| text(one, "/id").to_owned()))
}

fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids
}

/// A job that never runs.
fn config(name: &str, operation: &str) -> Value {
    let mut body = json!({ "name": name, "operation": operation, "run_at": "0 0 1 1 *", "disabled": true });
    body[format!("{operation}_params")] = json!({ "cloud_name": "aws" });
    body
}

/// Members of an object in a list, under gRPC's names.
fn renamed(list: &Value, names: &[(&str, &str)]) -> Value {
    let one = |one: &Value| names.iter().map(|(new, old)| ((*new).to_owned(), one[*old].clone())).collect::<serde_json::Map<_, _>>();
    list.as_array().into_iter().flatten().map(|object| Value::from(one(object))).collect()
}

const CONFIGS: &str = "scheduler/job-configs";
