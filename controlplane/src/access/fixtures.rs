//! Access to a store with the user `admin`, for tests.

use std::{sync::Arc, time::Duration};

use holdfast_proto::{
    seal::{Seal, SealRing},
    secret::Secret,
};
use uuid::Uuid;

use super::{Access, AccessSettings, lockout::Try, password::Hashed};
use crate::{
    audit::Audit,
    core::Writer,
    names::UserName,
    store::{
        Store,
        entry::{Entry, EntryChange, Role, Stamps, UserEntry},
        memory::MemoryStore,
        seal::ControlSeal,
    },
};

/// With `admin`, whose password is `right password`.
pub(super) async fn access() -> Access {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let access = reopened(&store).await;
    put(&access, vec![Entry::User(admin())]).await;
    access
}

/// On a store that is there.
pub(super) async fn reopened(store: &Arc<dyn Store>) -> Access {
    let writer = Arc::new(Writer::new(Arc::clone(store), Audit::unread()));
    let seal = ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())));
    Access::open(AccessSettings { writer, seal, renew_for: RENEW_FOR }).await.unwrap()
}

pub(super) fn admin() -> UserEntry {
    UserEntry {
        id: Uuid::from_u128(1),
        name: UserName::try_from("admin").unwrap(),
        password_hash: Hashed::new(&Secret::new("right password".into())).unwrap().as_str().into(),
        roles: vec![Role::Admin],
        disabled: false,
        generation: 0,
        stamps: Stamps::default(),
    }
}

pub(super) async fn put(access: &Access, entries: Vec<Entry>) {
    let store = access.writer.store();
    store.commit(store.head().revision(), entries.into_iter().map(EntryChange::put).collect()).await.unwrap();
}

/// A try from one place.
pub(super) fn place(name: &str) -> Try<'_> {
    Try { name, peer: Some([192, 0, 2, 1].into()) }
}

pub(super) const RENEW_FOR: Duration = Duration::from_hours(24);
