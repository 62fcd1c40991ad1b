//! `DeleteCustomKeyStore`.

use serde_json::Value;

use super::{empty, find, store_id, wrong_state};
use crate::{
    call::Call,
    error::{AwsException, ErrorName},
    state::Connection,
};

/// `DeleteCustomKeyStore`: of a disconnected store without keys, those that are pending deletion included.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn delete(call: &Call, body: &Value) -> Result<Value, AwsException> {
    let id = store_id(call, body)?;
    call.change(|region| {
        let store = find(region, &id)?;
        if region.keys.values().any(|key| key.store_id.as_ref() == Some(&id)) {
            let text = format!("The custom key store {id} contains KMS keys.");
            return Err(AwsException::new(ErrorName::CustomKeyStoreHasCmks, text));
        }
        if store.connection != Connection::Disconnected {
            return Err(wrong_state(store));
        }
        region.stores.remove(&id);
        Ok(empty())
    })
}
