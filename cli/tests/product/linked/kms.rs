//! A client of the simulator that signs with `aws-sigv4`, as AWS's SDKs do.

use std::{net::SocketAddr, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use serde_json::Value;

use crate::http::Http;

/// A connection to the simulator's KMS in one region.
pub(crate) struct Kms {
    http: Http,
    host: String,
    access_key_id: String,
    secret_access_key: String,
    region: String,
}

/// What KMS said when it did not do something.
#[derive(Debug)]
pub(crate) struct Refused {
    /// AWS's name of the error.
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Kms {
    pub(crate) fn new(at: SocketAddr, (access_key_id, secret_access_key): (&str, &str), region: &str) -> Self {
        Self {
            http: Http::plain(at),
            host: format!("localhost:{}", at.port()),
            access_key_id: access_key_id.into(),
            secret_access_key: secret_access_key.into(),
            region: region.into(),
        }
    }

    /// Calls `operation`, as in `DescribeKey`.
    pub(crate) fn call(&mut self, operation: &str, body: &Value) -> Result<Value, Refused> {
        let body = body.to_string();
        let target = format!("TrentService.{operation}");
        let sent = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
        let identity = Credentials::new(&self.access_key_id, &self.secret_access_key, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kms")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let url = format!("http://{}/", self.host);
        let signable = SignableRequest::new("POST", url, sent.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
        let (signed, _) = instructions.into_parts();
        let mut headers = sent.to_vec();
        headers.extend(signed.iter().map(|header| (header.name(), header.value())));
        let answer = self.http.send("POST", "/", &headers, body.as_bytes());
        if answer.status == 200 {
            return Ok(if answer.body.is_empty() { Value::Null } else { answer.json() });
        }
        let told = answer.json();
        let name = told["__type"].as_str().unwrap_or_else(|| panic!("{operation}: no name in {told}"));
        let message = told["message"].as_str().or(told["Message"].as_str()).unwrap_or_default();
        Err(Refused { name: name.rsplit('#').next().unwrap().into(), message: message.into() })
    }
}
