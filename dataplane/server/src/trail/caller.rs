//! Who a refused request says that it is from, read from a body that may break every other rule of the protocol.
//! Holds: for log and audit only. What can be read is told, whatever is wrong beside it; nothing else comes from here.

use std::borrow::Cow;

use holdfast_wire::message::RequestMetadata;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What `requestMetadata` says, with empty texts for what it leaves out or gives as something else than text. None where the body is no
/// JSON or has no such object.
pub(super) fn claimed<'r>(body: &[u8]) -> Option<RequestMetadata<'r>> {
    let Said { mut metadata } = serde_json::from_slice(body).ok()?;
    let mut text = |member: &str| match metadata.remove(member) {
        Some(Value::String(text)) => Some(Cow::Owned(text)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    Some(RequestMetadata {
        aws_principal_arn: text("awsPrincipalArn"),
        kms_operation: text("kmsOperation").unwrap_or_default(),
        kms_request_id: text("kmsRequestId").unwrap_or_default(),
        kms_key_arn: text("kmsKeyArn"),
        aws_source_vpc: text("awsSourceVpc"),
        aws_source_vpce: text("awsSourceVpce"),
        kms_via_service: text("kmsViaService"),
    })
}

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "requestMetadata")]
    metadata: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_member_hides_no_other() {
        let body =
            br#"{"requestMetadata": {"kmsRequestId": "one", "awsPrincipalArn": 7, "kmsOperation": null, "kmsKeyArn": "x"}, "y": [{}]}"#;
        let claimed = claimed(body).unwrap();
        assert_eq!((&*claimed.kms_request_id, &*claimed.kms_operation), ("one", ""));
        assert_eq!((claimed.aws_principal_arn, claimed.kms_key_arn.as_deref()), (None, Some("x")));
    }

    #[test]
    fn what_is_no_request_names_nobody() {
        for body in [&b""[..], b"{}", b"[]", br#"{"requestMetadata": "x"}"#, br#"{"requestMetadata": {"kmsRequestId": "one"}"#] {
            assert!(claimed(body).is_none(), "{body:?}");
        }
    }
}
