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

type Members = Map<String, Value>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Change {
    entry: &'static str,
    id: String,
    before: Option<Members>,
    after: Option<Members>,
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
                EntryChange::Put(entry) if before.as_ref() == Some(&**entry) => continue,
                EntryChange::Put(entry) => Some(&**entry),
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
fn differing(before: Option<&Entry>, after: Option<&Entry>) -> (Option<Members>, Option<Members>) {
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
fn members(entry: &Entry) -> Members {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::{
        names::UserName,
        store::{
            Store,
            entry::{EntryName, Role, Stamps, UserEntry, VirtualKeyEntry},
            memory::MemoryStore,
        },
    };

    fn user(hash: &str, roles: &[Role]) -> Entry {
        let name = UserName::try_from("eve").unwrap();
        Entry::User(UserEntry {
            id: Uuid::nil(),
            name,
            password_hash: hash.into(),
            roles: roles.into(),
            disabled: false,
            generation: 0,
            stamps: Stamps::default(),
        })
    }

    /// `changes`, on a store that has `before`.
    async fn shown(before: Vec<Entry>, changes: &[EntryChange]) -> Value {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        store.commit(store.head().revision(), before.into_iter().map(EntryChange::put).collect()).await.unwrap();
        serde_json::to_value(Changes::of(&View::of(&store).await.unwrap(), changes).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_is_new_is_shown_whole_and_what_changes_by_the_members_that_differ() {
        let made = shown(Vec::new(), &[EntryChange::put(user("$argon2id$1", &[Role::Admin]))]).await;
        let change = &made["changes"][0];
        assert_eq!((&change["entry"], &change["id"], &change["before"]), (&"user".into(), &"eve".into(), &Value::Null));
        assert_eq!((&change["after"]["name"], &change["after"]["roles"][0]), (&"eve".into(), &"admin".into()));

        let changes = [EntryChange::put(user("$argon2id$1", &[Role::Auditor]))];
        let changed = shown(vec![user("$argon2id$1", &[Role::Admin])], &changes).await;
        let change = &changed["changes"][0];
        assert_eq!(
            (&change["before"], &change["after"]),
            (&serde_json::json!({"roles": ["admin"]}), &serde_json::json!({"roles": ["auditor"]}))
        );

        let changes = [EntryChange::Delete(EntryName::User(UserName::try_from("eve").unwrap()))];
        let gone = shown(vec![user("$argon2id$1", &[Role::Admin])], &changes).await;
        assert_eq!((&gone["changes"][0]["before"]["name"], &gone["changes"][0]["after"]), (&"eve".into(), &Value::Null));
    }

    #[tokio::test]
    async fn that_a_secret_changed_is_shown_and_neither_what_it_was_nor_is() {
        let changed = shown(vec![user("$argon2id$1", &[])], &[EntryChange::put(user("$argon2id$2", &[]))]).await;
        let change = &changed["changes"][0];
        assert_eq!(
            (&change["before"], &change["after"]),
            (&serde_json::json!({"password_hash": "***"}), &serde_json::json!({"password_hash": "***"}))
        );
        let same = shown(vec![user("$argon2id$1", &[])], &[EntryChange::put(user("$argon2id$1", &[]))]).await;
        assert_eq!(same, serde_json::json!({}));
    }

    #[tokio::test]
    async fn a_commit_of_thousands_of_entries_makes_one_bounded_line_that_says_how_much_is_missing() {
        let key = |n| VirtualKeyEntry::silent(Uuid::from_u128(n), None, Stamps::default());
        let changes: Vec<_> = (0..4_000).map(|n| EntryChange::put(Entry::VirtualKey(key(n)))).collect();
        let all = shown(Vec::new(), &changes).await;
        let shown = all["changes"].as_array().unwrap().len();
        assert!(shown > 100, "{shown}");
        assert_eq!(all["changes_left_out"], 4_000 - shown);
        assert!(all.to_string().len() < MOST_BYTES + 8_000);
    }

    #[tokio::test]
    async fn changes_of_several_commits_are_kept_together_in_the_same_bounds() {
        let key = |n| VirtualKeyEntry::silent(Uuid::from_u128(n), None, Stamps::default());
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let view = View::of(&store).await.unwrap();
        let mut all = Changes::default();
        for batch in 0..20 {
            let changes: Vec<_> = (0..100).map(|n| EntryChange::put(Entry::VirtualKey(key(batch * 100 + n)))).collect();
            all.extend(Changes::of(&view, &changes).unwrap());
        }
        assert_eq!(all.shown.len() + all.left_out, 2_000);
        assert!(all.bytes <= MOST_BYTES && all.left_out > 0);
    }
}
