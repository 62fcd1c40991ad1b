//! The verbs of linked mode, as a person and as a script use them.

use std::{fs, time::Duration};

use holdfast_sim_kms::When;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    cloud_hsm::{self, CLUSTER_PASSWORD},
    site::{CONNECTION, KMS, Linked},
};
use crate::{
    process::{Ended, run_with},
    rest::text,
};

/// A shell that is signed in at a rig's control plane.
struct Shell<'a> {
    linked: &'a Linked,
    folder: TempDir,
}

impl<'a> Shell<'a> {
    fn new(linked: &'a Linked) -> Self {
        let shell = Self { linked, folder: TempDir::new().unwrap() };
        let (api, password) = (&linked.handout["api"], shell.file("password", text(&linked.handout, "/api/password")));
        let login = ["login", "--server", text(api, "/url"), "--ca", text(api, "/ca"), "--username", "admin", "--password-file", &password];
        shell.good(&login);
        shell
    }

    /// A file with this in it; its path.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let session = self.folder.path().join("session.json");
        run_with(arguments, &[("HOLDFAST_SESSION", session.to_str().unwrap())])
    }

    /// What it printed, for people.
    fn good(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// What it printed, for programs.
    fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.good(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"))
    }

    /// Expects this exit code; what it said.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        ended.stderr
    }

    /// Makes a linked key store and waits until AWS KMS is connected to it.
    fn connected_store(&self, name: &str) -> Value {
        let credential = self.folder.path().join(format!("{name}.json"));
        let out = credential.to_str().unwrap();
        let place = ["--region", "us-east-1", "--kms", KMS, "--endpoint", self.linked.endpoint()];
        let store = self.json(&[&["keystore", "create", name, "--linked", "--max-credentials", "4", "--out", out], &place[..]].concat());
        assert!(store["linked_state"] == true && store["connection_state"] == "DISCONNECTED", "{store}");
        let connected = self.json(&["keystore", "connect", name, "--wait"]);
        assert_eq!(
            (&connected["connection_state"], &connected["custom_key_store_id"]),
            (&json!("CONNECTED"), &store["custom_key_store_id"])
        );
        connected
    }
}

#[test]
fn a_linked_key_store_and_a_key_live_their_whole_lives_by_commands() {
    let linked = Linked::start();
    let shell = Shell::new(&linked);
    let store = shell.connected_store("payments");
    assert!(text(&store, "/custom_key_store_id").starts_with("cks-"), "{store}");
    assert!(shell.good(&["keystore", "list"]).contains("CONNECTED"));

    let names = ["--name", "invoices", "--alias", "invoices", "--description", "Invoices since 2026", "--tag", "team=a=b"];
    let key = shell.json(&[&["hyok", "create", "payments", "--linked", "--key-user", "alice"], &names[..]].concat());
    let id = text(&key, "/id").to_owned();
    assert_eq!((&key["aws"]["aliases"], &key["aws"]["state"]), (&json!(["invoices"]), &json!("Enabled")));
    assert_eq!(key["aws"]["tags"], json!([{ "key": "team", "value": "a=b" }]), "and none of ours");
    assert!(text(&key, "/aws/policy").contains(":user/alice"), "{key}");
    let sealed = linked.kms("Encrypt", &json!({ "KeyId": "alias/invoices", "Plaintext": "aGVsbG8=" }));
    let opened = linked.kms("Decrypt", &json!({ "CiphertextBlob": sealed["CiphertextBlob"] }));
    assert_eq!(opened["Plaintext"], "aGVsbG8=");

    shell.good(&["aws-key", "alias", "add", &id, "bills"]);
    shell.good(&["aws-key", "tag", "add", &id, "stage=test"]);
    shell.good(&["aws-key", "describe", &id, "other"]);
    shell.good(&["aws-key", "policy", &id]);
    shell.good(&["aws-key", "disable", &id]);
    let shown = shell.json(&["aws-key", "show", &id]);
    assert_eq!(
        (&shown["aliases"], &shown["description"], &shown["state"]),
        (&json!(["bills", "invoices"]), &json!("other"), &json!("Disabled"))
    );
    assert!(!text(&shown, "/policy").contains("alice"), "{shown}");
    assert_eq!(
        linked.try_kms("Encrypt", &json!({ "KeyId": "alias/bills", "Plaintext": "aGVsbG8=" })).unwrap_err().name,
        "DisabledException"
    );
    shell.good(&["aws-key", "enable", &id]);
    shell.good(&["aws-key", "alias", "remove", &id, "alias/bills"]);
    let shown = shell.json(&["aws-key", "tag", "remove", &id, "team"]);
    assert_eq!((&shown["aliases"], &shown["tags"]), (&json!(["invoices"]), &json!([{ "key": "stage", "value": "test" }])));

    // The new credential is AWS's at once.
    shell.good(&["keystore", "rotate-credential", "payments"]);
    linked.kms("Encrypt", &json!({ "KeyId": "alias/invoices", "Plaintext": "aGVsbG8=" }));
    let job = shell.json(&["job", "create", "monthly", "--operation", "credential-rotation", "--run-at", "0 3 1 * *"]);
    shell.good(&["keystore", "enable-rotation", "payments", "--job", "monthly"]);
    assert_eq!(shell.json(&["keystore", "show", "payments"])["credential_rotation_job_id"], job["id"]);
    shell.good(&["keystore", "disable-rotation", "payments"]);
    assert_eq!(shell.json(&["keystore", "show", "payments"])["credential_rotation_job_id"], "");

    shell.good(&["aws-key", "delete", &id, "--days", "7"]);
    assert!(shell.refused(&["aws-key", "delete", &id, "--days", "7"], 5).contains("is pending deletion"));
    assert_eq!(shell.json(&["aws-key", "undelete", &id])["state"], "Disabled");
    assert!(shell.refused(&["hyok", "delete", &id], 5).contains("AWS"));
    assert_eq!(shell.json(&["aws-key", "delete", &id, "--days", "7"])["state"], "PendingDeletion");
    linked.switches().advance(Duration::from_secs(8 * 24 * 3600));
    shell.good(&["sync", "start", "--all", "--wait"]);
    assert!(shell.good(&["aws-key", "list", "--key-store", "payments"]).contains("gone"));
    shell.good(&["hyok", "delete", &id]);

    assert!(shell.refused(&["keystore", "delete", "payments"], 5).contains("disconnect"));
    assert_eq!(shell.json(&["keystore", "disconnect", "payments", "--wait"])["connection_state"], "DISCONNECTED");
    shell.good(&["keystore", "delete", "payments"]);
    shell.refused(&["keystore", "show", "payments"], 3);
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
}

