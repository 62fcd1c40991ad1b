//! What an ACL becomes by a change, as pure functions.
//!
//! Always holds: an entry has at least one granted action, and there is one entry for each user and group; what the granted actions let
//! someone view besides is shown with them and goes with them, so that taking away what was granted leaves nothing behind.

use std::collections::BTreeSet;

use crate::{
    core::CoreError,
    store::entry::{AclEntry, AclSubject, KmsAction},
};

/// One change of an ACL, as a client sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclChange {
    /// A user,
    pub user: Option<String>,
    /// or a group.
    pub group: Option<String>,
    /// The actions are allowed from now on, or no longer.
    pub permit: bool,
    /// In the API's words.
    pub actions: Vec<String>,
}

/// What an entry shows: what was granted, and what that lets its holder view besides.
#[must_use]
pub fn shown(entry: &AclEntry) -> BTreeSet<KmsAction> {
    let besides = entry.granted.iter().flat_map(|action| action.views().iter().copied());
    entry.granted.iter().copied().chain(besides).collect()
}

/// The ACLs after a change.
pub(super) fn apply(mut acls: Vec<AclEntry>, change: &AclChange) -> Result<Vec<AclEntry>, CoreError> {
    let subject = subject(change)?;
    let actions = change.actions.iter().map(|word| meant(word)).collect::<Result<Vec<_>, _>>()?;
    let actions: BTreeSet<_> = actions.into_iter().flatten().collect();
    let at = acls.iter().position(|entry| entry.subject == subject);
    match (change.permit, at) {
        (true, Some(at)) => acls[at].granted.extend(actions),
        (true, None) => acls.push(AclEntry { subject, granted: actions }),
        (false, Some(at)) => acls[at].granted.retain(|action| !actions.contains(action)),
        (false, None) => {}
    }
    acls.retain(|entry| !entry.granted.is_empty());
    Ok(acls)
}

fn subject(change: &AclChange) -> Result<AclSubject, CoreError> {
    match (change.user.clone(), change.group.clone()) {
        (Some(user), None) => Ok(AclSubject::User(user)),
        (None, Some(group)) => Ok(AclSubject::Group(group)),
        (Some(_), Some(_)) | (None, None) => Err(CoreError::Invalid { field: "user_id", detail: "give either user_id or group".into() }),
    }
}

/// What a word stands for; an old one stands for two.
fn meant(word: &str) -> Result<Vec<KmsAction>, CoreError> {
    if word == "view" {
        return Ok(vec![KmsAction::ViewNative, KmsAction::ViewByok]);
    }
    let unknown = || CoreError::Invalid { field: "actions", detail: format!("{word:?} is not an action") };
    Ok(vec![KmsAction::of(word).ok_or_else(unknown)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(permit: bool, actions: &[&str]) -> AclChange {
        AclChange { group: Some("g".into()), permit, actions: actions.iter().map(ToString::to_string).collect(), ..AclChange::default() }
    }

    fn after(changes: &[AclChange]) -> Vec<Vec<&'static str>> {
        let acls = changes.iter().try_fold(Vec::new(), apply).unwrap();
        acls.iter().map(|entry| shown(entry).into_iter().map(KmsAction::as_str).collect()).collect()
    }

    #[test]
    fn what_is_granted_shows_with_what_it_lets_one_view() {
        let table: [(&[&str], &[&str]); 7] = [
            (&["keycreate"], &["keycreate", "viewnative"]),
            (&["keyupload"], &["keyupload", "viewbyok"]),
            (&["hyokkeycreate"], &["viewhyokkey", "hyokkeycreate"]),
            (&["cloudhsmkeydelete"], &["viewcloudhsmkey", "cloudhsmkeydelete"]),
            (&["keystoreblock", "keystoreadd"], &["viewkeystore", "keystoreadd", "keystoreblock"]),
            (&["reportview"], &["reportview"]),
            (&["view"], &["viewnative", "viewbyok"]),
        ];
        for (granted, shown) in table {
            assert_eq!(after(&[change(true, granted)]), [shown.to_vec()], "{granted:?}");
        }
        assert!(after(&[change(true, &[])]).is_empty());
    }

    #[test]
    fn what_was_granted_goes_with_its_views_and_an_empty_entry_disappears() {
        let grant = change(true, &["keycreate", "hyokkeycreate"]);
        assert_eq!(after(&[grant.clone(), change(false, &["keycreate"])]), [["viewhyokkey", "hyokkeycreate"]]);
        assert!(after(&[grant.clone(), change(false, &["keycreate", "hyokkeycreate"])]).is_empty());
        // A client that takes away all it was shown.
        assert!(after(&[grant.clone(), change(false, &["keycreate", "hyokkeycreate", "viewnative", "viewhyokkey"])]).is_empty());
        // A view that was granted by itself stays.
        assert_eq!(after(&[grant, change(true, &["viewnative"]), change(false, &["keycreate", "hyokkeycreate"])]), [["viewnative"]]);
    }

    #[test]
    fn users_and_groups_have_entries_of_their_own() {
        let user = AclChange { user: Some("u".into()), group: None, ..change(true, &["keycreate"]) };
        assert_eq!(after(&[user.clone(), change(true, &["keyupload"]), change(false, &["keycreate"])]).len(), 2);
        let both = AclChange { group: Some("g".into()), ..user.clone() };
        let neither = AclChange { user: None, ..user };
        for bad in [both, neither] {
            assert!(matches!(apply(Vec::new(), &bad), Err(CoreError::Invalid { field: "user_id", .. })));
        }
    }

    #[test]
    fn an_unknown_action_is_named() {
        let refused = apply(Vec::new(), &change(true, &["keycreate", "fly"])).unwrap_err();
        assert_eq!(refused.to_string(), "actions: \"fly\" is not an action");
    }

    #[test]
    fn each_action_has_a_word_of_its_own_and_views_only_add_views() {
        let words: BTreeSet<_> = KmsAction::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), KmsAction::ALL.len());
        for action in KmsAction::ALL {
            assert_eq!(KmsAction::of(action.as_str()), Some(action));
            assert!(action.views().iter().all(|view| view.as_str().starts_with("view") && view.views().is_empty()));
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("{:?}", action.as_str()));
        }
    }
}
