//! AWS connections, KMS containers, policy templates and jobs over REST, with the bodies that existing clients send and the types that
//! they decode (contract §2.4, §3, §5, §12, §13).

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::plane::{Answer, Plane};

const CONNECTIONS: &str = "connectionmgmt/services/aws/connections";
const KMS: &str = "cckm/aws/kms";
const TEMPLATES: &str = "cckm/aws/templates";
const JOBS: &str = "scheduler/job-configs";
const SECRET: &str = "TellNobodyThisSecretAccessKeyOfAws0123456";

/// Someone signed in over REST.
pub(crate) struct Client<'a> {
    plane: &'a Plane,
    jwt: String,
}

impl<'a> Client<'a> {
    pub(crate) async fn of(plane: &'a Plane) -> Self {
        let login = json!({"username": "admin", "password": plane.report.admin_password.expose(), "auth_domain": "", "domain": ""});
        let answer = plane.rest("POST /api/v1/auth/tokens HTTP/1.1\r\n", login.to_string().as_bytes()).await;
        Self { plane, jwt: answer.body["jwt"].as_str().unwrap().into() }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n", self.jwt);
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.plane.rest(&head, body.as_bytes()).await;
        assert!(!answer.text.contains(SECRET), "{}", answer.text);
        answer
    }

    pub(crate) async fn done(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text);
        answer.body
    }

    pub(crate) async fn refused(&self, (method, path): (&str, &str), body: Value, (status, words): (u16, &str)) {
        let answer = self.ask(method, path, body).await;
        assert!(answer.status == status && answer.text.contains(words), "{method} {path}: {} {}", answer.status, answer.text);
    }

    /// Two reads, which must be the same.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let (one, other) = (self.ask("GET", path, Value::Null).await, self.ask("GET", path, Value::Null).await);
        assert_eq!((one.status, &one.text), (200, &other.text), "{path}");
        one.body
    }

    pub(crate) async fn connection(&self) -> Value {
        let body = json!({"id": "", "uri": "", "name": "c1", "description": "", "access_key_id": "AKIAIOSFODNN7EXAMPLE",
            "secret_access_key": SECRET, "assume_role_arn": "", "assume_role_external_id": "", "aws_region": "",
            "aws_sts_regional_endpoints": "legacy", "cloud_name": "aws", "is_role_anywhere": false, "iam_role_anywhere": null,
            "labels": {"team": "k"}, "meta": {"free": ["", null]}, "products": ["cckm"]});
        self.done("POST", CONNECTIONS, body).await
    }

    pub(crate) async fn container(&self, connection: &str) -> Value {
        let body = json!({"account_id": "123456789012", "connection": connection, "name": "k1", "regions": ["eu-west-1", "us-east-1"],
            "assume_role_arn": "", "assume_role_external_id": ""});
        self.done("POST", KMS, body).await
    }
}