#[test]
fn what_was_made_unlinked_is_linked_later_and_a_failed_connection_ends_the_wait() {
    let linked = Linked::start();
    let shell = Shell::new(&linked);
    let place = ["--region", "us-east-1", "--kms", KMS, "--endpoint", linked.endpoint()];
    let store = shell.json(&[&["keystore", "create", "vault"], &place[..]].concat());
    assert!(store["key_store"]["linked_state"] == false && store["key_store"]["kind"] == "LOCAL", "{store}");
    shell.refused(&["keystore", "connect", "vault"], 5);
    let key = shell.json(&["hyok", "create", "vault", "--name", "ledger", "--description", "said before"]);
    let id = text(&key, "/id");
    assert_eq!(key["aws"], Value::Null);
    shell.refused(&["hyok", "link", id], 5);
    shell.refused(&["aws-key", "enable", id], 5);
    assert!(shell.refused(&["aws-key", "forget", id], 5).contains("delete it as a HYOK key"));
    assert_eq!(shell.json(&["aws-key", "list"]), json!([]), "AWS has none");

    shell.good(&["keystore", "link", "vault"]);
    shell.refused(&["keystore", "link", "vault"], 5);
    linked.switches().fail_next_connect("INVALID_CREDENTIALS");
    assert!(shell.refused(&["keystore", "connect", "vault", "--wait"], 5).contains("INVALID_CREDENTIALS"));
    assert_eq!(shell.json(&["keystore", "show", "vault"])["connection_error_code"], "INVALID_CREDENTIALS");
    shell.good(&["keystore", "disconnect", "vault", "--wait"]);
    shell.good(&["keystore", "connect", "vault", "--wait"]);
    let linked_key = shell.json(&["hyok", "link", id, "--alias", "ledger"]);
    assert_eq!((&linked_key["aws"]["description"], &linked_key["aws"]["aliases"]), (&json!("said before"), &json!(["ledger"])));
    linked.kms("Encrypt", &json!({ "KeyId": "alias/ledger", "Plaintext": "aGVsbG8=" }));
}

