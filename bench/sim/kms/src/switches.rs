//! The switches on the wire: `POST /_sim/<switch>` and `GET /_sim/state`, unsigned.
//!
//! Always holds: only loopback is answered, and a POST only if it says that it is JSON, which a web page of another origin can't send; the
//! state that is shown has no secret and no key material.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    clock::seconds,
    control::{Control, Held, ProxyFaults, When},
    shared::Shared,
    state::{Connection, State},
};

/// The holds that were asked for on the wire and are not yet let go, oldest first, with their operation.
#[derive(Debug, Default)]
pub(crate) struct WireHolds {
    open: Mutex<Vec<(String, Held)>>,
}

impl WireHolds {
    fn put(&self, operation: String, held: Held) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push((operation, held));
    }

    fn take(&self, operation: &str) -> Result<Held, Refused> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|(held, _)| held == operation);
        at.map(|at| open.remove(at).1).ok_or_else(|| Refused(StatusCode::CONFLICT, format!("No hold of {operation} is open.")))
    }
}

/// Whether a request is for a switch.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Answers a request for a switch: its status and JSON.
pub(crate) fn answer(shared: &Arc<Shared>, peer: SocketAddr, head: &Parts, body: &[u8]) -> (StatusCode, Value) {
    match turn(shared, peer, head, body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(Refused(status, message)) => (status, json!({"message": message})),
    }
}

struct Refused(StatusCode, String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hold {
    operation: String,
    when: When,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    operation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refuse {
    operation: String,
    code: String,
    times: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Throttle {
    operation: String,
    times: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Proxy {
    latency_ms: u64,
    drop: u32,
    stale_credential: bool,
    clock_skew: i64,
    unknown_members: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct On {
    on: bool,
}

fn turn(shared: &Arc<Shared>, peer: SocketAddr, head: &Parts, body: &[u8]) -> Result<Value, Refused> {
    if !peer.ip().to_canonical().is_loopback() {
        return Err(Refused(StatusCode::FORBIDDEN, "Switches are for loopback only.".into()));
    }
    let switch = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if head.method == Method::GET && switch == "state" {
        return Ok(shared.look(|state| shown(shared, state)));
    }
    if head.method != Method::POST {
        return Err(Refused(StatusCode::METHOD_NOT_ALLOWED, "POST a switch, or GET /_sim/state.".into()));
    }
    let json = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !json.is_some_and(|kind| kind.starts_with("application/json")) {
        return Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "A switch takes application/json.".into()));
    }
    let control = Control::new(Arc::clone(shared));
    match switch {
        "hold" => {
            let Hold { operation, when } = read(body)?;
            let held = control.hold(&operation, when);
            shared.wire_holds.put(operation, held);
        }
        "release" => shared.wire_holds.take(&read::<Operation>(body)?.operation)?.release(),
        "abandon" => shared.wire_holds.take(&read::<Operation>(body)?.operation)?.abandon(),
        "refuse" => {
            let Refuse { operation, code, times } = read(body)?;
            control.refuse(&operation, &code, times);
        }
        "throttle" => {
            let Throttle { operation, times } = read(body)?;
            control.throttle(&operation, times);
        }
        "accept" => control.accept(&read::<Operation>(body)?.operation),
        "advance" => control.advance(Duration::from_secs(read::<Advance>(body)?.seconds)),
        "proxy" => {
            let Proxy { latency_ms, drop, stale_credential, clock_skew, unknown_members } = read(body)?;
            let latency = Duration::from_millis(latency_ms);
            control.proxy(ProxyFaults { latency, drop, stale_credential, clock_skew, unknown_members });
        }
        "fail_next_connect" => control.fail_next_connect(&read::<Code>(body)?.code),
        "client_certificate" => control.client_certificate(read::<On>(body)?.on),
        other => return Err(Refused(StatusCode::NOT_FOUND, format!("There is no switch {other}."))),
    }
    Ok(json!({}))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))
}

fn shown(shared: &Shared, state: &State) -> Value {
    let healths = shared.healths.all();
    let mut stores = Vec::new();
    for (name, region) in &state.regions {
        for store in region.stores.values() {
            let health = healths.get(&store.id).filter(|_| store.connection == Connection::Connected);
            stores.push(json!({
                "region": name,
                "id": store.id,
                "name": store.name,
                "connection_state": store.connection.name(),
                "proxy_health": health.map(|wrong| wrong.as_deref().unwrap_or("well")),
                "keys": region.keys.values().filter(|key| key.store_id.as_ref() == Some(&store.id)).count(),
            }));
        }
    }
    let sessions: Vec<_> = state.sessions.values().map(|session| json!({"arn": session.arn, "external_id": session.external_id})).collect();
    json!({
        "now": seconds(shared.clock.now_ms()),
        "stores": stores,
        "keys": state.regions.values().map(|region| region.keys.len()).sum::<usize>(),
        "sessions": sessions,
        "calls": shared.faults.calls(),
        "client_ca": shared.client_ca.certificate_pem(),
    })
}

const PREFIX: &str = "/_sim/";
