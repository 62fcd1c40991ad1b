//! What an entry is, once its name said so.

use super::{
    ApiTokenEntry, AwsConnectionEntry, AwsKeyEntry, AwsKeyStoreEntry, ConnectionUsedEntry, CountEntry, CredentialEntry,
    CredentialUsedEntry, DemoEntry, Entry, ExternalIdEntry, HsmConnectionEntry, HsmServerEntry, HyokKeyEntry, JobConfigEntry, JobRanEntry,
    KeyPlaceEntry, KeyStoreEntry, KmsContainerEntry, NodeEntry, NodeSeenEntry, PartitionEntry, PolicyTemplateEntry, SignInsEntry,
    SigningKeyEntry, SourceKeyEntry, SyncJobEntry, TokenUsedEntry, UserEntry, VirtualKeyEntry,
};

/// One kind of entry.
pub(in crate::store) trait Pick: Sized {
    /// The entry, if it is of this kind.
    fn pick(entry: Entry) -> Option<Self>;
}

impl Pick for KeyStoreEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::KeyStore(e) = entry { Some(e) } else { None }
    }
}

impl Pick for CredentialEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::Credential(e) = entry { Some(e) } else { None }
    }
}

impl Pick for HyokKeyEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::HyokKey(e) = entry { Some(e) } else { None }
    }
}

impl Pick for KeyPlaceEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::KeyPlace(e) = entry { Some(e) } else { None }
    }
}

impl Pick for ExternalIdEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::ExternalId(e) = entry { Some(e) } else { None }
    }
}

impl Pick for VirtualKeyEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::VirtualKey(e) = entry { Some(e) } else { None }
    }
}

impl Pick for SourceKeyEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::SourceKey(e) = entry { Some(e) } else { None }
    }
}

impl Pick for NodeEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::Node(e) = entry { Some(e) } else { None }
    }
}

impl Pick for UserEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::User(e) = entry { Some(e) } else { None }
    }
}

impl Pick for NodeSeenEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::NodeSeen(e) = entry { Some(e) } else { None }
    }
}

impl Pick for CountEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::Count(e) = entry { Some(e) } else { None }
    }
}

impl Pick for CredentialUsedEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::CredentialUsed(e) = entry { Some(e) } else { None }
    }
}

impl Pick for ApiTokenEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::ApiToken(e) = entry { Some(e) } else { None }
    }
}

impl Pick for SignInsEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::SignIns(e) = entry { Some(e) } else { None }
    }
}

impl Pick for SigningKeyEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::SigningKey(e) = entry { Some(e) } else { None }
    }
}

impl Pick for TokenUsedEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::TokenUsed(e) = entry { Some(e) } else { None }
    }
}

impl Pick for AwsConnectionEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::AwsConnection(e) = entry { Some(e) } else { None }
    }
}

impl Pick for KmsContainerEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::KmsContainer(e) = entry { Some(e) } else { None }
    }
}

impl Pick for PolicyTemplateEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::PolicyTemplate(e) = entry { Some(e) } else { None }
    }
}

impl Pick for JobConfigEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::JobConfig(e) = entry { Some(e) } else { None }
    }
}

impl Pick for HsmServerEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::HsmServer(e) = entry { Some(e) } else { None }
    }
}

impl Pick for HsmConnectionEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::HsmConnection(e) = entry { Some(e) } else { None }
    }
}

impl Pick for PartitionEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::Partition(e) = entry { Some(e) } else { None }
    }
}

impl Pick for DemoEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::Demo(e) = entry { Some(*e) } else { None }
    }
}

impl Pick for AwsKeyStoreEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::AwsKeyStore(e) = entry { Some(e) } else { None }
    }
}

impl Pick for AwsKeyEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::AwsKey(e) = entry { Some(*e) } else { None }
    }
}

impl Pick for SyncJobEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::SyncJob(e) = entry { Some(e) } else { None }
    }
}

impl Pick for JobRanEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::JobRan(e) = entry { Some(e) } else { None }
    }
}

impl Pick for ConnectionUsedEntry {
    fn pick(entry: Entry) -> Option<Self> {
        if let Entry::ConnectionUsed(e) = entry { Some(e) } else { None }
    }
}
