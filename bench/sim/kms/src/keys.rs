//! Everything about KMS keys: `keys/` has one function per operation.
//!
//! Always holds: an operation makes all its checks before its first change; keys and aliases are found by the rules of one place
//! ([`find`]); what is due by the clock happened before an operation looks ([`settle`]).
//
// The seam. An operation is `fn(&Call, &Value) -> Result<Value, AwsException>` (async where it asks a proxy): `call.input::<Input>(body)?`
// reads its members, `call.look(|region| …)` / `call.change(|region| …)` reach the state, `call.shared.change(|state| …)` all regions.
// Not here but in `crypto/` (the core's): Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext. They find a key by
// `find::key_or_alias`, check its state by `Demand::Use.check_state(key, metadata::shown_state(region, key))`, keep the ciphertext's envelope,
// and for a key that is not in an external key store call `native::encrypt(&Key, &Native { algorithm, text, context }) -> Done { text,
// material_id }` and its `decrypt`. AWS's own half of the double encryption uses `key.current()`: `(&KeyMaterial, &Material)`.
// What CreateKey asks of an external key store's proxy is `crate::xks::describe(&call, store_id, xks_key_id)`.

use serde_json::Value;

use crate::{call::Call, error::AwsException};

pub(crate) mod demand;
pub(crate) mod find;
pub(crate) mod material;
pub(crate) mod native;
mod policy;
mod rsa;
mod signing;
pub(crate) mod spec;
mod tags;
pub(crate) mod wrapping;

/// Answers an operation on keys; `None` if it is not one.
pub(crate) async fn answer(call: &Call, body: &Value) -> Option<Result<Value, AwsException>> {
    let _ = (call, body);
    None
}
