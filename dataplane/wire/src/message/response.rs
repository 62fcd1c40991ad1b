//! The four response bodies, written.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use crate::limits::{MAX_FLEET_DETAILS, TAG_BYTES};

/// The answer to Encrypt.
#[derive(Clone, Copy)]
pub struct EncryptResponse<'a> {
    /// `ciphertext`, as long as the plaintext.
    pub ciphertext: &'a [u8],
    /// `initializationVector`: 12 or 16 bytes.
    pub iv: &'a [u8],
    /// `authenticationTag`.
    pub tag: &'a [u8; TAG_BYTES],
    /// `ciphertextMetadata`: at most 20 bytes; left out when empty.
    pub ciphertext_metadata: &'a [u8],
    /// `ciphertextDataIntegrityValue`: exactly when the request asked for it.
    pub cdiv: Option<&'a [u8; 32]>,
}

/// The answer to Decrypt.
#[derive(Clone, Copy)]
pub struct DecryptResponse<'a> {
    /// `plaintext`.
    pub plaintext: &'a [u8],
}

/// The answer to `GetKeyMetadata`, for an `AES_256` key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataResponse {
    /// `keyUsage`.
    pub usages: KeyUsages,
    /// `keyStatus`.
    pub status: KeyStatus,
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUsages {
    /// `ENCRYPT` and `DECRYPT`.
    EncryptDecrypt,
    /// `ENCRYPT` only.
    Encrypt,
    /// `DECRYPT` only.
    Decrypt,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// It does.
    Enabled,
    /// It, or its key store, is blocked.
    Disabled,
}

/// The answer to `GetHealthStatus`.
#[derive(Clone, Copy, Debug)]
pub struct HealthResponse<'a> {
    /// `xksProxyFleetSize`: data planes that are ready.
    pub fleet_size: NonZeroU32,
    /// `xksProxyVendor`.
    pub proxy_vendor: &'a str,
    /// `xksProxyModel`.
    pub proxy_model: &'a str,
    /// `ekmVendor`.
    pub ekm_vendor: &'a str,
    /// `ekmFleetDetails`: one at least; only the first ten are told, that being the protocol's limit.
    pub details: &'a [EkmFleetDetail<'a>],
}

/// One key manager of the key store's group.
#[derive(Clone, Copy, Debug)]
pub struct EkmFleetDetail<'a> {
    /// `id`.
    pub id: &'a str,
    /// `model`.
    pub model: &'a str,
    /// `healthStatus`.
    pub health: EkmHealth,
}

/// How a key manager is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EkmHealth {
    /// Working.
    Active,
    /// Working, with something lost.
    Degraded,
    /// Not working, or not known for over a minute.
    Unavailable,
}

impl EncryptResponse<'_> {
    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let payload = self.ciphertext.len() + self.iv.len() + self.ciphertext_metadata.len();
        // Names, tag and CDIV take 192 characters, padding of the other three up to 12: fits in one go.
        let mut out = String::with_capacity(208 + payload.div_ceil(3) * 4);
        push_base64(&mut out, r#"{"ciphertext":""#, self.ciphertext);
        push_base64(&mut out, r#"","initializationVector":""#, self.iv);
        push_base64(&mut out, r#"","authenticationTag":""#, self.tag);
        if !self.ciphertext_metadata.is_empty() {
            push_base64(&mut out, r#"","ciphertextMetadata":""#, self.ciphertext_metadata);
        }
        if let Some(cdiv) = self.cdiv {
            push_base64(&mut out, r#"","ciphertextDataIntegrityValue":""#, cdiv);
        }
        out.push_str(r#""}"#);
        out.into_bytes()
    }
}

impl DecryptResponse<'_> {
    /// The JSON body, wiped when dropped.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Fits in one go, so that growing leaves no copy behind.
        let mut out = String::with_capacity(20 + self.plaintext.len().div_ceil(3) * 4);
        push_base64(&mut out, r#"{"plaintext":""#, self.plaintext);
        out.push_str(r#""}"#);
        Zeroizing::new(out.into_bytes())
    }
}

impl MetadataResponse {
    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let (usages, status) = (self.usages.as_json(), self.status.as_str());
        format!(r#"{{"keySpec":"AES_256","keyUsage":{usages},"keyStatus":"{status}"}}"#).into_bytes()
    }
}

impl KeyUsages {
    const fn as_json(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => r#"["ENCRYPT","DECRYPT"]"#,
            Self::Encrypt => r#"["ENCRYPT"]"#,
            Self::Decrypt => r#"["DECRYPT"]"#,
        }
    }
}

impl KeyStatus {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        }
    }
}

impl HealthResponse<'_> {
    /// The JSON body.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let details: Vec<_> = self
            .details
            .iter()
            .take(MAX_FLEET_DETAILS)
            .map(|one| json!({"id": one.id, "model": one.model, "healthStatus": one.health.as_str()}))
            .collect();
        json!({
            "xksProxyFleetSize": self.fleet_size,
            "xksProxyVendor": self.proxy_vendor,
            "xksProxyModel": self.proxy_model,
            "ekmVendor": self.ekm_vendor,
            "ekmFleetDetails": details,
        })
        .to_string()
        .into_bytes()
    }
}

impl EkmHealth {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Degraded => "DEGRADED",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

fn push_base64(out: &mut String, before: &str, bytes: &[u8]) {
    out.push_str(before);
    STANDARD.encode_string(bytes, out);
}
