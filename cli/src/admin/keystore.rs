//! `holdfast keystore`: key stores, from their making to AWS.

mod change;
mod export;
mod kms;
mod linked;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use holdfast_proto::admin::{
    BlockKeyStoreRequest, CheckKeyStoreHealthRequest, DeleteKeyStoreRequest, GetKeyStoreRequest, KeyStore, ListKeyStoresRequest,
    RotateCredentialRequest, UnblockKeyStoreRequest,
};

use super::{
    Admin, At, Out,
    credential_file::SecretOut,
    shown::{moment, moment_or, number_or, warn_of_pending, yes_or_no},
    whole,
};
use crate::failure::{Failure, Kind};

/// Key stores: one URI path each, with its credentials, keys and limits
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore list")]
pub(crate) struct KeystoreArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    at: At,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Lists all key stores
    #[command(after_help = "Example: holdfast keystore list --json")]
    List,
    /// Shows a key store
    #[command(after_help = "Example: holdfast keystore show payments")]
    Show(Named),
    Create(Box<change::CreateArgs>),
    Update(Box<change::UpdateArgs>),
    /// Deletes a key store; refused while keys are in it
    #[command(after_help = "Example: holdfast keystore delete payments")]
    Delete(Named),
    /// Blocks a key store: nothing is encrypted or decrypted any more. Answers when all connected nodes have applied it
    #[command(after_help = "Example: holdfast keystore block payments")]
    Block(Named),
    /// Ends a block
    #[command(after_help = "Example: holdfast keystore unblock payments")]
    Unblock(Named),
    /// Encrypts and decrypts with the health key, on a data plane
    #[command(after_help = "Example: holdfast keystore health payments")]
    Health(Named),
    RotateCredential(RotateArgs),
    Link(linked::LinkArgs),
    Connect(linked::ConnectArgs),
    Disconnect(linked::DisconnectArgs),
    EnableRotation(linked::EnableRotationArgs),
    /// Has no job rotate the credential of a linked key store any more
    #[command(after_help = "Example: holdfast keystore disable-rotation payments")]
    DisableRotation(Named),
    #[command(name = "create-cloudhsm")]
    CreateCloudHsm(linked::CreateCloudHsmArgs),
    #[command(name = "update-cloudhsm")]
    UpdateCloudHsm(linked::UpdateCloudHsmArgs),
    Clusters(linked::ClustersArgs),
    ExportAwsConfig(export::ExportArgs),
    Test(kms::TestArgs),
}

#[derive(Args, Debug)]
struct Named {
    /// The key store, by id or name
    key_store: String,
}

/// Makes one more credential and counts the key store's credential version; those that are there stay until they are deleted
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore rotate-credential payments --out credential.json")]
struct RotateArgs {
    /// The key store, by id or name
    key_store: String,
    /// Write the credential to a new file, for its owner alone, and don't print it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl KeystoreArgs {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        self.at.run(&async |admin, out| match &self.verb {
            Verb::List => list(admin, out).await,
            Verb::Show(named) => show_one(out, &find(admin, &named.key_store).await?),
            Verb::Create(args) => args.run(admin, out).await,
            Verb::Update(args) => args.run(admin, out).await,
            Verb::Delete(named) => delete(admin, out, named).await,
            Verb::Block(named) => block(admin, out, named).await,
            Verb::Unblock(named) => unblock(admin, out, named).await,
            Verb::Health(named) => health(admin, out, named).await,
            Verb::RotateCredential(args) => rotate(admin, out, args).await,
            Verb::Link(args) => args.run(admin, out).await,
            Verb::Connect(args) => args.run(admin, out).await,
            Verb::Disconnect(args) => args.run(admin, out).await,
            Verb::EnableRotation(args) => args.run(admin, out).await,
            Verb::DisableRotation(named) => linked::disable_rotation(admin, out, &named.key_store).await,
            Verb::CreateCloudHsm(args) => args.run(admin, out).await,
            Verb::UpdateCloudHsm(args) => args.run(admin, out).await,
            Verb::Clusters(args) => args.run(admin, out).await,
            Verb::ExportAwsConfig(args) => args.run(admin, out).await,
            Verb::Test(args) => args.run(admin, out).await,
        })
    }
}

async fn list(admin: &mut Admin, out: Out) -> Result<(), Failure> {
    let all = admin.key_stores.list_key_stores(ListKeyStoresRequest {}).await?.into_inner().key_stores;
    out.list(&all, ["NAME", "REGION", "TIER", "STATE", "IN AWS KMS", "PATH", "ID"], |store| {
        [&store.name, &store.region, tier(store), state(store), in_aws(store), &store.uri_path, &store.id].map(ToString::to_string)
    })
}

/// A key store by id or name.
pub(super) async fn find(admin: &mut Admin, id: &str) -> Result<KeyStore, Failure> {
    let request = GetKeyStoreRequest { id: id.to_owned() };
    whole(admin.key_stores.get_key_store(request).await?.into_inner().key_store, "key_store")
}

/// The same, of one that AWS KMS calls a proxy for.
async fn find_behind_proxy(admin: &mut Admin, id: &str) -> Result<KeyStore, Failure> {
    let store = find(admin, id).await?;
    if store.kind == ON_CLUSTER {
        return Err(Failure::of(Kind::Refused, format!("{} is on an AWS CloudHSM cluster: AWS KMS calls no proxy for it", store.name)));
    }
    Ok(store)
}

