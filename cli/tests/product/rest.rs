//! The REST API as its known clients use it, over bytes: no code of ours makes or reads a message.

pub(crate) mod on_partition;
mod outcomes;
mod replay;
mod schemathesis;
mod secrets;
pub(crate) mod strict;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    client,
    http::{Answer, Http},
    process::Holdfast,
};

/// A `holdfast dev` and a signed-in client of its API.
struct Site {
    dev: Holdfast,
    folder: TempDir,
    handout: Value,
    rest: Rest,
}

/// One kept connection and a token, with the headers of the known client (contract §1).
pub(crate) struct Rest {
    http: Http,
    pub(crate) token: String,
}

impl Site {
    fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_with(&[], environment)
    }

    fn start_with(more: &[String], environment: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let arguments = [client::dev_arguments(folder.path()).as_slice(), more].concat();
        let mut dev = Holdfast::start_with(&arguments, environment);
        dev.wait_for("curl --aws-sigv4");
        let handout = client::handout(folder.path());
        let rest = Rest::sign_in(&handout, "admin", handout["api"]["password"].as_str().unwrap());
        Self { dev, folder, handout, rest }
    }
}

impl Rest {
    /// Signs in as the known client does: an empty bearer, two `Content-Type` lines, no `Accept`.
    pub(crate) fn sign_in(handout: &Value, username: &str, password: &str) -> Self {
        let mut http = Http::tls(client::api(handout), handout["api"]["ca"].as_str().unwrap().as_ref());
        let body = json!({ "username": username, "password": password, "auth_domain": "", "domain": "" }).to_string();
        let mut headers = headers("Bearer").to_vec();
        headers.push(("Content-Type", "application/json"));
        let answer = http.send("POST", "/api/v1/auth/tokens", &headers, body.as_bytes());
        assert!(answer.is_good(), "{}", answer.text());
        let token = answer.json()["jwt"].as_str().unwrap().to_owned();
        Self { http, token }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        self.http.send(method, &format!("/api/v1/{path}"), &headers(&authorization), body)
    }

    /// The same of a control plane that may die over it: none when it did.
    pub(crate) fn send_once(&mut self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let authorization = format!("Bearer {}", self.token);
        self.http.send_once(method, &format!("/api/v1/{path}"), &headers(&authorization), body)
    }

    /// What it must answer well, with an object.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Value {
        self.good("POST", path, body.to_string().as_bytes())
    }

    /// An action without a payload has an empty body.
    pub(crate) fn act(&mut self, path: &str) -> Value {
        self.good("POST", path, b"")
    }

    pub(crate) fn patch(&mut self, path: &str, body: &Value) -> Value {
        self.good("PATCH", path, body.to_string().as_bytes())
    }

    pub(crate) fn delete(&mut self, path: &str) {
        let answer = self.send("DELETE", path, b"");
        assert_eq!((answer.status, answer.text()), (204, ""), "DELETE {path}");
    }

    /// Two reads give the same bytes.
    pub(crate) fn get(&mut self, path: &str) -> Value {
        let first = self.send("GET", path, b"");
        let second = self.send("GET", path, b"");
        assert_eq!((first.status, second.status), (200, 200), "GET {path}: {}", first.text());
        assert_eq!(first.text(), second.text(), "GET {path}");
        first.json()
    }

    pub(crate) fn good(&mut self, method: &str, path: &str, body: &[u8]) -> Value {
        let answer = self.send(method, path, body);
        assert!(answer.is_good(), "{method} {path}: {} {}", answer.status, answer.text());
        answer.json()
    }
}

impl Answer {
    /// What the known client takes for success (contract §1.3).
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.status, 200 | 201 | 202 | 203 | 204 | 206)
    }
}

fn headers(authorization: &str) -> [(&'static str, &str); 4] {
    [
        ("User-Agent", "Go-http-client/1.1"),
        ("Authorization", authorization),
        ("Content-Type", "application/json"),
        ("Accept-Encoding", "gzip"),
    ]
}

/// A connection, with a secret in it (the known client's members).
pub(crate) fn connection(name: &str, secret: &str) -> Value {
    json!({
        "id": "", "uri": "", "account": "", "application": "", "devAccount": "", "createdAt": "", "updatedAt": "",
        "name": name, "description": "", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": secret,
        "assume_role_arn": "", "assume_role_external_id": "", "aws_region": "us-east-1", "aws_sts_regional_endpoints": "legacy",
        "cloud_name": "aws", "is_role_anywhere": false, "iam_role_anywhere": null, "labels": {}, "meta": {}, "products": ["cckm"],
    })
}

pub(crate) fn container(name: &str, connection: &str) -> Value {
    json!({
        "account_id": "123456789012", "connection": connection, "name": name, "regions": ["us-east-1", "eu-west-1"],
        "assume_role_arn": "", "assume_role_external_id": "",
    })
}

pub(crate) fn source_key(name: &str) -> Value {
    json!({ "algorithm": "AES", "name": name, "unexportable": true, "undeletable": true, "usageMask": 60 })
}

/// The known client's body for a new key store, to the letter (contract §7.2).
pub(crate) fn key_store(name: &str, kms: &str, key: &str) -> Value {
    json!({
        "id": "",
        "aws_param": {
            "cloud_hsm_cluster_id": "", "custom_key_store_type": "EXTERNAL_KEY_STORE", "key_store_password": "",
            "trust_anchor_certificate": "", "xks_proxy_connectivity": "PUBLIC_ENDPOINT",
            "xks_proxy_uri_endpoint": "https://xks.example.com", "xks_proxy_vpc_endpoint_service_name": "",
        },
        "kms": kms, "name": name, "region": "us-east-1", "enable_success_audit_event": false, "linked_state": false,
        "local_hosted_params": {
            "blocked": false, "health_check_key_id": key, "max_credentials": 8, "mtls_enabled": false, "partition_id": "",
            "source_key_tier": "local",
        },
        "key_store_password": "",
    })
}

/// And for a new HYOK key (contract §10.1).
pub(crate) fn hyok_key(key_store: &str, source_key: &str, description: &str) -> Value {
    json!({
        "local_hosted_params": {
            "blocked": false, "custom_key_store_id": key_store, "linked_state": false, "source_key_id": source_key,
            "source_key_tier": "local",
        },
        "aws_param": { "Description": description, "Tags": null, "Alias": "" },
        "key_users": null, "key_users_roles": null, "key_admins": null, "key_admins_roles": null, "external_accounts": null,
        "policytemplate": null,
    })
}

pub(crate) fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path} in {value}"))
}
