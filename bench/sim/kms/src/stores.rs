//! Custom key stores: what AWS KMS does with them, by its API reference.
//!
//! Always holds: names, and endpoint with path, are unique in a region; a store is FAILED only through a connect, and leaves that state
//! only through a disconnect; requests to a proxy are made without the state's lock.

use serde_json::{Value, json};

pub(crate) use self::{
    connect::{connect, disconnect, take_up},
    create::create,
    delete::delete,
    describe::describe,
    update::update,
};
use crate::{
    call::{Call, required},
    error::{AwsException, ErrorName},
    state::{Connection, Region, Store},
    xks::Target,
};

mod connect;
mod create;
mod delete;
mod describe;
mod members;
mod probe;
mod update;

/// A key store by its id.
///
/// # Errors
/// `CustomKeyStoreNotFoundException`.
pub(crate) fn find<'r>(region: &'r Region, id: &str) -> Result<&'r Store, AwsException> {
    region.stores.get(id).ok_or_else(|| not_found(id))
}

/// A key store in which keys can be made now.
///
/// # Errors
/// `CustomKeyStoreNotFoundException`, `CustomKeyStoreInvalidStateException`: it is not CONNECTED.
pub(crate) fn find_connected<'r>(region: &'r Region, id: &str) -> Result<&'r Store, AwsException> {
    let store = find(region, id)?;
    if store.connection == Connection::Connected { Ok(store) } else { Err(wrong_state(store)) }
}

fn find_mut<'r>(region: &'r mut Region, id: &str) -> Result<&'r mut Store, AwsException> {
    region.stores.get_mut(id).ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> AwsException {
    AwsException::new(ErrorName::CustomKeyStoreNotFound, format!("The custom key store {id} does not exist."))
}

fn wrong_state(store: &Store) -> AwsException {
    let text = format!("The custom key store {} is {}.", store.id, store.connection.name());
    AwsException::new(ErrorName::CustomKeyStoreInvalidState, text)
}

/// Fails if another store of the region has this name.
fn free_name(region: &Region, name: &str, own: Option<&str>) -> Result<(), AwsException> {
    let taken = region.stores.values().any(|store| store.name == name && Some(store.id.as_str()) != own);
    let text = format!("The custom key store name {name} is in use.");
    if taken { Err(AwsException::new(ErrorName::CustomKeyStoreNameInUse, text)) } else { Ok(()) }
}

/// The one member of the calls that take nothing but a store's id.
fn store_id(call: &Call, body: &Value) -> Result<String, AwsException> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        custom_key_store_id: Option<String>,
    }
    let input: Input = call.input(body)?;
    required(input.custom_key_store_id, "customKeyStoreId")
}

fn empty() -> Value {
    json!({})
}

/// Where the requests for an external key store go, signed with what it was given last.
fn target(region: &str, store_id: &str, external: &crate::state::External) -> Target {
    Target {
        region: region.to_owned(),
        store_id: store_id.to_owned(),
        endpoint: external.endpoint.clone(),
        path: external.path.clone(),
        credential: external.credential.clone(),
        previous: external.previous.clone(),
    }
}

/// The target of a store, if it is an external one.
pub(crate) fn target_of(region: &str, store: &Store) -> Option<Target> {
    match &store.kind {
        crate::state::StoreKind::External(external) => Some(target(region, &store.id, external)),
        crate::state::StoreKind::CloudHsm { .. } => None,
    }
}
