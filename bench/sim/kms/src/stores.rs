//! Custom key stores.

use serde_json::{Value, json};

use crate::{call::Call, error::AwsException};

/// `DescribeCustomKeyStores`.
pub(crate) fn describe(_call: &Call, _body: &Value) -> Result<Value, AwsException> {
    Ok(json!({"CustomKeyStores": [], "Truncated": false}))
}
