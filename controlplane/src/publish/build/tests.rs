use holdfast_proto::{ids::CredentialId, state::VersionState};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    publish::tests::estate::{Estate, hyok_key, key_id, key_store, place, source_key, store_id, virtual_key},
    store::entry::{Entry, EntryChange, SourceKeyEntry},
};

fn builder(estate: &Estate) -> Builder {
    Builder::new(Arc::clone(&estate.store), estate.seal.clone())
}

/// A HYOK key is in one key store only, and so is its virtual key.
const fn key_of(store: u128, k: u128) -> u128 {
    store * 10 + k
}

/// What a control plane that was started just now would publish.
async fn fresh(estate: &Estate) -> Arc<Built> {
    builder(estate).build().await.unwrap()
}

fn key_with(store: u128, key: u128, states: &[VersionState]) -> Vec<EntryChange> {
    vec![virtual_key(store, key, states), place(store, key), hyok_key(store, key, false)]
}

#[derive(Clone, Debug)]
enum Op {
    KeyStore(u128, bool),
    NoKeyStore(u128),
    Credential(u128, u128),
    NoCredential(u128, u128),
    Key(u128, u128, Vec<VersionState>),
    NoKey(u128, u128),
    Block(u128, u128, bool),
    Build,
}

impl Op {
    fn changes(self, estate: &Estate) -> Vec<EntryChange> {
        let credential = |s, c: u128| EntryName::Credential(store_id(s), CredentialId(Uuid::from_u128(c)));
        match self {
            Self::KeyStore(s, blocked) => vec![key_store(s, blocked)],
            // As `core` does it: what is in it goes along.
            Self::NoKeyStore(s) => [EntryName::KeyStore(store_id(s))]
                .into_iter()
                .chain((1..4).map(|c| credential(s, c)))
                .chain((1..4).map(|k| EntryName::HyokKey(store_id(s), key_id(key_of(s, k)))))
                .map(EntryChange::Delete)
                .collect(),
            Self::Credential(s, c) => vec![estate.credential(s, c)],
            Self::NoCredential(s, c) => vec![EntryChange::Delete(credential(s, c))],
            Self::Key(s, k, states) => key_with(s, key_of(s, k), &states),
            Self::NoKey(s, k) => vec![EntryChange::Delete(EntryName::HyokKey(store_id(s), key_id(key_of(s, k))))],
            Self::Block(s, k, blocked) => vec![hyok_key(s, key_of(s, k), blocked)],
            Self::Build => Vec::new(),
        }
    }
}

