//! What AWS said when it did not do something.

use std::{error::Error, fmt};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::{error::ProvideErrorMetadata, operation::RequestId};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};

use super::WrongAccount;

/// AWS did not do something: which call, and AWS's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsError {
    /// The call, as in `KMS CreateKey`.
    pub call: &'static str,
    /// What kind of failure.
    pub fault: AwsFault,
    /// AWS's name of the error, as in `CustomKeyStoreInvalidStateException`; none: AWS did not answer.
    pub code: Option<String>,
    /// AWS's words, or what kept it from answering.
    pub message: String,
    /// AWS's id of the request, for its support.
    pub request_id: Option<String>,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsFault {
    /// AWS refused, or it could not even be asked so: asking again the same way can't help.
    Refused,
    /// AWS throttled, after all tries.
    Throttled,
    /// AWS answered with a fault of its own.
    Broken,
    /// AWS was not reached, or its answer not read. It may have done what it was asked.
    Unreached,
    /// There were no credentials to ask with, or AWS does not take them: it was not done.
    Credentials,
    /// It is not known now whose the credentials are to ask with, so that nothing was asked: it was not done, and may go another time.
    Unasked,
}

impl AwsError {
    /// How `call` ended, for `map_err`.
    pub fn of<E>(call: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        move |error| Self::unasked(call, &error).unwrap_or_else(|| Self::read(call, &error))
    }

    /// It is AWS's error of this name.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// AWS may have done what it was asked.
    #[must_use]
    pub const fn may_be_done(&self) -> bool {
        match self.fault {
            AwsFault::Broken | AwsFault::Unreached => true,
            AwsFault::Refused | AwsFault::Throttled | AwsFault::Credentials | AwsFault::Unasked => false,
        }
    }

    /// The service itself was asked: what is refused otherwise it never heard of.
    #[must_use]
    pub const fn was_asked(&self) -> bool {
        match self.fault {
            AwsFault::Refused | AwsFault::Throttled | AwsFault::Broken | AwsFault::Unreached => true,
            AwsFault::Credentials | AwsFault::Unasked => false,
        }
    }

    /// Why there were no credentials to ask with, where that is known: they are of another account, or STS did not tell of which.
    fn unasked(call: &'static str, error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(wrong) = error.downcast_ref::<WrongAccount>() {
                let message = format!("not asked, since {wrong}");
                return Some(Self { call, fault: AwsFault::Credentials, code: None, message, request_id: None });
            }
            if let Some(of_sts) = error.downcast_ref::<Self>() {
                // What was meant for another was not asked of it.
                let fault = match of_sts.fault {
                    AwsFault::Refused | AwsFault::Credentials => AwsFault::Credentials,
                    AwsFault::Throttled => AwsFault::Throttled,
                    AwsFault::Broken | AwsFault::Unreached | AwsFault::Unasked => AwsFault::Unasked,
                };
                return Some(Self { fault, ..of_sts.clone() });
            }
            // What a role is given to ask with may come in a moment; that it is refused one is told below.
            if let Some(of_role) = error.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
                let of_role = Self::read("STS AssumeRole", of_role);
                match of_role.fault {
                    AwsFault::Throttled => return Some(of_role),
                    AwsFault::Broken | AwsFault::Unreached | AwsFault::Unasked => {
                        return Some(Self { fault: AwsFault::Unasked, ..of_role });
                    }
                    AwsFault::Refused | AwsFault::Credentials => {}
                }
            }
            cause = error.source();
        }
        None
    }

    fn read<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let request_id = error.request_id().map(str::to_owned);
        let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
        let fault = match error {
            SdkError::ServiceError(answer) => {
                let told = answer.err();
                let fault = answered(told.code(), status);
                let code = Some(told.code().unwrap_or("UnknownError").to_owned());
                return Self { call, fault, code, message: told.message().unwrap_or_default().to_owned(), request_id };
            }
            _ if lacks_credentials(error) => AwsFault::Credentials,
            SdkError::ConstructionFailure(_) => AwsFault::Refused,
            SdkError::ResponseError(_) if status == TOO_MANY_REQUESTS => AwsFault::Throttled,
            // Of what is new to the SDK nothing is known.
            _ => AwsFault::Unreached,
        };
        Self { call, fault, code: None, message: chain(error), request_id }
    }
}

