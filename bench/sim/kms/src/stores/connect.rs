//! `ConnectCustomKeyStore` and `DisconnectCustomKeyStore`, which answer at once and end later.
//!
//! Always holds: an attempt ends only the connection that it began: when the store was disconnected meanwhile, it changes nothing.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::{empty, find_mut, store_id, target_of, wrong_state};
use crate::{
    call::Call,
    cloudhsm,
    error::AwsException,
    shared::Shared,
    state::{Connection, StoreKind},
    xks::health,
};

/// `ConnectCustomKeyStore`. A store that is CONNECTED or CONNECTING stays so.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn connect(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = store_id(call, body)?;
    let begun = call.change(|region| {
        let store = find_mut(region, &id)?;
        match store.connection {
            Connection::Disconnected => {
                store.connection = Connection::Connecting;
                store.attempt += 1;
                Ok(Some(store.attempt))
            }
            Connection::Connected | Connection::Connecting => Ok(None),
            Connection::Disconnecting | Connection::Failed(_) => Err(wrong_state(store)),
        }
    })?;
    if let Some(number) = begun {
        Attempt { region: call.region.clone(), store_id: id, number, request_id: call.request_id }.run(Arc::clone(&call.shared));
    }
    Ok(empty())
}

/// `DisconnectCustomKeyStore`. A store that is FAILED is disconnected so, too.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn disconnect(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = store_id(call, body)?;
    let number = call.change(|region| {
        let store = find_mut(region, &id)?;
        match store.connection {
            Connection::Connected | Connection::Connecting | Connection::Failed(_) => {
                store.connection = Connection::Disconnecting;
                store.attempt += 1;
                Ok(store.attempt)
            }
            Connection::Disconnecting | Connection::Disconnected => Err(wrong_state(store)),
        }
    })?;
    Attempt { region: call.region.clone(), store_id: id, number, request_id: call.request_id }.run(Arc::clone(&call.shared));
    Ok(empty())
}

/// Goes on with what was under way when the simulator ended.
pub(crate) fn take_up(shared: &Arc<Shared>) {
    let open: Vec<_> = shared.look(|state| {
        let stores = state.regions.iter().flat_map(|(name, region)| region.stores.values().map(move |store| (name, store)));
        let open = stores.filter(|(_, store)| matches!(store.connection, Connection::Connecting | Connection::Disconnecting));
        open.map(|(name, store)| {
            // Which call began it is not kept.
            let (region, request_id) = (name.clone(), Uuid::new_v4());
            Attempt { region, store_id: store.id.clone(), number: store.attempt, request_id }
        })
        .collect()
    });
    for attempt in open {
        attempt.run(Arc::clone(shared));
    }
}

/// One connect or disconnect.
struct Attempt {
    region: String,
    store_id: String,
    number: u64,
    /// Of the call that began it.
    request_id: Uuid,
}

impl Attempt {
    fn run(self, shared: Arc<Shared>) {
        tokio::spawn(async move {
            tokio::time::sleep(shared.settings.connect_delay).await;
            let Some(end) = self.end(&shared).await else { return };
            let ended = shared.change(|state| {
                let store = state.region(&self.region).stores.get_mut(&self.store_id);
                if let Some(store) = store.filter(|store| store.attempt == self.number) {
                    tracing::info!(store = %store.id, state = end.name(), "connection changed");
                    store.connection = end;
                }
                Ok(())
            });
            if let Err(error) = ended {
                tracing::error!(%error, store = %self.store_id, "a connection's end was not kept");
            }
        });
    }

    /// How it ends; `None` if the store is gone or was told otherwise.
    async fn end(&self, shared: &Shared) -> Option<Connection> {
        let store = shared.look(|state| state.regions.get(&self.region)?.stores.get(&self.store_id).cloned())?;
        if store.attempt != self.number {
            return None;
        }
        match store.connection {
            Connection::Disconnecting => return Some(Connection::Disconnected),
            Connection::Connecting => {}
            Connection::Connected | Connection::Disconnected | Connection::Failed(_) => return None,
        }
        if let Some(code) = shared.faults.connect_failure() {
            return Some(Connection::Failed(code));
        }
        let failure = match (&store.kind, target_of(&self.region, &store)) {
            (StoreKind::CloudHsm { cluster_id, password, .. }, _) => shared.look(|state| {
                let region = state.regions.get(&self.region)?;
                cloudhsm::connection_error(region, cluster_id, password)
            }),
            (StoreKind::External(_), Some(target)) => {
                health::ask(shared, &target, ("ConnectCustomKeyStore", self.request_id)).await.err().map(|error| error.connection_code())
            }
            (StoreKind::External(_), None) => None,
        };
        Some(failure.map_or(Connection::Connected, |code| Connection::Failed(code.to_owned())))
    }
}
