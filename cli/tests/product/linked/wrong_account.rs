//! A connection that leads to another AWS account than its KMS container is of: nothing is asked there, so that nothing is gone for it and
//! nothing deleted. And what jobs that look around in AWS leave, where someone breaks them off or takes their container away.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use holdfast_sim_kms::{Sim, SimSettings, When};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::{
    site::{CONNECTION, KMS, Linked, STORES},
    synchronization::{begun, cluster_store, ended, found_store, made_key},
};
use crate::rest::{connection, container, text};

#[test]
fn a_connection_to_another_account_makes_nothing_gone_and_deletes_nothing() {
    let mut linked = Linked::start();
    let (used, idle) = (linked.connected_store("used"), linked.linked_store("idle"));
    let key = text(&linked.linked_key(&used, "held"), "/id").to_owned();
    let key_path = format!("cckm/aws/keys/{key}");
    let other = linked.block_on(Sim::start(other_account())).unwrap();
    let front = front(vec![at(linked.sim()), at(&other)]);
    linked.point_at(&front);
    linked.wait_for_nodes();

    // What can be known is refused at once.
    let connection_path = format!("{CONNECTIONS}/{CONNECTION}");
    let theirs = access_key(&other);
    let answer = linked.rest().send("PATCH", &connection_path, theirs.to_string().as_bytes());
    assert_eq!(answer.status, 409, "{}", answer.text());
    names_both(answer.text());
    let mut new = connection("elsewhere", "");
    overwrite(&mut new, &theirs);
    linked.rest().post(CONNECTIONS, &new);
    let mut moved = container("", "elsewhere");
    (moved["account_id"], moved["regions"]) = ("".into(), json!(super::site::REGIONS));
    let answer = linked.rest().send("PATCH", &format!("cckm/aws/kms/{KMS}"), moved.to_string().as_bytes());
    assert!(answer.status == 409 && answer.text().contains("connection elsewhere"), "{}", answer.text());
    let mut another = container("another", "elsewhere");
    another["account_id"] = ACCOUNT.into();
    let answer = linked.rest().send("POST", "cckm/aws/kms", another.to_string().as_bytes());
    assert_eq!(answer.status, 409, "{}", answer.text());

    // What could not be known then comes out before anything is asked. A control plane that was just started knows nobody.
    linked.point_at(&front);
    linked.wait_for_nodes();
    other.control().refuse("GetCallerIdentity", "InvalidClientTokenId", 1);
    linked.rest().patch(&connection_path, &theirs);
    let asked_before = other.control().calls().len();
    let job = begun(&linked, &json!({ "kms": [KMS] }));
    let job = ended(&linked, &job);
    assert_eq!(job["overall_status"], "failed", "{job}");
    for told in job["detailed_status"].as_object().unwrap().values() {
        names_both(told.as_str().unwrap());
    }
    for (method, path, body) in [
        ("DELETE", idle.path.clone(), ""),
        ("POST", format!("{key_path}/disable"), ""),
        ("POST", format!("{key_path}/schedule-deletion"), r#"{"days": 7}"#),
    ] {
        let answer = linked.rest().send(method, &path, body.as_bytes());
        assert_eq!(answer.status, 422, "{method} {path}: {}", answer.text());
        names_both(answer.text());
    }
    assert_eq!(linked.rest().send("DELETE", &key_path, b"").status, 409);
    for store in [&used, &idle] {
        assert_eq!(linked.rest().get(&store.path)["gone"], false);
    }
    let shown = linked.rest().get(&key_path);
    assert_eq!((&shown["gone"], &shown["linked_state"]), (&json!(false), &json!(true)));
    let asked = other.control().calls().split_off(asked_before);
    assert!(asked.iter().all(|call| call == "GetCallerIdentity"), "{asked:?}");
    assert_eq!(linked.round_trip(text(&shown, "/aws_param/KeyID")), "aGVsbG8=");

    // Back where it belongs, all goes on.
    let ours = access_key(linked.sim());
    linked.rest().patch(&connection_path, &ours);
    let job = begun(&linked, &json!({ "kms": [KMS] }));
    assert_eq!(ended(&linked, &job)["overall_status"], "completed");
    linked.rest().delete(&idle.path);
    linked.block_on(other.stop());
}

#[test]
fn a_container_that_is_deleted_while_it_is_looked_into_leaves_nothing_behind() {
    let linked = Linked::start();
    let (key, cluster) = (made_key(&linked), cluster_store(&linked, "on-cluster"));
    let mut again = container(KMS, CONNECTION);
    again["account_id"] = linked.sim().settings().account_id.as_str().into();
    for operation in ["DescribeCustomKeyStores", "DescribeKey"] {
        let held = linked.switches().hold(operation, When::After);
        let job = begun(&linked, &json!({ "kms": [KMS], "regions": ["us-east-1"] }));
        linked.block_on(held.reached());
        linked.rest().delete(&format!("cckm/aws/kms/{KMS}"));
        held.release();
        let job = ended(&linked, &job);
        assert!(job["overall_status"] == "failed" && job.to_string().contains("KMS container not found"), "{operation}: {job}");
        let left = [format!("{STORES}?custom_key_store_id={cluster}"), format!("cckm/aws/keys?keyid={key}")];
        assert_eq!(left.map(|path| linked.rest().get(&path)["total"].clone()), [0, 0], "{operation}");
        linked.rest().post("cckm/aws/kms", &again);
    }
    let job = begun(&linked, &json!({ "kms": [KMS] }));
    assert_eq!(ended(&linked, &job)["overall_status"], "completed");
    assert_eq!(found_store(&linked, &cluster)["gone"], false);
    // Its region stays as long as it is in use.
    let less = json!({ "regions": ["eu-west-1"], "connection": CONNECTION, "account_id": "", "name": "" });
    let answer = linked.rest().send("PATCH", &format!("cckm/aws/kms/{KMS}"), less.to_string().as_bytes());
    assert!(answer.status == 409 && answer.text().contains("on-cluster"), "{}", answer.text());
}

#[test]
fn a_scheduled_synchronization_goes_on_after_a_crash_and_is_over_when_someone_cancels_it() {
    let mut linked = Linked::start();
    for region in super::site::REGIONS {
        assert!(linked.kms_in(region).call("CreateKey", &json!({})).is_ok(), "something is left to read after the list");
    }
    let held = linked.switches().hold("ListKeys", When::Before);
    // Once a day, soon.
    let soon = OffsetDateTime::now_utc() + Duration::seconds(70);
    let body = json!({
        "name": "looks", "operation": "cckm_synchronization", "run_at": format!("{} {} * * *", soon.minute(), soon.hour()),
        "cckm_synchronization_params": { "cloud_name": "aws", "kms": [KMS], "synchronize_all": false },
    });
    let config = format!("scheduler/job-configs/{}", text(&linked.rest().post("scheduler/job-configs", &body), "/id"));
    linked.block_on(held.reached());
    // Other regions go on meanwhile.
    let job = text(&linked.rest().good("GET", JOBS, b""), "/resources/0/id").to_owned();
    linked.kill_control_plane();
    held.abandon();
    let again = linked.switches().hold("ListKeys", When::Before);
    linked.restart_control_plane();
    linked.block_on(again.reached());
    let jobs = linked.rest().good("GET", JOBS, b"");
    assert_eq!((&jobs["total"], &jobs["resources"][0]["id"]), (&json!(1), &job.clone().into()), "{jobs}");
    linked.rest().act(&format!("{JOBS}/{job}/cancel"));
    again.release();
    let shown = linked.until_shown(&config, |shown| shown.get("last_run").is_some());
    assert_eq!(
        (&shown["last_run"]["status"], &shown["last_run"]["failure"], &shown["last_run"]["is_final"]),
        (&"failed".into(), &"the synchronization was cancelled".into(), &true.into())
    );

    // Nor after one more crash, which may take the note of how it ended along.
    linked.restart_control_plane();
    let over = linked.until_shown(&config, |shown| shown.get("last_run").is_some());
    assert_eq!((&over["last_run"]["due"], &over["last_run"]["failure"]), (&shown["last_run"]["due"], &shown["last_run"]["failure"]));
    assert_eq!(linked.rest().get(JOBS)["total"], 1);
}

fn other_account() -> SimSettings {
    let mut settings = SimSettings::new(None);
    settings.account_id = OTHER.into();
    settings
}

/// An access key, and the simulator of its account.
fn at(sim: &Sim) -> (String, SocketAddr) {
    (sim.settings().access_key_id.clone(), sim.addr())
}

/// What changes a connection to the account of a simulator.
fn access_key(sim: &Sim) -> Value {
    json!({ "access_key_id": sim.settings().access_key_id, "secret_access_key": sim.settings().secret_access_key })
}

fn overwrite(body: &mut Value, with: &Value) {
    for (name, value) in with.as_object().unwrap() {
        body[name] = value.clone();
    }
}

fn names_both(text: &str) {
    for named in [ACCOUNT, OTHER, "connection aws", "container kms"] {
        assert!(text.contains(named), "{named}: {text}");
    }
}

/// One address for several accounts, as AWS has it: each access key gets to its own. Its URL.
fn front(accounts: Vec<(String, SocketAddr)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let accounts = accounts.clone();
            // One that breaks off is the client's matter.
            thread::spawn(move || pass_on(client, &accounts));
        }
    });
    url
}

