//! AWS connections: how AWS accounts are reached. Kept here; nothing asks AWS whether they work, but how it answered when it was asked for
//! something is noted.
//!
//! Always holds: a connection has an access key, or IAM Roles Anywhere, or neither (then it is the host that knows), never both; its
//! secrets are sealed before they are kept, and leave only in calls to AWS.

mod used;

use std::collections::BTreeMap;

use holdfast_proto::secret::Secret;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    Core, CoreError,
    aws_names::{self, ArnOf},
    write::Plan,
};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        View,
        entry::{
            AssumeRole, AwsCloud, AwsConnectionEntry, Entry, EntryChange, EntryName, RoleAnywhereEntry, SealedSecret, Stamps, StsEndpoints,
        },
        seal::{ControlSeal, SecretOf},
    },
};

/// What a client says of a connection. What is absent stays as it is; of a new one, it gets its default.
#[derive(Clone, Debug, Default)]
pub struct GivenConnection {
    /// Unique, 1–256 characters.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// The public half of an access key.
    pub access_key_id: Option<String>,
    /// Its secret half.
    pub secret_access_key: Option<Secret>,
    /// A role to take on.
    pub assume_role: AssumeRole,
    /// Where STS is asked.
    pub region: Option<String>,
    /// `legacy` or `regional`.
    pub sts_endpoints: Option<String>,
    /// `aws`, `aws-us-gov` or `aws-cn`.
    pub cloud: Option<String>,
    /// IAM Roles Anywhere is meant.
    pub is_role_anywhere: bool,
    /// What it needs.
    pub role_anywhere: GivenRoleAnywhere,
    /// Free text pairs.
    pub labels: Option<BTreeMap<String, String>>,
    /// The client's own.
    pub meta: Option<Map<String, Value>>,
    /// What the connection is for.
    pub products: Option<Vec<String>>,
}

/// What a client says of IAM Roles Anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenRoleAnywhere {
    /// The role.
    pub role_arn: Option<String>,
    /// PEM.
    pub certificate: Option<String>,
    /// The profile.
    pub profile_arn: Option<String>,
    /// The trust anchor.
    pub trust_anchor_arn: Option<String>,
    /// PEM.
    pub private_key: Option<Secret>,
}

/// Both secrets, sealed.
#[derive(Clone, Debug)]
struct SealedSecrets {
    access_key: Option<SealedSecret>,
    private_key: Option<SealedSecret>,
}

impl Core {
    /// Keeps a new connection.
    ///
    /// # Errors
    /// [`CoreError::Invalid`], also where half an access key is given; [`CoreError::Exists`] for the name.
    pub async fn create_aws_connection(&self, permit: &Permit<Manage>, given: GivenConnection) -> Result<AwsConnectionEntry, CoreError> {
        let id = Uuid::new_v4();
        let sealed = sealed(&self.seal, id, &given)?;
        let plan = |view: &View| {
            let entry = changed(blank(id), &given, sealed.clone())?;
            keep(view, AwsConnectionEntry { stamps: Stamps::new(now_ns()), ..entry })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// All connections.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn aws_connections(&self, _permit: &Permit<Read>) -> Result<Vec<AwsConnectionEntry>, CoreError> {
        Ok(self.view().await?.aws_connections()?)
    }

    /// A connection by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn aws_connection(&self, _permit: &Permit<Read>, wanted: &str) -> Result<AwsConnectionEntry, CoreError> {
        find(&self.view().await?, wanted)
    }

    /// Changes what is given of a connection.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; as [`Core::create_aws_connection`]; [`CoreError::State`] where it would lead to another account than a KMS
    /// container that uses it is of.
    pub async fn change_aws_connection(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        given: GivenConnection,
    ) -> Result<AwsConnectionEntry, CoreError> {
        // An entry's id never changes, and its secrets are sealed for it.
        let id = find(&self.view().await?, wanted)?.id;
        let sealed = sealed(&self.seal, id, &given)?;
        let plan = |view: &View| {
            let old = view.aws_connection(id)?.ok_or(MISSING)?;
            let stamps = old.stamps.touched(now_ns());
            let entry = changed(old, &given, sealed.clone())?;
            keep(view, AwsConnectionEntry { stamps, ..entry })
        };
        if leads_elsewhere(&given) {
            let intended = plan(&self.view().await?)?.answer;
            self.check_connection(&intended).await?;
        }
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Deletes a connection.
    ///
    /// # Errors
    /// [`CoreError::NotFound`]; [`CoreError::State`] while a KMS container uses it.
    pub async fn delete_aws_connection(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let entry = find(view, wanted)?;
            if let Some(kms) = view.kms_containers()?.into_iter().find(|kms| kms.connection == entry.id) {
                return Err(CoreError::State(format!("the KMS container {} uses this connection", kms.name)));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::AwsConnection(entry.id))], answer: entry.id })
        };
        let (id, _) = self.writer.change(permit.trail(), plan).await?;
        self.store.forget_notes(vec![EntryName::ConnectionUsed(id)])?;
        Ok(())
    }
}