/// What an answer means that AWS gave by this name and HTTP status. Names are known first: some services throttle, or tell of their faults, by
/// status 400.
fn answered(code: Option<&str>, status: u16) -> AwsFault {
    let Some(code) = code else {
        // Whoever stands between may have answered, before AWS did it or after.
        return if status == TOO_MANY_REQUESTS { AwsFault::Throttled } else { AwsFault::Broken };
    };
    match code {
        "ThrottlingException" | "Throttling" | "RequestLimitExceeded" | "TooManyRequestsException" => AwsFault::Throttled,
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "CloudHsmInternalFailureException"
        | "CloudHsmServiceException"
        | "KeyUnavailableException" => AwsFault::Broken,
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => AwsFault::Credentials,
        _ if status == TOO_MANY_REQUESTS => AwsFault::Throttled,
        _ if status >= FAULTS => AwsFault::Broken,
        // So is a quota that is full (LimitExceededException): it does not empty by itself.
        _ => AwsFault::Refused,
    }
}

/// An error and its causes in their own words: what they hold besides is for nobody who reads this.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AWS {}: ", self.call)?;
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request id {id})")?;
        }
        Ok(())
    }
}

impl Error for AwsError {}

/// Statuses from here on are faults of the one who answers (RFC 9110 §15.6).
const FAULTS: u16 = 500;
/// RFC 6585 §4.
const TOO_MANY_REQUESTS: u16 = 429;

#[cfg(test)]
mod tests {
    use std::io;

    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
    use aws_sdk_kms::{
        Client, Config,
        config::{BehaviorVersion, Region},
        error::{ConnectorError, ErrorMetadata},
        operation::describe_key::DescribeKeyError,
    };

    use super::*;

    type Failed = SdkError<DescribeKeyError, HttpResponse>;

    #[derive(Debug)]
    struct Without;

    impl ProvideCredentials for Without {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("there are none")))
        }
    }

    fn response(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().unwrap(), "".into())
    }

    fn fault(error: &Failed) -> AwsFault {
        AwsError::read("KMS DescribeKey", error).fault
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_aws_refuses_by_name_and_by_status() {
        let table = [
            (Some("ThrottlingException"), 400, AwsFault::Throttled),
            (Some("SlowDown"), 429, AwsFault::Throttled),
            (None, 429, AwsFault::Throttled),
            (Some("KMSInternalException"), 500, AwsFault::Broken),
            (Some("ServiceUnavailable"), 400, AwsFault::Broken),
            (Some("SomethingNewException"), 500, AwsFault::Broken),
            (Some("SomethingNewException"), 503, AwsFault::Broken),
            (None, 502, AwsFault::Broken),
            (None, 403, AwsFault::Broken),
            (Some("SomethingNewException"), 400, AwsFault::Refused),
            (Some("LimitExceededException"), 400, AwsFault::Refused),
            (Some("AccessDeniedException"), 400, AwsFault::Refused),
            (Some("UnrecognizedClientException"), 400, AwsFault::Credentials),
            (Some("ExpiredTokenException"), 400, AwsFault::Credentials),
            (Some("CustomKeyStoreInvalidStateException"), 400, AwsFault::Refused),
        ];
        for (name, status, expected) in table {
            let mut told = ErrorMetadata::builder();
            if let Some(name) = name {
                told = told.code(name);
            }
            let error = Failed::service_error(DescribeKeyError::generic(told.build()), response(status));
            assert_eq!(fault(&error), expected, "{name:?} {status}");
        }
    }

    #[test]
    fn what_was_not_answered_may_be_done_unless_it_was_never_sent() {
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        let sent = [
            Failed::timeout_error(broken()),
            Failed::dispatch_failure(ConnectorError::io(broken().into())),
            Failed::response_error("not to be read", response(200)),
        ];
        for error in &sent {
            assert!(AwsError::read("KMS DescribeKey", error).may_be_done(), "{error:?}");
        }
        let text = AwsError::read("KMS DescribeKey", &sent[2]).message;
        assert!(text.contains("not to be read") && !text.contains('{') && !text.contains("Response"), "{text}");
        // The word alone is no reason.
        let text = Failed::dispatch_failure(ConnectorError::other("the Credential of the proxy is wrong".into(), None));
        assert_eq!(fault(&text), AwsFault::Unreached);
        assert_eq!(fault(&Failed::construction_failure("a key id is needed")), AwsFault::Refused);
        assert_eq!(fault(&Failed::response_error("not to be read", response(429))), AwsFault::Throttled);
    }

    #[tokio::test]
    async fn a_call_without_credentials_was_not_sent_and_says_so() {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .credentials_provider(SharedCredentialsProvider::new(Without))
            .build();
        let asked = Client::from_conf(config).list_keys().send().await;
        let error = asked.map_err(AwsError::of("KMS ListKeys")).unwrap_err();
        assert_eq!((error.fault, &error.code, error.may_be_done()), (AwsFault::Credentials, &None, false), "{error}");
        assert!(error.message.contains("there are none"), "{error}");
    }
}
