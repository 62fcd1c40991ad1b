//! Who calls: Signature Version 4, checked by signing the request again with `aws-sigv4` and comparing.
//!
//! Always holds: only [`verify`] makes a [`Caller`]; what is signed again are exactly the headers that the client says it signed.
//! Source: AWS General Reference, "Signature Version 4"; errors as in "Common Errors" of the KMS API reference.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_smithy_runtime_api::client::identity::Identity;
use http::{HeaderMap, request::Parts};
use time::{PrimitiveDateTime, macros::format_description};

use crate::{
    error::{AwsException, ErrorName},
    shared::Shared,
};

/// Who calls, and where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) arn: String,
    /// `aws:PrincipalArn`: the user, or of a session its role.
    pub(crate) principal: String,
    pub(crate) user_id: String,
    /// Of the signature's scope.
    pub(crate) region: String,
}

/// Finds out who calls.
///
/// # Errors
/// `MissingAuthenticationTokenException`: unsigned. `IncompleteSignatureException`: malformed. `InvalidSignatureException`: for another
/// service, out of time, of less than has to be signed, or not made with the key's secret. `UnrecognizedClientException`: no such access key or
/// session, or another's token. `ExpiredTokenException`: a session is over.
pub(crate) fn verify(shared: &Shared, head: &Parts, body: &[u8], service: &str) -> Result<Caller, AwsException> {
    let Some(authorization) = text(&head.headers, "authorization") else {
        return Err(AwsException::new(ErrorName::MissingAuthenticationToken, "Missing Authentication Token"));
    };
    if let Some(twice) = ONCE.iter().find(|name| head.headers.get_all(**name).iter().nth(1).is_some()) {
        return Err(incomplete(&format!("There is more than one {twice} header.")));
    }
    let claimed =
        Claimed::parse(authorization).ok_or_else(|| incomplete("The Authorization header is not as Signature Version 4 has it."))?;
    if claimed.service != service {
        return Err(refused(&format!("Credential should be scoped to correct service: '{service}'. ")));
    }
    let date = text(&head.headers, "x-amz-date").ok_or_else(|| incomplete("There is no x-amz-date header."))?;
    let at = moment(date).ok_or_else(|| incomplete("The x-amz-date is malformed."))?;
    if date.get(..8) != Some(claimed.day) {
        let day = claimed.day;
        return Err(refused(&format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' != '{date}'."
        )));
    }
    if [at.duration_since(SystemTime::now()), SystemTime::now().duration_since(at)].iter().flatten().any(|off| *off > MAX_SKEW) {
        return Err(refused(&format!("Signature expired: {date} is not within 5 min. of the server's time")));
    }
    let key = key(shared, claimed.access_key_id, text(&head.headers, "x-amz-security-token"))?;
    claimed.covers(&head.headers)?;
    let again = signed_again(head, body, &claimed, (&key, at)).ok_or_else(|| refused("The request can't be signed."))?;
    if verify_slices_are_equal(again.as_bytes(), claimed.signature.as_bytes()).is_err() {
        return Err(refused(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and \
             signing method. Consult the service documentation for details.",
        ));
    }
    Ok(Caller { arn: key.arn, principal: key.principal, user_id: key.user_id, region: claimed.region.to_owned() })
}

/// What an access key belongs to.
struct KeyOwner {
    credentials: Credentials,
    arn: String,
    principal: String,
    user_id: String,
}

/// What the `Authorization` header claims.
struct Claimed<'h> {
    access_key_id: &'h str,
    day: &'h str,
    region: &'h str,
    service: &'h str,
    signed_headers: &'h str,
    signature: &'h str,
}

impl<'h> Claimed<'h> {
    fn parse(header: &'h str) -> Option<Self> {
        let mut parts = header.strip_prefix("AWS4-HMAC-SHA256")?.split(',').map(str::trim);
        let mut next = |name: &str| parts.next()?.strip_prefix(name);
        let mut scope = next("Credential=")?.split('/');
        let (access_key_id, day, region, service) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
        let ends = scope.next() == Some("aws4_request") && scope.next().is_none();
        let (signed_headers, signature) = (next("SignedHeaders=")?, next("Signature=")?);
        ends.then_some(Self { access_key_id, day, region, service, signed_headers, signature })
    }