/// A connection by its id or name.
pub(super) fn find(view: &View, wanted: &str) -> Result<AwsConnectionEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.aws_connection(id)).transpose()?.flatten() {
        return Ok(found);
    }
    view.aws_connections()?.into_iter().find(|entry| entry.name == wanted).ok_or(MISSING)
}

fn keep(view: &View, entry: AwsConnectionEntry) -> Result<Plan<AwsConnectionEntry>, CoreError> {
    if view.aws_connections()?.iter().any(|other| other.id != entry.id && other.name == entry.name) {
        return Err(CoreError::Exists { what: "AWS connection", name: entry.name });
    }
    Ok(Plan { changes: vec![EntryChange::put(Entry::AwsConnection(entry.clone()))], answer: entry })
}

/// Whether it may lead to another account from then on.
const fn leads_elsewhere(given: &GivenConnection) -> bool {
    let key = given.access_key_id.is_some() || given.secret_access_key.is_some();
    key || given.assume_role.arn.is_some() || given.cloud.is_some()
}

fn sealed(seal: &ControlSeal, id: Uuid, given: &GivenConnection) -> Result<SealedSecrets, CoreError> {
    let access_key = given.secret_access_key.as_ref().map(|secret| seal.seal(SecretOf::AwsConnection(id), secret)).transpose()?;
    let private_key = given.role_anywhere.private_key.as_ref().map(|secret| seal.seal(SecretOf::RoleAnywhere(id), secret)).transpose()?;
    Ok(SealedSecrets { access_key, private_key })
}

/// The connection with what is given put in.
fn changed(old: AwsConnectionEntry, given: &GivenConnection, sealed: SealedSecrets) -> Result<AwsConnectionEntry, CoreError> {
    let name = given.name.clone().unwrap_or(old.name);
    aws_names::name("name", &name)?;
    let region = given.region.clone().or(old.region);
    region.as_deref().map_or(Ok(()), |region| aws_names::region("aws_region", region))?;
    let (access_key_id, secret, role_anywhere) = match means(given)? {
        Means::AsBefore => (old.access_key_id, old.secret, old.role_anywhere),
        Means::AccessKey => {
            let (id, secret) = access_key(given.access_key_id.clone().or(old.access_key_id), sealed.access_key.or(old.secret))?;
            (Some(id), Some(secret), None)
        }
        Means::RoleAnywhere => {
            (None, None, Some(role_anywhere(old.role_anywhere.as_ref(), given.role_anywhere.clone(), sealed.private_key)?))
        }
    };
    Ok(AwsConnectionEntry {
        id: old.id,
        name,
        description: given.description.clone().or(old.description),
        access_key_id,
        secret,
        assume_role: assume_role(old.assume_role, &given.assume_role)?,
        region,
        sts_endpoints: given.sts_endpoints.as_deref().map_or(Ok(old.sts_endpoints), sts_endpoints)?,
        cloud: given.cloud.as_deref().map_or(Ok(old.cloud), cloud)?,
        role_anywhere,
        labels: given.labels.clone().unwrap_or(old.labels),
        meta: given.meta.clone().unwrap_or(old.meta),
        products: given.products.clone().unwrap_or(old.products),
        stamps: old.stamps,
    })
}

/// How AWS is to know us.
enum Means {
    AsBefore,
    AccessKey,
    RoleAnywhere,
}

fn means(given: &GivenConnection) -> Result<Means, CoreError> {
    let key = given.access_key_id.is_some() || given.secret_access_key.is_some();
    let anywhere = given.role_anywhere != GivenRoleAnywhere::default();
    match (key, given.is_role_anywhere, anywhere) {
        (true, true, _) | (true, _, true) => Err(CoreError::invalid("access_key_id", "can't be given together with IAM Roles Anywhere")),
        (true, false, false) => Ok(Means::AccessKey),
        (false, false, true) => Err(CoreError::invalid("is_role_anywhere", "must be true where iam_role_anywhere is given")),
        (false, true, _) => Ok(Means::RoleAnywhere),
        (false, false, false) => Ok(Means::AsBefore),
    }
}