/// Whatever existing clients decode strictly; unknown members don't matter to them.
#[derive(Deserialize)]
struct Listed<T> {
    total: u64,
    resources: Vec<T>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding is the test")]
struct ConnectionItem {
    id: String,
    application: Option<()>,
    #[serde(rename = "devAccount")]
    dev_account: Option<()>,
    iam_role_anywhere: BTreeMap<String, String>,
    meta: Option<serde_json::Map<String, Value>>,
    labels: Option<serde_json::Map<String, Value>>,
    products: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding is the test")]
struct KmsItem {
    id: String,
    account_id: String,
    arn: String,
    connection: String,
    auto_added: bool,
    regions: Vec<String>,
    acls: Vec<AclItem>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding is the test")]
struct AclItem {
    user_id: Option<String>,
    group: Option<String>,
    actions: Vec<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "decoding is the test")]
struct JobItem {
    id: String,
    start_date: Option<String>,
    end_date: Option<String>,
    job_config_params: JobItemParams,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "decoding is the test")]
struct JobItemParams {
    description: Option<String>,
    backup_key: Option<String>,
    scope: Option<String>,
    connection: Option<String>,
    #[serde(rename = "tiedToHSM")]
    tied_to_hsm: Option<bool>,
    #[serde(rename = "do_scp")]
    do_scp: Option<bool>,
    retention_count: Option<u64>,
    filters: Option<Vec<Value>>,
}

fn listed<T: for<'de> Deserialize<'de>>(list: Value) -> Listed<T> {
    serde_json::from_value(list).unwrap()
}

#[tokio::test]
async fn a_connection_is_told_without_its_secret_and_stays_while_a_container_uses_it() {
    let plane = Plane::with_demo().await;
    let client = Client::of(&plane).await;
    let made = client.connection().await;
    let id = made["id"].as_str().unwrap();
    let one = format!("{CONNECTIONS}/{id}");
    assert_eq!((&made["service"], &made["category"], &made["is_role_anywhere"]), (&"aws".into(), &"cloud".into(), &false.into()));
    let read = client.read(&one).await;
    assert_eq!((&read["access_key_id"], &read["meta"]), (&"AKIAIOSFODNN7EXAMPLE".into(), &json!({"free": ["", null]})));
    assert!(read["application"].is_string() && read["devAccount"].is_string());
    let list = listed::<ConnectionItem>(client.read(&format!("{CONNECTIONS}/?name=c1&skip=0&limit=-1")).await);
    assert_eq!((list.total, list.resources[0].id.as_str()), (1, id));

    client.refused(("POST", CONNECTIONS), json!({"name": "c1"}), (409, "NCERRConflict")).await;
    client.refused(("POST", CONNECTIONS), json!({"name": "c2", "cloud_name": "moon"}), (400, "cloud_name")).await;
    client.refused(("POST", CONNECTIONS), json!({"name": "c2", "access_key_id": "A"}), (400, "secret_access_key")).await;
    client.refused(("POST", CONNECTIONS), json!({"name": "c2", "assume_role_arn": "role"}), (400, "assume_role_arn")).await;
    client.refused(("POST", CONNECTIONS), json!({"name": "c2", "is_role_anywhere": true}), (400, "iam_role_anywhere")).await;
    client.refused(("GET", &format!("{CONNECTIONS}/nobody")), Value::Null, (404, "NCERRResourceNotFound: Resource not found")).await;

    let changed = client.done("PATCH", &one, json!({"name": "", "description": "new", "is_role_anywhere": false})).await;
    assert_eq!(
        (&changed["name"], &changed["description"], &changed["access_key_id"]),
        (&"c1".into(), &"new".into(), &read["access_key_id"])
    );
    let kms = client.container("c1").await;
    client.refused(("DELETE", &one), Value::Null, (409, "k1")).await;
    client.done("DELETE", &format!("{KMS}/{}", kms["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 204);
    client.refused(("DELETE", &one), Value::Null, (404, "Resource not found")).await;
    let audit = fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap();
    assert!(audit.contains("aws_connection.create") && !audit.contains(SECRET));
}

#[tokio::test]
async fn roles_anywhere_takes_the_place_of_an_access_key_and_keeps_its_private_key_to_itself() {
    let plane = Plane::with_demo().await;
    let client = Client::of(&plane).await;
    let one = format!("{CONNECTIONS}/{}", client.connection().await["id"].as_str().unwrap());
    let anywhere = json!({"anywhere_role_arn": "arn:aws:iam::123456789012:role/r", "certificate": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----",
        "profile_arn": "arn:aws:rolesanywhere:eu-west-1:123456789012:profile/p", "trust_anchor_arn": "arn:aws:rolesanywhere:eu-west-1:123456789012:trust-anchor/t",
        "private_key": SECRET});
    let changed = client.done("PATCH", &one, json!({"is_role_anywhere": true, "iam_role_anywhere": anywhere})).await;
    assert_eq!((&changed["is_role_anywhere"], changed.get("access_key_id")), (&true.into(), None));
    assert_eq!(client.read(&one).await["iam_role_anywhere"]["profile_arn"], anywhere["profile_arn"]);
    assert!(!fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap().contains(SECRET));
}

#[tokio::test]
async fn a_container_echoes_what_was_sent_and_its_acls_come_and_go() {
    let plane = Plane::with_demo().await;
    let client = Client::of(&plane).await;
    let connection = client.connection().await;
    let made = client.container("c1").await;
    let one = format!("{KMS}/{}", made["id"].as_str().unwrap());
    assert_eq!(
        (&made["connection"], &made["regions"], &made["status"]),
        (&"c1".into(), &json!(["eu-west-1", "us-east-1"]), &"active".into())
    );
    assert_eq!((&made["arn"], &made["acls"]), (&"arn:aws:iam::123456789012:root".into(), &json!([])));
    let by_id = json!({"account_id": "", "connection": connection["id"], "name": "", "regions": ["us-east-1", "eu-west-1"]});
    assert_eq!(client.done("PATCH", &one, by_id.clone()).await["connection"], connection["id"]);
    assert_eq!(client.read(&one).await["regions"], by_id["regions"]);

    let bad = |member: &str, value: Value| {
        let mut body = json!({"account_id": "123456789012", "connection": "c1", "name": "k2", "regions": ["eu-west-1"]});
        body[member] = value;
        body
    };
    client.refused(("POST", KMS), bad("name", "k1".into()), (409, "NCERRConflict")).await;
    client.refused(("POST", KMS), bad("account_id", "1234".into()), (400, "account_id")).await;
    client.refused(("POST", KMS), bad("regions", json!(["eu-west-1", "eu-west-1"])), (400, "regions")).await;
    client.refused(("POST", KMS), bad("regions", json!(["mars"])), (400, "regions")).await;
    client.refused(("POST", KMS), bad("connection", "nobody".into()), (404, "Resource not found")).await;
    client.refused(("PATCH", &one), json!({"account_id": "210987654321"}), (400, "account_id")).await;

    let acls = format!("{one}/update-acls");
    let grant = json!({"acls": [{"group": "admins", "permit": true, "actions": ["keycreate", "hyokkeycreate"]}]});
    let granted = client.done("POST", &acls, grant).await;
    let shown = json!([{"group": "admins", "actions": ["keycreate", "viewnative", "viewhyokkey", "hyokkeycreate"]}]);
    assert_eq!(granted["acls"], shown);
    assert_eq!(listed::<KmsItem>(client.read(&format!("{KMS}/?name=k1")).await).resources[0].acls.len(), 1);
    let unknown = json!({"acls": [{"user_id": "u", "permit": true, "actions": ["fly"]}]});
    client.refused(("POST", &acls), unknown, (400, "fly")).await;
    let revoke = json!({"acls": [{"user_id": "", "group": "admins", "permit": false, "actions": shown[0]["actions"]}]});
    assert_eq!(client.done("POST", &acls, revoke).await["acls"], json!([]));
}

#[tokio::test]
async fn a_template_has_the_policy_of_whom_it_names_or_the_one_that_was_written() {
    let plane = Plane::with_demo().await;
    let client = Client::of(&plane).await;
    client.connection().await;
    let kms = client.container("c1").await;
    let body = json!({"account_id": "", "kms": kms["id"], "name": "t1", "external_accounts": null, "key_admins": ["alice"],
        "key_admins_roles": null, "key_users": ["bob"], "key_users_roles": null, "Policy": null});
    let made = client.done("POST", TEMPLATES, body).await;
    let one = format!("{TEMPLATES}/{}", made["id"].as_str().unwrap());
    assert_eq!((&made["kms"], &made["account_id"], &made["is_verified"]), (&kms["id"], &kms["account_id"], &false.into()));
    assert_eq!((&made["key_admins"], made.get("key_admins_roles")), (&json!(["alice"]), None));
    assert_eq!(client.read(&one).await["policy"]["Id"], "key-consolepolicy-3");
    let written = json!({"Version": "2012-10-17", "Id": "", "Statement": [null]});
    let patch = json!({"external_accounts": null, "key_admins": [], "key_users": [], "Policy": written, "auto_push": false});
    let changed = client.done("PATCH", &one, patch).await;
    assert_eq!((&changed["policy"], changed.get("key_admins")), (&written, None));
    let back = client.done("PATCH", &one, json!({"key_users_roles": ["app"], "Policy": null})).await;
    assert_eq!((&back["key_users_roles"], back.get("key_users")), (&json!(["app"]), None));
    assert_eq!(client.done("PATCH", &one, json!({"key_users_roles": []})).await["policy"]["Id"], "key-default-1");
    client.refused(("POST", TEMPLATES), json!({"name": "t2"}), (400, "kms")).await;
    client.refused(("POST", TEMPLATES), json!({"name": "t1", "kms": "k1"}), (409, "NCERRConflict")).await;
    client.refused(("DELETE", &format!("{KMS}/k1")), Value::Null, (409, "t1")).await;
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_job_echoes_its_dates_and_what_is_empty_changes_nothing() {
    let plane = Plane::with_demo().await;
    let client = Client::of(&plane).await;
    let body = json!({"id": "", "name": "j1", "description": "", "operation": "cckm_xks_credential_rotation", "run_at": "0 9 * * fri",
        "run_on": "", "disabled": false, "start_date": "2026-01-01T00:00:00+01:00", "end_date": "0001-01-01T00:00:00Z",
        "cckm_xks_credential_rotation_params": {"cloud_name": "aws"}, "cckm_key_rotation_params": null,
        "cckm_synchronization_params": null, "database_backup_params": null});
    let made = client.done("POST", JOBS, body).await;
    let one = format!("{JOBS}/{}", made["id"].as_str().unwrap());
    let read = client.read(&one).await;
    assert_eq!((&read["run_at"], &read["run_on"]), (&"0 9 * * fri".into(), &"any".into()));
    assert_eq!((&read["start_date"], read.get("end_date")), (&"2026-01-01T00:00:00+01:00".into(), None));
    assert_eq!(read["job_config_params"], json!({"cloud_name": "aws"}));
    let patch =
        json!({"name": "", "operation": "", "run_at": "", "description": "d", "disabled": true, "start_date": "0001-01-01T00:00:00Z"});
    let changed = client.done("PATCH", &one, patch).await;
    assert_eq!((&changed["name"], &changed["run_at"], &changed["disabled"]), (&"j1".into(), &"0 9 * * fri".into(), &true.into()));
    assert_eq!(changed.get("start_date"), None);
    let list = listed::<JobItem>(client.read(&format!("{JOBS}/?skip=0&limit=-1")).await);
    assert_eq!((list.total, list.resources[0].id.as_str()), (1, made["id"].as_str().unwrap()));

    let new = |operation: &str, run_at: &str| json!({"name": "j2", "operation": operation, "run_at": run_at});
    client.refused(("POST", JOBS), new("cckm_key_rotation", "61 * * * *"), (400, "run_at")).await;
    client.refused(("POST", JOBS), new("sing", "* * * * *"), (400, "operation")).await;
    client.refused(("POST", JOBS), new("cckm_synchronization", "* * * * *"), (400, "cckm_synchronization_params.kms")).await;
    client.refused(("POST", JOBS), new("database_backup", "* * * * *"), (400, "backup_dir")).await;
    client.refused(("PATCH", &one), json!({"operation": "database_backup"}), (400, "operation")).await;
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_backup_job_writes_when_it_is_due_and_keeps_as_many_as_it_says() {
    let plane = Plane::with_demo().await;
    let (dir, passphrase) = (plane.dir.path().join("backups"), plane.dir.path().join("passphrase"));
    fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    let (backup_dir, file) = (dir.clone(), passphrase.clone());
    let plane = plane.restarted(|settings| (settings.backup_dir, settings.backup_passphrase_file) = (Some(backup_dir), Some(file))).await;
    let client = Client::of(&plane).await;
    let params = json!({"tiedToHSM": false, "description": "", "backupKey": "", "scope": "", "filters": null, "retentionCount": 2,
        "do_scp": false, "connection": ""});
    // Never within this test, but when it says that it is later.
    let body = json!({"name": "nightly", "operation": "database_backup", "run_at": "0 3 * * *", "database_backup_params": params});
    let made = client.done("POST", JOBS, body).await;
    assert_eq!(made["job_config_params"]["retentionCount"], 2);
    assert_eq!(listed::<JobItem>(client.read(JOBS).await).total, 1);
    let scp = json!({"name": "far", "operation": "database_backup", "run_at": "0 3 * * *", "database_backup_params": {"do_scp": true}});
    client.refused(("POST", JOBS), scp, (400, "do_scp")).await;

    let files = || fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();
    let day = Duration::from_secs(24 * 3600);
    let mut seen = Vec::new();
    for days in 2..6 {
        let now = SystemTime::now() + days * day;
        plane.running.run_due_jobs(now).await.unwrap();
        let after = files();
        // The same time is not run for twice.
        plane.running.run_due_jobs(now).await.unwrap();
        assert_eq!(files().len(), after.len());
        assert!(after.iter().any(|name| !seen.contains(name)), "{after:?} {seen:?}");
        assert!(after.len() <= 2 && after.iter().all(|name| name.starts_with("nightly-") && name.ends_with("Z.backup")), "{after:?}");
        seen.extend(after);
    }
    let audit = fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap();
    let runs = audit.lines().filter(|line| line.contains("job_config.run") && line.contains("\"ok\"")).count();
    assert_eq!(runs, 4);
}