    /// Fails unless what has to be signed is said to be: the host, and every header of AWS's own.
    fn covers(&self, headers: &HeaderMap) -> Result<(), AwsException> {
        let signed: BTreeSet<_> = self.signed_headers.split(';').collect();
        let of_aws = headers.keys().map(http::HeaderName::as_str).filter(|name| name.starts_with("x-amz-"));
        match ["host", "x-amz-date"].into_iter().chain(of_aws).find(|name| !signed.contains(name)) {
            None => Ok(()),
            Some(name) => Err(refused(&format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))),
        }
    }
}

fn key(shared: &Shared, id: &str, token: Option<&str>) -> Result<KeyOwner, AwsException> {
    let settings = &shared.settings;
    let unknown = || AwsException::new(ErrorName::UnrecognizedClient, "The security token included in the request is invalid.");
    if id == settings.access_key_id {
        // A token that was left over from a session is none of this key's.
        if token.is_some() {
            return Err(unknown());
        }
        let credentials = Credentials::new(id, settings.secret_access_key.as_str(), None, None, "simulator");
        let arn = format!("arn:aws:iam::{}:user/{USER}", settings.account_id);
        return Ok(KeyOwner { credentials, principal: arn.clone(), arn, user_id: USER_ID.into() });
    }
    let session = shared.look(|state| state.sessions.get(id).cloned()).ok_or_else(unknown)?;
    if token != Some(session.session_token.as_str()) {
        return Err(unknown());
    }
    let real_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    if u128::try_from(session.expires_ms).unwrap_or(0) <= real_ms {
        return Err(AwsException::new(ErrorName::ExpiredToken, "The security token included in the request is expired"));
    }
    let credentials = Credentials::new(id, session.secret_access_key, Some(session.session_token), None, "simulator");
    let principal = session.role_arn.unwrap_or_else(|| session.arn.clone());
    Ok(KeyOwner { credentials, principal, arn: session.arn, user_id: session.user_id })
}

/// The signature that this key gives to the headers that were signed; `None` where they can't be.
fn signed_again(head: &Parts, body: &[u8], claimed: &Claimed<'_>, (key, at): (&KeyOwner, SystemTime)) -> Option<String> {
    let names: BTreeSet<_> = claimed.signed_headers.split(';').collect();
    let mut settings = SigningSettings::default();
    settings.excluded_headers = None;
    let identity: Identity = key.credentials.clone().into();
    let params =
        SigningParams::builder().identity(&identity).region(claimed.region).name(claimed.service).time(at).settings(settings).build();
    // Those two the signer adds itself.
    let pairs = head.headers.iter().filter(|(name, _)| names.contains(name.as_str()) && !ADDED.contains(&name.as_str()));
    let pairs: Option<Vec<_>> = pairs.map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let uri = format!("http://{}{}", text(&head.headers, "host")?, head.uri);
    let request = SignableRequest::new(head.method.as_str(), uri, pairs?.into_iter(), SignableBody::Bytes(body)).ok()?;
    Some(sign(request, &params.ok()?.into()).ok()?.into_parts().1)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn moment(date: &str) -> Option<SystemTime> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    Some(PrimitiveDateTime::parse(date, format).ok()?.assume_utc().into())
}

fn incomplete(message: &str) -> AwsException {
    AwsException::new(ErrorName::IncompleteSignature, message)
}

fn refused(message: &str) -> AwsException {
    AwsException::new(ErrorName::InvalidSignature, message)
}

/// Of which a second one could be taken for the one that was signed.
const ONCE: [&str; 4] = ["authorization", "host", "x-amz-date", "x-amz-security-token"];
const MAX_SKEW: Duration = Duration::from_mins(5);
const ADDED: [&str; 2] = ["x-amz-date", "x-amz-security-token"];
/// The IAM user that the lasting access key belongs to.
const USER: &str = "simulator";
const USER_ID: &str = "AIDASIMULATOR7AAAAAAA";
