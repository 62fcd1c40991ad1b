//! STS: who am I, and temporary access keys of roles. The query protocol: form in, XML out.
//!
//! Always holds: error names are the query protocol's own where they differ from the JSON services' (`InvalidClientTokenId`).

use std::{collections::BTreeMap, time::SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    call::{Call, required},
    draw,
    error::{AwsException, ErrorName},
    state::Session,
};

/// The members of a form.
pub(crate) type Form = BTreeMap<String, String>;

/// Answers a call of STS with its XML.
///
/// # Errors
/// What the operation fails with.
pub(crate) fn answer(call: &Call, form: &Form) -> Result<String, AwsException> {
    let result = match call.operation.as_str() {
        "GetCallerIdentity" => caller_identity(call),
        "AssumeRole" => assume_role(call, form)?,
        other => {
            return Err(AwsException::new(ErrorName::UnknownOperation, format!("Could not find operation {other} for version 2011-06-15")));
        }
    };
    let (operation, id) = (&call.operation, call.request_id);
    Ok(format!(
        "<{operation}Response xmlns=\"{NAMESPACE}\"><{operation}Result>{result}</{operation}Result>\
         <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
    ))
}

/// The status and the XML of an error.
pub(crate) fn refusal(error: &AwsException, request_id: uuid::Uuid) -> (u16, String) {
    let (status, code) = match error.name() {
        "MissingAuthenticationTokenException" => (403, "MissingAuthenticationToken"),
        "UnrecognizedClientException" => (403, "InvalidClientTokenId"),
        "InvalidSignatureException" => (403, "SignatureDoesNotMatch"),
        "ExpiredTokenException" => (403, "ExpiredToken"),
        "IncompleteSignatureException" => (400, "IncompleteSignature"),
        "ValidationException" => (400, "ValidationError"),
        "ThrottlingException" => (400, "Throttling"),
        "UnknownOperationException" => (400, "InvalidAction"),
        "AccessDeniedException" => (403, "AccessDenied"),
        other => (error.status(), other),
    };
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let (code, message) = (escaped(code), escaped(error.message()));
    let body = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>"
    );
    (status, body)
}

fn caller_identity(call: &Call) -> String {
    let (arn, id, account) = (escaped(&call.caller.arn), escaped(&call.caller.user_id), call.account());
    format!("<Arn>{arn}</Arn><UserId>{id}</UserId><Account>{account}</Account>")
}

/// Any role of the account may be assumed; the external id is kept, so that a test can see it.
fn assume_role(call: &Call, form: &Form) -> Result<String, AwsException> {
    let arn = required(form.get("RoleArn"), "roleArn")?;
    let name = required(form.get("RoleSessionName"), "roleSessionName")?;
    if !matches!(arn.splitn(6, ':').collect::<Vec<_>>()[..], ["arn", part, service, _, _, name] if ![part, service, name].contains(&"")) {
        return Err(AwsException::invalid(format!("{arn} is invalid")));
    }
    let prefix = format!("arn:aws:iam::{}:role/", call.account());
    let Some(role) = arn.strip_prefix(&prefix).filter(|role| !role.is_empty()) else {
        let who = &call.caller.arn;
        return Err(AwsException::new(
            ErrorName::AccessDenied,
            format!("User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}"),
        ));
    };
    let fits = |text: &str, most: usize, others: &[u8]| {
        (2..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || others.contains(&b))
    };
    if !fits(name, 64, b"_+=,.@-") {
        return Err(AwsException::invalid(format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must have 2 to 64 characters and \
             satisfy regular expression pattern: [\\w+=,.@-]*"
        )));
    }
    if form.get("ExternalId").is_some_and(|id| !fits(id, 1224, b"_+=,.@:/-")) {
        return Err(AwsException::invalid("ExternalId has 2 to 1224 characters of [A-Za-z0-9_+=,.@:/-]."));
    }
    let seconds = form.get("DurationSeconds").map_or(Ok(3600), |text| text.parse::<u32>());
    let Some(seconds) = seconds.ok().filter(|seconds| (900..=43_200).contains(seconds)) else {
        return Err(AwsException::invalid("DurationSeconds is 900 to 43200."));
    };
    // A role that a role assumes.
    if call.caller.arn != call.caller.principal && seconds > MOST_CHAINED_SECONDS {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.";
        return Err(AwsException::invalid(text));
    }
    let expires = OffsetDateTime::from(SystemTime::now()) + time::Duration::seconds(seconds.into());
    let expires = expires.replace_nanosecond(0).unwrap_or(expires);
    let id = draw::access_key_id("ASIA");
    let role_name = role.rsplit('/').next().unwrap_or(role);
    let session = Session {
        secret_access_key: draw::secret_access_key(),
        session_token: draw::hex::<64>(),
        arn: format!("arn:aws:sts::{}:assumed-role/{role_name}/{name}", call.account()),
        user_id: format!("{ROLE_ID}:{name}"),
        role_arn: Some(arn.clone()),
        external_id: form.get("ExternalId").cloned(),
        expires_ms: expires.unix_timestamp().saturating_mul(1000),
    };
    let shown = expires.format(&Rfc3339).unwrap_or_default();
    let xml = format!(
        "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{shown}</Expiration></Credentials>\
         <AssumedRoleUser><Arn>{}</Arn><AssumedRoleId>{}</AssumedRoleId></AssumedRoleUser>",
        session.secret_access_key,
        session.session_token,
        escaped(&session.arn),
        escaped(&session.user_id),
    );
    let now_ms = OffsetDateTime::from(SystemTime::now()).unix_timestamp().saturating_mul(1000);
    call.shared.change(|state| {
        state.sessions.retain(|_, session| session.expires_ms > now_ms);
        state.sessions.insert(id, session);
        Ok(())
    })?;
    Ok(xml)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const MOST_CHAINED_SECONDS: u32 = 3600;
const ROLE_ID: &str = "AROASIMULATOR7AAAAAAA";
