//! CloudHSM v2: the account's clusters.

use serde_json::{Value, json};

use crate::{
    call::Call,
    error::{AwsException, ErrorName},
};

/// Answers a call of CloudHSM v2.
///
/// # Errors
/// What the operation fails with.
pub(crate) fn answer(call: &Call, _body: &Value) -> Result<Value, AwsException> {
    match call.operation.as_str() {
        "DescribeClusters" => Ok(json!({"Clusters": []})),
        other => Err(AwsException::new(ErrorName::UnknownOperation, format!("{other} is not simulated."))),
    }
}