fn access_key(id: Option<String>, secret: Option<SealedSecret>) -> Result<(String, SealedSecret), CoreError> {
    let id = id.ok_or_else(|| CoreError::invalid("access_key_id", "is missing"))?;
    if id.len() > 128 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(CoreError::invalid("access_key_id", "must have 1 to 128 of A-Z, a-z, 0-9 and '_'"));
    }
    Ok((id, secret.ok_or_else(|| CoreError::invalid("secret_access_key", "is missing"))?))
}

fn role_anywhere(
    old: Option<&RoleAnywhereEntry>,
    given: GivenRoleAnywhere,
    private_key: Option<SealedSecret>,
) -> Result<RoleAnywhereEntry, CoreError> {
    let needed = |field: &'static str, text: Option<String>| text.ok_or_else(|| CoreError::invalid(field, "is missing"));
    let entry = RoleAnywhereEntry {
        role_arn: needed("iam_role_anywhere.anywhere_role_arn", given.role_arn.or_else(|| old.map(|old| old.role_arn.clone())))?,
        certificate: needed("iam_role_anywhere.certificate", given.certificate.or_else(|| old.map(|old| old.certificate.clone())))?,
        profile_arn: needed("iam_role_anywhere.profile_arn", given.profile_arn.or_else(|| old.map(|old| old.profile_arn.clone())))?,
        trust_anchor_arn: needed(
            "iam_role_anywhere.trust_anchor_arn",
            given.trust_anchor_arn.or_else(|| old.map(|old| old.trust_anchor_arn.clone())),
        )?,
        private_key: private_key.or_else(|| old.and_then(|old| old.private_key.clone())),
    };
    aws_names::arn("iam_role_anywhere.anywhere_role_arn", ArnOf::Role, &entry.role_arn)?;
    aws_names::arn("iam_role_anywhere.profile_arn", ArnOf::AnywhereProfile, &entry.profile_arn)?;
    aws_names::arn("iam_role_anywhere.trust_anchor_arn", ArnOf::TrustAnchor, &entry.trust_anchor_arn)?;
    if !entry.certificate.contains("-----BEGIN CERTIFICATE-----") {
        return Err(CoreError::invalid("iam_role_anywhere.certificate", "must be a certificate in PEM"));
    }
    Ok(entry)
}

/// The role with what is given put in; also of a KMS container.
pub(super) fn assume_role(old: AssumeRole, given: &AssumeRole) -> Result<AssumeRole, CoreError> {
    let role = AssumeRole { arn: given.arn.clone().or(old.arn), external_id: given.external_id.clone().or(old.external_id) };
    role.arn.as_deref().map_or(Ok(()), |arn| aws_names::arn("assume_role_arn", ArnOf::Role, arn))?;
    // STS, AssumeRole API.
    match role.external_id.as_deref() {
        Some(id) if !(2..=1224).contains(&id.len()) => Err(CoreError::invalid("assume_role_external_id", "must have 2 to 1224 characters")),
        Some(_) | None => Ok(role),
    }
}

fn sts_endpoints(text: &str) -> Result<StsEndpoints, CoreError> {
    let all = [StsEndpoints::Legacy, StsEndpoints::Regional];
    let found = all.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| CoreError::invalid("aws_sts_regional_endpoints", "must be legacy or regional"))
}

fn cloud(text: &str) -> Result<AwsCloud, CoreError> {
    let all = [AwsCloud::Commercial, AwsCloud::UsGov, AwsCloud::China];
    let found = all.into_iter().find(|one| one.as_str() == text);
    found.ok_or_else(|| CoreError::invalid("cloud_name", "must be aws, aws-us-gov or aws-cn"))
}

fn blank(id: Uuid) -> AwsConnectionEntry {
    AwsConnectionEntry {
        id,
        name: String::new(),
        description: None,
        access_key_id: None,
        secret: None,
        assume_role: AssumeRole::default(),
        region: None,
        sts_endpoints: StsEndpoints::default(),
        cloud: AwsCloud::default(),
        role_anywhere: None,
        labels: BTreeMap::new(),
        meta: Map::new(),
        products: Vec::new(),
        stamps: Stamps::default(),
    }
}

const MISSING: CoreError = CoreError::NotFound("AWS connection");
