//! Signing in, staying so, and what is said to those who are not.

use std::{fs, net::TcpListener};

use serde_json::{Value, json};

use super::{Shell, error_of, mode, text};
use crate::process::run_with;

#[test]
fn a_session_is_its_owners_alone_and_renews_itself() {
    let shell = Shell::new();
    let file = shell.session();
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(shell.json(&["whoami"])["name"], "admin");

    let read = || serde_json::from_slice::<Value>(&fs::read(&file).unwrap()).unwrap();
    let change = |member: &str, value: Value| {
        let mut session = read();
        session[member] = value;
        fs::write(&file, session.to_string()).unwrap();
    };
    let password = text(&shell.handout()["api"]["password"]).to_owned();
    assert!(!read().to_string().contains(&password), "the password is kept");

    change("jwt_expires_ms", json!(1));
    assert_eq!(shell.json(&["whoami"])["name"], "admin");
    assert!(read()["jwt_expires_ms"].as_u64().unwrap() > 1);
    // As after a restart of the control plane, whose keys for tokens are new then.
    change("jwt", json!("eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"));
    assert_eq!(shell.json(&["whoami"])["name"], "admin");

    let signed_in = read();
    assert_eq!(shell.good(&["logout"]).trim(), "signed out");
    assert!(!file.exists());
    assert_eq!(shell.refused(&["whoami"], 4)["code"], "sign-in");
    fs::write(&file, signed_in.to_string()).unwrap();
    change("jwt_expires_ms", json!(1));
    let ended = shell.refused(&["keystore", "list"], 4);
    assert!(text(&ended["message"]).contains("holdfast login"), "{ended}");
}

#[test]
fn a_token_needs_no_session_and_may_do_what_its_roles_say() {
    let shell = Shell::new();
    let file = shell.path("token");
    let made = shell.json(&["token", "create", "robot", "--role", "auditor", "--days", "1", "--out", file.to_str().unwrap()]);
    assert_eq!(mode(&file), 0o600);
    let (api, token) = (shell.handout()["api"].clone(), fs::read_to_string(&file).unwrap());
    let robot = |arguments: &[&str]| {
        let (nowhere, home) = (shell.path("nowhere"), shell.path("home"));
        let environment = [
            ("HOLDFAST_SERVER", text(&api["url"])),
            ("HOLDFAST_CA", text(&api["ca"])),
            ("HOLDFAST_TOKEN", token.as_str()),
            ("HOLDFAST_SESSION", nowhere.to_str().unwrap()),
            ("HOME", home.to_str().unwrap()),
        ];
        run_with(arguments, &environment)
    };
    let listed = robot(&["keystore", "list", "--json"]);
    assert!(listed.status.success(), "{}", listed.stderr);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["name"], "demo");
    assert_eq!(error_of(&robot(&["keystore", "block", "demo", "--json"]), 4)["code"], "forbidden");

    shell.good(&["token", "revoke", text(&made["id"])]);
    assert_eq!(error_of(&robot(&["keystore", "list", "--json"]), 4)["code"], "sign-in");
}

#[test]
fn a_user_signs_in_with_a_password_that_was_shown_once() {
    let shell = Shell::new();
    let made = shell.json(&["user", "create", "alice", "--role", "key-user"]);
    let (password, session) = (shell.path("password"), shell.path("alice.json"));
    fs::write(&password, text(&made["generated_password"])).unwrap();
    let api = shell.handout()["api"].clone();
    let (server, ca) = (text(&api["url"]), text(&api["ca"]));
    let (password, session) = (password.to_str().unwrap(), session.to_str().unwrap());
    let login = ["login", "--server", server, "--ca", ca, "--username", "alice", "--password-file", password, "--session", session];
    shell.good(&login);
    assert_eq!(shell.json(&["whoami", "--session", session])["roles"], json!(["key-user"]));
    assert_eq!(shell.refused(&["user", "create", "bob", "--role", "admin", "--session", session], 4)["code"], "forbidden");

    shell.good(&["user", "disable", "alice"]);
    assert_eq!(shell.run(&["whoami", "--session", session]).status.code(), Some(4));
    assert_eq!(shell.run(&login).status.code(), Some(4));
    shell.good(&["user", "delete", "alice"]);
    assert_eq!(shell.refused(&["user", "show", "alice"], 3)["code"], "not-found");
}

#[test]
fn a_control_plane_that_is_not_there_or_not_trusted_is_named_with_what_to_check() {
    let shell = Shell::new();
    let (api, password) = (shell.handout()["api"].clone(), shell.path("password"));
    fs::write(&password, "wrong").unwrap();
    let password = password.to_str().unwrap();
    let session = shell.path("other.json");
    let login = |server: &str, more: &[&str]| {
        let mut arguments = vec!["login", "--server", server, "--password-file", password, "--session", session.to_str().unwrap()];
        arguments.extend(more);
        let ended = shell.run(&arguments);
        (ended.status.code(), ended.stderr)
    };

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("https://localhost:{}", taken.local_addr().unwrap().port());
    drop(taken);
    let (code, said) = login(&free, &[]);
    assert!(code == Some(6) && said.contains(&free) && said.contains("running"), "{said}");

    let (code, said) = login(text(&api["url"]), &[]);
    assert!(code == Some(6) && said.contains("--ca"), "{said}");
    let (code, said) = login(text(&api["url"]), &["--ca", text(&api["ca"])]);
    assert!(code == Some(4) && said.lines().count() == 1, "{said}");
    let (code, said) = login("http://localhost:8444", &[]);
    assert!(code == Some(2) && said.contains("https://"), "{said}");
    assert!(!session.exists());
    assert_eq!(shell.run(&["keystore", "create"]).status.code(), Some(2));
}