#[test]
fn keys_of_every_kind_are_made_and_changed_by_commands() {
    let linked = Linked::start();
    let shell = Shell::new(&linked);
    assert_eq!(shell.json(&["aws", "account", CONNECTION])["account_id"], linked.sim().settings().account_id);
    let template = shell.json(&["aws", "template", "create", "billing", "--kms", KMS, "--key-user-role", "billing"]);
    assert!(text(&template, "/document").contains(":role/billing"), "{template}");

    let place = ["--kms", KMS, "--region", "us-east-1"];
    let make = |arguments: &[&str]| shell.json(&[&["aws-key"], arguments, &place].concat());
    let native = make(&["create", "--alias", "native", "--multi-region", "--policy-template", "billing"]);
    assert!(native["kind"] == "native" && native["spec"] == "SYMMETRIC_DEFAULT", "{native}");
    assert!(text(&native, "/policy").contains(":role/billing"), "{native}");
    assert_eq!(shell.json(&["aws", "template", "show", "billing"])["is_verified"], true);
    assert!(shell.refused(&["aws", "template", "delete", "billing"], 5).contains("key associated"));
    let id = text(&native, "/id");
    assert_eq!(shell.json(&["aws-key", "auto-rotation", id, "--days", "100"])["auto_rotation_days"], 100);
    assert_eq!(shell.json(&["aws-key", "auto-rotation", id, "--off"])["auto_rotation_days"], 0);
    let replica = shell.json(&["aws-key", "replicate", id, "--region", "eu-west-1"]);
    assert!(replica["region"] == "eu-west-1" && replica["regions"]["is_replica"] == true, "{replica}");
    let replica = text(&replica, "/id");
    linked.wait_until("AWS has made the replica", |_| shell.json(&["aws-key", "show", replica])["state"] == "Enabled");
    shell.good(&["aws-key", "primary-region", id, "eu-west-1"]);
    for (key, is_replica) in [(id, true), (replica, false)] {
        linked.wait_until("the other is the primary key", |_| {
            let regions = shell.json(&["aws-key", "show", key])["regions"].clone();
            regions == json!({ "is_replica": is_replica, "primary": "eu-west-1", "replicas": ["us-east-1"] })
        });
    }
    assert!(shell.refused(&["aws-key", "primary-region", id, "us-west-2"], 2).contains("no replica in us-west-2"));
    assert!(shell.refused(&["aws-key", "replicate", id, "--region", "us-west-2"], 5).contains("its primary key in eu-west-1"));
    let job = shell.json(&["job", "create", "yearly", "--operation", "key-rotation", "--run-at", "0 3 1 1 *", "--retain-alias", "true"]);
    assert_eq!(shell.json(&["aws-key", "enable-rotation", id, "--job", "yearly"])["rotation_job_id"], job["id"]);
    assert_eq!(shell.json(&["aws-key", "disable-rotation", id])["rotation_job_id"], "");

    shell.good(&["key", "create", "made-here"]);
    // AWS takes a time within a year.
    let expires = OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + Duration::from_secs(30 * 24 * 3600);
    let uploaded = make(&["upload", "made-here", "--alias", "uploaded", "--valid-to", &expires.format(&Rfc3339).unwrap()]);
    assert!(uploaded["kind"] == "imported" && uploaded["source_key_name"] == "made-here", "{uploaded}");
    assert_eq!(uploaded["valid_to_ms"], expires.unix_timestamp() * 1000);
    assert_eq!(shell.json(&["aws-key", "rotations", text(&uploaded, "/id")]).as_array().unwrap().len(), 1);
    let emptied = shell.json(&["aws-key", "delete-material", text(&uploaded, "/id")]);
    assert_eq!(emptied["state"], "PendingImport");
    let again = shell.json(&["aws-key", "import", text(&uploaded, "/id"), "--source", "made-here"]);
    assert!(again["state"] == "Enabled" && again["valid_to_ms"] == 0, "{again}");
    let successor = shell.json(&["aws-key", "rotate", text(&uploaded, "/id")]);
    assert!(successor["id"] != uploaded["id"] && successor["aliases"] == json!(["uploaded"]), "{successor}");
    shell.good(&["key", "create", "kept-here", "--unexportable"]);
    let kept = shell.refused(&[&["aws-key", "upload", "kept-here"], &place[..]].concat(), 2);
    assert!(kept.contains("unexportable"), "{kept}");

    let listed = shell.good(&["aws-key", "list", "--region", "us-east-1"]);
    assert!(listed.contains("native") && listed.contains("imported") && !listed.contains("eu-west-1"), "{listed}");
}

