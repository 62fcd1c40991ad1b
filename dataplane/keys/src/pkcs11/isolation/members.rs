//! The keys that a child was asked for, by name: their object handles are here.
//!
//! Holds: at most [`MOST`] of them. Those that were not asked for while as many others were are dropped; they would only be looked up
//! on the token again.

use std::{collections::HashMap, mem, sync::Arc};

use crate::pkcs11::handles::{KeyName, MemberKey};

/// See above.
#[derive(Default)]
pub(super) struct Members {
    /// Asked for lately.
    young: HashMap<KeyName, Arc<MemberKey>>,
    /// Asked for before that.
    old: HashMap<KeyName, Arc<MemberKey>>,
}

impl Members {
    /// The key of that name: the same one as the last time, if it was kept.
    pub(super) fn key(&mut self, name: KeyName) -> Arc<MemberKey> {
        if let Some(key) = self.young.get(&name) {
            return Arc::clone(key);
        }
        let key = self.old.remove(&name).unwrap_or_else(|| MemberKey::new(name.clone()));
        if self.young.len() >= MOST / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(name, Arc::clone(&key));
        key
    }
}

/// Keys that are kept.
const MOST: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> KeyName {
        KeyName { cka_id: number.to_le_bytes().into(), label: String::new() }
    }

    #[test]
    fn a_key_stays_the_same_while_it_is_asked_for() {
        let mut members = Members::default();
        let first = members.key(name(0));
        for number in 1..MOST * 2 {
            members.key(name(number));
            if number % 1000 == 0 {
                assert!(Arc::ptr_eq(&first, &members.key(name(0))));
            }
            assert!(members.young.len() + members.old.len() <= MOST);
        }
        assert!(!members.old.contains_key(&name(1)) && !members.young.contains_key(&name(1)), "nobody asked for it again");
    }
}
