//! `holdfast keystore create` and `update`.

use std::path::PathBuf;

use clap::Args;
use holdfast_proto::admin::{CreateKeyStoreRequest, ExistingKey, UpdateKeyStoreRequest};

use super::facts;
use crate::{
    admin::{Admin, Out, credential_file::SecretOut, passwords, shown::warn_of_pending, whole},
    failure::Failure,
    output,
};

/// Makes a key store with its first credential, whose secret is shown once
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  holdfast keystore create payments --region eu-central-1 --endpoint https://xks.example --out credential.json
  holdfast keystore create vault --region eu-central-1 --tier hsm-group-a --health-key-label holdfast-health
  holdfast keystore create ledger --region eu-west-1 --kms main --endpoint https://xks.example --linked")]
pub(super) struct CreateArgs {
    /// Its name
    name: String,
    /// AWS region whose KMS will call
    #[arg(long)]
    region: String,
    /// `local`, or a group of partitions
    #[arg(long, value_name = "TIER", default_value = "local")]
    tier: String,
    /// Where AWS KMS reaches the data planes, as https://HOST or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE
    #[arg(long, value_name = "KIND")]
    connectivity: Option<String>,
    /// Name of the VPC endpoint service
    #[arg(long, value_name = "NAME")]
    vpc_service: Option<String>,
    /// KMS container that it belongs to, by id or name
    #[arg(long, value_name = "CONTAINER")]
    kms: Option<String>,
    /// Have AWS KMS make its custom key store, too; needs --kms and --endpoint
    #[arg(long, requires_all = ["kms", "endpoint"])]
    linked: bool,
    #[command(flatten)]
    health_key: HealthKey,
    #[command(flatten)]
    take_over: TakeOver,
    /// Credentials at once, 2-20 [default: 2]
    #[arg(long, value_name = "N")]
    max_credentials: Option<u32>,
    /// Begins blocked
    #[arg(long)]
    blocked: bool,
    /// Demand the client certificate of AWS KMS
    #[arg(long)]
    mtls: bool,
    /// Audit successes as well as failures
    #[arg(long)]
    audit_successes: bool,
    /// Requests per second and node [default: no limit]
    #[arg(long, value_name = "N")]
    quota: Option<u32>,
    /// Requests at once on a node [default: the node's]
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Age of a node's configuration past which it refuses [default: any]
    #[arg(long, value_name = "SECONDS")]
    max_snapshot_age: Option<u64>,
    /// Delete credentials that were unused for so long [default: never]
    #[arg(long, value_name = "SECONDS")]
    retire_unused_after: Option<u64>,
    /// Write the credential to a new file, for its owner alone, and don't print it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Which key health checks use.
#[derive(Args, Debug)]
struct HealthKey {
    /// Source key for health checks, by id or name [default: one is made]
    #[arg(long, value_name = "KEY", conflicts_with_all = ["health_key_cka_id", "health_key_label"])]
    health_key: Option<String>,
    /// The same, as a key on the partitions: its CKA_ID in hexadecimal
    #[arg(long, value_name = "HEX")]
    health_key_cka_id: Option<String>,
    /// The same, as a key on the partitions: its CKA_LABEL
    #[arg(long, value_name = "LABEL")]
    health_key_label: Option<String>,
}

/// Of a proxy that is replaced, so that AWS needs no change.
#[derive(Args, Debug)]
#[command(next_help_heading = "Taking over from another proxy")]
struct TakeOver {
    /// Its URI path, up to and with /kms/xks/v1
    #[arg(long, value_name = "PATH")]
    uri_path: Option<String>,
    /// The access key id that AWS KMS uses there
    #[arg(long, value_name = "ID", requires = "secret_access_key_file")]
    access_key_id: Option<String>,
    /// File that holds its secret access key
    #[arg(long, value_name = "FILE", requires = "access_key_id")]
    secret_access_key_file: Option<PathBuf>,
}

impl TakeOver {
    /// Access key id and secret; both empty where none is given.
    fn credential(&self) -> Result<(String, String), Failure> {
        match (&self.access_key_id, &self.secret_access_key_file) {
            (Some(id), Some(file)) => Ok((id.clone(), passwords::from_file(file)?.to_string())),
            (_, _) => Ok(Default::default()),
        }
    }
}

impl CreateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let file = SecretOut::new(self.out.as_deref())?;
        let answer = admin.key_stores.create_key_store(self.request()?).await?.into_inner();
        let store = whole(answer.key_store.clone(), "key_store")?;
        let must_show = file.keep(&answer)?;
        if out.is_json() {
            return if must_show { out.done(&answer, "") } else { out.done(&store, "") };
        }
        out.one(&store, facts(&store))?;
        output::line("")?;
        if must_show {
            let secret = format!("{}  shown this once", answer.secret_access_key);
            out.one(&answer, [("access key id", answer.access_key_id.clone()), ("secret access key", secret)])
        } else {
            out.one(&answer, [("access key id", answer.access_key_id.clone())])
        }
    }

    fn request(&self) -> Result<CreateKeyStoreRequest, Failure> {
        let (access_key_id, secret_access_key) = self.take_over.credential()?;
        let HealthKey { health_key, health_key_cka_id, health_key_label } = &self.health_key;
        let on_partition = health_key_cka_id.is_some() || health_key_label.is_some();
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        Ok(CreateKeyStoreRequest {
            name: self.name.clone(),
            region: self.region.clone(),
            tier: self.tier.clone(),
            uri_path: text(&self.take_over.uri_path),
            access_key_id,
            secret_access_key,
            max_credentials: self.max_credentials.unwrap_or(0),
            blocked: self.blocked,
            mtls_enabled: self.mtls,
            success_audit: self.audit_successes,
            quota: self.quota.unwrap_or(0),
            in_flight: self.in_flight.unwrap_or(0),
            max_snapshot_age_seconds: self.max_snapshot_age.unwrap_or(0),
            health_check_key: on_partition.then(|| ExistingKey { cka_id: text(health_key_cka_id), label: text(health_key_label) }),
            health_check_key_id: text(health_key),
            kms: text(&self.kms),
            xks_proxy_uri_endpoint: text(&self.endpoint),
            xks_proxy_connectivity: text(&self.connectivity),
            xks_proxy_vpc_endpoint_service_name: text(&self.vpc_service),
            retire_unused_after_seconds: self.retire_unused_after.unwrap_or(0),
            linked_state: self.linked,
        })
    }
}