#[test]
fn a_key_store_on_a_cluster_and_its_key_live_their_whole_lives_by_commands() {
    let linked = Linked::start();
    let shell = Shell::new(&linked);
    let [cluster, ..] = cloud_hsm::clusters(&linked);
    let (cluster, anchor) = (text(&cluster, "/ClusterId"), shell.file("anchor.pem", text(&cluster, "/Certificates/ClusterCertificate")));
    let place = ["--kms", KMS, "--region", "us-east-1"];
    assert!(shell.good(&[&["keystore", "clusters"], &place[..]].concat()).contains(cluster));
    let [wrong, right] = ["not-the-password", CLUSTER_PASSWORD].map(|password| shell.file(password, password));
    let on = ["--cluster", cluster, "--trust-anchor", &anchor];
    let store = shell.json(&[&["keystore", "create-cloudhsm", "vault", "--password-file", &wrong], &place[..], &on].concat());
    assert!(store["kind"] == "CLOUDHSM" && store["cloud_hsm_cluster_id"] == cluster, "{store}");
    assert!(!shell.good(&[&["keystore", "clusters"], &place[..]].concat()).contains(cluster), "it is used");
    assert!(shell.refused(&["keystore", "connect", "vault", "--wait"], 5).contains("INVALID_CREDENTIALS"));
    shell.good(&["keystore", "disconnect", "vault", "--wait"]);
    let renamed = shell.json(&["keystore", "update-cloudhsm", "vault", "--name", "safe", "--password-file", &right]);
    assert_eq!((&renamed["name"], &renamed["id"]), (&json!("safe"), &store["id"]));
    assert!(shell.refused(&["aws-key", "create-cloudhsm", "safe", "--alias", "early"], 5).contains("CONNECTED"));
    assert_eq!(shell.json(&["keystore", "connect", "safe", "--wait"])["connection_state"], "CONNECTED");

    let key = shell.json(&["aws-key", "create-cloudhsm", "safe", "--alias", "h1", "--tag", "team=blue"]);
    assert!(key["kind"] == "cloud-hsm" && key["key_store_name"] == "safe" && key["origin"] == "AWS_CLOUDHSM", "{key}");
    assert_eq!((&key["aliases"], &key["tags"]), (&json!(["h1"]), &json!([{ "key": "team", "value": "blue" }])));
    assert_eq!(linked.round_trip("alias/h1"), "aGVsbG8=");
    let id = text(&key, "/id");
    assert!(shell.good(&["aws-key", "list", "--key-store", "safe"]).contains("h1"));
    assert_eq!(shell.json(&["aws-key", "disable", id])["state"], "Disabled");
    shell.refused(&["aws-key", "rotate", id], 5);
    assert_eq!(shell.json(&["aws-key", "delete", id, "--days", "7"])["state"], "PendingDeletion");
    linked.switches().advance(Duration::from_secs(8 * 24 * 3600));
    shell.good(&["sync", "start", "--all", "--wait"]);
    shell.good(&["aws-key", "forget", id]);
    shell.good(&["keystore", "disconnect", "safe", "--wait"]);
    shell.good(&["keystore", "delete", "safe"]);
    shell.refused(&["keystore", "show", "safe"], 3);
    assert_eq!(linked.kms("DescribeCustomKeyStores", &json!({}))["CustomKeyStores"], json!([]));
}

#[test]
fn a_synchronization_is_broken_off_by_a_command() {
    let linked = Linked::start();
    let shell = Shell::new(&linked);
    (0..2).for_each(|_| drop(linked.kms("CreateKey", &json!({}))));
    let held = linked.switches().hold("DescribeKey", When::Before);
    let job = shell.json(&["sync", "start", "--kms", KMS, "--region", "us-east-1"]);
    let id = text(&job, "/id");
    linked.block_on(held.reached());
    assert_eq!((&job["status"], &shell.json(&["sync", "cancel", id])["abort"]), (&json!("in-progress"), &json!(true)));
    held.release();
    linked.wait_until("the job has ended", |_| shell.json(&["sync", "show", id])["status"] == "failed");
    assert!(shell.good(&["sync", "list"]).contains(id));
    let whole = shell.json(&["sync", "start", "--kms", KMS, "--region", "us-east-1", "--wait"]);
    assert_eq!((&whole["status"], &whole["abort"]), (&json!("completed"), &json!(false)));
    shell.refused(&["sync", "cancel", text(&whole, "/id")], 5);
    shell.refused(&["sync", "cancel", "0b6c1f0e-50a1-4b7e-9c1d-7f7f9a1f3e55"], 3);
}
