//! Every refusal the data plane can answer, and the one table that says how each looks to AWS KMS.
//!
//! Holds: closed, with no `_` arm, so a new refusal does not compile until it has a status, a name, a
//! label and a text. A text is for the client: printable ASCII, under 512 characters, no quote or
//! backslash, no secret and nothing that a stranger should learn. Labels are for metrics and audit.

use std::fmt;

use crate::aad::{ForeignMetadata, TooLong};
use crate::path::BadPath;
use crate::sigv4::AuthError;

/// Why a request gets no answer but an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The path is not one of this API.
    #[error("The URI path is not valid.")]
    BadPath(#[source] BadPath),
    /// A path of this API, whose prefix no key store has.
    #[error("The URI path is not valid.")]
    UnknownStore,
    /// A path of this API, by another method than `POST`. The protocol gives the status, 405, and no name;
    /// `UnsupportedOperationException`, "not implemented", is the nearest.
    #[error("Only POST is allowed on this path.")]
    MethodNotAllowed,
    /// The body is over [`crate::limits::MAX_BODY_BYTES`].
    #[error("The request body is larger than supported.")]
    BodyTooLarge,
    /// The body did not arrive in time.
    #[error("The request body did not arrive in time.")]
    BodyTimeout,
    /// The body ended early, or its framing is wrong.
    #[error("The request body could not be read.")]
    BodyIncomplete,
    /// SigV4 does not verify. One text for every reason.
    #[error("The request could not be authenticated.")]
    Unauthenticated(#[source] AuthError),
    /// The key store demands a client certificate and there is none.
    #[error("The request could not be authenticated.")]
    NoClientCertificate,
    /// The client certificate is for another region than the key store's.
    #[error("The request could not be authenticated.")]
    WrongClientCertificate,
    /// The caller authenticated, and is not allowed this.
    #[error("Access is denied.")]
    AccessDenied,
    /// The key store is blocked.
    #[error("The key store is blocked.")]
    StoreBlocked,
    /// The key is blocked.
    #[error("The key is blocked.")]
    KeyBlocked,
    /// The key store's quota per second is spent.
    #[error("The request quota of the key store is exceeded.")]
    QuotaExceeded,
    /// The key store has as many requests in flight as it may.
    #[error("Too many requests are in flight.")]
    TooManyInFlight,
    /// The key source's queue is full.
    #[error("The key manager is at its capacity.")]
    QueueFull,
    /// The request waited for the key source until its deadline and was not started.
    #[error("The key manager is at its capacity.")]
    NotStarted,
    /// The key store has no key of this id.
    #[error("The external key was not found.")]
    KeyNotFound,
    /// The key may not be used for this operation.
    #[error("The external key does not allow this operation.")]
    KeyUsage,
    /// A field of the body, or the body, is not as the protocol says.
    #[error("{field} {fault}.")]
    Validation {
        /// The offending member, by its name in the protocol, or `body`.
        field: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// AES-GCM says no: ciphertext, IV, AAD, metadata or tag is wrong.
    #[error("The ciphertext is invalid.")]
    InvalidCiphertext,
    /// `initializationVector` is not 12 or 16 bytes, or is of a length that this key does not take.
    #[error("The initialization vector has a wrong length.")]
    WrongIvLength,
    /// `authenticationTag` is not 16 bytes.
    #[error("The authentication tag has a wrong length.")]
    WrongTagLength,
    /// `ciphertextMetadata` is over 20 bytes.
    #[error("The ciphertext metadata is too long.")]
    MetadataTooLong,
    /// `ciphertextMetadata` is missing or not ours, or names a version that this key does not have.
    #[error("The ciphertext was not made by this key.")]
    UnknownVersion,
    /// Valid, and more than we do.
    #[error("{what} is not supported.")]
    Unsupported {
        /// What was asked for.
        what: Unsupported,
    },
    /// The version's count of encryptions reached 2³² (NIST SP 800-38D §8.3, random 96-bit IVs).
    ///
    /// `InvalidStateException`, 400: it lasts until the key is rotated, so neither a retry (429, 503) nor
    /// a failover (500) would help, and AWS KMS passes this one on as a state of the key. Decrypt goes on.
    #[error("The external key must be rotated before it encrypts again.")]
    EncryptionLimit,
    /// This node can't use the key, say because its key source is not configured here.
    #[error("The external key is not usable at present.")]
    KeyUnusable,
    /// The node's configuration is older than the key store allows.
    #[error("The key store is not usable at present.")]
    SnapshotTooOld,
    /// The node has no configuration yet.
    #[error("The proxy is not ready.")]
    NoSnapshot,
    /// Every member of the key source's group is down.
    #[error("The key manager is not available.")]
    KeyManagerDown,
    /// The key source started and did not answer in time, or every member is suspect.
    #[error("The key manager did not answer in time.")]
    KeyManagerTimeout,
    /// What was encrypted does not decrypt to the plaintext again.
    #[error("The ciphertext failed its integrity check.")]
    SelfCheckFailed,
    /// Anything else.
    #[error("An internal error occurred.")]
    Internal,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is required, and absent or null.
    Missing,
    /// It has another JSON type.
    Mistyped,
    /// It is there more than once.
    Duplicate,
    /// It is not base64 (RFC 4648 §4, padded).
    NotBase64,
    /// It has more characters than the protocol allows.
    TooLong,
    /// The body is not a JSON object.
    NotJson,
}

/// What we understand and do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unsupported {
    /// An `encryptionAlgorithm` other than `AES_GCM`.
    EncryptionAlgorithm,
    /// A `ciphertextDataIntegrityValueAlgorithm` other than `SHA_256`.
    CdivAlgorithm,
    /// A plaintext over [`crate::limits::MAX_PLAINTEXT_BYTES`].
    LongPlaintext,
    /// A ciphertext over [`crate::limits::MAX_PLAINTEXT_BYTES`].
    LongCiphertext,
    /// AAD over [`crate::limits::MAX_AAD_BYTES`].
    LongAad,
}

/// The twelve names of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorName {
    /// A parameter is invalid or missing.
    ValidationException,
    /// Key or key store disabled or blocked.
    InvalidStateException,
    /// Ciphertext, IV, AAD, metadata or tag wrong.
    InvalidCiphertextException,
    /// The key does not allow the operation.
    InvalidKeyUsageException,
    /// SigV4 does not verify.
    AuthenticationFailedException,
    /// Secondary authorization refused.
    AccessDeniedException,
    /// No such external key.
    KeyNotFoundException,
    /// No such path or prefix.
    InvalidUriPathException,
    /// Quota passed, or the proxy can't keep up.
    ThrottlingException,
    /// Anything else.
    InternalException,
    /// Not implemented, or larger than supported.
    UnsupportedOperationException,
    /// The key manager did not answer in time.
    DependencyTimeoutException,
}

