//! The functions that reach a partition: their names, and which faults reach them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A PKCS#11 function that belongs to one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    SlotInfo,
    TokenInfo,
    MechanismList,
    MechanismInfo,
    OpenSession,
    CloseSession,
    CloseAllSessions,
    SessionInfo,
    Login,
    Logout,
    CreateObject,
    DestroyObject,
    GetAttributeValue,
    SetAttributeValue,
    FindObjectsInit,
    FindObjects,
    FindObjectsFinal,
    GenerateKey,
    EncryptInit,
    Encrypt,
    DecryptInit,
    Decrypt,
    GenerateRandom,
}

impl Function {
    /// All of them, in the order of their declaration.
    pub(crate) const ALL: [Self; 23] = [
        Self::SlotInfo,
        Self::TokenInfo,
        Self::MechanismList,
        Self::MechanismInfo,
        Self::OpenSession,
        Self::CloseSession,
        Self::CloseAllSessions,
        Self::SessionInfo,
        Self::Login,
        Self::Logout,
        Self::CreateObject,
        Self::DestroyObject,
        Self::GetAttributeValue,
        Self::SetAttributeValue,
        Self::FindObjectsInit,
        Self::FindObjects,
        Self::FindObjectsFinal,
        Self::GenerateKey,
        Self::EncryptInit,
        Self::Encrypt,
        Self::DecryptInit,
        Self::Decrypt,
        Self::GenerateRandom,
    ];

    /// Its name in PKCS#11.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SlotInfo => "C_GetSlotInfo",
            Self::TokenInfo => "C_GetTokenInfo",
            Self::MechanismList => "C_GetMechanismList",
            Self::MechanismInfo => "C_GetMechanismInfo",
            Self::OpenSession => "C_OpenSession",
            Self::CloseSession => "C_CloseSession",
            Self::CloseAllSessions => "C_CloseAllSessions",
            Self::SessionInfo => "C_GetSessionInfo",
            Self::Login => "C_Login",
            Self::Logout => "C_Logout",
            Self::CreateObject => "C_CreateObject",
            Self::DestroyObject => "C_DestroyObject",
            Self::GetAttributeValue => "C_GetAttributeValue",
            Self::SetAttributeValue => "C_SetAttributeValue",
            Self::FindObjectsInit => "C_FindObjectsInit",
            Self::FindObjects => "C_FindObjects",
            Self::FindObjectsFinal => "C_FindObjectsFinal",
            Self::GenerateKey => "C_GenerateKey",
            Self::EncryptInit => "C_EncryptInit",
            Self::Encrypt => "C_Encrypt",
            Self::DecryptInit => "C_DecryptInit",
            Self::Decrypt => "C_Decrypt",
            Self::GenerateRandom => "C_GenerateRandom",
        }
    }

    /// Whether it encrypts or decrypts.
    pub(crate) const fn is_crypto(self) -> bool {
        self.is_crypto_init() || matches!(self, Self::Encrypt | Self::Decrypt)
    }

    /// Whether it only prepares an encryption or decryption. A network HSM's library sends these along with the operation, so that they
    /// meet no delay of their own.
    pub(crate) const fn is_crypto_init(self) -> bool {
        matches!(self, Self::EncryptInit | Self::DecryptInit)
    }

    /// Whether it asks the slot for its token and so answers `CKR_TOKEN_NOT_PRESENT`, not `CKR_DEVICE_REMOVED`, when that is gone.
    pub(crate) const fn asks_the_slot(self) -> bool {
        matches!(self, Self::TokenInfo | Self::MechanismList | Self::MechanismInfo | Self::OpenSession | Self::CloseAllSessions)
    }
}

/// The calls that a fault reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every call that belongs to the partition.
    #[default]
    All,
    /// Encryption and decryption.
    Crypto,
    /// One function.
    Only(Function),
}

impl Reach {
    /// Whether `function` is among them.
    pub(crate) fn includes(self, function: Function) -> bool {
        match self {
            Self::All => true,
            Self::Crypto => function.is_crypto(),
            Self::Only(only) => only == function,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Crypto => "crypto",
            Self::Only(function) => function.name(),
        }
    }
}

impl Serialize for Reach {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut all = [Self::All, Self::Crypto].into_iter().chain(Function::ALL.map(Self::Only));
        all.find(|reach| reach.name() == text)
            .ok_or_else(|| D::Error::custom(format!("unknown reach {text:?}: \"all\", \"crypto\" or the name of a function is needed")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_function_at_its_own_place() {
        assert!(Function::ALL.iter().enumerate().all(|(place, function)| *function as usize == place));
        assert_eq!(Function::ALL.last(), Some(&Function::GenerateRandom));
    }

    #[test]
    fn a_reach_is_read_as_it_is_written() {
        for reach in [Reach::All, Reach::Crypto, Reach::Only(Function::Login)] {
            assert_eq!(serde_json::from_value::<Reach>(serde_json::to_value(reach).unwrap()).unwrap(), reach);
        }
        assert!(serde_json::from_str::<Reach>("\"C_Nonsense\"").unwrap_err().to_string().contains("C_Nonsense"));
    }
}
