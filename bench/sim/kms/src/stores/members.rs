//! The members of key store calls, held to the limits of AWS's API reference (`CreateCustomKeyStore`, `UpdateCustomKeyStore`).
//!
//! Always holds: what these answer is within the limits; one limit is wider than AWS's: an endpoint may have a port.

use serde::Deserialize;

use crate::{
    call::required,
    error::AwsException,
    state::{Connectivity, Password, ProxyCredential},
};

/// `XksProxyAuthenticationCredential`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CredentialInput {
    access_key_id: Option<String>,
    raw_secret_access_key: Option<String>,
}

impl CredentialInput {
    /// Within its limits.
    pub(super) fn check(self) -> Result<ProxyCredential, AwsException> {
        let at = "xksProxyAuthenticationCredential";
        let id = required(self.access_key_id, &format!("{at}.accessKeyId"))?;
        let secret = required(self.raw_secret_access_key, &format!("{at}.rawSecretAccessKey"))?;
        let id_fits = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b);
        let secret_fits = |b: u8| b.is_ascii_alphanumeric() || b"/+=".contains(&b);
        Ok(ProxyCredential {
            access_key_id: text(id, &format!("{at}.accessKeyId"), &Limits { least: 20, most: 30, pattern: "[A-Z2-7]+", fits: &id_fits })?,
            secret: text(
                secret,
                &format!("{at}.rawSecretAccessKey"),
                &Limits { least: 43, most: 64, pattern: r"[A-Za-z0-9\/+=]+", fits: &secret_fits },
            )?,
        })
    }
}

/// `CustomKeyStoreName`.
pub(super) fn name(name: String) -> Result<String, AwsException> {
    text(name, "customKeyStoreName", &Limits { least: 1, most: 256, pattern: ".*", fits: &|_| true })
}

/// `XksProxyConnectivity`.
pub(super) fn connectivity(name: &str) -> Result<Connectivity, AwsException> {
    match name {
        "PUBLIC_ENDPOINT" => Ok(Connectivity::PublicEndpoint),
        "VPC_ENDPOINT_SERVICE" => Ok(Connectivity::VpcEndpointService),
        _ => Err(unfit(name, "xksProxyConnectivity", "Member must satisfy enum value set: [PUBLIC_ENDPOINT, VPC_ENDPOINT_SERVICE]")),
    }
}

/// `XksProxyUriEndpoint`: `https://`, a host name and, here only, perhaps a port.
pub(super) fn endpoint(endpoint: String) -> Result<String, AwsException> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    let rest = endpoint.strip_prefix("https://").unwrap_or_default();
    let (host, port) = rest.split_once(':').unwrap_or((rest, "443"));
    let whole = !host.is_empty() && host.bytes().all(fits) && port.parse::<u16>().is_ok();
    if !whole || !(10..=128).contains(&endpoint.len()) {
        return Err(unfit(&endpoint, "xksProxyUriEndpoint", &must_match("^https://[a-zA-Z0-9.-]+$")));
    }
    Ok(endpoint)
}

/// `XksProxyUriPath`.
pub(super) fn path(path: String) -> Result<String, AwsException> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
    let prefix = path.strip_suffix("/kms/xks/v1").filter(|prefix| prefix.is_empty() || (prefix.starts_with('/') && prefix.len() > 1));
    if prefix.is_none() {
        return Err(unfit(&path, "xksProxyUriPath", &must_match(r"^(/[a-zA-Z0-9\/_-]+/kms/xks/v\d{1,2})$|^(/kms/xks/v\d{1,2})$")));
    }
    text(path, "xksProxyUriPath", &Limits { least: 10, most: 128, pattern: r"^(/[a-zA-Z0-9\/_-]+)?/kms/xks/v\d{1,2}$", fits: &fits })
}

/// `XksProxyVpcEndpointServiceName`.
pub(super) fn vpc_service(name: String) -> Result<String, AwsException> {
    let pattern = r"^(com|eu)\.amazonaws\.vpce\.([a-z]+-){2,3}\d+\.vpce-svc-[0-9a-z]+$";
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    if !["com.amazonaws.vpce.", "eu.amazonaws.vpce."].iter().any(|start| name.starts_with(start)) || !name.contains(".vpce-svc-") {
        return Err(unfit(&name, "xksProxyVpcEndpointServiceName", &must_match(pattern)));
    }
    text(name, "xksProxyVpcEndpointServiceName", &Limits { least: 20, most: 64, pattern, fits: &fits })
}

/// `XksProxyVpcEndpointServiceOwner`: an account.
pub(super) fn vpc_owner(account: String) -> Result<String, AwsException> {
    let fits = |b: u8| b.is_ascii_digit();
    text(account, "xksProxyVpcEndpointServiceOwner", &Limits { least: 12, most: 12, pattern: "^[0-9]+$", fits: &fits })
}

/// What of a VPC endpoint service is told of a proxy that has none.
pub(super) fn vpc_only() -> AwsException {
    let text = "XksProxyVpcEndpointServiceName and XksProxyVpcEndpointServiceOwner are valid with VPC_ENDPOINT_SERVICE only.";
    AwsException::invalid(text)
}

/// `CloudHsmClusterId`.
pub(super) fn cluster_id(id: String) -> Result<String, AwsException> {
    let fits = |b: u8| b == b'-' || b.is_ascii_alphabetic() || (b'2'..=b'7').contains(&b);
    let pattern = "cluster-[2-7a-zA-Z]{11,16}";
    if !id.starts_with("cluster-") {
        return Err(unfit(&id, "cloudHsmClusterId", &must_match(pattern)));
    }
    text(id, "cloudHsmClusterId", &Limits { least: 19, most: 24, pattern, fits: &fits })
}

/// `KeyStorePassword`.
pub(super) fn password(password: String) -> Result<Password, AwsException> {
    // Its value is no part of the error.
    if (7..=32).contains(&password.len()) {
        return Ok(Password(password));
    }
    Err(AwsException::invalid("1 validation error detected: Value at 'keyStorePassword' must have length between 7 and 32"))
}

/// `TrustAnchorCertificate`.
pub(super) fn trust_anchor(pem: String) -> Result<String, AwsException> {
    text(pem, "trustAnchorCertificate", &Limits { least: 1, most: 5000, pattern: ".*", fits: &|_| true })
}

struct Limits<'l> {
    least: usize,
    most: usize,
    pattern: &'l str,
    fits: &'l dyn Fn(u8) -> bool,
}

fn text(value: String, member: &str, limits: &Limits<'_>) -> Result<String, AwsException> {
    if value.len() < limits.least {
        return Err(unfit(&value, member, &format!("Member must have length greater than or equal to {}", limits.least)));
    }
    if value.len() > limits.most {
        return Err(unfit(&value, member, &format!("Member must have length less than or equal to {}", limits.most)));
    }
    if !value.bytes().all(limits.fits) {
        return Err(unfit(&value, member, &must_match(limits.pattern)));
    }
    Ok(value)
}

fn must_match(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn unfit(value: &str, member: &str, constraint: &str) -> AwsException {
    // A secret is shown by nobody, not even to the one who sent it.
    let shown = if member.ends_with("rawSecretAccessKey") { "***" } else { value };
    AwsException::invalid(format!("1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: {constraint}"))
}
