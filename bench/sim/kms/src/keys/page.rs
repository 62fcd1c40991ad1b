//! Lists that are answered a page at a time.
//!
//! Always holds: a marker names the last item of the page before, so that pages neither repeat nor miss what stays while a client pages.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{AwsException, ErrorName};

/// `Limit` and `Marker` of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Paging {
    limit: Option<i64>,
    marker: Option<String>,
}

/// How many items a page of an operation may have, and has without a `Limit`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) most: usize,
    pub(super) usual: usize,
}

/// A page of `items`, which are sorted by their names, as the answer's member `member`.
///
/// # Errors
/// `ValidationException` for the limit, `InvalidMarkerException` for a marker that was not given out.
pub(super) fn answer(member: &str, items: Vec<(String, Value)>, paging: &Paging, limits: Limits) -> Result<Value, AwsException> {
    let limit = match paging.limit {
        None => limits.usual,
        Some(limit) => usize::try_from(limit).ok().filter(|limit| (1..=limits.most).contains(limit)).ok_or_else(|| {
            let most = i64::try_from(limits.most).unwrap_or(i64::MAX);
            AwsException::out_of_range("limit", limit, (1, most))
        })?,
    };
    let after = paging.marker.as_deref().map(name).transpose()?;
    let mut left = items.into_iter().filter(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    let page: Vec<_> = left.by_ref().take(limit).collect();
    let truncated = left.next().is_some();
    let mut members = Map::new();
    if let Some((last, _)) = page.last().filter(|_| truncated) {
        members.insert("NextMarker".into(), BASE64.encode(last).into());
    }
    members.insert("Truncated".into(), truncated.into());
    members.insert(member.into(), page.into_iter().map(|(_, item)| item).collect());
    Ok(Value::Object(members))
}

fn name(marker: &str) -> Result<String, AwsException> {
    let bytes = BASE64.decode(marker).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| AwsException::new(ErrorName::InvalidMarker, "Invalid marker"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { most: 3, usual: 2 };

    fn page(limit: Option<i64>, marker: Option<String>) -> Result<Value, AwsException> {
        let items = ["a", "b", "c", "d", "e"].map(|name| (name.to_owned(), Value::from(name)));
        answer("Items", items.to_vec(), &Paging { limit, marker }, LIMITS)
    }

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let mut marker = None;
        let mut seen = Vec::new();
        loop {
            let page = page(None, marker.take()).unwrap();
            seen.extend(page["Items"].as_array().unwrap().clone());
            marker = page.get("NextMarker").map(|marker| marker.as_str().unwrap().to_owned());
            assert_eq!(page["Truncated"], marker.is_some());
            if marker.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn a_limit_out_of_range_and_a_made_up_marker_are_refused() {
        for limit in [-1, 0, 4] {
            assert_eq!(page(Some(limit), None).unwrap_err().name(), "ValidationException");
        }
        assert_eq!(page(None, Some("?".into())).unwrap_err().name(), "InvalidMarkerException");
    }
}
