//! REST and gRPC give the same outcome for what both do: one table of calls, each asked both ways by who may, who may not, and nobody.

mod linked;

use std::{fs, path::Path, rc::Rc};

use holdfast_proto::{
    admin::{
        BlockHyokKeyRequest, BlockKeyStoreRequest, CreateCredentialRequest, CreateHyokKeyRequest, CreateKeyStoreRequest,
        CreateSourceKeyRequest, CreateUserRequest, CreateVirtualKeyRequest, DeleteCredentialRequest, DeleteHyokKeyRequest,
        DeleteKeyStoreRequest, DeleteSourceKeyRequest, DeleteVirtualKeyRequest, GetHyokKeyRequest, GetKeyStoreRequest, GetSourceKeyRequest,
        GetVirtualKeyRequest, ListCredentialsRequest, RotateCredentialRequest, RotateHyokKeyRequest, SetVirtualKeyDeletableRequest,
        UnblockHyokKeyRequest, UnblockKeyStoreRequest, UpdateKeyStoreRequest, UpdateSourceKeyRequest,
    },
    admin_client::AdminClient,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::{Code, Request, Response, Status, transport::Channel};

use super::{Rest, Site, connection, container, hyok_key, key_store, source_key, text};
use crate::{admin::Admin, client};

/// One call, both ways, and the status that REST must give to an admin.
struct Row {
    status: u16,
    method: &'static str,
    path: String,
    body: Value,
    /// Whether an auditor may.
    reads: bool,
    rpc: Box<dyn Fn(&mut Grpc) -> Code>,
}

/// A call about the object with this id.
type Rpc = dyn Fn(&mut Grpc, String) -> Code;

/// What is asked of an object, both ways.
struct Asked {
    status: Expected,
    method: &'static str,
    /// After the object's own path.
    action: String,
    body: Value,
    reads: bool,
    rpc: Rc<Rpc>,
}

/// What is answered to a question about an object.
#[derive(Clone, Copy)]
enum Expected {
    AsTheObject,
    /// Of the one that is there; of the other as the object.
    There(u16),
    Always(u16),
}

/// The other surface.
struct Grpc {
    runtime: Runtime,
    client: AdminClient<Channel>,
    token: String,
}

impl Grpc {
    fn ask<M, A>(
        &mut self,
        message: M,
        call: impl AsyncFnOnce(&mut AdminClient<Channel>, Request<M>) -> Result<Response<A>, Status>,
    ) -> Code {
        let mut request = Request::new(message);
        if !self.token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        }
        self.runtime.block_on(call(&mut self.client, request)).map_or_else(|status| status.code(), |_| Code::Ok)
    }
}

