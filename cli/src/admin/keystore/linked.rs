//! The verbs of `holdfast keystore` about AWS KMS: linked key stores, and those on CloudHSM clusters.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use holdfast_proto::admin::{
    ConnectKeyStoreRequest, CreateCloudHsmKeyStoreRequest, DisableCredentialRotationJobRequest, DisconnectKeyStoreRequest,
    EnableCredentialRotationJobRequest, KeyStore, LinkKeyStoreRequest, ListUnusedCloudHsmClustersRequest, UpdateCloudHsmKeyStoreRequest,
};

use super::{find, show_one};
use crate::{
    admin::{Admin, Out, passwords, shown::warn_of_pending, whole},
    failure::{Failure, Kind},
};

/// Has AWS KMS make the custom key store of a key store that is not linked yet
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore link payments --endpoint https://xks.example")]
pub(super) struct LinkArgs {
    /// The key store, by id or name
    key_store: String,
    /// Where AWS KMS reaches the data planes [default: as the key store has it]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE [default: as the key store has it]
    #[arg(long, value_name = "KIND")]
    connectivity: Option<String>,
    /// Name of the VPC endpoint service
    #[arg(long, value_name = "NAME")]
    vpc_service: Option<String>,
}

/// Has AWS KMS connect to a key store, which takes it seconds to minutes
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore connect payments --wait")]
pub(super) struct ConnectArgs {
    /// The key store, by id or name
    key_store: String,
    /// On a CloudHSM cluster: file that holds the password of its crypto user kmsuser
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    wait: Wait,
}

/// Has AWS KMS let go of a key store: no key in it can be used then
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore disconnect payments --wait")]
pub(super) struct DisconnectArgs {
    /// The key store, by id or name
    key_store: String,
    #[command(flatten)]
    wait: Wait,
}

/// Whether to wait for AWS.
#[derive(Args, Debug)]
struct Wait {
    /// End only when AWS KMS is done
    #[arg(long)]
    wait: bool,
    /// How long to wait for that
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, requires = "wait")]
    timeout: u64,
}

/// Has a job rotate the credential of a linked key store from now on, instead of any other job. Old credentials stay, and a run fails when
/// there are as many as there may be: `keystore update --retire-unused-after` lets unused ones go
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore enable-rotation payments --job monthly")]
pub(super) struct EnableRotationArgs {
    /// The key store, by id or name
    key_store: String,
    /// A job for credential rotation, by id or name; `holdfast job create` makes one
    #[arg(long)]
    job: String,
}

/// Makes a key store on a CloudHSM cluster, in AWS KMS
#[derive(Args, Debug)]
#[command(after_help = "\
Example: holdfast keystore create-cloudhsm vault --kms main --region eu-west-1 --cluster cluster-1a23b4cdefg \
    --password-file kmsuser.password --trust-anchor customerCA.crt")]
pub(super) struct CreateCloudHsmArgs {
    /// Its name
    name: String,
    /// KMS container that it belongs to, by id or name
    #[arg(long, value_name = "CONTAINER")]
    kms: String,
    /// One of the container's regions
    #[arg(long)]
    region: String,
    /// The cluster's id; `holdfast keystore clusters` lists them
    #[arg(long, value_name = "ID")]
    cluster: String,
    /// File that holds the password of the cluster's crypto user kmsuser; it is passed on to AWS and not kept
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// File that holds the cluster's trust anchor certificate, PEM
    #[arg(long, value_name = "FILE")]
    trust_anchor: PathBuf,
}

/// Changes a key store on a CloudHSM cluster: what is given, and leaves the rest
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore update-cloudhsm vault --password-file kmsuser.password")]
pub(super) struct UpdateCloudHsmArgs {
    /// The key store, by id or name
    key_store: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A cluster of the same backup
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// File that holds the password that the cluster has now; it is passed on to AWS and not kept
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Lists the CloudHSM clusters of an account and region that no custom key store uses
#[derive(Args, Debug)]
#[command(after_help = "Example: holdfast keystore clusters --kms main --region eu-west-1")]
pub(super) struct ClustersArgs {
    /// The KMS container, by id or name
    #[arg(long, value_name = "CONTAINER")]
    kms: String,
    /// One of the container's regions
    #[arg(long)]
    region: String,
}

impl LinkArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let text = |given: &Option<String>| given.clone().unwrap_or_default();
        let request = LinkKeyStoreRequest {
            id: self.key_store.clone(),
            xks_proxy_uri_endpoint: text(&self.endpoint),
            xks_proxy_connectivity: text(&self.connectivity),
            xks_proxy_vpc_endpoint_service_name: text(&self.vpc_service),
        };
        let answer = admin.key_stores.link_key_store(request).await?.into_inner();
        warn_of_pending(&answer.pending_nodes);
        show_one(out, &whole(answer.key_store, "key_store")?)
    }
}