fn any_op() -> impl Strategy<Value = Op> {
    // At most one version active, as `core` keeps it.
    let states = (0..4usize, prop::option::of(0..4usize)).prop_map(|(pending, active)| {
        let mut states = vec![VersionState::Pending; pending];
        if let Some(state) = active.and_then(|at| states.get_mut(at)) {
            *state = VersionState::Active;
        }
        states
    });
    prop_oneof![
        2 => (1..4u128, any::<bool>()).prop_map(|(s, blocked)| Op::KeyStore(s, blocked)),
        1 => (1..4u128).prop_map(Op::NoKeyStore),
        2 => (1..4u128, 1..4u128).prop_map(|(s, c)| Op::Credential(s, c)),
        1 => (1..4u128, 1..4u128).prop_map(|(s, c)| Op::NoCredential(s, c)),
        4 => (1..4u128, 1..4u128, states).prop_map(|(s, k, states)| Op::Key(s, k, states)),
        1 => (1..4u128, 1..4u128).prop_map(|(s, k)| Op::NoKey(s, k)),
        2 => (1..4u128, 1..4u128, any::<bool>()).prop_map(|(s, k, blocked)| Op::Block(s, k, blocked)),
        2 => Just(Op::Build),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Also: revisions only grow, and differ where digests do.
    #[test]
    fn step_by_step_the_same_is_built_as_from_nothing(ops in prop::collection::vec(any_op(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let estate = Estate::new().await;
            estate.commit(vec![source_key(2), source_key(3)]).await;
            let mut builder = builder(&estate);
            let mut last = builder.build().await.unwrap();
            for op in ops {
                let build = matches!(op, Op::Build);
                estate.commit(op.changes(&estate)).await;
                if build {
                    let next = builder.build().await.unwrap();
                    assert_eq!(next.covers, estate.store.head().revision());
                    assert!(next.revision >= last.revision);
                    assert_eq!(next.revision == last.revision, next.digest == last.digest);
                    last = next;
                }
            }
            let (stepwise, fresh) = (builder.build().await.unwrap(), fresh(&estate).await);
            assert_eq!(stepwise.digest, fresh.digest);
            let pending = |built: &Built| -> Vec<_> {
                built.pending.iter().map(|(key, p)| (*key, p.virtual_key, p.since.keys().copied().collect::<Vec<_>>())).collect()
            };
            assert_eq!(pending(&stepwise), pending(&fresh));
            assert!(stepwise.pending.values().flat_map(|p| p.since.values()).all(|since| *since <= stepwise.revision));
            builder.check().await.unwrap();
            assert_eq!(builder.build().await.unwrap().revision, stepwise.revision, "the check found a difference");
        });
    }
}

#[tokio::test]
async fn a_pending_version_counts_from_the_build_in_which_it_first_was() {
    let estate = Estate::new().await;
    let mut builder = builder(&estate);
    builder.build().await.unwrap();
    estate.commit(key_with(1, 2, &[VersionState::Pending])).await;
    let first = builder.build().await.unwrap();
    estate.commit(key_with(1, 2, &[VersionState::Pending, VersionState::Pending])).await;
    let second = builder.build().await.unwrap();
    let since: Vec<_> = second.pending[&key_id(2)].since.values().copied().collect();
    assert_eq!(since, [first.revision, second.revision]);
}

#[tokio::test]
async fn a_difference_behind_the_names_that_changed_is_found_by_the_check_and_taken_under_a_new_revision() {
    let estate = Estate::new().await;
    let mut builder = builder(&estate);
    let before = builder.build().await.unwrap();
    // Against the rule of the store: what key store 1 publishes changes, but nothing that is named in it.
    let EntryChange::Put(entry) = source_key(9) else { panic!("not a source key") };
    let Entry::SourceKey(entry) = *entry else { panic!("not a source key") };
    let stranger = SourceKeyEntry { id: Uuid::from_u128(1), ..entry };
    estate.commit(vec![EntryChange::put(Entry::SourceKey(stranger))]).await;
    let unaware = builder.build().await.unwrap();
    assert_eq!((unaware.revision, unaware.digest), (before.revision, before.digest));
    builder.check().await.unwrap();
    let aware = builder.build().await.unwrap();
    assert_eq!(aware.digest, fresh(&estate).await.digest);
    assert!(aware.revision > before.revision && aware.digest != before.digest);
}

#[tokio::test]
async fn an_inconsistent_state_leaves_the_last_build_standing() {
    let estate = Estate::new().await;
    let mut builder = builder(&estate);
    let before = builder.build().await.unwrap();
    let EntryChange::Put(twin) = key_store(2, false) else { panic!("not a key store") };
    let Entry::KeyStore(mut twin) = *twin else { panic!("not a key store") };
    let EntryChange::Put(first) = key_store(1, false) else { panic!("not a key store") };
    let Entry::KeyStore(first) = *first else { panic!("not a key store") };
    twin.uri_path = first.uri_path;
    estate.commit(vec![source_key(2), EntryChange::put(Entry::KeyStore(twin))]).await;
    assert!(matches!(builder.build().await, Err(BuildError::Reject(_))));
    estate.commit(vec![key_store(2, false)]).await;
    let after = builder.build().await.unwrap();
    assert_eq!(after.digest, fresh(&estate).await.digest);
    assert!(after.revision > before.revision);
}

#[tokio::test]
async fn a_renewed_build_moves_the_revision_and_nothing_else() {
    let estate = Estate::new().await;
    let mut builder = builder(&estate);
    let before = builder.build().await.unwrap();
    builder.renew().await;
    let after = builder.build().await.unwrap();
    assert_eq!(after.digest, before.digest);
    assert!(after.revision > before.revision);
}

#[tokio::test]
async fn a_blocked_key_is_published_even_when_its_source_key_is_gone() {
    let estate = Estate::new().await;
    estate.commit(vec![source_key(1)]).await;
    estate.commit(key_with(1, 2, &[VersionState::Active])).await;
    let mut builder = builder(&estate);
    builder.build().await.unwrap();
    let gone = EntryChange::Delete(EntryName::SourceKey(Uuid::from_u128(1)));
    estate.commit(vec![gone, hyok_key(1, 2, true)]).await;
    let built = builder.build().await.unwrap();
    let key = built.set.store(store_id(1)).unwrap().key(key_id(2)).unwrap();
    assert!(key.key().blocked);
    assert_eq!(key.versions().count(), 1, "its versions stand as they were");
}
