//! What can go wrong with a proxy, and what AWS KMS makes of it: three tables, for the three places where it is told.
//!
//! Always holds: a cryptographic operation fails with `KMSInvalidStateException` for everything that lies outside of KMS, told apart by the
//! text (Developer Guide, "Troubleshooting external key stores"), but for a ciphertext that the proxy does not take.

use crate::error::{AwsException, ErrorName};

/// What went wrong with a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No connection, or it broke.
    #[error("AWS KMS cannot communicate with your external key store proxy: {0}")]
    Unreachable(String),
    /// No TLS connection.
    #[error("AWS KMS cannot establish a TLS connection to the external key store proxy: {0}")]
    Tls(String),
    /// No answer within 250 ms, twice.
    #[error("The external key store proxy did not respond to the request in the time allotted. Retry the request.")]
    TimedOut,
    /// An error of the specification.
    #[error("The external key store proxy rejected the request: {0}")]
    Refused(Refusal),
    /// Not what the specification allows.
    #[error("AWS KMS cannot interpret the response of the external key store proxy: {0}")]
    Unreadable(String),
    /// Its health says so.
    #[error("The external key store proxy reports that all external key manager instances are unavailable.")]
    NoKeyManager,
}

/// The error names of the specification, "Errors".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the request is invalid")]
    Validation,
    #[error("the external key or key store is disabled, deactivated or blocked")]
    InvalidState,
    #[error("the ciphertext, initialization vector, additional authenticated data or authentication tag is invalid")]
    InvalidCiphertext,
    #[error("the external key does not support the operation")]
    InvalidKeyUsage,
    #[error("the proxy authentication credential is not valid")]
    AuthenticationFailed,
    #[error("access is denied")]
    AccessDenied,
    #[error("the external key is not found")]
    KeyNotFound,
    #[error("the URI path is invalid")]
    InvalidUriPath,
    #[error("the request rate is too high")]
    Throttling,
    #[error("the proxy or its key manager has an internal error")]
    Internal,
    #[error("the operation is not supported")]
    Unsupported,
    #[error("the external key manager did not answer in time")]
    DependencyTimeout,
}

impl ProxyError {
    /// By the `errorName` of an answer.
    pub(super) fn refused(name: &str) -> Self {
        let known = Refusal::ALL.into_iter().find(|refusal| refusal.name() == name);
        known.map_or_else(|| Self::Unreadable(format!("its errorName is {name:?}")), Self::Refused)
    }

    /// At `CreateCustomKeyStore` and `UpdateCustomKeyStore`.
    pub(crate) fn at_configuration(&self) -> AwsException {
        let name = match self {
            Self::Unreachable(_) | Self::TimedOut | Self::NoKeyManager => ErrorName::XksProxyUriUnreachable,
            Self::Tls(_) => ErrorName::XksProxyInvalidConfiguration,
            Self::Unreadable(_) => ErrorName::XksProxyInvalidResponse,
            Self::Refused(refusal) => match refusal {
                Refusal::AuthenticationFailed => ErrorName::XksProxyIncorrectAuthenticationCredential,
                Refusal::Throttling | Refusal::Internal | Refusal::DependencyTimeout => ErrorName::XksProxyUriUnreachable,
                Refusal::AccessDenied
                | Refusal::InvalidUriPath
                | Refusal::InvalidState
                | Refusal::Validation
                | Refusal::InvalidCiphertext
                | Refusal::InvalidKeyUsage
                | Refusal::KeyNotFound
                | Refusal::Unsupported => ErrorName::XksProxyInvalidConfiguration,
            },
        };
        AwsException::new(name, self.to_string())
    }

