//! Between the wire and the checked records, both ways. From the wire is where checking happens;
//! nothing else makes a record of outside bytes.

use std::{num::NonZeroU32, time::Duration};

use uuid::Uuid;

use crate::{
    ids::{AccessKeyId, BadName, CredentialId, ExternalKeyId, KeyId, Revision, StoreId, UriPath},
    kinds::KeyKind,
    records::{
        Change, Credential, Key, KeyUsage, Legacy, LegacyFormat, LocalBlob, PartitionKey, Record, RecordName, SourceKey, StoreHeader,
        Undecodable, Version,
    },
    secret::Secret,
    state::VersionState,
    sync as wire,
};

impl TryFrom<wire::Change> for Change {
    type Error = Undecodable;

    fn try_from(change: wire::Change) -> Result<Self, Undecodable> {
        Ok(match change.body.ok_or_else(|| missing("change"))? {
            wire::change::Body::Upsert(record) => Self::Upsert(record.try_into()?),
            wire::change::Body::Delete(name) => Self::Delete(name.try_into()?),
        })
    }
}

impl From<&Change> for wire::Change {
    fn from(change: &Change) -> Self {
        let body = match change {
            Change::Upsert(record) => wire::change::Body::Upsert(record.into()),
            Change::Delete(name) => wire::change::Body::Delete((*name).into()),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<wire::Record> for Record {
    type Error = Undecodable;

    fn try_from(record: wire::Record) -> Result<Self, Undecodable> {
        Ok(match record.body.ok_or_else(|| missing("record"))? {
            wire::record::Body::Store(store) => Self::Store(store_header(store)?),
            wire::record::Body::Credential(credential) => Self::Credential(self::credential(credential)?),
            wire::record::Body::Key(key) => Self::Key(self::key(&key)?),
            wire::record::Body::Version(version) => Self::Version(self::version(version)?),
        })
    }
}

impl From<&Record> for wire::Record {
    fn from(record: &Record) -> Self {
        let body = match record {
            Record::Store(s) => wire::record::Body::Store(s.into()),
            Record::Credential(c) => wire::record::Body::Credential(c.into()),
            Record::Key(k) => wire::record::Body::Key(k.into()),
            Record::Version(v) => wire::record::Body::Version(v.into()),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<wire::RecordName> for RecordName {
    type Error = Undecodable;

    fn try_from(name: wire::RecordName) -> Result<Self, Undecodable> {
        use wire::record_name::Body;
        Ok(match name.body.ok_or_else(|| missing("record name"))? {
            Body::Store(n) => Self::Store(store_id(&n.store_id)?),
            Body::Credential(n) => Self::Credential(store_id(&n.store_id)?, CredentialId(id("credential_id", &n.credential_id)?)),
            Body::Key(n) => Self::Key(store_id(&n.store_id)?, key_id(&n.key_id)?),
            Body::Version(n) => Self::Version(store_id(&n.store_id)?, key_id(&n.key_id)?, n.number),
        })
    }
}

impl From<RecordName> for wire::RecordName {
    fn from(name: RecordName) -> Self {
        use wire::record_name::Body;
        let body = match name {
            RecordName::Store(s) => Body::Store(wire::StoreName { store_id: bytes(s.0) }),
            RecordName::Credential(s, c) => Body::Credential(wire::CredentialName { store_id: bytes(s.0), credential_id: bytes(c.0) }),
            RecordName::Key(s, k) => Body::Key(wire::KeyName { store_id: bytes(s.0), key_id: bytes(k.0) }),
            RecordName::Version(s, k, number) => Body::Version(wire::VersionName { store_id: bytes(s.0), key_id: bytes(k.0), number }),
        };
        Self { body: Some(body) }
    }
}

impl From<&StoreHeader> for wire::StoreHeader {
    fn from(s: &StoreHeader) -> Self {
        Self {
            id: bytes(s.id.0),
            name: s.name.clone(),
            uri_path: s.uri_path.as_str().into(),
            region: s.region.clone(),
            blocked: s.blocked,
            mtls_enabled: s.mtls_enabled,
            success_audit: s.success_audit,
            quota: s.quota.map_or(0, NonZeroU32::get),
            in_flight: s.in_flight.map_or(0, NonZeroU32::get),
            max_snapshot_age_seconds: s.max_snapshot_age.map_or(0, |age| age.as_secs()),
            health_key: Some((&s.health_key).into()),
        }
    }
}

impl From<&Credential> for wire::Credential {
    fn from(c: &Credential) -> Self {
        Self {
            id: bytes(c.id.0),
            store_id: bytes(c.store.0),
            access_key_id: c.access_key_id.as_str().into(),
            secret_access_key: c.secret.expose().into(),
            generation: c.generation,
        }
    }
}

impl From<&Key> for wire::Key {
    fn from(k: &Key) -> Self {
        let legacy_format = match k.legacy.map(|l| l.format) {
            None => wire::LegacyFormat::None,
            Some(LegacyFormat::AwsSample) => wire::LegacyFormat::AwsSample,
            Some(LegacyFormat::RawConcat) => wire::LegacyFormat::RawConcat,
        };
        Self {
            id: bytes(k.id.0),
            store_id: bytes(k.store.0),
            external_key_id: k.external_id.as_str().into(),
            blocked: k.blocked,
            legacy_format: legacy_format.into(),
            legacy_version: k.legacy.map_or(0, |l| l.version),
        }
    }
}

impl From<&Version> for wire::Version {
    fn from(v: &Version) -> Self {
        let state = match v.state {
            VersionState::Pending => wire::VersionState::Pending,
            VersionState::Active => wire::VersionState::Active,
            VersionState::Retired => wire::VersionState::Retired,
        };
        Self {
            store_id: bytes(v.store.0),
            key_id: bytes(v.key.0),
            number: v.number,
            tag: v.tag.into(),
            state: state.into(),
            source: Some((&v.source).into()),
        }
    }
}

impl From<&SourceKey> for wire::SourceKey {
    fn from(source: &SourceKey) -> Self {
        let body = match source {
            SourceKey::Local(blob) => wire::source_key::Body::Local(wire::LocalKey {
                id: bytes(blob.id),
                kind: blob.kind.to_wire(),
                usage: Some(blob.usage.into()),
                unexportable: blob.unexportable,
                sealed: blob.sealed.to_vec(),
            }),
            SourceKey::Partition(key) => wire::source_key::Body::Partition(wire::PartitionKey {
                group: key.group.clone(),
                cka_id: key.cka_id.to_vec(),
                label: key.label.clone(),
            }),
        };
        Self { body: Some(body) }
    }
}

impl TryFrom<wire::SourceKey> for SourceKey {
    type Error = Undecodable;

    fn try_from(source: wire::SourceKey) -> Result<Self, Undecodable> {
        Ok(match source.body.ok_or_else(|| missing("source key"))? {
            wire::source_key::Body::Local(local) => Self::Local(LocalBlob {
                id: id("local key id", &local.id)?,
                kind: KeyKind::from_wire(&local.kind).map_err(|e| Undecodable { field: "kind", detail: e.to_string() })?,
                usage: local.usage.ok_or_else(|| missing("usage"))?.into(),
                unexportable: local.unexportable,
                sealed: local.sealed.into(),
            }),
            wire::source_key::Body::Partition(key) => {
                Self::Partition(PartitionKey { group: key.group, cka_id: key.cka_id.into(), label: key.label })
            }
        })
    }
}

impl From<KeyUsage> for wire::KeyUsage {
    fn from(usage: KeyUsage) -> Self {
        Self { encrypt: usage.encrypt, decrypt: usage.decrypt }
    }
}

impl From<wire::KeyUsage> for KeyUsage {
    fn from(usage: wire::KeyUsage) -> Self {
        Self { encrypt: usage.encrypt, decrypt: usage.decrypt }
    }
}

impl From<Revision> for wire::Revision {
    fn from(revision: Revision) -> Self {
        Self { epoch: revision.epoch, counter: revision.counter }
    }
}

impl From<wire::Revision> for Revision {
    fn from(revision: wire::Revision) -> Self {
        Self { epoch: revision.epoch, counter: revision.counter }
    }
}

fn store_header(s: wire::StoreHeader) -> Result<StoreHeader, Undecodable> {
    if s.region.is_empty() {
        return Err(missing("region"));
    }
    Ok(StoreHeader {
        id: store_id(&s.id)?,
        name: s.name,
        uri_path: UriPath::try_from(s.uri_path.as_str()).map_err(|e| bad_name("uri_path", &e))?,
        region: s.region,
        blocked: s.blocked,
        mtls_enabled: s.mtls_enabled,
        success_audit: s.success_audit,
        quota: NonZeroU32::new(s.quota),
        in_flight: NonZeroU32::new(s.in_flight),
        max_snapshot_age: (s.max_snapshot_age_seconds > 0).then(|| Duration::from_secs(s.max_snapshot_age_seconds)),
        health_key: s.health_key.ok_or_else(|| missing("health_key"))?.try_into()?,
    })
}

fn credential(c: wire::Credential) -> Result<Credential, Undecodable> {
    if c.secret_access_key.is_empty() {
        return Err(missing("secret_access_key"));
    }
    Ok(Credential {
        id: CredentialId(id("credential id", &c.id)?),
        store: store_id(&c.store_id)?,
        access_key_id: AccessKeyId::try_from(c.access_key_id.as_str()).map_err(|e| bad_name("access_key_id", &e))?,
        secret: Secret::new(c.secret_access_key),
        generation: c.generation,
    })
}

fn key(k: &wire::Key) -> Result<Key, Undecodable> {
    let format = match k.legacy_format() {
        wire::LegacyFormat::None => None,
        wire::LegacyFormat::AwsSample => Some(LegacyFormat::AwsSample),
        wire::LegacyFormat::RawConcat => Some(LegacyFormat::RawConcat),
    };
    Ok(Key {
        id: key_id(&k.id)?,
        store: store_id(&k.store_id)?,
        external_id: ExternalKeyId::try_from(k.external_key_id.as_str()).map_err(|e| bad_name("external_key_id", &e))?,
        blocked: k.blocked,
        legacy: format.map(|format| Legacy { format, version: k.legacy_version }),
    })
}

fn version(v: wire::Version) -> Result<Version, Undecodable> {
    let state = match v.state() {
        wire::VersionState::Unspecified => return Err(missing("state")),
        wire::VersionState::Pending => VersionState::Pending,
        wire::VersionState::Active => VersionState::Active,
        wire::VersionState::Retired => VersionState::Retired,
    };
    let tag =
        <[u8; 4]>::try_from(v.tag.as_slice()).map_err(|_| Undecodable { field: "tag", detail: format!("4 bytes, not {}", v.tag.len()) })?;
    Ok(Version {
        store: store_id(&v.store_id)?,
        key: key_id(&v.key_id)?,
        number: v.number,
        tag,
        state,
        source: v.source.ok_or_else(|| missing("source"))?.try_into()?,
    })
}

fn store_id(raw: &[u8]) -> Result<StoreId, Undecodable> {
    id("store_id", raw).map(StoreId)
}

fn key_id(raw: &[u8]) -> Result<KeyId, Undecodable> {
    id("key_id", raw).map(KeyId)
}

fn id(field: &'static str, raw: &[u8]) -> Result<Uuid, Undecodable> {
    Uuid::from_slice(raw).map_err(|_| Undecodable { field, detail: format!("a UUID has 16 bytes, not {}", raw.len()) })
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

fn missing(field: &'static str) -> Undecodable {
    Undecodable { field, detail: "not set".into() }
}

fn bad_name(field: &'static str, cause: &BadName) -> Undecodable {
    Undecodable { field, detail: cause.to_string() }
}
