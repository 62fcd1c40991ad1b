//! `GetHealthStatus`: a real encryption and decryption under the key store's health key, never under a customer's.

use std::num::NonZeroU32;

use bytes::Bytes;
use holdfast_keys::local::LocalKey;
use holdfast_wire::{
    message::{EkmFleetDetail, EkmHealth, HealthResponse},
    refusal::Refusal,
};

use crate::live::Store;

/// Tries the health key. `ready_nodes` are the data planes that the control plane counts as ready.
pub(crate) fn run(store: &Store, ready_nodes: u32) -> Result<Bytes, Refusal> {
    // One key manager: 200 only while it works.
    let key = store.health.as_ref().map_err(|_| Refusal::KeyManagerDown)?;
    if !works(key) {
        return Err(Refusal::KeyManagerDown);
    }
    let response = HealthResponse {
        fleet_size: NonZeroU32::new(ready_nodes).unwrap_or(NonZeroU32::MIN),
        proxy_vendor: VENDOR,
        proxy_model: MODEL,
        ekm_vendor: VENDOR,
        details: &[EkmFleetDetail { id: LOCAL_ID, model: LOCAL_MODEL, health: EkmHealth::Active }],
    };
    Ok(response.to_json().into())
}

fn works(key: &LocalKey) -> bool {
    let opened = key.encrypt(PURPOSE, CANARY).and_then(|sealed| key.decrypt(&sealed.iv, PURPOSE, &sealed.ciphertext, &sealed.tag));
    opened.is_ok_and(|opened| opened.as_slice() == CANARY)
}

/// `xksProxyVendor`, and `ekmVendor` of local keys.
const VENDOR: &str = "Holdfast";
/// `xksProxyModel`.
const MODEL: &str = concat!("Holdfast ", env!("CARGO_PKG_VERSION"));
const LOCAL_ID: &str = "local";
const LOCAL_MODEL: &str = "Holdfast local keys";
const PURPOSE: &[u8] = b"holdfast health check";
const CANARY: &[u8] = b"the key manager encrypts and decrypts";
