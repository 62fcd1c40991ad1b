//! Why a request is not authenticated. Operators see which; clients see one text for all.

/// Every reason for `AuthenticationFailedException` that lies in SigV4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// No `Authorization` header.
    #[error("no Authorization header")]
    NoAuthorization,
    /// More than one `Authorization` header.
    #[error("more than one Authorization header")]
    ManyAuthorizations,
    /// No `Host` header, and no `:authority` either.
    #[error("no host")]
    NoHost,
    /// More than one `Host` header.
    #[error("more than one Host header")]
    ManyHosts,
    /// A `Host` header that is not ASCII text.
    #[error("the Host header is malformed")]
    MalformedHost,
    /// A `Host` header that is not equal to `:authority`.
    #[error("the Host header differs from :authority")]
    HostMismatch,
    /// No `X-Amz-Date` header.
    #[error("no X-Amz-Date header")]
    NoDate,
    /// More than one `X-Amz-Date` header.
    #[error("more than one X-Amz-Date header")]
    ManyDates,
    /// `X-Amz-Date` is not `yyyymmddThhmmssZ`, or no such moment exists.
    #[error("X-Amz-Date is malformed")]
    MalformedDate,
    /// `Authorization` names another algorithm than `AWS4-HMAC-SHA256`.
    #[error("another signature algorithm")]
    WrongAlgorithm,
    /// `Authorization` lacks a parameter, or has an unknown or repeated one.
    #[error("the Authorization header is malformed")]
    MalformedAuthorization,
    /// The access key id is not 20 to 30 characters of `[A-Z2-7]`.
    #[error("the access key id is malformed")]
    MalformedAccessKey,
    /// The scope is not `yyyymmdd/region/service/aws4_request`.
    #[error("the credential scope is malformed")]
    MalformedScope,
    /// The signed headers are not lower-case names in ascending order, each once.
    #[error("the list of signed headers is malformed")]
    MalformedSignedHeaders,
    /// The signature is not 64 lower-case hexadecimal digits.
    #[error("the signature is malformed")]
    MalformedSignature,
    /// Neither `host` nor `:authority` is signed.
    #[error("the host is not signed")]
    HostNotSigned,
    /// `x-amz-date` is not signed.
    #[error("the date is not signed")]
    DateNotSigned,
    /// A header is listed as signed and is not there.
    #[error("a signed header is missing")]
    SignedHeaderMissing,
    /// The scope is for another service.
    #[error("the credential scope is for another service")]
    WrongService,
    /// The scope is for another region than the key store's.
    #[error("the credential scope is for another region")]
    WrongRegion,
    /// The scope's day is not the day of `X-Amz-Date`.
    #[error("the credential scope is for another day than the date")]
    WrongDay,
    /// The date is over five minutes before our clock.
    #[error("the date is too old")]
    TooOld,
    /// The date is over five minutes after our clock.
    #[error("the date is too far ahead")]
    TooNew,
    /// The key store has no live credential with this access key id. Found by the caller of this crate.
    #[error("unknown access key id")]
    UnknownAccessKey,
    /// The signature is another than the one that this request needs.
    #[error("the signature does not match")]
    WrongSignature,
}

impl AuthError {
    /// A fixed word for metrics and audit records. Never sent to a client.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoAuthorization => "auth_no_authorization",
            Self::ManyAuthorizations => "auth_many_authorizations",
            Self::NoHost => "auth_no_host",
            Self::ManyHosts => "auth_many_hosts",
            Self::MalformedHost => "auth_malformed_host",
            Self::HostMismatch => "auth_host_mismatch",
            Self::NoDate => "auth_no_date",
            Self::ManyDates => "auth_many_dates",
            Self::MalformedDate => "auth_malformed_date",
            Self::WrongAlgorithm => "auth_wrong_algorithm",
            Self::MalformedAuthorization => "auth_malformed_authorization",
            Self::MalformedAccessKey => "auth_malformed_access_key",
            Self::MalformedScope => "auth_malformed_scope",
            Self::MalformedSignedHeaders => "auth_malformed_signed_headers",
            Self::MalformedSignature => "auth_malformed_signature",
            Self::HostNotSigned => "auth_host_not_signed",
            Self::DateNotSigned => "auth_date_not_signed",
            Self::SignedHeaderMissing => "auth_signed_header_missing",
            Self::WrongService => "auth_wrong_service",
            Self::WrongRegion => "auth_wrong_region",
            Self::WrongDay => "auth_wrong_day",
            Self::TooOld => "auth_too_old",
            Self::TooNew => "auth_too_new",
            Self::UnknownAccessKey => "auth_unknown_access_key",
            Self::WrongSignature => "auth_wrong_signature",
        }
    }
}
