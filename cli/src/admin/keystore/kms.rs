//! `holdfast keystore test`: acts as AWS KMS against a key store's endpoint, and says what AWS would.

use std::{fs, path::PathBuf, time::Duration};

use clap::{ArgGroup, Args};
use holdfast_conformance::{ClientCertificate, Depth, Step, StepError, Target, probe};
use holdfast_proto::admin::{CreateCredentialRequest, DeleteCredentialRequest, KeyStore};
use http::Uri;
use serde::Serialize;
use zeroize::Zeroizing;

use super::find_behind_proxy;
use crate::{
    admin::{Admin, Out, credential_file::KeyPair, shown::warn_of_pending, whole},
    failure::{Failure, Kind},
    output,
};

/// Acts as AWS KMS: connects to a key store's endpoint, asks for its health, and encrypts and decrypts with a key
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("signed_with").required(true).args(["credential", "new_credential"]))]
#[command(after_help = "\
Examples:
  holdfast keystore test payments --new-credential --key 6f1d2c3b-7a84-4c55-9a0e-2f0b8f5d9a01
  holdfast keystore test demo --credential holdfast-data/dev.json --endpoint https://localhost:8443 --ca holdfast-data/controlplane/ca.crt
  holdfast keystore test ledger --new-credential --client-cert client.crt --client-key client.key")]
pub(super) struct TestArgs {
    /// The key store, by id or name
    key_store: String,
    /// Sign with this credential: a file that `keystore create`, `credential create` or `rotate-credential` wrote
    #[arg(long, value_name = "FILE")]
    credential: Option<PathBuf>,
    /// Sign with one that is made for this, and deleted afterwards
    #[arg(long)]
    new_credential: bool,
    /// External key id of a key to encrypt and decrypt with [default: health only]
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Where to connect, as https://HOST or https://HOST:PORT; if absent, the key store's endpoint
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// PEM file of the authority that signed the endpoint's certificate [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the client certificate to show, with its chain, as AWS KMS shows one to a key store with mutual TLS
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// PEM file of the client certificate's private key
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

/// A step, as it is printed.
#[derive(Serialize)]
struct Shown {
    step: &'static str,
    ok: bool,
    milliseconds: f64,
    detail: String,
    /// What AWS KMS would make of it; empty where all is well.
    aws: String,
}

/// Where the endpoint is.
struct Endpoint {
    host: String,
    port: u16,
}

impl TestArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        // A file that isn't there says nothing about the endpoint.
        for file in [&self.ca, &self.client_cert, &self.client_key].into_iter().flatten() {
            fs::metadata(file).map_err(|cause| Failure::file("read", file, &cause))?;
        }
        let store = find_behind_proxy(admin, &self.key_store).await?;
        let endpoint = self.endpoint(&store)?;
        let steps = match &self.credential {
            Some(file) => probe(self.target(&store, endpoint, KeyPair::read(file)?), self.depth()).await,
            None => self.with_new_credential(admin, (&store, endpoint)).await?,
        };
        let shown: Vec<_> = steps.iter().map(Shown::of).collect();
        out.list(&shown, ["STEP", "RESULT", "TIME", "DETAIL"], |step| {
            let result = if step.ok { "ok" } else { "FAILED" };
            [step.step.to_owned(), result.to_owned(), format!("{:.1} ms", step.milliseconds), step.detail.clone()]
        })?;
        let failed = shown.iter().find(|step| !step.ok);
        if !out.is_json() {
            for step in shown.iter().filter(|step| !step.aws.is_empty() && step.ok) {
                output::warning(&format!("{}: {}", step.step, step.aws));
            }
        }
        match failed {
            None => Ok(()),
            Some(step) => Err(Failure::new(format!("{} failed: {}; AWS: {}", step.step, step.detail, step.aws))),
        }
    }

    /// Whatever comes of the test, the credential goes again.
    async fn with_new_credential(&self, admin: &mut Admin, at: (&KeyStore, Endpoint)) -> Result<Vec<Step>, Failure> {
        let (store, endpoint) = at;
        let request = CreateCredentialRequest { key_store_id: store.id.clone() };
        let made = admin.key_stores.create_credential(request).await?.into_inner();
        warn_of_pending(&made.pending_nodes);
        let credential = whole(made.credential, "credential")?;
        let pair = KeyPair { access_key_id: credential.access_key_id, secret_access_key: Zeroizing::new(made.secret_access_key) };
        let steps = probe(self.target(store, endpoint, pair), self.depth()).await;
        let request = DeleteCredentialRequest { key_store_id: store.id.clone(), id: credential.id.clone() };
        if let Err(status) = admin.key_stores.delete_credential(request).await {
            output::warning(&format!("the credential {} of the test is still there: {}", credential.id, status.message()));
        }
        Ok(steps)
    }

    const fn depth(&self) -> Depth {
        if self.key.is_some() { Depth::Key } else { Depth::Health }
    }

    fn target(&self, store: &KeyStore, endpoint: Endpoint, pair: KeyPair) -> Target {
        Target {
            host: endpoint.host,
            port: endpoint.port,
            prefix: store.uri_path.clone(),
            access_key_id: pair.access_key_id,
            secret_access_key: pair.secret_access_key.to_string(),
            key_id: self.key.clone().unwrap_or_default(),
            region: store.region.clone(),
            ca: self.ca.clone(),
            client: self.client(),
        }
    }

    /// The flags are given both or neither.
    fn client(&self) -> Option<ClientCertificate> {
        let (chain, key) = self.client_cert.clone().zip(self.client_key.clone())?;
        Some(ClientCertificate { chain, key })
    }

    fn endpoint(&self, store: &KeyStore) -> Result<Endpoint, Failure> {
        let told = self.endpoint.as_deref().unwrap_or(&store.xks_proxy_uri_endpoint);
        if told.is_empty() {
            let say = format!("{} has no endpoint: --endpoint https://HOST:PORT says where its data planes are", store.name);
            return Err(Failure::of(Kind::Usage, say));
        }
        let uri = told.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/"));
        let endpoint = uri.and_then(|uri| {
            let host = uri.host()?.trim_matches(['[', ']']).to_owned();
            Some(Endpoint { host, port: uri.port_u16().unwrap_or(443) })
        });
        endpoint.ok_or_else(|| Failure::of(Kind::Usage, format!("{told}: an endpoint is given as https://HOST[:PORT]")))
    }
}