impl ConnectArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let password = self.password_file.as_deref().map(passwords::from_file).transpose()?;
        let key_store_password = password.map(|password| password.to_string()).unwrap_or_default();
        let request = ConnectKeyStoreRequest { id: self.key_store.clone(), key_store_password };
        let asked = whole(admin.key_stores.connect_key_store(request).await?.into_inner().key_store, "key_store")?;
        let now = self.wait.until(admin, asked, CONNECTED).await?;
        show_one(out, &now)
    }
}

impl DisconnectArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = DisconnectKeyStoreRequest { id: self.key_store.clone() };
        let asked = whole(admin.key_stores.disconnect_key_store(request).await?.into_inner().key_store, "key_store")?;
        let now = self.wait.until(admin, asked, DISCONNECTED).await?;
        show_one(out, &now)
    }
}

impl Wait {
    /// The key store when AWS tells that it is as it should be, or at once where nobody waits.
    async fn until(&self, admin: &mut Admin, mut now: KeyStore, wanted: &str) -> Result<KeyStore, Failure> {
        let end = Instant::now() + Duration::from_secs(self.timeout);
        while self.wait && now.connection_state != wanted {
            if now.connection_state == FAILED {
                let (name, why) = (&now.name, &now.connection_error_code);
                return Err(Failure::of(
                    Kind::Refused,
                    format!("AWS KMS could not connect to {name}: {why}; disconnect it before the next try"),
                ));
            }
            if Instant::now() >= end {
                let (name, state) = (&now.name, &now.connection_state);
                return Err(Failure::of(Kind::Unreachable, format!("{name} is {state} still after {} s", self.timeout)));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            now = find(admin, &now.id).await?;
        }
        Ok(now)
    }
}

impl EnableRotationArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = EnableCredentialRotationJobRequest { id: self.key_store.clone(), job_id: self.job.clone() };
        let answer = admin.key_stores.enable_credential_rotation_job(request).await?.into_inner();
        out.done(&answer, &format!("{} rotates the credential of {}", self.job, self.key_store))
    }
}

pub(super) async fn disable_rotation(admin: &mut Admin, out: Out, key_store: &str) -> Result<(), Failure> {
    let request = DisableCredentialRotationJobRequest { id: key_store.to_owned() };
    let answer = admin.key_stores.disable_credential_rotation_job(request).await?.into_inner();
    out.done(&answer, &format!("no job rotates the credential of {key_store}"))
}

impl CreateCloudHsmArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let trust_anchor = fs::read_to_string(&self.trust_anchor).map_err(|cause| Failure::file("read", &self.trust_anchor, &cause))?;
        let request = CreateCloudHsmKeyStoreRequest {
            name: self.name.clone(),
            kms: self.kms.clone(),
            region: self.region.clone(),
            cloud_hsm_cluster_id: self.cluster.clone(),
            key_store_password: passwords::from_file(&self.password_file)?.to_string(),
            trust_anchor_certificate: trust_anchor,
        };
        let answer = admin.key_stores.create_cloud_hsm_key_store(request).await?.into_inner();
        show_one(out, &whole(answer.key_store, "key_store")?)
    }
}

impl UpdateCloudHsmArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let password = self.password_file.as_deref().map(passwords::from_file).transpose()?;
        let request = UpdateCloudHsmKeyStoreRequest {
            id: self.key_store.clone(),
            name: self.name.clone().unwrap_or_default(),
            cloud_hsm_cluster_id: self.cluster.clone().unwrap_or_default(),
            key_store_password: password.map(|password| password.to_string()).unwrap_or_default(),
        };
        let answer = admin.key_stores.update_cloud_hsm_key_store(request).await?.into_inner();
        show_one(out, &whole(answer.key_store, "key_store")?)
    }
}

impl ClustersArgs {
    pub(super) async fn run(&self, admin: &mut Admin, out: Out) -> Result<(), Failure> {
        let request = ListUnusedCloudHsmClustersRequest { kms: self.kms.clone(), region: self.region.clone() };
        let all = admin.key_stores.list_unused_cloud_hsm_clusters(request).await?.into_inner().clusters;
        out.list(&all, ["ID", "STATE", "TYPE", "HSMS", "VPC"], |cluster| {
            [cluster.id.clone(), cluster.state.clone(), cluster.hsm_type.clone(), cluster.hsms.to_string(), cluster.vpc_id.clone()]
        })
    }
}

/// As AWS KMS spells them.
const CONNECTED: &str = "CONNECTED";
const DISCONNECTED: &str = "DISCONNECTED";
const FAILED: &str = "FAILED";
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
