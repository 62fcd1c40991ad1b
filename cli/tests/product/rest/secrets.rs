//! No secret is shown after it was made: every GET that the API describes is asked as admin, and all that the product wrote is searched.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proto::admin::{BackupRequest, CreateApiTokenRequest, CreateUserRequest};
use serde_json::json;
use tokio_stream::StreamExt as _;

use super::{Rest, Site, connection, container, hyok_key, key_store, source_key, text};
use crate::{admin::Admin, client, http::Http, process::alone, secrets::search};

#[test]
fn no_get_file_log_metric_or_backup_shows_a_secret_after_it_was_made() {
    let _alone = alone();
    let mut site = Site::start(&[("HOLDFAST_LOG", "trace")]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut admin = runtime.block_on(Admin::sign_in(client::api(&site.handout).port(), &site.handout["api"]));
    let rest = &mut site.rest;

    let mut secrets: BTreeMap<&str, String> = BTreeMap::new();
    secrets.insert("admin's password", text(&site.handout, "/api/password").to_owned());
    secrets.insert("demo credential", text(&site.handout, "/xks/secret_access_key").to_owned());
    secrets.insert("token", rest.token.clone());
    secrets.insert("AWS secret", AWS_SECRET.to_owned());
    rest.post("connectionmgmt/services/aws/connections", &connection("connection", AWS_SECRET));
    rest.post("cckm/aws/kms", &container("kms", "connection"));
    let key = text(&rest.post("vault/keys2", &source_key("key")), "/id").to_owned();
    let created = rest.post("cckm/aws/custom-key-stores", &key_store("store", "kms", &key));
    secrets.insert("first credential", text(&created, "/secret_access_key").to_owned());
    let store = format!("cckm/aws/custom-key-stores/{}", text(&created, "/id"));
    let rotated = rest.act(&format!("{store}/rotate-credential"));
    secrets.insert("rotated credential", text(&rotated, "/secret_access_key").to_owned());
    let added = rest.act(&format!("{store}/credentials"));
    secrets.insert("added credential", text(&added, "/secret_access_key").to_owned());
    secrets.insert("given credential", GIVEN_SECRET.to_owned());
    let given = json!({ "aws_param": { "access_key_id": "AKIAQUOKKAQUOKKAQUOK", "secret_access_key": GIVEN_SECRET } });
    let patched = rest.patch(&store, &given);
    rest.post("cckm/aws/create-hyok-key", &hyok_key(text(&created, "/id"), &key, ""));
    let template = json!({ "account_id": "123456789012", "kms": "kms", "name": "template", "key_users": ["alice"] });
    let template = text(&rest.post("cckm/aws/templates", &template), "/id").to_owned();
    let (user, api_token, backup) = runtime.block_on(async {
        let user = admin.request(CreateUserRequest { name: "zoe".into(), roles: vec!["auditor".into()], ..Default::default() });
        let user = admin.client.users.create_user(user).await.unwrap().into_inner();
        let token = admin.request(CreateApiTokenRequest { name: "tool".into(), roles: vec!["auditor".into()], life_seconds: 600 });
        let token = admin.client.access.create_api_token(token).await.unwrap().into_inner();
        let backup = admin.request(BackupRequest { passphrase: PASSPHRASE.into() });
        let chunks = admin.client.maintenance.backup(backup).await.unwrap().into_inner();
        let chunks: Vec<_> = chunks.map(|chunk| chunk.unwrap().data).collect().await;
        (user.generated_password, token.token, chunks.concat())
    });
    secrets.insert("user's password", user);
    secrets.insert("tool's token", api_token);
    secrets.insert("passphrase of the backup", PASSPHRASE.to_owned());

    assert!(!patched.to_string().contains(GIVEN_SECRET), "a given secret comes back");
    let mut shown = walk(rest, &template);
    shown.insert("backup".to_owned(), String::from_utf8_lossy(&backup).into_owned());
    assert!(shown.len() > 15, "{:?}", shown.keys());
    let ops = text(&site.handout, "/ops/url").strip_prefix("http://").unwrap().parse().unwrap();
    shown.insert("metrics".to_owned(), Http::plain(ops).send("GET", "/metrics", &[], &[]).text().to_owned());
    let (status, log) = site.dev.stop();
    assert!(status.success());
    // The curl line is printed for people to paste, with the demo credential.
    shown.insert("log".to_owned(), log.lines().filter(|line| !line.starts_with("curl ")).collect());
    for (name, secret) in secrets {
        assert!(secret.len() > 15, "{name}: too short to search for");
        for (place, text) in &shown {
            assert!(!text.contains(&secret), "{name} in {place}");
        }
        search(site.folder.path(), &secret);
    }
}

/// The answer to every GET that is described, for each thing that there is.
fn walk(rest: &mut Rest, template: &str) -> BTreeMap<String, String> {
    let description = rest.get("openapi.json");
    let paths = description["paths"].as_object().unwrap();
    let mut shown = BTreeMap::new();
    for (path, _) in paths.iter().filter(|(_, item)| item["get"].is_object()) {
        let path = path.strip_prefix("/api/v1/").unwrap();
        let things = expand(rest, path, template);
        for thing in things {
            let answer = rest.send("GET", &thing, b"");
            let asked_too_often = answer.status == 429 && thing.ends_with("/health");
            assert!(answer.is_good() || asked_too_often, "GET {thing}: {} {}", answer.status, answer.text());
            shown.insert(thing, answer.text().to_owned());
        }
    }
    shown
}

/// `path` with the id of each thing that the list before a parameter has; where there is no list, of the one that is known.
fn expand(rest: &mut Rest, path: &str, template: &str) -> BTreeSet<String> {
    let Some((before, after)) = path.split_once("/{") else { return BTreeSet::from([path.to_owned()]) };
    let rest_of_path = after.split_once('}').unwrap().1;
    let ids: Vec<String> = if before == "cckm/aws/templates" {
        vec![template.to_owned()]
    } else {
        let list = rest.get(&format!("{before}?limit=-1"));
        list["resources"].as_array().unwrap().iter().map(|item| text(item, "/id").to_owned()).collect()
    };
    let mut all = BTreeSet::new();
    for id in ids {
        all.extend(expand(rest, &format!("{before}/{id}{rest_of_path}"), template));
    }
    all
}

const AWS_SECRET: &str = "Quokka/Marzipan+K7MDENGbPxRfiCYEXAMPLEK3";
const GIVEN_SECRET: &str = "QuokkaGivenMarzipan0123456789abcdefABCDEF01234";
const PASSPHRASE: &str = "quokka marzipan 4711 and a lot more";
