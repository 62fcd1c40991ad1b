//! `GenerateRandom`.
//!
//! Always holds: the bytes come from this machine, also when a CloudHSM key store is named.

use serde::Deserialize;
use serde_json::{Value, json};

use super::blob::Blob;
use crate::{
    call::Call,
    crypto::no_recipient,
    draw,
    error::{AwsException, ErrorName},
    state::StoreKind,
    stores,
};

/// `GenerateRandom`.
///
/// # Errors
/// Those of the API reference.
pub(crate) fn generate(call: &Call, body: &Value) -> Result<Value, AwsException> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        number_of_bytes: Option<i64>,
        custom_key_store_id: Option<String>,
        recipient: Option<Value>,
    }
    let input: Input = call.input(body)?;
    no_recipient(input.recipient.as_ref())?;
    let wanted = input.number_of_bytes.ok_or_else(|| AwsException::invalid("NumberOfBytes is required."))?;
    let len = usize::try_from(wanted).ok().filter(|len| (1..=MOST).contains(len));
    let len = len.ok_or_else(|| AwsException::out_of_range("numberOfBytes", wanted, (1, 1024)))?;
    if let Some(id) = &input.custom_key_store_id {
        call.look(|region| match stores::find(region, id)?.kind {
            StoreKind::External(_) => {
                let message = format!("The custom key store {id} is an external key store.");
                Err(AwsException::new(ErrorName::UnsupportedOperation, message))
            }
            StoreKind::CloudHsm { .. } => stores::find_connected(region, id).map(drop),
        })?;
    }
    let mut bytes = vec![0; len];
    draw::fill(&mut bytes);
    Ok(json!({"Plaintext": Blob(bytes)}))
}

const MOST: usize = 1024;
