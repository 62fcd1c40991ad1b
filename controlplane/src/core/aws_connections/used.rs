//! How AWS last answered by a connection.
//!
//! Always holds: only calls that were really made tell, and of those only what says something of the connection: that AWS throttles, has a
//! fault of its own or refuses one call does not. It is a note, and moves no revision.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{
    access::{Permit, Right},
    aws::{AwsError, AwsFault},
    clock::now_ns,
    core::{Core, CoreError},
    store::entry::{ConnectionUsedEntry, Entry},
};

impl Core {
    /// How AWS last answered by the connections that were used, by their ids.
    ///
    /// # Errors
    /// [`CoreError::Read`].
    pub async fn connections_used<R: Right>(&self, _permit: &Permit<R>) -> Result<BTreeMap<Uuid, ConnectionUsedEntry>, CoreError> {
        Ok(self.view().await?.connections_used()?.into_iter().map(|used| (used.connection, used)).collect())
    }

    /// Notes how a call by a connection ended that needs no more than to be known to AWS and to be let list.
    pub(in crate::core) fn note_connection(&self, connection: Uuid, failure: Option<&AwsError>) {
        let failure = match failure {
            None => None,
            Some(error) if is_of_connection(error) => Some(error.to_string()),
            Some(_) => return,
        };
        let used = ConnectionUsedEntry { connection, at_ns: now_ns(), failure };
        if let Err(error) = self.store.note(vec![Entry::ConnectionUsed(used)]) {
            tracing::warn!(error = &error as &dyn std::error::Error, %connection, "how AWS answered by a connection was not noted");
        }
    }
}

/// Whether it is the connection that does not do.
fn is_of_connection(error: &AwsError) -> bool {
    match error.fault {
        AwsFault::Unreached | AwsFault::Credentials | AwsFault::Unasked => true,
        AwsFault::Refused => error.code.as_deref().is_some_and(|code| NOT_LET_IN.contains(&code)),
        AwsFault::Throttled | AwsFault::Broken => false,
    }
}

/// Common errors of AWS (KMS and STS API references), also as services with JSON spell them.
const NOT_LET_IN: [&str; 14] = [
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_the_connection_s_fault_counts_against_it() {
        let failure = |fault, code: Option<&str>| AwsError {
            call: "KMS ListKeys",
            fault,
            code: code.map(str::to_owned),
            message: String::new(),
            request_id: None,
        };
        for (fault, code, counts) in [
            (AwsFault::Unreached, None, true),
            (AwsFault::Credentials, None, true),
            (AwsFault::Unasked, None, true),
            (AwsFault::Refused, Some("UnrecognizedClientException"), true),
            (AwsFault::Refused, Some("NotFoundException"), false),
            (AwsFault::Throttled, Some("ThrottlingException"), false),
            (AwsFault::Broken, Some("KMSInternalException"), false),
        ] {
            assert_eq!(is_of_connection(&failure(fault, code)), counts, "{fault:?} {code:?}");
        }
    }
}
