//! What AWS said when it did not do something.

use std::fmt;

use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata};
use aws_sdk_kms::operation::RequestId;
use aws_smithy_runtime_api::client::result::SdkError;

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
    /// AWS refused: asking again the same way can't help.
    Refused,
    /// AWS throttled, after all tries.
    Throttled,
    /// AWS answered with a fault of its own.
    Broken,
    /// AWS was not reached, or its answer not read. It may have done what it was asked.
    Unreached,
    /// There were no credentials to ask with.
    Credentials,
}

impl AwsError {
    /// How `call` ended, for `map_err`.
    pub fn of<E, R>(call: &'static str) -> impl FnOnce(SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + 'static,
        SdkError<E, R>: RequestId,
    {
        move |error| Self::read(call, &error)
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
            AwsFault::Refused | AwsFault::Throttled | AwsFault::Credentials => false,
        }
    }

    fn read<E, R>(call: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + 'static,
        SdkError<E, R>: RequestId,
    {
        let request_id = error.request_id().map(str::to_owned);
        let told = match error {
            SdkError::ServiceError(answer) => Some(answer.err()),
            _ => None,
        };
        match told {
            Some(told) => {
                let code = told.code().unwrap_or("UnknownError").to_owned();
                let message = told.message().unwrap_or_default().to_owned();
                Self { call, fault: fault(&code), code: Some(code), message, request_id }
            }
            None => {
                let message = DisplayErrorContext(error).to_string();
                let fault = if message.contains("redential") { AwsFault::Credentials } else { AwsFault::Unreached };
                Self { call, fault, code: None, message, request_id }
            }
        }
    }
}

fn fault(code: &str) -> AwsFault {
    match code {
        "ThrottlingException" | "Throttling" | "RequestLimitExceeded" | "TooManyRequestsException" => AwsFault::Throttled,
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "UnknownError"
        | "CloudHsmInternalFailureException"
        | "CloudHsmServiceException"
        | "KeyUnavailableException" => AwsFault::Broken,
        // So is a quota that is full (LimitExceededException): it does not empty by itself.
        _ => AwsFault::Refused,
    }
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

impl std::error::Error for AwsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_aws_refuses() {
        assert_eq!(fault("ThrottlingException"), AwsFault::Throttled);
        assert_eq!(fault("KMSInternalException"), AwsFault::Broken);
        for refused in ["LimitExceededException", "AccessDeniedException", "CustomKeyStoreInvalidStateException"] {
            assert_eq!(fault(refused), AwsFault::Refused, "{refused}");
        }
    }
}