impl Refusal {
    /// HTTP status and `errorName` (XKS, error table).
    #[must_use]
    pub const fn wire(&self) -> (u16, ErrorName) {
        match self {
            Self::BadPath(_) | Self::UnknownStore => (404, ErrorName::InvalidUriPathException),
            Self::MethodNotAllowed => (405, ErrorName::UnsupportedOperationException),
            Self::BodyTooLarge | Self::Unsupported { .. } => (501, ErrorName::UnsupportedOperationException),
            Self::BodyTimeout | Self::BodyIncomplete | Self::Validation { .. } => (400, ErrorName::ValidationException),
            Self::Unauthenticated(_) | Self::NoClientCertificate | Self::WrongClientCertificate => {
                (401, ErrorName::AuthenticationFailedException)
            }
            Self::AccessDenied => (403, ErrorName::AccessDeniedException),
            Self::StoreBlocked | Self::KeyBlocked | Self::EncryptionLimit => (400, ErrorName::InvalidStateException),
            Self::QuotaExceeded | Self::TooManyInFlight | Self::QueueFull | Self::NotStarted => (429, ErrorName::ThrottlingException),
            Self::KeyNotFound => (404, ErrorName::KeyNotFoundException),
            Self::KeyUsage => (400, ErrorName::InvalidKeyUsageException),
            Self::InvalidCiphertext | Self::WrongIvLength | Self::WrongTagLength | Self::MetadataTooLong | Self::UnknownVersion => {
                (400, ErrorName::InvalidCiphertextException)
            }
            Self::KeyUnusable | Self::SnapshotTooOld | Self::NoSnapshot | Self::KeyManagerDown | Self::SelfCheckFailed | Self::Internal => {
                (500, ErrorName::InternalException)
            }
            Self::KeyManagerTimeout => (503, ErrorName::DependencyTimeoutException),
        }
    }

