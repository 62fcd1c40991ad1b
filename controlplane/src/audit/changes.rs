//! What commits changed, as audit lines show it: per entry its name, and its members before and after.
//!
//! Always holds: secrets are not in it (`shown` says which members they are); it is bounded, and says how many changes were left out; of
//! an entry that was replaced only the members that differ are there.

use serde::Serialize;
use serde_json::{Map, Value};

use super::shown::{hide, kind_and_id};
use crate::store::{
    ReadError, View,
    entry::{Entry, EntryChange},
};

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    #[serde(rename = "changes", skip_serializing_if = "Vec::is_empty")]
    shown: Vec<Change>,
    /// So many more, that would have made the line too long.
    #[serde(rename = "changes_left_out", skip_serializing_if = "is_zero")]
    left_out: usize,
    #[serde(skip)]
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Change {
    entry: &'static str,
    id: String,
    before: Option<Map<String, Value>>,
    after: Option<Map<String, Value>>,
    /// Nobody waited for the commit's end: it may have been done, or not.
    #[serde(skip_serializing_if = "is_false")]
    unconfirmed: bool,
}

impl Changes {
    /// What `changes` would change, were they committed on what `view` sees.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn of(view: &View, changes: &[EntryChange]) -> Result<Self, ReadError> {
        let mut all = Self::default();
        for change in changes {
            if all.bytes >= MOST_BYTES {
                all.left_out += 1;
                continue;
            }
            let name = change.name();
            let before = view.entry(&name)?;
            let after = match change {
                EntryChange::Put(entry) if before.as_ref() == Some(entry) => continue,
                EntryChange::Put(entry) => Some(entry),
                EntryChange::Delete(_) => None,
            };
            let (before, after) = differing(before.as_ref(), after);
            let (entry, id) = kind_and_id(&name);
            all.push(Change { entry, id, before, after, unconfirmed: false });
        }
        Ok(all)
    }

    /// Takes in what another commit changed.
    pub fn extend(&mut self, more: Self) {
        self.left_out += more.left_out;
        more.shown.into_iter().for_each(|change| self.push(change));
    }

    /// The same, of a commit whose end nobody waited for.
    #[must_use]
    pub fn unconfirmed(mut self) -> Self {
        self.shown.iter_mut().for_each(|change| change.unconfirmed = true);
        self
    }

    /// Nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.left_out == 0
    }

    fn push(&mut self, change: Change) {
        let bytes = serde_json::to_vec(&change).map_or(MOST_BYTES, |json| json.len());
        if self.bytes + bytes > MOST_BYTES {
            self.left_out += 1;
        } else {
            self.bytes += bytes;
            self.shown.push(change);
        }
    }
}

/// The members that differ, without what is secret in them; that a secret differs is seen.
fn differing(before: Option<&Entry>, after: Option<&Entry>) -> (Option<Map<String, Value>>, Option<Map<String, Value>>) {
    let (mut old, mut new) = (before.map(members), after.map(members));
    if let (Some(old), Some(new)) = (&mut old, &mut new) {
        let same: Vec<_> = old.iter().filter(|(member, value)| new.get(*member) == Some(value)).map(|(member, _)| member.clone()).collect();
        for member in same {
            old.remove(&member);
            new.remove(&member);
        }
    }
    for (entry, members) in [(before, &mut old), (after, &mut new)] {
        if let (Some(entry), Some(members)) = (entry, members) {
            hide(entry, members);
        }
    }
    (old, new)
}

/// All members of an entry, as they lie in the store.
fn members(entry: &Entry) -> Map<String, Value> {
    // An entry lies there as the one member of an object, by the name of its kind.
    match serde_json::to_value(entry) {
        Ok(Value::Object(kind)) => match kind.into_iter().next() {
            Some((_, Value::Object(members))) => members,
            Some(_) | None => Map::new(),
        },
        Ok(_) | Err(_) => Map::new(),
    }
}

const fn is_false(value: &bool) -> bool {
    !*value
}

const fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Of one line's changes.
const MOST_BYTES: usize = 64 << 10;
