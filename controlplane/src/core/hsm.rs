//! HSM servers and connections: kept and told as they were given. Nothing connects by them: data planes reach their tokens by their own
//! configuration. A connection says by label or serial number which partitions may be added by it.
//!
//! Always holds: no PIN or password is kept here.

use uuid::Uuid;

use super::{Core, CoreError, source_keys::described, write::Plan};
use crate::{
    access::{Manage, Permit, Read},
    clock::now_ns,
    store::{
        View,
        entry::{Entry, EntryChange, EntryName, HsmConnectionEntry, HsmServerEntry, Stamps},
    },
};

impl Core {
    /// All HSM servers.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn hsm_servers(&self, _permit: &Permit<Read>) -> Result<Vec<HsmServerEntry>, CoreError> {
        Ok(self.view().await?.hsm_servers()?)
    }

    /// One HSM server, by its id or host name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn hsm_server(&self, _permit: &Permit<Read>, wanted: &str) -> Result<HsmServerEntry, CoreError> {
        find_server(&self.view().await?, wanted)
    }

    /// Keeps an HSM server; its id and stamps are made here.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid`, `Exists` for the host name.
    pub async fn create_hsm_server(&self, permit: &Permit<Manage>, new: HsmServerEntry) -> Result<HsmServerEntry, CoreError> {
        let entry = HsmServerEntry { id: Uuid::new_v4(), stamps: Stamps::new(now_ns()), ..new };
        server_fits(&entry)?;
        let plan = |view: &View| {
            unique_server(view, &entry)?;
            Ok(Plan { changes: vec![EntryChange::put(Entry::HsmServer(entry.clone()))], answer: entry.clone() })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Changes an HSM server by `change`.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`, `Invalid`, `Exists` for the host name.
    pub async fn update_hsm_server(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        change: impl Fn(&mut HsmServerEntry) + Send + Sync,
    ) -> Result<HsmServerEntry, CoreError> {
        let plan = |view: &View| {
            let before = find_server(view, wanted)?;
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(Plan { changes: Vec::new(), answer: after });
            }
            server_fits(&after)?;
            unique_server(view, &after)?;
            after.stamps = before.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::HsmServer(after.clone()))], answer: after })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Forgets an HSM server.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` while a connection names it.
    pub async fn delete_hsm_server(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let server = find_server(view, wanted)?;
            let names = |connection: &HsmConnectionEntry| connection.partitions.iter().any(|named| named.hostname == server.hostname);
            if let Some(user) = view.hsm_connections()?.into_iter().find(names) {
                return Err(CoreError::State(format!("the connection {} names that server", user.name)));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::HsmServer(server.id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }

    /// All HSM connections.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn hsm_connections(&self, _permit: &Permit<Read>) -> Result<Vec<HsmConnectionEntry>, CoreError> {
        Ok(self.view().await?.hsm_connections()?)
    }

    /// One HSM connection, by its id or name.
    ///
    /// # Errors
    /// [`CoreError::NotFound`].
    pub async fn hsm_connection(&self, _permit: &Permit<Read>, wanted: &str) -> Result<HsmConnectionEntry, CoreError> {
        find_connection(&self.view().await?, wanted)
    }

    /// Keeps an HSM connection; its id and stamps are made here.
    ///
    /// # Errors
    /// [`CoreError`]: `Invalid`, `Exists` for the name.
    pub async fn create_hsm_connection(&self, permit: &Permit<Manage>, new: HsmConnectionEntry) -> Result<HsmConnectionEntry, CoreError> {
        let entry = HsmConnectionEntry { id: Uuid::new_v4(), stamps: Stamps::new(now_ns()), ..new };
        connection_fits(&entry)?;
        let plan = |view: &View| {
            unique_connection(view, &entry)?;
            Ok(Plan { changes: vec![EntryChange::put(Entry::HsmConnection(entry.clone()))], answer: entry.clone() })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Changes an HSM connection by `change`.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`, `Invalid`, `Exists` for the name.
    pub async fn update_hsm_connection(
        &self,
        permit: &Permit<Manage>,
        wanted: &str,
        change: impl Fn(&mut HsmConnectionEntry) + Send + Sync,
    ) -> Result<HsmConnectionEntry, CoreError> {
        let plan = |view: &View| {
            let before = find_connection(view, wanted)?;
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(Plan { changes: Vec::new(), answer: after });
            }
            connection_fits(&after)?;
            unique_connection(view, &after)?;
            after.stamps = before.stamps.touched(now_ns());
            Ok(Plan { changes: vec![EntryChange::put(Entry::HsmConnection(after.clone()))], answer: after })
        };
        Ok(self.writer.change(permit.trail(), plan).await?.0)
    }

    /// Forgets an HSM connection.
    ///
    /// # Errors
    /// [`CoreError`]: `NotFound`; `State` while a partition that was added by it is there.
    pub async fn delete_hsm_connection(&self, permit: &Permit<Manage>, wanted: &str) -> Result<(), CoreError> {
        let plan = |view: &View| {
            let connection = find_connection(view, wanted)?;
            if let Some(user) = view.partitions()?.into_iter().find(|partition| partition.connection == Some(connection.id)) {
                return Err(CoreError::State(format!("the partition {:?} was added by that connection", user.label)));
            }
            Ok(Plan { changes: vec![EntryChange::Delete(EntryName::HsmConnection(connection.id))], answer: () })
        };
        self.writer.change(permit.trail(), plan).await.map(drop)
    }
}

/// A connection by its id or name.
pub(super) fn find_connection(view: &View, wanted: &str) -> Result<HsmConnectionEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.hsm_connection(id)).transpose()?.flatten() {
        return Ok(found);
    }
    let named = view.hsm_connections()?.into_iter().find(|entry| entry.name == wanted);
    named.ok_or(CoreError::NotFound("HSM connection"))
}

fn find_server(view: &View, wanted: &str) -> Result<HsmServerEntry, CoreError> {
    if let Some(found) = Uuid::try_parse(wanted).ok().map(|id| view.hsm_server(id)).transpose()?.flatten() {
        return Ok(found);
    }
    let named = view.hsm_servers()?.into_iter().find(|entry| entry.hostname == wanted);
    named.ok_or(CoreError::NotFound("HSM server"))
}

fn unique_server(view: &View, entry: &HsmServerEntry) -> Result<(), CoreError> {
    if view.hsm_servers()?.iter().any(|other| other.id != entry.id && other.hostname == entry.hostname) {
        return Err(CoreError::Exists { what: "HSM server", name: entry.hostname.clone() });
    }
    Ok(())
}

fn unique_connection(view: &View, entry: &HsmConnectionEntry) -> Result<(), CoreError> {
    if view.hsm_connections()?.iter().any(|other| other.id != entry.id && other.name == entry.name) {
        return Err(CoreError::Exists { what: "HSM connection", name: entry.name.clone() });
    }
    Ok(())
}

fn server_fits(entry: &HsmServerEntry) -> Result<(), CoreError> {
    let HsmServerEntry { hostname, channel, .. } = entry;
    if !(1..=253).contains(&hostname.len()) || !hostname.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(CoreError::invalid("hostname", "must be a host name or an address"));
    }
    if !matches!(channel.as_str(), "" | "NTLS" | "STC") {
        return Err(CoreError::invalid("channel", "must be NTLS or STC"));
    }
    described(&entry.description, &entry.labels)
}

fn connection_fits(entry: &HsmConnectionEntry) -> Result<(), CoreError> {
    if !(1..=256).contains(&entry.name.chars().count()) || entry.name.chars().any(char::is_control) {
        return Err(CoreError::invalid("name", "must have 1 to 256 characters, none of them control characters"));
    }
    if entry.partitions.len() > MOST_LISTED || entry.partitions.iter().any(|named| named.label.is_empty() && named.serial.is_empty()) {
        return Err(CoreError::invalid("partitions", "each needs a partition_label or a serial_number; at most 64"));
    }
    let texts = entry.partitions.iter().flat_map(|named| [&named.label, &named.serial, &named.hostname]).chain(&entry.products);
    if entry.products.len() > MOST_LISTED || texts.into_iter().any(|text| text.chars().count() > 256) {
        return Err(CoreError::invalid("partitions", "no text may have more than 256 characters, nor products more than 64 members"));
    }
    described(&entry.description, &entry.labels)
}

const MOST_LISTED: usize = 64;

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::entry::ConnectedPartition;

    pub(in crate::core) fn connection() -> HsmConnectionEntry {
        let (description, products, partitions) = (String::new(), Vec::new(), Vec::new());
        let (labels, meta, stamps) = (BTreeMap::new(), None, Stamps::default());
        let (id, name, is_ha_enabled) = (Uuid::nil(), "luna".into(), false);
        HsmConnectionEntry { id, name, description, products, partitions, is_ha_enabled, labels, meta, stamps }
    }

    #[test]
    fn a_connection_needs_a_name_and_a_label_or_serial_number_of_each_partition() {
        connection_fits(&connection()).unwrap();
        let named = ConnectedPartition { label: "p".into(), ..ConnectedPartition::default() };
        connection_fits(&HsmConnectionEntry { partitions: vec![named.clone()], ..connection() }).unwrap();
        let table = [
            HsmConnectionEntry { name: String::new(), ..connection() },
            HsmConnectionEntry { partitions: vec![ConnectedPartition::default()], ..connection() },
            HsmConnectionEntry { partitions: vec![named; 65], ..connection() },
            HsmConnectionEntry { products: vec!["x".repeat(257)], ..connection() },
        ];
        for bad in table {
            connection_fits(&bad).unwrap_err();
        }
    }
}