/// Changes what is given and leaves the rest
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore update payments --quota 1800 --audit-successes true")]
pub(super) struct UpdateArgs {
    /// The key store, by id or name
    key_store: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// Where AWS KMS reaches the data planes, as https://HOST or https://HOST:PORT
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE
    #[arg(long, value_name = "KIND")]
    connectivity: Option<String>,
    /// Name of the VPC endpoint service
    #[arg(long, value_name = "NAME")]
    vpc_service: Option<String>,
    /// Source key for health checks, by id or name
    #[arg(long, value_name = "KEY")]
    health_key: Option<String>,
    /// Demand the client certificate of AWS KMS
    #[arg(long, value_name = "true|false")]
    mtls: Option<bool>,
    /// Audit successes as well as failures
    #[arg(long, value_name = "true|false")]
    audit_successes: Option<bool>,
    /// Requests per second and node; 0: no limit
    #[arg(long, value_name = "N")]
    quota: Option<u32>,
    /// Requests at once on a node; 0: the node's default
    #[arg(long, value_name = "N")]
    in_flight: Option<u32>,
    /// Age of a node's configuration past which it refuses; 0: any
    #[arg(long, value_name = "SECONDS")]
    max_snapshot_age: Option<u64>,
    /// Delete credentials that were unused for so long; 0: never
    #[arg(long, value_name = "SECONDS")]
    retire_unused_after: Option<u64>,
    #[command(flatten)]
    take_over: TakeOver,
}

impl UpdateArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let answer = admin.key_stores.update_key_store(self.request()?).await?.into_inner();
        warn_of_pending(&answer.pending_nodes);
        let store = whole(answer.key_store.clone(), "key_store")?;
        if out.is_json() { out.done(&answer, "") } else { out.one(&store, facts(&store)) }
    }

    fn request(&self) -> Result<UpdateKeyStoreRequest, Failure> {
        let (access_key_id, secret_access_key) = self.take_over.credential()?;
        Ok(UpdateKeyStoreRequest {
            id: self.key_store.clone(),
            name: self.name.clone(),
            mtls_enabled: self.mtls,
            success_audit: self.audit_successes,
            quota: self.quota,
            in_flight: self.in_flight,
            max_snapshot_age_seconds: self.max_snapshot_age,
            health_check_key_id: self.health_key.clone(),
            xks_proxy_uri_endpoint: self.endpoint.clone(),
            xks_proxy_connectivity: self.connectivity.clone(),
            xks_proxy_vpc_endpoint_service_name: self.vpc_service.clone(),
            retire_unused_after_seconds: self.retire_unused_after,
            uri_path: self.take_over.uri_path.clone(),
            access_key_id,
            secret_access_key,
        })
    }
}