    /// A fixed word for metrics and audit records, from a closed set. Never sent to a client.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::BadPath(_) => "bad_path",
            Self::UnknownStore => "unknown_store",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::BodyIncomplete => "body_incomplete",
            Self::Unauthenticated(error) => error.label(),
            Self::NoClientCertificate => "no_client_certificate",
            Self::WrongClientCertificate => "wrong_client_certificate",
            Self::AccessDenied => "access_denied",
            Self::StoreBlocked => "store_blocked",
            Self::KeyBlocked => "key_blocked",
            Self::QuotaExceeded => "quota_exceeded",
            Self::TooManyInFlight => "too_many_in_flight",
            Self::QueueFull => "queue_full",
            Self::NotStarted => "not_started",
            Self::KeyNotFound => "key_not_found",
            Self::KeyUsage => "key_usage",
            Self::Validation { .. } => "validation",
            Self::InvalidCiphertext => "invalid_ciphertext",
            Self::WrongIvLength => "wrong_iv_length",
            Self::WrongTagLength => "wrong_tag_length",
            Self::MetadataTooLong => "metadata_too_long",
            Self::UnknownVersion => "unknown_version",
            Self::Unsupported { .. } => "unsupported",
            Self::EncryptionLimit => "encryption_limit",
            Self::KeyUnusable => "key_unusable",
            Self::SnapshotTooOld => "snapshot_too_old",
            Self::NoSnapshot => "no_snapshot",
            Self::KeyManagerDown => "key_manager_down",
            Self::KeyManagerTimeout => "key_manager_timeout",
            Self::SelfCheckFailed => "self_check_failed",
            Self::Internal => "internal",
        }
    }

    /// `errorMessage`: for the client.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let (_, name) = self.wire();
        format!(r#"{{"errorName":"{}","errorMessage":"{self}"}}"#, name.as_str()).into_bytes()
    }
}

impl From<BadPath> for Refusal {
    fn from(cause: BadPath) -> Self {
        Self::BadPath(cause)
    }
}

impl From<AuthError> for Refusal {
    fn from(cause: AuthError) -> Self {
        Self::Unauthenticated(cause)
    }
}

impl From<TooLong> for Refusal {
    fn from(_: TooLong) -> Self {
        Self::Unsupported { what: Unsupported::LongAad }
    }
}

impl From<ForeignMetadata> for Refusal {
    fn from(_: ForeignMetadata) -> Self {
        Self::UnknownVersion
    }
}

impl ErrorName {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ValidationException => "ValidationException",
            Self::InvalidStateException => "InvalidStateException",
            Self::InvalidCiphertextException => "InvalidCiphertextException",
            Self::InvalidKeyUsageException => "InvalidKeyUsageException",
            Self::AuthenticationFailedException => "AuthenticationFailedException",
            Self::AccessDeniedException => "AccessDeniedException",
            Self::KeyNotFoundException => "KeyNotFoundException",
            Self::InvalidUriPathException => "InvalidUriPathException",
            Self::ThrottlingException => "ThrottlingException",
            Self::InternalException => "InternalException",
            Self::UnsupportedOperationException => "UnsupportedOperationException",
            Self::DependencyTimeoutException => "DependencyTimeoutException",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Mistyped => "has a wrong type",
            Self::Duplicate => "is there more than once",
            Self::NotBase64 => "is not base64",
            Self::TooLong => "is too long",
            Self::NotJson => "is not a JSON object",
        })
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncryptionAlgorithm => "This encryptionAlgorithm",
            Self::CdivAlgorithm => "This ciphertextDataIntegrityValueAlgorithm",
            Self::LongPlaintext => "A plaintext of this size",
            Self::LongCiphertext => "A ciphertext of this size",
            Self::LongAad => "An additionalAuthenticatedData of this size",
        })
    }
}
