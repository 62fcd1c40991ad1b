//! What the demo key stores are in, in AWS: a connection and a KMS container, for a simulator of AWS KMS that runs beside the demo.
//!
//! Always holds: both have the same name; the connection has the access key that was given last; a demo key store that is in another
//! container stays there.

use holdfast_proto::secret::Secret;

use super::partition;
use crate::{
    access::{Manage, Permit, Read, Trail},
    clock::now_ns,
    core::{
        Core, CoreError,
        aws_connections::GivenConnection,
        kms_containers::{self, GivenContainer},
        write::Plan,
    },
    store::{
        View,
        entry::{Entry, EntryChange},
    },
};

/// Where the demo key stores can be linked.
#[derive(Debug)]
pub struct DemoKms {
    /// Name of the connection and of the KMS container.
    pub name: String,
    /// 12 digits.
    pub account_id: String,
    /// The public half of the account's access key.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: Secret,
    /// Of the container. Never changed afterwards.
    pub regions: Vec<String>,
}

impl Core {
    /// Makes the connection and the KMS container where they are missing, brings the access key up to date, and puts the demo key stores
    /// that are in no container into this one.
    ///
    /// # Errors
    /// [`CoreError::Invalid`] for what AWS would not have either; [`CoreError::Read`].
    pub async fn keep_demo_kms(&self, kms: DemoKms) -> Result<(), CoreError> {
        let (manage, read) = (Permit::<Manage>::system("demo"), Permit::<Read>::system("demo"));
        let DemoKms { name, account_id, access_key_id, secret_access_key, regions } = kms;
        let known = self.aws_connections(&read).await?.into_iter().find(|connection| connection.name == name);
        let access_key = GivenConnection {
            access_key_id: Some(access_key_id.clone()),
            secret_access_key: Some(secret_access_key),
            ..GivenConnection::default()
        };
        match known {
            Some(known) if known.access_key_id.as_deref() == Some(access_key_id.as_str()) => {}
            Some(_) => drop(self.change_aws_connection(&manage, &name, access_key).await?),
            None => drop(self.create_aws_connection(&manage, GivenConnection { name: Some(name.clone()), ..access_key }).await?),
        }
        if !self.kms_containers(&read).await?.iter().any(|container| container.name == name) {
            let given = GivenContainer {
                name: Some(name.clone()),
                account_id: Some(account_id),
                connection: Some(name.clone()),
                regions: Some(regions),
                ..GivenContainer::default()
            };
            self.create_kms_container(&manage, given).await?;
        }
        self.put_demos_into(&name).await
    }

    async fn put_demos_into(&self, container: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let container = kms_containers::find(view, container)?;
            let promised = view.demo()?.filter(|demo| demo.fulfilled).map(|demo| demo.store);
            let mut changes = Vec::new();
            for mut key_store in view.key_stores()? {
                let is_demo = Some(key_store.id) == promised || partition::is_demo(&key_store);
                if is_demo && key_store.kms.is_none() && container.regions.contains(&key_store.region) {
                    key_store.kms = Some(container.id);
                    key_store.stamps = key_store.stamps.touched(now_ns());
                    changes.push(EntryChange::put(Entry::KeyStore(key_store)));
                }
            }
            Ok(Plan { changes, answer: () })
        };
        self.writer.change(&Trail::system("demo"), plan).await.map(drop)
    }
}
