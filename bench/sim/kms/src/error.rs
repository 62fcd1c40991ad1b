//! The errors of AWS: one closed table of names with the HTTP status that each has, and the shape in which they are answered.
//!
//! Always holds: every refusal of this simulator is an [`AwsException`]; a name that a test injects need not be in the table.
//! Names and statuses are those of the API references of KMS, CloudHSM v2 and STS ("Errors", "Common Errors").

use std::borrow::Cow;

/// What AWS answers instead of a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub(crate) struct AwsException {
    name: Cow<'static, str>,
    status: u16,
    message: String,
}

impl AwsException {
    /// The exception of this name with a text for people.
    pub(crate) fn new(name: ErrorName, message: impl Into<String>) -> Self {
        let (status, name) = name.wire();
        Self { name: name.into(), status, message: message.into() }
    }

    /// A name that a test chose: with its own status where it is known, else 400.
    pub(crate) fn injected(name: &str) -> Self {
        let status = ErrorName::ALL.iter().map(|known| known.wire()).find(|(_, known)| *known == name).map_or(400, |(status, _)| status);
        Self { name: name.to_owned().into(), status, message: "This failure was asked for.".into() }
    }

    /// A parameter is wrong: `ValidationException`.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorName::Validation, message)
    }

    /// A required member is not there, in the words of AWS's own checks.
    pub(crate) fn missing(member: &str) -> Self {
        Self::invalid(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    }

    /// A number is out of its range, in the words of AWS's own checks.
    pub(crate) fn out_of_range(member: &str, value: i64, (least, most): (i64, i64)) -> Self {
        let bound = if value < least { format!("greater than or equal to {least}") } else { format!("less than or equal to {most}") };
        Self::invalid(format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must have value {bound}"
        ))
    }

    /// The name, as in `__type`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The HTTP status.
    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The text for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Every error name that the simulator answers of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorName {
    AccessDenied,
    AlreadyExists,
    CloudHsmClusterInUse,
    CloudHsmClusterInvalidConfiguration,
    CloudHsmClusterNotActive,
    CloudHsmClusterNotFound,
    CloudHsmClusterNotRelated,
    CloudHsmInvalidRequest,
    Conflict,
    CustomKeyStoreHasCmks,
    CustomKeyStoreInvalidState,
    CustomKeyStoreNameInUse,
    CustomKeyStoreNotFound,
    DependencyTimeout,
    Disabled,
    DryRunOperation,
    ExpiredImportToken,
    ExpiredToken,
    IncompleteSignature,
    IncorrectKey,
    IncorrectKeyMaterial,
    IncorrectTrustAnchor,
    InternalFailure,
    InvalidAliasName,
    InvalidArn,
    InvalidCiphertext,
    InvalidGrantToken,
    InvalidImportToken,
    InvalidKeyUsage,
    InvalidMarker,
    InvalidSignature,
    KeyUnavailable,
    KmsInternal,
    KmsInvalidMac,
    KmsInvalidSignature,
    KmsInvalidState,
    LimitExceeded,
    MalformedPolicyDocument,
    MissingAuthenticationToken,
    NotFound,
    Serialization,
    ServiceUnavailable,
    Tag,
    Throttling,
    UnknownOperation,
    UnrecognizedClient,
    UnsupportedOperation,
    Validation,
    XksKeyAlreadyInUse,
    XksKeyInvalidConfiguration,
    XksKeyNotFound,
    XksProxyIncorrectAuthenticationCredential,
    XksProxyInvalidConfiguration,
    XksProxyInvalidResponse,
    XksProxyUriEndpointInUse,
    XksProxyUriInUse,
    XksProxyUriUnreachable,
    XksProxyVpcEndpointServiceInUse,
    XksProxyVpcEndpointServiceInvalidConfiguration,
    XksProxyVpcEndpointServiceNotFound,
}

