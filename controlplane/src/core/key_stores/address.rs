//! Where AWS KMS finds a key store, in the forms that AWS takes (CreateCustomKeyStore API).
//!
//! Always holds: a service name is there with `VPC_ENDPOINT_SERVICE`, and only then.

use crate::{
    core::CoreError,
    store::entry::{AddressEntry, Connectivity},
};

/// What is told of the address; what is not stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// As in `https://host[:port]`.
    pub endpoint: Option<String>,
    /// As in `PUBLIC_ENDPOINT`.
    pub connectivity: Option<String>,
    /// The name of the VPC endpoint service.
    pub vpc_service: Option<String>,
}

impl Address {
    /// The address after this. The way that is left takes the service name along.
    pub(super) fn after(&self, before: &AddressEntry) -> Result<AddressEntry, CoreError> {
        let endpoint = self.endpoint.as_deref().map(endpoint).transpose()?.or_else(|| before.endpoint.clone());
        let connectivity = self.connectivity.as_deref().map(connectivity).transpose()?.unwrap_or(before.connectivity);
        let given = self.vpc_service.as_deref().map(service).transpose()?;
        let vpc_service = match (connectivity, given) {
            (Connectivity::Vpc, Some(given)) => Some(given),
            (Connectivity::Vpc, None) => {
                let kept = before.vpc_service.clone();
                Some(kept.ok_or_else(|| CoreError::invalid(SERVICE, "is required with VPC_ENDPOINT_SERVICE"))?)
            }
            // Clients that leave a VPC send the old name along.
            (Connectivity::Public, Some(_)) if before.connectivity == Connectivity::Public => {
                return Err(CoreError::invalid(SERVICE, "is for VPC_ENDPOINT_SERVICE only"));
            }
            (Connectivity::Public, Some(_) | None) => None,
        };
        Ok(AddressEntry { endpoint, connectivity, vpc_service })
    }
}

/// The way, by its name.
fn connectivity(text: &str) -> Result<Connectivity, CoreError> {
    match text {
        "PUBLIC_ENDPOINT" => Ok(Connectivity::Public),
        "VPC_ENDPOINT_SERVICE" => Ok(Connectivity::Vpc),
        _ => Err(CoreError::invalid("xks_proxy_connectivity", "must be PUBLIC_ENDPOINT or VPC_ENDPOINT_SERVICE")),
    }
}

/// `https://` and a host name, at most 128 characters, as AWS has it; a port is taken as well, for proxies that AWS reaches by a balancer.
fn endpoint(text: &str) -> Result<String, CoreError> {
    const FIELD: &str = "xks_proxy_uri_endpoint";
    let rest = text.strip_prefix("https://").ok_or_else(|| CoreError::invalid(FIELD, "must begin with https://"))?;
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let digits = |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if !port.is_none_or(digits) {
        return Err(CoreError::invalid(FIELD, "has no valid port"));
    }
    let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if text.len() > 128 || !host.split('.').all(label) {
        return Err(CoreError::invalid(FIELD, "must be https:// and a host name, without a path, at most 128 characters"));
    }
    Ok(text.into())
}

fn service(text: &str) -> Result<String, CoreError> {
    let characters = text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    if text.is_empty() || text.len() > 128 || !characters {
        return Err(CoreError::invalid(
            SERVICE,
            "must be the name of a VPC endpoint service, as in com.amazonaws.vpce.us-east-1.vpce-svc-0123456789",
        ));
    }
    Ok(text.into())
}

const SERVICE: &str = "xks_proxy_vpc_endpoint_service_name";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(endpoint: &str, connectivity: &str, service: &str) -> Address {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Address { endpoint: given(endpoint), connectivity: given(connectivity), vpc_service: given(service) }
    }

    fn refused(address: &Address, before: &AddressEntry) -> &'static str {
        match address.after(before) {
            Err(CoreError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_endpoint_is_https_a_host_and_perhaps_a_port() {
        for good in ["https://a", "https://xks.example.com", "https://xks-1.example.com:8443", "https://10.0.0.1:1"] {
            assert_eq!(endpoint(good).unwrap(), good);
        }
        let long = format!("https://{}", "a".repeat(121));
        for bad in [
            "http://a",
            "https://",
            "https://a/",
            "https://a..b",
            "https://a b",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://u@a",
            &long,
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_name_comes_and_goes_with_its_way() {
        let none = AddressEntry::default();
        assert_eq!(refused(&told("", "VPC_ENDPOINT_SERVICE", ""), &none), SERVICE);
        assert_eq!(refused(&told("", "", "com.a"), &none), SERVICE);
        assert_eq!(refused(&told("", "BY_SEA", ""), &none), "xks_proxy_connectivity");
        let vpc = told("https://a", "VPC_ENDPOINT_SERVICE", "com.a").after(&none).unwrap();
        assert_eq!((vpc.connectivity, vpc.vpc_service.as_deref()), (Connectivity::Vpc, Some("com.a")));
        assert_eq!(told("", "", "").after(&vpc).unwrap(), vpc);
        assert_eq!(told("", "", "com.b").after(&vpc).unwrap().vpc_service.as_deref(), Some("com.b"));
        for with in ["", "com.a"] {
            let public = told("", "PUBLIC_ENDPOINT", with).after(&vpc).unwrap();
            assert_eq!((public.endpoint.as_deref(), public.vpc_service), (Some("https://a"), None));
        }
    }
}
