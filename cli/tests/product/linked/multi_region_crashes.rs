//! A control plane that dies while a multi-region key is replicated, or while another key of its set becomes the primary key, finds its way
//! when it is back: what AWS did each key of the set shows, and what it did not is withdrawn and can be asked for again.

use holdfast_sim_kms::When;
use serde_json::{Value, json};

use super::{
    native::replicate,
    site::{Linked, REGIONS},
    upload::native,
};
use crate::rest::text;

#[test]
fn a_replica_that_aws_made_is_finished_and_its_set_tells_of_it_and_one_that_it_did_not_is_withdrawn() {
    let mut linked = Linked::start();
    let (primary, key) = primary(&linked);
    let ask = format!("{primary}/replicate-key");
    linked.crash(("ReplicateKey", When::Before), ("POST", &ask, &replicate("eu-west-1", "one")));
    linked.until_shown(&in_region("eu-west-1", &key), |page| page["total"] == 0);
    linked.until_shown("cckm/aws/keys?region=eu-west-1", |page| page["total"] == 0);
    assert_eq!(in_aws(&linked, "eu-west-1"), json!([]));
    linked.rest().post(&ask, &replicate("eu-west-1", "one"));
    set_is(&linked, &key, "us-east-1", &["eu-west-1"]);

    linked.crash(("ReplicateKey", When::After), ("POST", &ask, &replicate("us-west-2", "two")));
    set_is(&linked, &key, "us-east-1", &["eu-west-1", "us-west-2"]);
    for (region, alias) in [("eu-west-1", "alias/one"), ("us-west-2", "alias/two")] {
        let replica = linked.rest().get(&in_region(region, &key))["resources"][0].clone();
        assert_eq!((&replica["aws_param"]["Alias"], &replica["failure"]), (&json!([alias]), &Value::Null));
        assert_eq!(in_aws(&linked, region).as_array().unwrap().len(), 1);
    }
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": key, "Plaintext": "aGVsbG8=" }))["CiphertextBlob"].clone();
    let opened = linked.kms_in("us-west-2").call("Decrypt", &json!({ "CiphertextBlob": sealed, "KeyId": "alias/two" })).unwrap();
    assert_eq!(opened["Plaintext"], "aGVsbG8=");
}

#[test]
fn each_key_of_a_set_shows_the_primary_key_that_aws_has_wherever_the_crash_was() {
    let mut linked = Linked::start();
    let (primary, key) = primary(&linked);
    for region in &REGIONS[1..] {
        linked.rest().post(&format!("{primary}/replicate-key"), &replicate(region, ""));
        linked.until_shown(&in_region(region, &key), |page| page["resources"][0]["aws_param"]["KeyState"] == "Enabled");
    }
    let paths = set_is(&linked, &key, "us-east-1", &["eu-west-1", "us-west-2"]);
    let ask = paths.map(|path| format!("{path}/update-primary-region"));

    // By its primary key, and AWS does not do it.
    let to = |region: &str| json!({ "PrimaryRegion": region });
    linked.crash(("UpdatePrimaryRegion", When::Before), ("POST", &ask[0], &to("eu-west-1")));
    set_is(&linked, &key, "us-east-1", &["eu-west-1", "us-west-2"]);
    let again = to("eu-west-1").to_string();
    linked.wait_until("it can be asked for again", |linked| linked.rest().send("POST", &ask[0], again.as_bytes()).status == 200);
    set_is(&linked, &key, "eu-west-1", &["us-east-1", "us-west-2"]);

    // By a replica that it does not concern, and AWS does it.
    linked.crash(("UpdatePrimaryRegion", When::After), ("POST", &ask[2], &to("us-east-1")));
    set_is(&linked, &key, "us-east-1", &["eu-west-1", "us-west-2"]);

    // Between what AWS is asked of one key and of another.
    let moved = linked.switches().hold("UpdatePrimaryRegion", When::After);
    let call = linked.begin("POST", &ask[0], &to("us-west-2"));
    linked.block_on(moved.reached());
    let [one, other] = ["DescribeKey"; 2].map(|operation| linked.switches().hold(operation, When::Before));
    moved.release();
    linked.block_on(one.reached());
    one.release();
    linked.block_on(other.reached());
    linked.kill_control_plane();
    other.abandon();
    assert!(call.join().unwrap().is_none());
    linked.restart_control_plane();
    set_is(&linked, &key, "us-west-2", &["eu-west-1", "us-east-1"]);
}

/// Makes a multi-region primary key; its path, and AWS's id of it and of its replicas.
fn primary(linked: &Linked) -> (String, String) {
    let mut body = native("", "");
    body["aws_param"]["MultiRegion"] = true.into();
    let made = linked.rest().post("cckm/aws/keys", &body);
    (format!("cckm/aws/keys/{}", text(&made, "/id")), text(&made, "/aws_param/KeyID").to_owned())
}

fn in_region(region: &str, key: &str) -> String {
    format!("cckm/aws/keys?keyid={key}&region={region}")
}

fn in_aws(linked: &Linked, region: &str) -> Value {
    linked.kms_in(region).call("ListKeys", &json!({})).unwrap()["Keys"].clone()
}

/// Waits until each key of the set is enabled and shows this primary key and these replicas; the keys' paths, in the order of [`REGIONS`],
/// empty where there is none.
fn set_is(linked: &Linked, key: &str, primary: &str, replicas: &[&str]) -> [String; 3] {
    REGIONS.map(|region| {
        if region != primary && !replicas.contains(&region) {
            return String::new();
        }
        let page = linked.until_shown(&in_region(region, key), |page| {
            let told = &page["resources"][0]["aws_param"];
            let set = &told["MultiRegionConfiguration"];
            let mut others: Vec<_> = set["ReplicaKeys"].as_array().into_iter().flatten().map(|key| text(key, "/Region")).collect();
            others.sort_unstable();
            let role = if region == primary { "PRIMARY" } else { "REPLICA" };
            told["KeyState"] == "Enabled"
                && (&set["PrimaryKey"]["Region"], &set["MultiRegionKeyType"]) == (&primary.into(), &role.into())
                && others == replicas
        });
        format!("cckm/aws/keys/{}", text(&page, "/resources/0/id"))
    })
}
