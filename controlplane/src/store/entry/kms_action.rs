//! What an ACL of a KMS container may allow, in the words of the API.
//!
//! Always holds: each action has one word, and one row in the table of what its holder gets to view besides.

use serde::{Deserialize, Serialize};

/// An action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KmsAction {
    /// Create a key in AWS.
    KeyCreate,
    /// Import key material.
    KeyMaterialImport,
    /// Delete imported key material.
    KeyMaterialDelete,
    /// Rotate a key.
    KeyRotate,
    /// Schedule a key's deletion.
    KeyDelete,
    /// Cancel a key's deletion.
    KeyCancelDelete,
    /// Synchronize keys, or cancel that.
    KeySynchronize,
    /// Change a key's policy, description, tags, aliases and state.
    KeyUpdate,
    /// Upload a key.
    KeyUpload,
    /// See the container and its native keys.
    ViewNative,
    /// See the container and its uploaded keys.
    ViewByok,
    /// Create a report.
    ReportCreate,
    /// Delete a report.
    ReportDelete,
    /// Download a report.
    ReportDownload,
    /// See a report.
    ReportView,
    /// See HYOK keys.
    ViewHyokKey,
    /// Create a HYOK key.
    HyokKeyCreate,
    /// Block and unblock a HYOK key.
    HyokKeyBlockUnblock,
    /// Delete a HYOK key that is not linked.
    HyokKeyDelete,
    /// Link a HYOK key.
    HyokKeyLink,
    /// See CloudHSM keys.
    ViewCloudHsmKey,
    /// Create a CloudHSM key.
    CloudHsmKeyCreate,
    /// Delete a CloudHSM key.
    CloudHsmKeyDelete,
    /// See key stores.
    ViewKeyStore,
    /// Create a key store.
    KeyStoreAdd,
    /// Change a key store.
    KeyStoreUpdate,
    /// Delete a key store.
    KeyStoreDelete,
    /// Block a key store.
    KeyStoreBlock,
    /// Unblock a key store.
    KeyStoreUnblock,
    /// Connect a key store.
    KeyStoreConnect,
    /// Disconnect a key store.
    KeyStoreDisconnect,
    /// Link a key store.
    KeyStoreLink,
    /// Run jobs over many keys.
    KeyBulkOperation,
}

impl KmsAction {
    /// All of them.
    pub const ALL: [Self; 33] = [
        Self::KeyCreate,
        Self::KeyMaterialImport,
        Self::KeyMaterialDelete,
        Self::KeyRotate,
        Self::KeyDelete,
        Self::KeyCancelDelete,
        Self::KeySynchronize,
        Self::KeyUpdate,
        Self::KeyUpload,
        Self::ViewNative,
        Self::ViewByok,
        Self::ReportCreate,
        Self::ReportDelete,
        Self::ReportDownload,
        Self::ReportView,
        Self::ViewHyokKey,
        Self::HyokKeyCreate,
        Self::HyokKeyBlockUnblock,
        Self::HyokKeyDelete,
        Self::HyokKeyLink,
        Self::ViewCloudHsmKey,
        Self::CloudHsmKeyCreate,
        Self::CloudHsmKeyDelete,
        Self::ViewKeyStore,
        Self::KeyStoreAdd,
        Self::KeyStoreUpdate,
        Self::KeyStoreDelete,
        Self::KeyStoreBlock,
        Self::KeyStoreUnblock,
        Self::KeyStoreConnect,
        Self::KeyStoreDisconnect,
        Self::KeyStoreLink,
        Self::KeyBulkOperation,
    ];

    /// The API's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreate => "keycreate",
            Self::KeyMaterialImport => "keymaterialimport",
            Self::KeyMaterialDelete => "keymaterialdelete",
            Self::KeyRotate => "keyrotate",
            Self::KeyDelete => "keydelete",
            Self::KeyCancelDelete => "keycanceldelete",
            Self::KeySynchronize => "keysynchronize",
            Self::KeyUpdate => "keyupdate",
            Self::KeyUpload => "keyupload",
            Self::ViewNative => "viewnative",
            Self::ViewByok => "viewbyok",
            Self::ReportCreate => "reportcreate",
            Self::ReportDelete => "reportdelete",
            Self::ReportDownload => "reportdownload",
            Self::ReportView => "reportview",
            Self::ViewHyokKey => "viewhyokkey",
            Self::HyokKeyCreate => "hyokkeycreate",
            Self::HyokKeyBlockUnblock => "hyokkeyblockunblock",
            Self::HyokKeyDelete => "hyokkeydelete",
            Self::HyokKeyLink => "hyokkeylink",
            Self::ViewCloudHsmKey => "viewcloudhsmkey",
            Self::CloudHsmKeyCreate => "cloudhsmkeycreate",
            Self::CloudHsmKeyDelete => "cloudhsmkeydelete",
            Self::ViewKeyStore => "viewkeystore",
            Self::KeyStoreAdd => "keystoreadd",
            Self::KeyStoreUpdate => "keystoreupdate",
            Self::KeyStoreDelete => "keystoredelete",
            Self::KeyStoreBlock => "keystoreblock",
            Self::KeyStoreUnblock => "keystoreunblock",
            Self::KeyStoreConnect => "keystoreconnect",
            Self::KeyStoreDisconnect => "keystoredisconnect",
            Self::KeyStoreLink => "keystorelink",
            Self::KeyBulkOperation => "keybulkoperation",
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// What someone who may do this may view besides.
    #[must_use]
    pub const fn views(self) -> &'static [Self] {
        match self {
            Self::KeyCreate => &[Self::ViewNative],
            Self::KeyMaterialImport | Self::KeyMaterialDelete | Self::KeyUpload => &[Self::ViewByok],
            // Done to keys of either origin.
            Self::KeyRotate | Self::KeyDelete | Self::KeyCancelDelete | Self::KeySynchronize | Self::KeyUpdate | Self::KeyBulkOperation => {
                &[Self::ViewNative, Self::ViewByok]
            }
            Self::HyokKeyCreate | Self::HyokKeyBlockUnblock | Self::HyokKeyDelete | Self::HyokKeyLink => &[Self::ViewHyokKey],
            Self::CloudHsmKeyCreate | Self::CloudHsmKeyDelete => &[Self::ViewCloudHsmKey],
            Self::KeyStoreAdd
            | Self::KeyStoreUpdate
            | Self::KeyStoreDelete
            | Self::KeyStoreBlock
            | Self::KeyStoreUnblock
            | Self::KeyStoreConnect
            | Self::KeyStoreDisconnect
            | Self::KeyStoreLink => &[Self::ViewKeyStore],
            // The contract names no view action for reports.
            Self::ReportCreate | Self::ReportDelete | Self::ReportDownload | Self::ReportView => &[],
            Self::ViewNative | Self::ViewByok | Self::ViewHyokKey | Self::ViewCloudHsmKey | Self::ViewKeyStore => &[],
        }
    }
}