    /// The `ConnectionErrorCode` of a connect.
    pub(crate) const fn connection_code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::NoKeyManager => "XKS_PROXY_NOT_REACHABLE",
            Self::TimedOut => "XKS_PROXY_TIMED_OUT",
            Self::Tls(_) => "XKS_PROXY_INVALID_TLS_CONFIGURATION",
            Self::Unreadable(_) => "XKS_PROXY_INVALID_RESPONSE",
            Self::Refused(refusal) => match refusal {
                Refusal::AuthenticationFailed => "INVALID_CREDENTIALS",
                Refusal::AccessDenied => "XKS_PROXY_ACCESS_DENIED",
                Refusal::Throttling | Refusal::Internal | Refusal::DependencyTimeout => "XKS_PROXY_NOT_REACHABLE",
                Refusal::InvalidUriPath
                | Refusal::InvalidState
                | Refusal::Validation
                | Refusal::InvalidCiphertext
                | Refusal::InvalidKeyUsage
                | Refusal::KeyNotFound
                | Refusal::Unsupported => "XKS_PROXY_INVALID_CONFIGURATION",
            },
        }
    }

    /// At `CreateKey`, for the external key's metadata.
    pub(super) fn at_key(&self) -> AwsException {
        let name = match self {
            Self::Refused(Refusal::KeyNotFound) => ErrorName::XksKeyNotFound,
            Self::Refused(Refusal::InvalidState | Refusal::InvalidKeyUsage) => ErrorName::XksKeyInvalidConfiguration,
            Self::Refused(
                Refusal::Validation
                | Refusal::InvalidCiphertext
                | Refusal::AuthenticationFailed
                | Refusal::AccessDenied
                | Refusal::InvalidUriPath
                | Refusal::Throttling
                | Refusal::Internal
                | Refusal::Unsupported
                | Refusal::DependencyTimeout,
            )
            | Self::Unreachable(_)
            | Self::Tls(_)
            | Self::TimedOut
            | Self::Unreadable(_)
            | Self::NoKeyManager => ErrorName::KmsInvalidState,
        };
        AwsException::new(name, self.to_string())
    }

    /// At `Encrypt`, `Decrypt` and their kin.
    pub(crate) fn at_crypto(&self) -> AwsException {
        let name = match self {
            Self::Refused(Refusal::InvalidCiphertext) => ErrorName::InvalidCiphertext,
            Self::Refused(
                Refusal::KeyNotFound
                | Refusal::InvalidState
                | Refusal::InvalidKeyUsage
                | Refusal::Validation
                | Refusal::AuthenticationFailed
                | Refusal::AccessDenied
                | Refusal::InvalidUriPath
                | Refusal::Throttling
                | Refusal::Internal
                | Refusal::Unsupported
                | Refusal::DependencyTimeout,
            )
            | Self::Unreachable(_)
            | Self::Tls(_)
            | Self::TimedOut
            | Self::Unreadable(_)
            | Self::NoKeyManager => ErrorName::KmsInvalidState,
        };
        AwsException::new(name, self.to_string())
    }
}

impl Refusal {
    const fn name(self) -> &'static str {
        match self {
            Self::Validation => "ValidationException",
            Self::InvalidState => "InvalidStateException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::AuthenticationFailed => "AuthenticationFailedException",
            Self::AccessDenied => "AccessDeniedException",
            Self::KeyNotFound => "KeyNotFoundException",
            Self::InvalidUriPath => "InvalidUriPathException",
            Self::Throttling => "ThrottlingException",
            Self::Internal => "InternalException",
            Self::Unsupported => "UnsupportedOperationException",
            Self::DependencyTimeout => "DependencyTimeoutException",
        }
    }

    const ALL: [Self; 12] = [
        Self::Validation,
        Self::InvalidState,
        Self::InvalidCiphertext,
        Self::InvalidKeyUsage,
        Self::AuthenticationFailed,
        Self::AccessDenied,
        Self::KeyNotFound,
        Self::InvalidUriPath,
        Self::Throttling,
        Self::Internal,
        Self::Unsupported,
        Self::DependencyTimeout,
    ];
}