fn pass_on(mut client: TcpStream, accounts: &[(String, SocketAddr)]) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    while let Some(request) = message(&mut requests)? {
        let text = String::from_utf8_lossy(&request);
        let account = accounts.iter().find(|(id, _)| text.contains(&format!("Credential={id}/")));
        let (_, to) = account.ok_or(ErrorKind::PermissionDenied)?;
        let mut server = TcpStream::connect(to)?;
        server.write_all(&request)?;
        let answer = message(&mut BufReader::new(server))?.ok_or(ErrorKind::UnexpectedEof)?;
        client.write_all(&answer)?;
    }
    Ok(())
}

/// The next HTTP/1.1 message with its body; none at the end.
fn message(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let (mut whole, mut length) = (Vec::new(), 0);
    loop {
        let at = whole.len();
        if from.read_until(b'\n', &mut whole)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&whole[at..]).to_ascii_lowercase();
        if let Some(told) = line.strip_prefix("content-length:") {
            length = told.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let at = whole.len();
    whole.resize(at + length, 0);
    from.read_exact(&mut whole[at..])?;
    Ok(Some(whole))
}

const CONNECTIONS: &str = "connectionmgmt/services/aws/connections";
const JOBS: &str = "cckm/aws/custom-key-stores/synchronization-jobs";
/// The simulator's usual account.
const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
