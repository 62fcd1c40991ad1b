//! `GetHealthStatus`: a real encryption and decryption under the key store's health key, never under a customer's.
//! Holds: answered with 200 only while a key manager of the store's own key source works.

use std::num::NonZeroU32;

use bytes::Bytes;
use holdfast_keys::{
    local::LocalKey,
    pkcs11::{HealthState, MemberHealth, status::Condition},
};
use holdfast_wire::{
    message::{EkmFleetDetail, EkmHealth, HealthResponse},
    refusal::Refusal,
};

use super::usable;
use crate::{
    deadline::Deadline,
    live::{Source, Store, TokenKey},
};

/// Tries the health key, or tells how it did lately where it is on tokens. `ready_nodes` are the data planes that the control plane counts
/// as ready.
pub(crate) async fn run(store: &Store, ready_nodes: u32, deadline: Deadline) -> Result<Bytes, Refusal> {
    let source = usable(&store.health).map_err(|_| Refusal::KeyManagerDown)?;
    match source {
        Source::Local(key) if works(key) => {
            let local = EkmFleetDetail { id: LOCAL_ID, model: LOCAL_MODEL, health: EkmHealth::Active };
            Ok(encode(ready_nodes, VENDOR, &[local]))
        }
        Source::Local(_) => Err(Refusal::KeyManagerDown),
        Source::Partition(token) => {
            let mut members = token.key.health(deadline.ends()).await;
            if let Some(refusal) = refusal(token, &members, deadline) {
                return Err(refusal);
            }
            // The protocol has room for ten: no member that works is left out for one that doesn't.
            if members.len() > MOST_MEMBERS {
                members.sort_by_key(|member| health(member.state).1);
            }
            let details: Vec<_> = members.iter().map(detail).collect();
            Ok(encode(ready_nodes, &token.group.vendor(), &details))
        }
    }
}

/// Why there is no 200, where no member works.
fn refusal(token: &TokenKey, members: &[MemberHealth], deadline: Deadline) -> Option<Refusal> {
    let conditions = token.group.conditions();
    let takes_work = conditions.iter().any(Condition::is_up);
    let works = members.iter().any(|member| member.state != HealthState::Unavailable);
    let late = if takes_work { deadline.passed() } else { conditions.contains(&Condition::Suspect) };
    match (takes_work && works, late) {
        (true, _) => None,
        (false, true) => Some(Refusal::KeyManagerTimeout),
        (false, false) => Some(Refusal::KeyManagerDown),
    }
}

fn detail(member: &MemberHealth) -> EkmFleetDetail<'_> {
    EkmFleetDetail { id: &member.id, model: &member.model, health: health(member.state).0 }
}

/// The word on the wire, and its place among others: the best first.
const fn health(state: HealthState) -> (EkmHealth, u8) {
    match state {
        HealthState::Active => (EkmHealth::Active, 0),
        HealthState::Degraded => (EkmHealth::Degraded, 1),
        HealthState::Unavailable => (EkmHealth::Unavailable, 2),
    }
}

fn encode(ready_nodes: u32, ekm_vendor: &str, details: &[EkmFleetDetail<'_>]) -> Bytes {
    let response = HealthResponse {
        fleet_size: NonZeroU32::new(ready_nodes).unwrap_or(NonZeroU32::MIN),
        proxy_vendor: VENDOR,
        proxy_model: MODEL,
        ekm_vendor,
        details,
    };
    response.to_json().into()
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

/// Of `ekmFleetDetails` (XKS, GetHealthStatus).
const MOST_MEMBERS: usize = 10;