async fn delete(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = DeleteKeyStoreRequest { id: named.key_store.clone() };
    let answer = admin.key_stores.delete_key_store(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is deleted", named.key_store))
}

async fn block(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = BlockKeyStoreRequest { id: named.key_store.clone() };
    let answer = admin.key_stores.block_key_store(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is blocked", named.key_store))
}

async fn unblock(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = UnblockKeyStoreRequest { id: named.key_store.clone() };
    let answer = admin.key_stores.unblock_key_store(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    out.done(&answer, &format!("{} is open", named.key_store))
}

async fn health(admin: &mut Admin, out: Out, named: &Named) -> Result<(), Failure> {
    let request = CheckKeyStoreHealthRequest { id: named.key_store.clone() };
    let answer = admin.key_stores.check_key_store_health(request).await?.into_inner();
    out.done(&answer, &format!("{} is healthy", named.key_store))
}

async fn rotate(admin: &mut Admin, out: Out, args: &RotateArgs) -> Result<(), Failure> {
    let file = SecretOut::new(args.out.as_deref())?;
    let request = RotateCredentialRequest { key_store_id: args.key_store.clone() };
    let answer = admin.key_stores.rotate_credential(request).await?.into_inner();
    warn_of_pending(&answer.pending_nodes);
    let credential = whole(answer.credential.clone(), "credential")?;
    let limit = answer.key_store.as_ref().map_or(0, |store| store.max_credentials);
    let count = format!("{} of {limit}", answer.credential_count);
    if file.keep(&answer)? {
        let secret = format!("{}  shown this once", answer.secret_access_key);
        let facts = [
            ("access key id", credential.access_key_id),
            ("secret access key", secret),
            ("credentials", count),
            ("oldest", answer.oldest_credential_id.clone()),
        ];
        return out.one(&answer, facts);
    }
    let facts =
        [("access key id", credential.access_key_id.clone()), ("credentials", count), ("oldest", answer.oldest_credential_id.clone())];
    out.one(&credential, facts)
}

fn show_one(out: Out, store: &KeyStore) -> Result<(), Failure> {
    out.one(store, facts(store))
}

/// Whether it is blocked here; nothing of a key store that is not served here, of which that is not known.
fn state(store: &KeyStore) -> &'static str {
    match (store.kind == SERVED_HERE, store.blocked) {
        (false, _) => "",
        (true, true) => "blocked",
        (true, false) => "open",
    }
}

/// Where its keys are, or else who serves it.
fn tier(store: &KeyStore) -> &str {
    if store.kind == SERVED_HERE { &store.tier } else { &store.kind }
}

/// Whether AWS KMS has it, and how far it is with it.
fn in_aws(store: &KeyStore) -> &str {
    match (store.linked_state, store.gone) {
        (false, _) => "not linked",
        (true, true) => "gone",
        (true, false) if store.connection_state.is_empty() => "being made",
        (true, false) => &store.connection_state,
    }
}

/// What people see of a key store.
fn facts(store: &KeyStore) -> [(&'static str, String); 28] {
    let seconds = |seconds: u64, none: &str| if seconds == 0 { none.to_owned() } else { format!("{seconds} s") };
    let here = |fact: String| if store.kind == SERVED_HERE { fact } else { String::new() };
    [
        ("name", store.name.clone()),
        ("id", store.id.clone()),
        ("served", if store.kind == SERVED_HERE { String::new() } else { store.kind.clone() }),
        ("state", state(store).to_owned()),
        ("region", store.region.clone()),
        ("tier", store.tier.clone()),
        ("path", store.uri_path.clone()),
        ("endpoint", store.xks_proxy_uri_endpoint.clone()),
        ("connectivity", store.xks_proxy_connectivity.clone()),
        ("VPC service", store.xks_proxy_vpc_endpoint_service_name.clone()),
        ("KMS container", store.kms_id.clone()),
        ("quota", here(number_or(store.quota, "none"))),
        ("in flight", here(number_or(store.in_flight, "the node's default"))),
        ("mutual TLS", here(yes_or_no(store.mtls_enabled))),
        ("audit successes", here(yes_or_no(store.success_audit))),
        ("snapshot age", here(seconds(store.max_snapshot_age_seconds, "any"))),
        ("credentials", here(format!("{} at most, version {}", store.max_credentials, store.credential_version))),
        ("retire unused", here(seconds(store.retire_unused_after_seconds, "never"))),
        ("health key", store.health_check_key_id.clone()),
        ("in AWS KMS", in_aws(store).to_owned()),
        ("id in AWS KMS", store.custom_key_store_id.clone()),
        ("connection error", store.connection_error_code.clone()),
        ("failure", store.failure.clone()),
        ("rotated by job", store.credential_rotation_job_id.clone()),
        ("cluster", store.cloud_hsm_cluster_id.clone()),
        ("trust anchor", if store.trust_anchor_certificate.is_empty() { "" } else { "kept" }.to_owned()),
        ("created", moment(store.created_ms)),
        ("updated", moment_or(store.updated_ms, "")),
    ]
}

/// Kinds of key stores, as the API spells them.
const SERVED_HERE: &str = "LOCAL";
const ON_CLUSTER: &str = "CLOUDHSM";