impl ErrorName {
    /// The HTTP status and the name.
    pub(crate) const fn wire(self) -> (u16, &'static str) {
        match self {
            Self::AccessDenied => (400, "AccessDeniedException"),
            Self::AlreadyExists => (400, "AlreadyExistsException"),
            Self::CloudHsmClusterInUse => (400, "CloudHsmClusterInUseException"),
            Self::CloudHsmClusterInvalidConfiguration => (400, "CloudHsmClusterInvalidConfigurationException"),
            Self::CloudHsmClusterNotActive => (400, "CloudHsmClusterNotActiveException"),
            Self::CloudHsmClusterNotFound => (400, "CloudHsmClusterNotFoundException"),
            Self::CloudHsmClusterNotRelated => (400, "CloudHsmClusterNotRelatedException"),
            Self::CloudHsmInvalidRequest => (400, "CloudHsmInvalidRequestException"),
            Self::Conflict => (400, "ConflictException"),
            Self::CustomKeyStoreHasCmks => (400, "CustomKeyStoreHasCMKsException"),
            Self::CustomKeyStoreInvalidState => (400, "CustomKeyStoreInvalidStateException"),
            Self::CustomKeyStoreNameInUse => (400, "CustomKeyStoreNameInUseException"),
            Self::CustomKeyStoreNotFound => (400, "CustomKeyStoreNotFoundException"),
            Self::DependencyTimeout => (503, "DependencyTimeoutException"),
            Self::Disabled => (400, "DisabledException"),
            Self::DryRunOperation => (400, "DryRunOperationException"),
            Self::ExpiredImportToken => (400, "ExpiredImportTokenException"),
            Self::ExpiredToken => (400, "ExpiredTokenException"),
            Self::IncompleteSignature => (400, "IncompleteSignatureException"),
            Self::IncorrectKey => (400, "IncorrectKeyException"),
            Self::IncorrectKeyMaterial => (400, "IncorrectKeyMaterialException"),
            Self::IncorrectTrustAnchor => (400, "IncorrectTrustAnchorException"),
            Self::InternalFailure => (500, "InternalFailure"),
            Self::InvalidAliasName => (400, "InvalidAliasNameException"),
            Self::InvalidArn => (400, "InvalidArnException"),
            Self::InvalidCiphertext => (400, "InvalidCiphertextException"),
            Self::InvalidGrantToken => (400, "InvalidGrantTokenException"),
            Self::InvalidImportToken => (400, "InvalidImportTokenException"),
            Self::InvalidKeyUsage => (400, "InvalidKeyUsageException"),
            Self::InvalidMarker => (400, "InvalidMarkerException"),
            Self::InvalidSignature => (400, "InvalidSignatureException"),
            Self::KeyUnavailable => (500, "KeyUnavailableException"),
            Self::KmsInternal => (500, "KMSInternalException"),
            Self::KmsInvalidMac => (400, "KMSInvalidMacException"),
            Self::KmsInvalidSignature => (400, "KMSInvalidSignatureException"),
            Self::KmsInvalidState => (400, "KMSInvalidStateException"),
            Self::LimitExceeded => (400, "LimitExceededException"),
            Self::MalformedPolicyDocument => (400, "MalformedPolicyDocumentException"),
            Self::MissingAuthenticationToken => (400, "MissingAuthenticationTokenException"),
            Self::NotFound => (400, "NotFoundException"),
            Self::Serialization => (400, "SerializationException"),
            Self::ServiceUnavailable => (503, "ServiceUnavailable"),
            Self::Tag => (400, "TagException"),
            Self::Throttling => (400, "ThrottlingException"),
            Self::UnknownOperation => (400, "UnknownOperationException"),
            Self::UnrecognizedClient => (400, "UnrecognizedClientException"),
            Self::UnsupportedOperation => (400, "UnsupportedOperationException"),
            Self::Validation => (400, "ValidationException"),
            Self::XksKeyAlreadyInUse => (400, "XksKeyAlreadyInUseException"),
            Self::XksKeyInvalidConfiguration => (400, "XksKeyInvalidConfigurationException"),
            Self::XksKeyNotFound => (400, "XksKeyNotFoundException"),
            Self::XksProxyIncorrectAuthenticationCredential => (400, "XksProxyIncorrectAuthenticationCredentialException"),
            Self::XksProxyInvalidConfiguration => (400, "XksProxyInvalidConfigurationException"),
            Self::XksProxyInvalidResponse => (400, "XksProxyInvalidResponseException"),
            Self::XksProxyUriEndpointInUse => (400, "XksProxyUriEndpointInUseException"),
            Self::XksProxyUriInUse => (400, "XksProxyUriInUseException"),
            Self::XksProxyUriUnreachable => (400, "XksProxyUriUnreachableException"),
            Self::XksProxyVpcEndpointServiceInUse => (400, "XksProxyVpcEndpointServiceInUseException"),
            Self::XksProxyVpcEndpointServiceInvalidConfiguration => (400, "XksProxyVpcEndpointServiceInvalidConfigurationException"),
            Self::XksProxyVpcEndpointServiceNotFound => (400, "XksProxyVpcEndpointServiceNotFoundException"),
        }
    }

    const ALL: [Self; 60] = [
        Self::AccessDenied,
        Self::AlreadyExists,
        Self::CloudHsmClusterInUse,
        Self::CloudHsmClusterInvalidConfiguration,
        Self::CloudHsmClusterNotActive,
        Self::CloudHsmClusterNotFound,
        Self::CloudHsmClusterNotRelated,
        Self::CloudHsmInvalidRequest,
        Self::Conflict,
        Self::CustomKeyStoreHasCmks,
        Self::CustomKeyStoreInvalidState,
        Self::CustomKeyStoreNameInUse,
        Self::CustomKeyStoreNotFound,
        Self::DependencyTimeout,
        Self::Disabled,
        Self::DryRunOperation,
        Self::ExpiredImportToken,
        Self::ExpiredToken,
        Self::IncompleteSignature,
        Self::IncorrectKey,
        Self::IncorrectKeyMaterial,
        Self::IncorrectTrustAnchor,
        Self::InternalFailure,
        Self::InvalidAliasName,
        Self::InvalidArn,
        Self::InvalidCiphertext,
        Self::InvalidGrantToken,
        Self::InvalidImportToken,
        Self::InvalidKeyUsage,
        Self::InvalidMarker,
        Self::InvalidSignature,
        Self::KeyUnavailable,
        Self::KmsInternal,
        Self::KmsInvalidMac,
        Self::KmsInvalidSignature,
        Self::KmsInvalidState,
        Self::LimitExceeded,
        Self::MalformedPolicyDocument,
        Self::MissingAuthenticationToken,
        Self::NotFound,
        Self::Serialization,
        Self::ServiceUnavailable,
        Self::Tag,
        Self::Throttling,
        Self::UnknownOperation,
        Self::UnrecognizedClient,
        Self::UnsupportedOperation,
        Self::Validation,
        Self::XksKeyAlreadyInUse,
        Self::XksKeyInvalidConfiguration,
        Self::XksKeyNotFound,
        Self::XksProxyIncorrectAuthenticationCredential,
        Self::XksProxyInvalidConfiguration,
        Self::XksProxyInvalidResponse,
        Self::XksProxyUriEndpointInUse,
        Self::XksProxyUriInUse,
        Self::XksProxyUriUnreachable,
        Self::XksProxyVpcEndpointServiceInUse,
        Self::XksProxyVpcEndpointServiceInvalidConfiguration,
        Self::XksProxyVpcEndpointServiceNotFound,
    ];
}