impl Shown {
    fn of(step: &Step) -> Self {
        let (ok, detail, aws) = match &step.outcome {
            Ok(said) if step.elapsed > PATIENCE => (true, said.clone(), "AWS KMS gives up after 250 ms, connecting included".to_owned()),
            Ok(said) => (true, said.clone(), String::new()),
            Err(error) => (false, error.to_string(), what_aws_says(error).to_owned()),
        };
        Self { step: step.name, ok, milliseconds: step.elapsed.as_secs_f64() * 1000.0, detail, aws }
    }
}

/// The errors and connection error codes of AWS KMS (developer guide, "Troubleshooting external key stores").
fn what_aws_says(error: &StepError) -> &'static str {
    match error {
        StepError::Unreachable(why) if why.contains("certificate") || why.contains("TLS") => {
            "XksProxyInvalidConfigurationException or XKS_PROXY_INVALID_TLS_CONFIGURATION: the certificate must be of a public authority that AWS trusts, and fit the name"
        }
        StepError::Unreachable(_) => {
            "XksProxyUriUnreachableException or XKS_PROXY_NOT_REACHABLE: is a data plane there, and can AWS get to it?"
        }
        StepError::Wrong(_) => {
            "XksProxyInvalidResponseException or XksKeyInvalidConfigurationException: the key is disabled, or this is no XKS proxy"
        }
        StepError::Refused { name, .. } => match name.as_str() {
            "AuthenticationFailedException" => {
                "XksProxyIncorrectAuthenticationCredentialException or INVALID_CREDENTIALS: the credential is not the key store's, or a clock is wrong"
            }
            "InvalidUriPathException" => "XksProxyInvalidConfigurationException: the data planes don't know this path (yet)",
            "KeyNotFoundException" => "XksKeyNotFoundException: there is no key of this external key id in the key store",
            "InvalidStateException" => "KMSInvalidStateException: the key, or the key store, is blocked",
            "InvalidKeyUsageException" => "XksKeyInvalidConfigurationException: the key may not do that",
            "ThrottlingException" => "KMSInvalidStateException, and throttling: the key store's quota is used up",
            "DependencyTimeoutException" => "KMSInvalidStateException: the key manager did not answer in time",
            _ => "XksProxyInvalidResponseException or KMSInvalidStateException: the data plane's log says why",
        },
    }
}

/// How long AWS KMS waits for an answer (XKS proxy API specification).
const PATIENCE: Duration = Duration::from_millis(250);
