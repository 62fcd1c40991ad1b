//! `GetHealthStatus`, and the check that KMS makes of every connected proxy from time to time.
//!
//! Always holds: a proxy is well when it answers as the specification says and not all of its key managers are unavailable.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use uuid::Uuid;

use super::{Asked, ProxyError, Target, ask as ask_proxy};
use crate::{shared::Shared, state::Connection, stores::target_of};

/// Asks a proxy for its health, for the KMS call of this name and id.
///
/// # Errors
/// It was not reached, refused, answered what the specification does not allow, or all of its key managers are unavailable.
pub(crate) async fn ask(shared: &Shared, target: &Target, (operation, request_id): (&str, Uuid)) -> Result<(), ProxyError> {
    let body = json!({"requestMetadata": {"kmsRequestId": request_id, "kmsOperation": operation}});
    let answer = ask_proxy(shared, target, &Asked { suffix: "/health", body }).await?;
    judge(&answer)
}

/// Checks the proxies of all connected stores for ever, first when one interval is over: a proxy that starts together with the simulator
/// may not listen yet.
pub(crate) async fn keep_checking(shared: Arc<Shared>) {
    let every = shared.settings.health_interval.max(Duration::from_millis(1));
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let targets: Vec<_> = shared.look(|state| {
            let stores = state.regions.iter().flat_map(|(name, region)| region.stores.values().map(move |store| (name, store)));
            let connected = stores.filter(|(_, store)| store.connection == Connection::Connected);
            connected.filter_map(|(region, store)| target_of(region, store)).collect()
        });
        for target in targets {
            let health = ask(&shared, &target, ("KmsHealthCheck", Uuid::new_v4())).await;
            match &health {
                Ok(()) => tracing::debug!(store = %target.store_id, "the proxy is well"),
                Err(error) => tracing::warn!(store = %target.store_id, %error, "the proxy is not well"),
            }
            shared.healths.note(&target.store_id, health.err().map(|error| error.to_string()));
        }
    }
}

fn judge(answer: &Value) -> Result<(), ProxyError> {
    let unreadable = |what: &str| Err(ProxyError::Unreadable(what.to_owned()));
    if answer["xksProxyFleetSize"].as_i64().is_none_or(|size| size <= 0) {
        return unreadable("xksProxyFleetSize is no number greater than 0");
    }
    if ["xksProxyVendor", "xksProxyModel", "ekmVendor"].iter().any(|name| !answer[*name].is_string()) {
        return unreadable("xksProxyVendor, xksProxyModel or ekmVendor is no text");
    }
    let Some(fleet) = answer["ekmFleetDetails"].as_array().filter(|fleet| (1..=10).contains(&fleet.len())) else {
        return unreadable("ekmFleetDetails has not 1 to 10 entries");
    };
    let mut available = false;
    for manager in fleet {
        if !manager["id"].is_string() || !manager["model"].is_string() {
            return unreadable("an entry of ekmFleetDetails has no id or model");
        }
        match manager["healthStatus"].as_str() {
            Some("ACTIVE" | "DEGRADED") => available = true,
            Some("UNAVAILABLE") => {}
            Some(_) | None => return unreadable("a healthStatus is not ACTIVE, DEGRADED or UNAVAILABLE"),
        }
    }
    if available { Ok(()) } else { Err(ProxyError::NoKeyManager) }
}