#[test]
fn rest_and_grpc_give_the_same_outcome_by_the_same_table() {
    let Site { mut rest, handout, dev: _dev, folder } = Site::start(&[]);
    let runtime = Runtime::new().unwrap();
    let mut admin = runtime.block_on(Admin::sign_in(client::api(&handout).port(), &handout["api"]));
    let user = CreateUserRequest { name: "audrey".into(), password: "a long password 1".into(), roles: vec!["auditor".into()] };
    let user = admin.request(user);
    runtime.block_on(admin.client.users.create_user(user)).unwrap();
    let mut auditor = Rest::sign_in(&handout, "audrey", "a long password 1");
    let mut nobody = Rest::sign_in(&handout, "audrey", "a long password 1");
    nobody.token = String::new();
    let mut grpc = Grpc { runtime, client: admin.client, token: String::new() };

    let rows = rows(&mut rest);
    let before = audited(folder.path()).len();
    let mut faults = Vec::new();
    for row in &rows {
        // Who may not is turned away before anything is done, so this comes first.
        faults.extend(differs(row, &mut nobody, &mut grpc, 401));
        if !row.reads {
            faults.extend(differs(row, &mut auditor, &mut grpc, 403));
        }
    }
    for row in &rows {
        faults.extend(differs(row, &mut rest, &mut grpc, row.status));
        if row.reads {
            faults.extend(differs(row, &mut auditor, &mut grpc, row.status));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    // An act has one name in the audit file, whichever way it was asked.
    let acts = audited(folder.path()).split_off(before);
    assert!(acts.len() >= 2 * rows.len() && acts.len().is_multiple_of(2), "{}", acts.len());
    let odd: Vec<_> = acts.chunks(2).filter(|pair| (&*pair[0].0, &*pair[1].0) != ("rest", "grpc") || pair[0].1 != pair[1].1).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

/// By which way each call came and what it is called in the audit file.
fn audited(folder: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(folder.join("controlplane/audit/admin.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told = lines.map(|line| ["via", "operation"].map(|name| line[name].as_str().unwrap().to_owned()).into());
    told.filter(|(via, _): &(String, String)| via != "system").collect()
}

/// What is wrong with the two answers.
fn differs(row: &Row, rest: &mut Rest, grpc: &mut Grpc, status: u16) -> Option<String> {
    let body = if row.body.is_null() { String::new() } else { row.body.to_string() };
    let answer = rest.send(row.method, &row.path, body.as_bytes());
    grpc.token = rest.token.clone();
    let code = (row.rpc)(grpc);
    let name = format!("{} {}: {} {} {code:?}", row.method, row.path, answer.status, answer.text());
    let expected: &[Code] = match status {
        200 | 201 | 204 => &[Code::Ok],
        400 => &[Code::InvalidArgument],
        401 => &[Code::Unauthenticated],
        403 => &[Code::PermissionDenied],
        404 => &[Code::NotFound],
        409 => &[Code::Aborted, Code::FailedPrecondition],
        other => panic!("{other} is not in the table"),
    };
    let shaped = status < 400 || answer.text().starts_with("{\"code\":") && answer.text().contains("\"codeDesc\":\"NCERR");
    (answer.status != status || !expected.contains(&code) || !shaped).then(|| format!("not {status}: {name}"))
}

fn rows(rest: &mut Rest) -> Vec<Row> {
    rest.post("connectionmgmt/services/aws/connections", &connection("connection", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
    rest.post("cckm/aws/kms", &container("kms", "connection"));
    let key = text(&rest.post("vault/keys2", &source_key("key")), "/id").to_owned();
    let store = text(&rest.post("cckm/aws/custom-key-stores", &key_store("store", "kms", &key)), "/id").to_owned();
    let hyok = text(&rest.post("cckm/aws/create-hyok-key", &hyok_key(&store, &key, "")), "/id").to_owned();
    let credential = text(&rest.get(&format!("cckm/aws/custom-key-stores/{store}/credentials")), "/resources/0/id").to_owned();
    let mut rows = key_stores(&store);
    rows.extend(new_key_stores(&key));
    rows.extend(credentials(&store, &credential));
    rows.extend(hyok_keys(&hyok, &store));
    rows.extend(sources(&key));
    rows.extend(linked::linked_key_stores(&store, &hyok));
    rows.extend(linked::keys_in_aws(&hyok));
    rows.extend(linked::synchronizations());
    rows
}

/// What is done to a key store: to one that is there, and to one that is not.
fn key_stores(store: &str) -> Vec<Row> {
    let asked = [
        reads("", |grpc, id| grpc.ask(GetKeyStoreRequest { id }, async |client, request| client.key_stores.get_key_store(request).await)),
        acts("/block", |grpc, id| {
            grpc.ask(BlockKeyStoreRequest { id }, async |client, request| client.key_stores.block_key_store(request).await)
        }),
        acts("/unblock", |grpc, id| {
            grpc.ask(UnblockKeyStoreRequest { id }, async |client, request| client.key_stores.unblock_key_store(request).await)
        }),
        Asked {
            method: "PATCH",
            body: json!({ "enable_success_audit_event": true }),
            ..acts("", |grpc, id| {
                let message = UpdateKeyStoreRequest { id, success_audit: Some(true), ..Default::default() };
                grpc.ask(message, async |client, request| client.key_stores.update_key_store(request).await)
            })
        },
        // One that is there has keys.
        Asked {
            status: Expected::There(409),
            ..deletes("", |grpc, id| {
                grpc.ask(DeleteKeyStoreRequest { id }, async |client, request| client.key_stores.delete_key_store(request).await)
            })
        },
    ];
    of_each("cckm/aws/custom-key-stores", [(UNKNOWN, 404), (store, 200)], &asked)
}

fn new_key_stores(key: &str) -> Vec<Row> {
    let whole = |name: &str, kms: &str, most: u32, key: &str| {
        let mut body = key_store(name, kms, key);
        body["local_hosted_params"]["max_credentials"] = most.into();
        let message = CreateKeyStoreRequest {
            name: name.to_owned(),
            region: "us-east-1".to_owned(),
            max_credentials: most,
            health_check_key_id: key.to_owned(),
            kms: kms.to_owned(),
            xks_proxy_uri_endpoint: "https://xks.example.com".to_owned(),
            ..Default::default()
        };
        (body, message)
    };
    let of = [
        (409, whole("store", "kms", 8, key)),
        (400, whole("other", "kms", 99, key)),
        (400, whole("other", "no-such-kms", 8, key)),
        (400, whole("other", "kms", 8, UNKNOWN)),
    ];
    let row = |(status, (body, message)): (u16, (Value, CreateKeyStoreRequest))| Row {
        body,
        ..act(status, "cckm/aws/custom-key-stores".to_owned(), move |grpc| {
            grpc.ask(message.clone(), async |client, request| client.key_stores.create_key_store(request).await)
        })
    };
    of.into_iter().map(row).collect()
}

fn credentials(store: &str, credential: &str) -> Vec<Row> {
    let last = credential.to_owned();
    let asked = [
        Asked {
            status: Expected::There(409),
            ..deletes(&format!("/credentials/{credential}"), move |grpc, key_store_id| {
                let message = DeleteCredentialRequest { key_store_id, id: last.clone() };
                grpc.ask(message, async |client, request| client.key_stores.delete_credential(request).await)
            })
        },
        reads("/credentials", |grpc, key_store_id| {
            let message = ListCredentialsRequest { key_store_id };
            grpc.ask(message, async |client, request| client.key_stores.list_credentials(request).await)
        }),
        Asked {
            status: Expected::There(201),
            ..acts("/credentials", |grpc, key_store_id| {
                let message = CreateCredentialRequest { key_store_id };
                grpc.ask(message, async |client, request| client.key_stores.create_credential(request).await)
            })
        },
        acts("/rotate-credential", |grpc, key_store_id| {
            let message = RotateCredentialRequest { key_store_id };
            grpc.ask(message, async |client, request| client.key_stores.rotate_credential(request).await)
        }),
    ];
    of_each("cckm/aws/custom-key-stores", [(UNKNOWN, 404), (store, 200)], &asked)
}

fn hyok_keys(hyok: &str, store: &str) -> Vec<Row> {
    let asked = [
        reads("", |grpc, id| grpc.ask(GetHyokKeyRequest { id }, async |client, request| client.hyok_keys.get_hyok_key(request).await)),
        acts("/block", |grpc, id| {
            grpc.ask(BlockHyokKeyRequest { id }, async |client, request| client.hyok_keys.block_hyok_key(request).await)
        }),
        acts("/unblock", |grpc, id| {
            grpc.ask(UnblockHyokKeyRequest { id }, async |client, request| client.hyok_keys.unblock_hyok_key(request).await)
        }),
        Asked {
            status: Expected::Always(404),
            body: json!({ "source_key_tier": "local", "source_key_id": UNKNOWN }),
            ..acts("/rotate", |grpc, id| {
                let message = RotateHyokKeyRequest { id, source_key_id: UNKNOWN.to_owned(), ..Default::default() };
                grpc.ask(message, async |client, request| client.hyok_keys.rotate_hyok_key(request).await)
            })
        },
    ];
    let mut rows = of_each("cckm/aws/keys", [(UNKNOWN, 404), (hyok, 200)], &asked);
    rows.push(delete(404, format!("cckm/aws/keys/{UNKNOWN}"), |grpc| {
        let message = DeleteHyokKeyRequest { id: UNKNOWN.to_owned() };
        grpc.ask(message, async |client, request| client.hyok_keys.delete_hyok_key(request).await)
    }));
    for key_store in [UNKNOWN, store] {
        let key_store_id = key_store.to_owned();
        let body = hyok_key(key_store, UNKNOWN, "");
        rows.push(Row {
            body,
            ..act(404, "cckm/aws/create-hyok-key".to_owned(), move |grpc| {
                let message =
                    CreateHyokKeyRequest { key_store_id: key_store_id.clone(), source_key_id: UNKNOWN.to_owned(), ..Default::default() };
                grpc.ask(message, async |client, request| client.hyok_keys.create_hyok_key(request).await)
            })
        });
    }
    rows
}

fn sources(key: &str) -> Vec<Row> {
    let asked = [
        reads("", |grpc, id| {
            grpc.ask(GetSourceKeyRequest { id }, async |client, request| client.source_keys.get_source_key(request).await)
        }),
        Asked {
            method: "PATCH",
            body: json!({ "description": "new" }),
            ..acts("", |grpc, id| {
                let message = UpdateSourceKeyRequest { id, description: Some("new".to_owned()), ..Default::default() };
                grpc.ask(message, async |client, request| client.source_keys.update_source_key(request).await)
            })
        },
        Asked {
            status: Expected::There(409),
            ..deletes("", |grpc, id| {
                grpc.ask(DeleteSourceKeyRequest { id }, async |client, request| client.source_keys.delete_source_key(request).await)
            })
        },
    ];
    let mut rows = of_each("vault/keys2", [(UNKNOWN, 404), (key, 200)], &asked);
    for (status, name, size) in [(409, "key", 256), (400, "other", 7)] {
        let mut body = source_key(name);
        body["size"] = size.into();
        rows.push(Row {
            body,
            ..act(status, "vault/keys2".to_owned(), move |grpc| {
                let message = CreateSourceKeyRequest {
                    name: name.to_owned(),
                    algorithm: "AES".to_owned(),
                    size,
                    usage_mask: 60,
                    unexportable: true,
                    undeletable: true,
                    ..Default::default()
                };
                grpc.ask(message, async |client, request| client.source_keys.create_source_key(request).await)
            })
        });
    }
    let path = format!("cckm/virtual/keys/{UNKNOWN}");
    rows.push(read(404, path.clone(), |grpc| {
        let message = GetVirtualKeyRequest { id: UNKNOWN.to_owned() };
        grpc.ask(message, async |client, request| client.virtual_keys.get_virtual_key(request).await)
    }));
    rows.push(Row {
        method: "PATCH",
        body: json!({ "deletable": true }),
        ..act(404, path.clone(), |grpc| {
            let message = SetVirtualKeyDeletableRequest { id: UNKNOWN.to_owned(), deletable: true };
            grpc.ask(message, async |client, request| client.virtual_keys.set_virtual_key_deletable(request).await)
        })
    });
    rows.push(delete(404, path, |grpc| {
        let message = DeleteVirtualKeyRequest { id: UNKNOWN.to_owned() };
        grpc.ask(message, async |client, request| client.virtual_keys.delete_virtual_key(request).await)
    }));
    rows.push(Row {
        body: json!({ "source_key_id": UNKNOWN }),
        ..act(404, "cckm/virtual/keys".to_owned(), |grpc| {
            let message = CreateVirtualKeyRequest { source_key_id: UNKNOWN.to_owned() };
            grpc.ask(message, async |client, request| client.virtual_keys.create_virtual_key(request).await)
        })
    });
    rows
}

/// Each question about each of two objects under `base`, which are named by id with what is answered of it.
fn of_each(base: &str, objects: [(&str, u16); 2], asked: &[Asked]) -> Vec<Row> {
    let row = |(id, status): (&str, u16), one: &Asked| {
        let (rpc, id) = (Rc::clone(&one.rpc), id.to_owned());
        let status = match one.status {
            Expected::AsTheObject => status,
            Expected::There(there) if id != UNKNOWN => there,
            Expected::There(_) => status,
            Expected::Always(always) => always,
        };
        let path = format!("{base}/{id}{}", one.action);
        let rpc = Box::new(move |grpc: &mut Grpc| rpc(grpc, id.clone()));
        Row { status, method: one.method, path, body: one.body.clone(), reads: one.reads, rpc }
    };
    objects.into_iter().flat_map(|object| asked.iter().map(move |one| row(object, one))).collect()
}

fn reads(action: &str, rpc: impl Fn(&mut Grpc, String) -> Code + 'static) -> Asked {
    Asked { method: "GET", reads: true, ..acts(action, rpc) }
}

fn deletes(action: &str, rpc: impl Fn(&mut Grpc, String) -> Code + 'static) -> Asked {
    Asked { method: "DELETE", ..acts(action, rpc) }
}

fn acts(action: &str, rpc: impl Fn(&mut Grpc, String) -> Code + 'static) -> Asked {
    Asked { status: Expected::AsTheObject, method: "POST", action: action.to_owned(), body: Value::Null, reads: false, rpc: Rc::new(rpc) }
}

fn read(status: u16, path: String, rpc: impl Fn(&mut Grpc) -> Code + 'static) -> Row {
    Row { method: "GET", reads: true, ..act(status, path, rpc) }
}

fn delete(status: u16, path: String, rpc: impl Fn(&mut Grpc) -> Code + 'static) -> Row {
    Row { method: "DELETE", ..act(status, path, rpc) }
}

fn act(status: u16, path: String, rpc: impl Fn(&mut Grpc) -> Code + 'static) -> Row {
    Row { status, method: "POST", path, body: Value::Null, reads: false, rpc: Box::new(rpc) }
}

const UNKNOWN: &str = "0b7f7c5e-0d3b-4e0c-9f5b-7d1c6b1f2a30";
