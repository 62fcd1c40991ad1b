//! Which function answers which operation of KMS.
//!
//! Always holds: an operation that is not simulated is answered `UnknownOperationException`, never made up.

use serde_json::Value;

use crate::{
    call::Call,
    crypto,
    error::{AwsException, ErrorName},
    keys, stores,
};

/// Answers a call of KMS.
///
/// # Errors
/// What the operation fails with.
pub(crate) async fn answer(call: &Call, body: &Value) -> Result<Value, AwsException> {
    keys::settle(&call.shared)?;
    match call.operation.as_str() {
        "Decrypt" => crypto::decrypt(call, body).await,
        "Encrypt" => crypto::encrypt(call, body).await,
        "GenerateDataKey" => crypto::data_key(call, body).await,
        "GenerateDataKeyWithoutPlaintext" => crypto::data_key_alone(call, body).await,
        "ReEncrypt" => crypto::re_encrypt(call, body).await,
        "ConnectCustomKeyStore" => stores::connect(call, body),
        "CreateCustomKeyStore" => stores::create(call, body).await,
        "DeleteCustomKeyStore" => stores::delete(call, body),
        "DisconnectCustomKeyStore" => stores::disconnect(call, body),
        "UpdateCustomKeyStore" => stores::update(call, body).await,
        "DescribeCustomKeyStores" => stores::describe(call, body),
        _ => keys::answer(call, body).await.unwrap_or_else(|| Err(unknown(&call.operation))),
    }
}

fn unknown(operation: &str) -> AwsException {
    AwsException::new(ErrorName::UnknownOperation, format!("{operation} is not simulated."))
}
