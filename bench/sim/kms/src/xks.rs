//! What AWS KMS asks of an external key store's proxy, by the XKS proxy API specification 1.0.
//!
//! Always holds: a call takes no longer than the settings say, connecting included; it is tried once more after a timeout, and after nothing else; requests
//! are signed for the service `kms-xks-proxy` with the store's credential. AAD and CDIV are computed by code of this crate's own.

use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time;

pub(crate) use self::{certificate::ClientCa, fault::ProxyError, link::Links, rate::Rates};
use crate::{faults::ProxyFaults, shared::Shared, state::ProxyCredential};

mod certificate;
pub(crate) mod crypt;
mod fault;
pub(crate) mod health;
mod link;
mod metadata;
mod rate;
mod sign;

pub(crate) use self::metadata::{describe, free};

/// A proxy as one external key store sees it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) region: String,
    pub(crate) store_id: String,
    /// `https://host`, perhaps with a port.
    pub(crate) endpoint: String,
    /// `…/kms/xks/v1`.
    pub(crate) path: String,
    pub(crate) credential: ProxyCredential,
    /// The one before the last change.
    pub(crate) previous: Option<ProxyCredential>,
}

impl Target {
    /// Host and port, as in the `Host` header: without the port where it is 443.
    fn authority(&self) -> &str {
        let authority = self.endpoint.strip_prefix("https://").unwrap_or(&self.endpoint);
        authority.strip_suffix(":443").unwrap_or(authority)
    }
}

/// One request: the path after the store's, and the body.
pub(crate) struct Asked<'a> {
    pub(crate) suffix: &'a str,
    pub(crate) body: Value,
}

impl fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A body may hold a plaintext.
        f.debug_struct("Asked").field("suffix", &self.suffix).finish_non_exhaustive()
    }
}

/// Asks the proxy, and once more after a timeout.
///
/// # Errors
/// It was not reached, refused, or answered what the specification does not allow.
pub(crate) async fn ask(shared: &Shared, target: &Target, asked: &Asked<'_>) -> Result<Value, ProxyError> {
    match once(shared, target, asked).await {
        Err(ProxyError::TimedOut) => once(shared, target, asked).await,
        other => other,
    }
}

async fn once(shared: &Shared, target: &Target, asked: &Asked<'_>) -> Result<Value, ProxyError> {
    let faults = shared.faults.proxy_call();
    let answered = time::timeout(shared.settings.proxy_patience, async {
        time::sleep(faults.latency).await;
        if faults.drop > 0 {
            std::future::pending::<()>().await;
        }
        let request = request(target, asked, &faults)?;
        let link = link::Wanted { authority: target.authority(), region: &target.region, certificate: shared.shows_certificate() };
        shared.links.send(shared, &link, request).await
    });
    let (status, body) = answered.await.map_err(|_| ProxyError::TimedOut)??;
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    if status == StatusCode::OK {
        return parsed.filter(Value::is_object).ok_or_else(|| ProxyError::Unreadable("it is no JSON object".into()));
    }
    let name = parsed.as_ref().and_then(|body| body["errorName"].as_str());
    let name = name.ok_or_else(|| ProxyError::Unreadable(format!("its status is {status} and it has no errorName")))?;
    Err(ProxyError::refused(name))
}

fn request(target: &Target, asked: &Asked<'_>, faults: &ProxyFaults) -> Result<http::Request<bytes::Bytes>, ProxyError> {
    let mut body = asked.body.clone();
    if faults.unknown_members {
        body["aMemberOfTomorrow"] = json!({"nested": [1, "two", null]});
        body["requestMetadata"]["awsMemberOfTomorrow"] = json!("new");
    }
    let credential = target.previous.as_ref().filter(|_| faults.stale_credential).unwrap_or(&target.credential);
    let path = format!("{}{}", target.path, asked.suffix);
    let signed = sign::Signed { authority: target.authority(), region: &target.region, credential, skew: faults.clock_skew };
    sign::sign(&signed, &path, body.to_string().into())
}
