//! Signing in, users, tools' tokens, and what the audit file says of all that.

use std::{fs, net::SocketAddr, time::Duration};

use holdfast_proto::admin::{
    BlockKeyStoreRequest, ChangePasswordRequest, CreateApiTokenRequest, CreateUserRequest, DeleteUserRequest, GetUserRequest,
    ListApiTokensRequest, ListKeyStoresRequest, ListUsersRequest, LoginRequest, LoginResponse, LogoutRequest, RefreshRequest,
    ResetPasswordRequest, RevokeApiTokenRequest, SetUserEnabledRequest, SetUserRolesRequest, WhoAmIRequest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Status};

use crate::plane::{Admin, Plane};

async fn login(plane: &Plane, username: &str, password: &str) -> Result<LoginResponse, Status> {
    let login = LoginRequest { username: username.into(), password: password.into() };
    Ok(plane.stranger().await.access.login(login).await?.into_inner())
}

/// A user of this role, signed in.
async fn user(plane: &Plane, admin: &mut Admin, (name, role): (&str, &str)) -> (LoginResponse, Admin) {
    let request = CreateUserRequest { name: name.into(), password: format!("password of {name}"), roles: vec![role.into()] };
    let created = admin.users.create_user(request).await.unwrap().into_inner();
    assert_eq!((created.generated_password.as_str(), created.user.unwrap().enabled), ("", true));
    let signed_in = login(plane, name, &format!("password of {name}")).await.unwrap();
    let client = plane.with_token(&signed_in.jwt).await;
    (signed_in, client)
}

