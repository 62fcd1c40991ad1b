//! Lists (contract §2.2): filters, order, and a part of what matches.
//!
//! Always holds: a parameter that means nothing here is refused by its name, since a filter that is ignored answers with too much; only
//! what is on the page is rendered.

use std::{
    cmp::{Ordering, Reverse},
    convert::Infallible,
};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::api::error::{Kind, Refusal};

/// What a client asked of a list: taken from the query, which may be empty.
///
/// ```text
/// async fn list(State(api): State<Arc<Api>>, asking: Asking, listing: Listing) -> Result<Json<Page<Thing>>, Refusal> {
///     let act = |permit: Permit<Read>| async move { listing.page(api.core.things(&permit).await?, &FIELDS)?.render(|thing| Thing::of(thing, Told::Read)) };
/// ```
#[derive(Clone, Debug)]
pub(super) struct Listing(Result<Vec<(String, String)>, Refusal>);

/// The parameters that every list has, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// How many to leave out at the front.
    #[param(minimum = 0)]
    #[expect(dead_code, reason = "describes the API only")]
    skip: Option<u32>,
    /// How many to tell; -1: all.
    #[param(minimum = -1, default = 10)]
    #[expect(dead_code, reason = "describes the API only")]
    limit: Option<i32>,
    /// Members to sort by, separated by commas; `-` before one: descending.
    #[expect(dead_code, reason = "describes the API only")]
    sort: Option<String>,
}

/// A member to filter and sort by.
pub(super) struct Field<T> {
    /// Its name in the query.
    pub(super) name: &'static str,
    /// Its values; a filter fits if it is one of them. What is absent fits no filter.
    pub(super) of: fn(&T) -> Vec<Value>,
    /// How else a filter's value may be spelled: turns that into the value's own spelling.
    pub(super) spelled: fn(&str) -> &str,
}

/// A value to filter and sort by. Filters compare the text of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(u64),
    /// A text.
    Text(String),
}

/// A part of what matches.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// As asked.
    pub(super) skip: u64,
    /// As asked; -1: all.
    pub(super) limit: i64,
    /// How many match.
    pub(super) total: u64,
    /// Those on this page.
    pub(super) resources: Vec<T>,
}

impl<T> Field<T> {
    /// One whose filter has one spelling.
    pub(super) const fn new(name: &'static str, of: fn(&T) -> Vec<Value>) -> Self {
        Self { name, of, spelled: |text| text }
    }
}

impl Listing {
    /// What matches, in order, and of that the part that was asked for.
    ///
    /// # Errors
    /// `Invalid` for a parameter that isn't one of `fields`, `skip`, `limit` and `sort`, or has an impossible value.
    pub(super) fn page<T>(self, mut items: Vec<T>, fields: &[Field<T>]) -> Result<Page<T>, Refusal> {
        let (mut skip, mut limit, mut sort) = (0, DEFAULT_LIMIT, String::new());
        for (name, value) in self.0? {
            match name.as_str() {
                // Empty is absent (contract §2.3).
                _ if value.is_empty() => {}
                "skip" => skip = value.parse::<u64>().map_err(|_| Refusal::invalid("skip", "must be a number from 0"))?,
                "limit" => {
                    let number = value.parse::<i64>().ok().filter(|limit| *limit >= -1);
                    limit = number.ok_or_else(|| Refusal::invalid("limit", "must be a number from 0, or -1 for all"))?;
                }
                "sort" => sort = value,
                name => {
                    let field = fields.iter().find(|field| field.name == name).ok_or_else(|| unknown(name, fields))?;
                    let wanted = (field.spelled)(&value);
                    items.retain(|item| (field.of)(item).iter().any(|value| value.is(wanted)));
                }
            }
        }
        order(&mut items, &sort, fields)?;
        let total = items.len() as u64;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let resources = items.into_iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)).take(most).collect();
        Ok(Page { skip, limit, total, resources })
    }
}

