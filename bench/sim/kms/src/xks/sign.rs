//! SigV4 of requests to a proxy, by `aws-sigv4`.
//!
//! Always holds: host and date are signed, and no other header (specification, appendix A); the path is signed as it is sent.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign as sign_request},
    sign::v4::SigningParams,
};
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{
    Method, Request,
    header::{CONTENT_TYPE, HOST},
};

use super::ProxyError;
use crate::state::ProxyCredential;

/// Who signs, and for where.
pub(super) struct Signed<'s> {
    pub(super) authority: &'s str,
    pub(super) region: &'s str,
    pub(super) credential: &'s ProxyCredential,
    /// Seconds that the signer's clock is ahead.
    pub(super) skew: i64,
}

/// A signed request.
///
/// # Errors
/// It can't be signed or written, which the limits of a store's members rule out.
pub(super) fn sign(signed: &Signed<'_>, path: &str, body: Bytes) -> Result<Request<Bytes>, ProxyError> {
    build(signed, path, body).ok_or_else(|| ProxyError::Unreachable("the request can't be made".into()))
}

fn build(signed: &Signed<'_>, path: &str, body: Bytes) -> Option<Request<Bytes>> {
    let identity: Identity =
        Credentials::new(signed.credential.access_key_id.as_str(), signed.credential.secret.as_str(), None, None, "key store").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let skew = Duration::from_secs(signed.skew.unsigned_abs());
    let now = SystemTime::now();
    let at = if signed.skew < 0 { now.checked_sub(skew)? } else { now.checked_add(skew)? };
    let params = SigningParams::builder().identity(&identity).region(signed.region).name("kms-xks-proxy").time(at).settings(settings);
    let pairs = [("host", signed.authority)];
    let uri = format!("https://{}{path}", signed.authority);
    let signable = SignableRequest::new("POST", uri, pairs.into_iter(), SignableBody::Bytes(&body)).ok()?;
    let (instructions, _) = sign_request(signable, &params.build().ok()?.into()).ok()?.into_parts();
    let request = Request::builder().method(Method::POST).uri(path).header(HOST, signed.authority).header(CONTENT_TYPE, JSON);
    let mut request = request.body(body).ok()?;
    for (name, value) in instructions.headers() {
        request.headers_mut().insert(http::HeaderName::try_from(name).ok()?, value.parse().ok()?);
    }
    Some(request)
}

const JSON: &str = "application/json";
