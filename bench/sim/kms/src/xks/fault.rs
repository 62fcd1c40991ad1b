//! What can go wrong with a proxy, and what AWS KMS makes of it: three tables, for the three places where it is told.
//!
//! Always holds: a cryptographic operation fails with `KMSInvalidStateException` for all that goes wrong with a proxy, a ciphertext that it
//! does not take included, told apart by the text. Sources: Developer Guide, "Troubleshooting external key stores"; where it is silent, the
//! specification, "Error codes".

use crate::error::{AwsException, ErrorName};

/// What went wrong with a proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// No connection, or it broke.
    #[error(
        "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error \
         repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct \
         in your external key store. ({0})"
    )]
    Unreachable(String),
    /// No TLS connection.
    #[error(
        "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate. \
         ({0})"
    )]
    Tls(String),
    /// No answer within 250 ms, twice.
    #[error(
        "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error \
         repeatedly, report it to your external key store proxy administrator."
    )]
    TimedOut,
    /// An error of the specification.
    #[error("The external key store proxy {0}")]
    Refused(Refusal),
    /// Not what the specification allows.
    #[error(
        "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external \
         key store proxy administrator. ({0})"
    )]
    Unreadable(String),
    /// Its health says that no key manager is available.
    #[error(
        "The external key store proxy is in an unhealthy state. If you see this message repeatedly, notify your external key store proxy \
         administrator."
    )]
    NoKeyManager,
    /// KMS can't open what the proxy decrypted.
    #[error(
        "The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or \
         otherwise invalid."
    )]
    NotOurs,
}

/// The error names of the specification, "Error codes", but for `ValidationException`: KMS takes its own requests for right, and can't interpret
/// that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("rejected the request because the external key is not enabled in the external key manager.")]
    InvalidState,
    #[error(
        "rejected the request because the specified ciphertext or additional authenticated data is corrupted, missing, or otherwise invalid."
    )]
    InvalidCiphertext,
    #[error("rejected the request because the external key does not support the requested operation.")]
    InvalidKeyUsage,
    #[error(
        "rejected the request because it could not authenticate AWS KMS. Verify the credentials for your external key store and update if \
         necessary."
    )]
    AuthenticationFailed,
    #[error(
        "denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request \
         again."
    )]
    AccessDenied,
    #[error("rejected the request because it could not find the external key.")]
    KeyNotFound,
    #[error(
        "rejected the request because of an invalid URI path. Verify the URI path for your external key store and update if necessary."
    )]
    InvalidUriPath,
    #[error("rejected the request because of a very high request rate.")]
    Throttling,
    #[error("is in an unhealthy state. If you see this message repeatedly, notify your external key store proxy administrator.")]
    Internal,
    #[error("rejected the request because it does not support the requested cryptographic operation.")]
    Unsupported,
    #[error(
        "did not respond to the request in the time allotted. Retry the request. If you see this error repeatedly, report it to your external \
         key store proxy administrator."
    )]
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
            Self::Unreadable(_) | Self::NotOurs => ErrorName::XksProxyInvalidResponse,
            Self::Refused(refusal) => match refusal {
                Refusal::AuthenticationFailed => ErrorName::XksProxyIncorrectAuthenticationCredential,
                Refusal::Throttling | Refusal::Internal | Refusal::DependencyTimeout => ErrorName::XksProxyUriUnreachable,
                Refusal::AccessDenied
                | Refusal::InvalidUriPath
                | Refusal::InvalidState
                | Refusal::InvalidCiphertext
                | Refusal::InvalidKeyUsage
                | Refusal::KeyNotFound => ErrorName::XksProxyInvalidConfiguration,
                Refusal::Unsupported => ErrorName::UnsupportedOperation,
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
            Self::Unreadable(_) | Self::NotOurs => "XKS_PROXY_INVALID_RESPONSE",
            Self::Refused(refusal) => match refusal {
                Refusal::AuthenticationFailed => "INVALID_CREDENTIALS",
                Refusal::AccessDenied => "XKS_PROXY_ACCESS_DENIED",
                Refusal::Throttling | Refusal::Internal | Refusal::DependencyTimeout => "XKS_PROXY_NOT_REACHABLE",
                Refusal::InvalidUriPath
                | Refusal::InvalidState
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
                Refusal::InvalidCiphertext
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
            | Self::NoKeyManager
            | Self::NotOurs => ErrorName::CustomKeyStoreInvalidState,
        };
        AwsException::new(name, self.to_string())
    }

    /// At `Encrypt`, `Decrypt` and their kin.
    pub(crate) fn at_crypto(&self) -> AwsException {
        AwsException::new(ErrorName::KmsInvalidState, self.to_string())
    }
}

impl Refusal {
    const fn name(self) -> &'static str {
        match self {
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

    const ALL: [Self; 11] = [
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