async fn may_look(client: &mut Admin) -> Code {
    client.key_stores.list_key_stores(ListKeyStoresRequest::default()).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn audit(plane: &Plane) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(plane.data().join("audit/admin.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn who_is_signed_in_stays_so_over_a_restart_and_renews_it_without_the_password() {
    let plane = Plane::with_demo().await;
    let signed_in = login(&plane, "admin", plane.report.admin_password.expose()).await.unwrap();
    assert_eq!(signed_in.refresh_duration, 7 * 24 * 3_600);
    let plane = plane.restarted(|_| {}).await;
    assert_eq!(may_look(&mut plane.with_token(&signed_in.jwt).await).await, Code::Ok);
    let mut stranger = plane.stranger().await;
    let refresh = RefreshRequest { refresh_token: signed_in.refresh_token.clone() };
    let renewed = stranger.access.refresh(refresh.clone()).await.unwrap().into_inner();
    assert_eq!((renewed.duration, &renewed.refresh_token), (300, &signed_in.refresh_token));
    let mut admin = plane.with_token(&renewed.jwt).await;
    let me = admin.access.who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.name.as_str(), me.roles), ("admin", vec!["admin".to_owned()]));
    stranger.access.logout(LogoutRequest { refresh_token: signed_in.refresh_token }).await.unwrap();
    assert_eq!(stranger.access.refresh(refresh).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_change_of_a_user_holds_at_once_for_tokens_that_are_out() {
    let plane = Plane::with_demo().await;
    let mut admin = plane.admin().await;
    let (signed_in, mut eve) = user(&plane, &mut admin, ("eve", "key-user")).await;
    let (store, block) = (uuid::Uuid::nil().to_string(), async |eve: &mut Admin, store: &str| {
        eve.key_stores.block_key_store(BlockKeyStoreRequest { id: store.into() }).await.unwrap_err().code()
    });
    assert_eq!(block(&mut eve, &store).await, Code::NotFound);
    let roles = SetUserRolesRequest { name: "eve".into(), roles: vec!["auditor".into()] };
    admin.users.set_user_roles(roles).await.unwrap();
    assert_eq!((block(&mut eve, &store).await, may_look(&mut eve).await), (Code::PermissionDenied, Code::Ok));

    let enable = |enabled| SetUserEnabledRequest { name: "eve".into(), enabled };
    admin.users.set_user_enabled(enable(false)).await.unwrap();
    assert_eq!(may_look(&mut eve).await, Code::Unauthenticated);
    assert_eq!(login(&plane, "eve", "password of eve").await.unwrap_err().code(), Code::Unauthenticated);
    let refresh = RefreshRequest { refresh_token: signed_in.refresh_token };
    assert_eq!(plane.stranger().await.access.refresh(refresh).await.unwrap_err().code(), Code::Unauthenticated);
    admin.users.set_user_enabled(enable(true)).await.unwrap();
    assert_eq!(may_look(&mut eve).await, Code::Unauthenticated, "what was ended stays so");
    login(&plane, "eve", "password of eve").await.unwrap();

    admin.users.delete_user(DeleteUserRequest { name: "eve".into() }).await.unwrap();
    assert_eq!(admin.users.get_user(GetUserRequest { name: "eve".into() }).await.unwrap_err().code(), Code::NotFound);
    let (_, mut again) = user(&plane, &mut admin, ("eve", "admin")).await;
    assert_eq!((may_look(&mut eve).await, may_look(&mut again).await), (Code::Unauthenticated, Code::Ok));
}

#[tokio::test]
async fn the_last_admin_who_can_sign_in_stays_one() {
    let plane = Plane::with_demo().await;
    let mut admin = plane.admin().await;
    user(&plane, &mut admin, ("kim", "key-admin")).await;
    let demote = |name: &str| SetUserRolesRequest { name: name.into(), roles: vec!["key-admin".into()] };
    let disable = SetUserEnabledRequest { name: "admin".into(), enabled: false };
    let refusals = [
        admin.users.set_user_roles(demote("admin")).await.unwrap_err(),
        admin.users.set_user_enabled(disable).await.unwrap_err(),
        admin.users.delete_user(DeleteUserRequest { name: "admin".into() }).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("last enabled"), "{}", refused.message());
    }
    let (_, mut eve) = user(&plane, &mut admin, ("eve", "admin")).await;
    admin.users.set_user_roles(demote("admin")).await.unwrap();
    assert_eq!(admin.users.list_users(ListUsersRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
    let listed = eve.users.list_users(ListUsersRequest {}).await.unwrap().into_inner().users;
    let listed: Vec<_> = listed.iter().map(|user| (user.name.as_str(), user.roles[0].as_str())).collect();
    assert_eq!(listed, [("admin", "key-admin"), ("eve", "admin"), ("kim", "key-admin")]);
    let new = CreateUserRequest { name: "bob".into(), password: String::new(), roles: vec!["auditor".into()] };
    assert_eq!(admin.users.create_user(new).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_or_reset_by_an_admin_and_ends_what_was_signed_in() {
    let plane = Plane::with_demo().await;
    let mut admin = plane.admin().await;
    let (_, mut eve) = user(&plane, &mut admin, ("eve", "auditor")).await;
    let change = |old: &str, new: &str| ChangePasswordRequest { old_password: old.into(), new_password: new.into() };
    let wrong = eve.access.change_password(change("wrong", "another password")).await.unwrap_err();
    let short = eve.access.change_password(change("password of eve", "short")).await.unwrap_err();
    assert_eq!((wrong.code(), short.code()), (Code::Unauthenticated, Code::InvalidArgument));
    assert_eq!(may_look(&mut eve).await, Code::Ok);
    eve.access.change_password(change("password of eve", "another password")).await.unwrap();
    assert_eq!(may_look(&mut eve).await, Code::Unauthenticated);
    assert!(login(&plane, "eve", "password of eve").await.is_err());
    let signed_in = login(&plane, "eve", "another password").await.unwrap();

    let reset = ResetPasswordRequest { name: "eve".into(), password: String::new() };
    let generated = admin.users.reset_password(reset).await.unwrap().into_inner().generated_password;
    assert_eq!(may_look(&mut plane.with_token(&signed_in.jwt).await).await, Code::Unauthenticated);
    login(&plane, "eve", &generated).await.unwrap();
}

#[tokio::test]
async fn a_tool_acts_by_its_token_within_its_roles_until_it_is_revoked() {
    let plane = Plane::with_demo().await;
    let mut admin = plane.admin().await;
    let (_, mut eve) = user(&plane, &mut admin, ("eve", "key-user")).await;
    let new = |name: &str, role: &str| CreateApiTokenRequest { name: name.into(), roles: vec![role.into()], life_seconds: 0 };
    let more = eve.access.create_api_token(new("ci", "key-admin")).await.unwrap_err();
    assert_eq!(more.code(), Code::InvalidArgument);
    let created = eve.access.create_api_token(new("ci", "auditor")).await.unwrap().into_inner();
    assert_eq!(eve.access.create_api_token(new("ci", "auditor")).await.unwrap_err().code(), Code::Aborted);
    let mut tool = plane.with_token(&created.token).await;
    assert_eq!(may_look(&mut tool).await, Code::Ok);
    let me = tool.access.who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((me.name.as_str(), me.roles), ("eve", vec!["auditor".to_owned()]));
    let block = BlockKeyStoreRequest { id: uuid::Uuid::nil().to_string() };
    assert_eq!(tool.key_stores.block_key_store(block).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(tool.access.create_api_token(new("more", "auditor")).await.unwrap_err().code(), Code::PermissionDenied);

    let listed = eve.access.list_api_tokens(ListApiTokensRequest {}).await.unwrap().into_inner().api_tokens;
    assert_eq!((listed.len(), listed[0].name.as_str(), listed[0].owner.as_str(), listed[0].expires_ms), (1, "ci", "eve", 0));
    assert!(listed[0].last_used_ms >= listed[0].created_ms);
    let (_, mut kim) = user(&plane, &mut admin, ("kim", "key-admin")).await;
    assert!(kim.access.list_api_tokens(ListApiTokensRequest {}).await.unwrap().into_inner().api_tokens.is_empty());
    let revoke = RevokeApiTokenRequest { id: listed[0].id.clone() };
    assert_eq!(kim.access.revoke_api_token(revoke.clone()).await.unwrap_err().code(), Code::NotFound);

    let plane = plane.restarted(|_| {}).await;
    let mut tool = plane.with_token(&created.token).await;
    assert_eq!(may_look(&mut tool).await, Code::Ok);
    plane.admin().await.access.revoke_api_token(revoke).await.unwrap();
    assert_eq!(may_look(&mut tool).await, Code::Unauthenticated);
}

#[tokio::test]
async fn the_audit_file_says_who_changed_what_before_and_after_and_no_secret() {
    let plane = Plane::with_demo().await;
    let _node = plane.node("node-1").await;
    let mut admin = plane.admin().await;
    let (signed_in, mut eve) = user(&plane, &mut admin, ("eve", "admin")).await;
    let roles = SetUserRolesRequest { name: "eve".into(), roles: vec!["auditor".into(), "key-admin".into()] };
    admin.users.set_user_roles(roles).await.unwrap();
    let token = CreateApiTokenRequest { name: "ci".into(), roles: Vec::new(), life_seconds: 60 };
    let token = eve.access.create_api_token(token).await.unwrap().into_inner().token;
    assert_eq!(may_look(&mut plane.with_token(&token).await).await, Code::Ok);

    let lines = audit(&plane);
    let line = |operation: &str| lines.iter().find(|line| line["operation"] == operation).unwrap();
    let changed = line("user.set_roles");
    assert_eq!((&changed["who"], &changed["via"], &changed["target"]), (&"admin".into(), &"grpc".into(), &"eve".into()));
    assert_eq!((&changed["peer"], &changed["outcome"]), (&"127.0.0.1".into(), &"ok".into()));
    let change = &changed["changes"][0];
    assert_eq!((&change["entry"], &change["id"]), (&"user".into(), &"eve".into()));
    assert_eq!(change["before"]["roles"], serde_json::json!(["admin"]));
    assert_eq!(change["after"]["roles"], serde_json::json!(["key-admin", "auditor"]));
    assert_eq!(change["after"].get("password_hash"), None, "it did not change");
    let made = &line("user.create")["changes"][0];
    assert_eq!((&made["before"], &made["after"]["password_hash"]), (&serde_json::Value::Null, &"***".into()));
    assert_eq!(line("key_store.list")["who"], "eve (token ci)");
    // What the control plane does by itself.
    let (registered, key) = (line("registration"), line("signing key"));
    assert_eq!((&registered["who"], &registered["via"]), (&"holdfast (registration)".into(), &"system".into()));
    assert_eq!(registered["changes"][0]["after"]["registered"], true);
    assert_eq!(key["changes"][0]["after"]["secret"], "***");

    let text = lines.iter().map(ToString::to_string).collect::<String>();
    for secret in [&signed_in.jwt, &signed_in.refresh_token, &token, "password of eve", plane.report.admin_password.expose(), "argon2"] {
        assert!(!text.contains(secret));
    }
}

#[tokio::test]
async fn connections_beyond_a_listener_s_caps_are_closed_at_once_and_those_that_are_there_go_on() {
    let plane = Plane::with_demo().await;
    let plane = plane
        .restarted(|settings| {
            settings.api_connections.peer = 2;
            settings.sync_connections.all = 1;
            settings.ops_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
            settings.ops_connections.all = 1;
        })
        .await;
    let mut first = plane.stranger().await;
    let second = silent(plane.running.api_addr()).await;
    assert!(closed(silent(plane.running.api_addr()).await).await);
    assert!(first.access.refresh(RefreshRequest::default()).await.is_err_and(|refused| refused.code() == Code::Unauthenticated));
    drop(second);
    let sync = silent(plane.running.sync_addr()).await;
    assert!(closed(silent(plane.running.sync_addr()).await).await);
    drop(sync);
    let ops_port = plane.running.ops_addr().unwrap();
    let mut probe = silent(ops_port).await;
    assert!(closed(silent(ops_port).await).await);
    probe.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    probe.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("ready\n"), "{answer}");
}

/// A connection that says nothing.
async fn silent(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.unwrap()
}

/// Whether the server closes it by itself, and well before a handshake would time out.
async fn closed(mut stream: TcpStream) -> bool {
    let read = timeout(Duration::from_secs(8), stream.read(&mut [0; 1])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}