impl<T> Page<T> {
    /// The same page of what `render` makes of each.
    pub(super) fn render<R>(self, render: impl FnMut(T) -> R) -> Page<R> {
        let resources = self.resources.into_iter().map(render).collect();
        Page { skip: self.skip, limit: self.limit, total: self.total, resources }
    }
}

impl Value {
    fn is(&self, text: &str) -> bool {
        match self {
            Self::Bool(value) => text == if *value { "true" } else { "false" },
            Self::Number(value) => text.parse() == Ok(*value),
            Self::Text(value) => text == value,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Listing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::from_str(query);
        Ok(Self(pairs.map_err(|_| Refusal::new(Kind::Invalid, "the query is not of the form name=value&name=value"))))
    }
}

/// Sorts by each name in turn, the first one above all.
fn order<T>(items: &mut [T], sort: &str, fields: &[Field<T>]) -> Result<(), Refusal> {
    let mut keys = Vec::new();
    for name in sort.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let (name, descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
        let field = fields.iter().find(|field| field.name == name).ok_or_else(|| unknown(&format!("sort={name}"), fields))?;
        keys.push((field.of, descending));
    }
    if keys.is_empty() {
        return Ok(());
    }
    items.sort_by(|a, b| {
        let by = keys.iter().map(|(of, descending)| if *descending { Reverse(of(a)).cmp(&Reverse(of(b))) } else { of(a).cmp(&of(b)) });
        by.fold(Ordering::Equal, Ordering::then)
    });
    Ok(())
}

fn unknown<T>(name: &str, fields: &[Field<T>]) -> Refusal {
    let known: Vec<_> = fields.iter().map(|field| field.name).collect();
    let name: String = name.chars().take(LONGEST_NAME).collect();
    Refusal::invalid(
        &name,
        format_args!("there is no such parameter here; there are skip, limit, sort, and for filters and sorting {}", known.join(", ")),
    )
}

const DEFAULT_LIMIT: i64 = 10;
/// Characters of a name that are told back.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    type Item = (&'static str, u64, Option<bool>);

    const FIELDS: [Field<Item>; 3] = [
        Field { name: "name", of: |item| vec![item.0.into()], spelled: |text| if text == "alpha" { "a" } else { text } },
        Field::new("size", |item| vec![item.1.into()]),
        Field::new("on", |item| item.2.map(Value::from).into_iter().collect()),
    ];

    fn ask(query: &str) -> Result<(Vec<u64>, u64), Refusal> {
        let items = vec![("b", 1, Some(true)), ("a", 2, None), ("b", 3, Some(false)), ("a", 4, Some(true))];
        let page = Listing(Ok(serde_urlencoded::from_str(query).unwrap())).page(items, &FIELDS)?;
        Ok((page.resources.iter().map(|item| item.1).collect(), page.total))
    }

    #[test]
    fn lists_are_filtered_sorted_and_cut_in_that_order() {
        let cases: [(&str, &[u64], u64); 11] = [
            ("", &[1, 2, 3, 4], 4),
            ("name=a", &[2, 4], 2),
            ("name=alpha", &[2, 4], 2),
            ("on=true&name=b", &[1], 1),
            ("on=maybe", &[], 0),
            ("size=3&name=", &[3], 1),
            ("sort=-size", &[4, 3, 2, 1], 4),
            ("sort=name,-size", &[4, 2, 3, 1], 4),
            ("skip=1&limit=2", &[2, 3], 4),
            ("skip=3&limit=-1", &[4], 4),
            ("limit=0", &[], 4),
        ];
        for (query, items, total) in cases {
            assert_eq!(ask(query).unwrap(), (items.to_vec(), total), "{query}");
        }
    }

    #[test]
    fn impossible_and_unknown_parameters_are_refused_by_name() {
        for (query, name) in [("skip=-1", "skip"), ("limit=-2", "limit"), ("limit=x", "limit"), ("nam=a", "nam"), ("sort=siz", "sort=siz")]
        {
            let refusal = ask(query).unwrap_err();
            assert!(refusal.text().starts_with(name), "{query}: {}", refusal.text());
        }
    }
}
