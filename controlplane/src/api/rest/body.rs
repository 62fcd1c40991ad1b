//! Bodies of requests (contract §2.3): JSON objects in which `""` and `null` say nothing, and members that mean nothing here are ignored.
//!
//! Always holds: nothing of a body is told back, since it may hold secrets; a fault names the member.

use std::convert::Infallible;

use axum::{
    body::to_bytes,
    extract::{FromRequest, Request},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::api::{
    LONGEST_BODY,
    error::{Kind, Refusal},
};

/// A request's body, or why it can't be used: told only after it is known who asks.
///
/// ```text
/// async fn create(State(api): State<Arc<Api>>, asking: Asking, Payload(body): Payload<NewThing>) -> Result<…> {
///     let call = Call::new("thing.create", body.as_ref().map_or("", |new| &new.name));
///     let act = |permit: Permit<Manage>| async move { let new = body?; … };
/// ```
pub(super) struct Payload<T>(pub(super) Result<T, Refusal>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Payload<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        // It was taken in whole before, and is no longer than that.
        let bytes = to_bytes(request.into_body(), LONGEST_BODY).await;
        let unread = |_| Refusal::new(Kind::Invalid, "the body can't be read");
        Ok(Self(bytes.map_err(unread).and_then(|bytes| parse(&bytes))))
    }
}

/// An empty body is an object without members.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut members = if bytes.iter().all(u8::is_ascii_whitespace) { Map::new() } else { object(bytes)? };
    prune(&mut members);
    let whole = Value::Object(members);
    serde_path_to_error::deserialize(&whole).map_err(|error| {
        let (path, fault) = (error.path().to_string(), error.inner().to_string());
        let at = if path == "." { blamed::<T>(&[], &whole, &fault) } else { Some(path) };
        let rule = rule(&fault);
        Refusal::new(Kind::Invalid, at.map_or_else(|| rule.clone(), |at| format!("{at}: {rule}")))
    })
}

/// The member, within those of `within`, that has this fault by itself: of members that are flattened into a struct serde tells no path.
fn blamed<T: DeserializeOwned>(within: &[&str], value: &Value, fault: &str) -> Option<String> {
    if fault.starts_with(MISSING) {
        return None;
    }
    value.as_object()?.iter().find_map(|(name, value)| {
        let path = [within, &[name.as_str()]].concat();
        let nested = |inner, name: &&str| Value::Object(Map::from_iter([((*name).to_owned(), inner)]));
        let by_itself = path.iter().rev().fold(value.clone(), nested);
        let same = T::deserialize(by_itself).is_err_and(|error| error.to_string() == fault);
        same.then(|| blamed::<T>(&path, value, fault).unwrap_or_else(|| path.join(".")))
    })
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(Refusal::new(Kind::Invalid, "the body must be a JSON object")),
        Err(e) => Err(Refusal::new(Kind::Invalid, format!("the body is not JSON (line {}, column {})", e.line(), e.column()))),
    }
}

/// Removes what says nothing, but not from what is kept as it is.
fn prune(members: &mut Map<String, Value>) {
    members.retain(|name, value| !value.is_null() && (FREE.contains(&name.as_str()) || value.as_str() != Some("")));
    for (name, value) in members {
        if !FREE.contains(&name.as_str()) {
            prune_within(value);
        }
    }
}

fn prune_within(value: &mut Value) {
    match value {
        Value::Object(members) => prune(members),
        Value::Array(items) => items.iter_mut().for_each(prune_within),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What serde says of a fault, without the value that it saw.
fn rule(fault: &str) -> String {
    if let Some((_, expected)) = fault.rsplit_once(", expected ") {
        return format!("must be {expected}");
    }
    if fault.starts_with(MISSING) { format!("there is a {fault}") } else { "does not have the form that belongs here".into() }
}

/// How serde begins to tell of a member that must be there.
const MISSING: &str = "missing field";
/// Members whose content is the client's own.
const FREE: [&str; 4] = ["Policy", "policy", "labels", "meta"];

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Thing {
        name: Option<String>,
        size: Option<u8>,
        inner: Option<Box<Thing>>,
        meta: Option<Value>,
    }

    #[test]
    fn empty_and_null_members_say_nothing_and_unknown_ones_are_ignored() {
        let body = br#"{"name":"","size":null,"id":{},"inner":{"name":"","size":3},"meta":{"a":""}}"#;
        let thing: Thing = parse(body).unwrap();
        assert_eq!((thing.name, thing.size, thing.inner.unwrap().size), (None, None, Some(3)));
        assert_eq!(thing.meta.unwrap()["a"], "");
        for nothing in [&b""[..], b" \r\n", b"{}"] {
            assert_eq!(parse::<Thing>(nothing).unwrap(), Thing::default());
        }
    }

    #[test]
    fn a_fault_names_the_member_where_members_are_flattened_too() {
        #[derive(Debug, Deserialize)]
        struct Whole {
            #[expect(dead_code, reason = "only parsed")]
            size: Option<u8>,
            #[serde(flatten)]
            #[expect(dead_code, reason = "only parsed")]
            thing: Thing,
        }
        let cases = [
            (r#"{"size":1,"name":["sesame"]}"#, "name: must be a string"),
            (r#"{"aaa":["sesame"],"inner":{"aaa":1,"inner":{"name":5}}}"#, "inner.inner.name: must be a string"),
        ];
        for (body, text) in cases {
            assert_eq!(parse::<Whole>(body.as_bytes()).unwrap_err().text(), text, "{body}");
        }
    }

    #[test]
    fn a_fault_names_the_member_and_never_repeats_the_value() {
        #[derive(Debug, Deserialize)]
        struct Needs {
            #[expect(dead_code, reason = "only parsed")]
            inner: Thing,
        }
        let cases = [
            (r#"{"inner":{"size":"sesame"}}"#, "inner.size: must be u8"),
            (r#"{"inner":{"size":3000}}"#, "inner.size: must be u8"),
            (r#"{"inner":{"name":["sesame"]}}"#, "inner.name: must be a string"),
            (r"{}", "there is a missing field `inner`"),
            (r#"["sesame"]"#, "the body must be a JSON object"),
            (r#"{"sesame"#, "the body is not JSON (line 1, column 8)"),
        ];
        for (body, text) in cases {
            assert_eq!(parse::<Needs>(body.as_bytes()).unwrap_err().text(), text, "{body}");
        }
    }
}
