//! What the end of a step changes here, as a pure function of what is here and what AWS told.
//!
//! Always holds: of a store that AWS never had nothing is left that was made for it but source keys; a change that AWS did not take is
//! taken back here; a credential that AWS does not sign with, and was made for it, goes.

use std::collections::BTreeSet;

use holdfast_proto::ids::{CredentialId, StoreId};
use uuid::Uuid;

use super::{step::put, verdict::Verdict};
use crate::{
    aws::stores::{Behind, StoreInAws},
    clock::now_ns,
    core::{CoreError, credentials, hyok_keys, key_stores},
    store::{
        ReadError, View,
        entry::{
            AddressEntry, AwsKeyEntry, AwsKeyKind, AwsKeyStoreEntry, AwsKeyStoreKind, BeforeEntry, ConnectionState, Connectivity, Entry,
            EntryChange, EntryName, KeyStoreEntry, KeyStoreStep,
        },
    },
};

/// What AWS told, as far as it was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// Nothing beyond that it did what it was asked.
    Nothing,
    /// That it refused what it was asked, with these words.
    Refused(&'a str),
    /// It was not asked, because of this.
    Unasked(&'a str),
    /// It made a store with this id.
    Made(&'a str),
    /// It has no such store.
    Absent,
    /// It has this.
    Found(&'a StoreInAws),
    /// The same, so soon after it was asked to change it that it may tell how it was before.
    Lately(&'a StoreInAws),
}

/// The changes that end what was begun with a store, or that only bring it up to date.
pub(super) fn concluded(view: &View, id: Uuid, (verdict, told): (Verdict, Told<'_>)) -> Result<Vec<EntryChange>, CoreError> {
    let Some(before) = view.aws_key_store(id)? else { return Ok(Vec::new()) };
    let here = view.key_store(StoreId(id))?;
    let mut changes = Vec::new();
    match (&before.doing, verdict) {
        (_, Verdict::Unsure) => return Ok(changes),
        (Some(KeyStoreStep::Create), Verdict::NotDone) | (Some(KeyStoreStep::Delete), Verdict::Done) => return all_of_it(view, &before),
        (Some(KeyStoreStep::Link), Verdict::NotDone) => {
            changes.extend(taken_back(here, &before));
            changes.push(EntryChange::Delete(EntryName::AwsKeyStore(id)));
            return Ok(changes);
        }
        (Some(KeyStoreStep::RotateCredential(new)), Verdict::NotDone) => {
            changes.extend(taken_back(here, &before));
            changes.extend(credentials::gone(view, StoreId(id), CredentialId(*new))?);
        }
        (Some(KeyStoreStep::RotateCredential(new)), Verdict::Done) => changes.extend(counted(view, here, *new)?),
        (Some(KeyStoreStep::Update), Verdict::NotDone) => changes.extend(taken_back(here, &before)),
        (
            None
            | Some(KeyStoreStep::Create | KeyStoreStep::Link | KeyStoreStep::Update | KeyStoreStep::Connect | KeyStoreStep::Disconnect),
            Verdict::Done,
        )
        | (None | Some(KeyStoreStep::Connect | KeyStoreStep::Disconnect | KeyStoreStep::Delete), Verdict::NotDone) => {}
    }
    let after = after(view, &before, (verdict, told))?;
    if !same(&before, &after) {
        let stamps = before.stamps.touched(now_ns());
        changes.push(put(AwsKeyStoreEntry { stamps, ..after }));
    }
    Ok(changes)
}

/// What AWS told, in the entry, with nothing begun any more.
fn after(view: &View, before: &AwsKeyStoreEntry, (verdict, other): (Verdict, Told<'_>)) -> Result<AwsKeyStoreEntry, CoreError> {
    let mut after = AwsKeyStoreEntry { doing: None, before: None, ..before.clone() };
    match (&before.doing, verdict) {
        (None, _) | (Some(_), Verdict::Unsure) => {}
        (Some(step), Verdict::Done) => {
            // Why it could not be finished before.
            after.failure = None;
            done(&mut after, step);
        }
        (Some(step), Verdict::NotDone) => {
            if let (Some(BeforeEntry::CloudHsm { name, cluster_id: was }), AwsKeyStoreKind::CloudHsm { cluster_id, .. }) =
                (&before.before, &mut after.kind)
            {
                after.name.clone_from(name);
                cluster_id.clone_from(was);
            }
            after.failure = Some(not_done(step, other));
        }
    }
    // After an update this is the name that AWS took.
    if let (AwsKeyStoreKind::Linked { .. }, Verdict::Done, Some(_)) = (&after.kind, verdict, &before.doing) {
        after.name = view.key_store(StoreId(before.id))?.map_or(after.name, |here| here.name);
    }
    match other {
        Told::Nothing | Told::Refused(_) | Told::Unasked(_) => {}
        Told::Made(id) => after.custom_key_store_id = Some(id.to_owned()),
        Told::Absent => {
            after.gone = after.custom_key_store_id.is_some();
            (after.state, after.connection_error) = (ConnectionState::Disconnected, None);
        }
        Told::Found(told) | Told::Lately(told) => {
            let unknown = found(view, &mut after, (told, matches!(other, Told::Lately(_))))?;
            // What a step changes is not here yet, or no more.
            if before.doing.is_none() {
                let here = view.key_store(StoreId(before.id))?;
                let drifted = here.and_then(|here| drift((&here.address, &here.uri_path.to_string()), (told, unknown)));
                let stays = |failure: &String| !failure.starts_with(DRIFT) && !failure.starts_with(UNTOLD) && !is_over(failure, told.state);
                let other = after.failure.take().filter(stays);
                after.failure = drifted.or(other);
            }
        }
    }
    Ok(after)
}

/// The entry after a step of which AWS would not tell whether it did it; none: that can't be left so.
pub(super) fn left(before: &AwsKeyStoreEntry, why: &CoreError) -> Option<AwsKeyStoreEntry> {
    let step = before.doing.as_ref()?;
    let mut unsure_credentials = before.unsure_credentials.clone();
    match step {
        // It would take something back here, or keep AWS's store from being known.
        KeyStoreStep::Create | KeyStoreStep::Link => return None,
        // All are kept, whichever AWS signs with.
        KeyStoreStep::RotateCredential(new) => _ = unsure_credentials.insert(*new),
        KeyStoreStep::Update | KeyStoreStep::Connect | KeyStoreStep::Disconnect | KeyStoreStep::Delete => {}
    }
    let failure = Some(format!("{UNTOLD}{}: {why}", words(step)));
    let stamps = before.stamps.touched(now_ns());
    Some(AwsKeyStoreEntry { doing: None, before: None, unsure_credentials, failure, stamps, ..before.clone() })
}

/// What AWS having done it means, before it tells more.
fn done(after: &mut AwsKeyStoreEntry, step: &KeyStoreStep) {
    match step {
        KeyStoreStep::Connect => (after.state, after.connection_error) = (ConnectionState::Connecting, None),
        KeyStoreStep::Disconnect => (after.state, after.connection_error) = (ConnectionState::Disconnecting, None),
        KeyStoreStep::RotateCredential(new) => {
            if let AwsKeyStoreKind::Linked { credential } = &mut after.kind {
                *credential = Some(*new);
            }
            // AWS has one at a time, and took this one last.
            after.unsure_credentials.clear();
        }
        KeyStoreStep::Create | KeyStoreStep::Link | KeyStoreStep::Update | KeyStoreStep::Delete => {}
    }
}

/// What AWS told of it, lately changed or not; the access key id with which AWS signs where there is none such here.
fn found(view: &View, after: &mut AwsKeyStoreEntry, (told, lately): (&StoreInAws, bool)) -> Result<Option<String>, CoreError> {
    let mut unknown = None;
    after.custom_key_store_id = Some(told.id.clone());
    after.name.clone_from(&told.name);
    (after.state, after.connection_error) = (told.state, told.error.clone());
    (after.gone, after.synced_ns) = (false, now_ns());
    match (&mut after.kind, &told.behind) {
        // AWS does not say with which it signs.
        (AwsKeyStoreKind::Linked { .. }, Behind::Proxy { access_key_id: None, .. }) => {}
        (AwsKeyStoreKind::Linked { credential }, Behind::Proxy { access_key_id, .. }) => {
            let live = view.credentials(StoreId(after.id))?;
            let its = live.iter().find(|one| Some(one.access_key_id.to_string()) == *access_key_id).map(|one| one.id.0);
            if !lately {
                unknown = access_key_id.clone().filter(|_| its.is_none());
                *credential = its;
                after.unsure_credentials.clear();
            } else if *credential != its {
                // Both are kept, whichever AWS signs with.
                after.unsure_credentials.extend(its);
            }
        }
        (AwsKeyStoreKind::Remote { address, uri_path, access_key_id }, Behind::Proxy { address: a, uri_path: p, access_key_id: k }) => {
            (*address, *uri_path, *access_key_id) = (a.clone(), p.clone(), k.clone());
        }
        (AwsKeyStoreKind::CloudHsm { cluster_id, trust_anchor_certificate, .. }, Behind::Cluster { id, trust_anchor_certificate: pem }) => {
            cluster_id.clone_from(id);
            // Clients want back what they sent; AWS has the same in its own line ends.
            if trust_anchor_certificate.is_empty() {
                trust_anchor_certificate.clone_from(pem);
            }
        }
        (AwsKeyStoreKind::Linked { .. } | AwsKeyStoreKind::Remote { .. }, Behind::Cluster { .. })
        | (AwsKeyStoreKind::CloudHsm { .. }, Behind::Proxy { .. }) => {}
    }
    Ok(unknown)
}

/// How AWS finds a key store otherwise than it is served here, or signs with a credential that is `unknown` here.
fn drift((here, path): (&AddressEntry, &str), (told, unknown): (&StoreInAws, Option<String>)) -> Option<String> {
    let Behind::Proxy { address, uri_path, .. } = &told.behind else { return None };
    let endpoint = |address: &AddressEntry| address.endpoint.clone().unwrap_or_default();
    let way = |address: &AddressEntry| match address.connectivity {
        Connectivity::Public => "PUBLIC_ENDPOINT".to_owned(),
        Connectivity::Vpc => format!("VPC_ENDPOINT_SERVICE {}", address.vpc_service.as_deref().unwrap_or_default()),
    };
    let members = [
        ("endpoint", endpoint(address), endpoint(here)),
        ("path", uri_path.clone(), path.to_owned()),
        ("connectivity", way(address), way(here)),
    ];
    let differing: Vec<_> = members.into_iter().filter(|(_, there, here)| there != here).collect();
    let texts = differing.iter().map(|(what, there, here)| format!("{what} {there}, not {here}"));
    let unknown = unknown.map(|id| format!("credential {id}, which is not of this key store; rotate the credential"));
    let texts: Vec<_> = texts.chain(unknown).collect();
    (!texts.is_empty()).then(|| format!("{DRIFT}{}", texts.join("; ")))
}

/// The same but for when AWS last told of it: that alone is worth no commit.
fn same(before: &AwsKeyStoreEntry, after: &AwsKeyStoreEntry) -> bool {
    *before == AwsKeyStoreEntry { synced_ns: before.synced_ns, ..after.clone() }
}

/// The key store as it was before a change that AWS did not take.
fn taken_back(here: Option<KeyStoreEntry>, entry: &AwsKeyStoreEntry) -> Option<EntryChange> {
    let (Some(here), Some(BeforeEntry::Linked { name, address, uri_path })) = (here, &entry.before) else { return None };
    let stamps = here.stamps.touched(now_ns());
    let before = KeyStoreEntry { name: name.clone(), address: address.clone(), uri_path: uri_path.clone(), stamps, ..here };
    Some(EntryChange::put(Entry::KeyStore(before)))
}

/// The key store that counts a rotation.
fn counted(view: &View, here: Option<KeyStoreEntry>, new: Uuid) -> Result<Option<EntryChange>, ReadError> {
    let Some(mut here) = here else { return Ok(None) };
    let Some(credential) = view.credential(here.id, CredentialId(new))? else { return Ok(None) };
    if credential.version <= here.credential_version {
        return Ok(None);
    }
    here.credential_version = credential.version;
    here.stamps = here.stamps.touched(now_ns());
    Ok(Some(EntryChange::put(Entry::KeyStore(here))))
}

/// The end of a store: with its credentials, and with keys that AWS has no more. Source keys stay.
pub(in crate::core) fn all_of_it(view: &View, entry: &AwsKeyStoreEntry) -> Result<Vec<EntryChange>, CoreError> {
    let id = StoreId(entry.id);
    let mut changes = vec![EntryChange::Delete(EntryName::AwsKeyStore(entry.id))];
    let ended: BTreeSet<_> = ended_keys(view, entry.id)?.into_iter().collect();
    let here = view.hyok_keys(id)?;
    // Someone made a key in it meanwhile: it stays, unlinked.
    if here.iter().any(|key| !ended.contains(&key.id.0)) {
        return Ok(changes);
    }
    if view.key_store(id)?.is_some() {
        changes.extend(key_stores::without(view, id)?);
    }
    for key in here {
        changes.extend(hyok_keys::ended(view, key.id)?);
    }
    changes.extend(ended.into_iter().map(|key| EntryChange::Delete(EntryName::AwsKey(key))));
    Ok(changes)
}

/// The keys of a store that AWS has no more: they don't keep it from being deleted.
pub(in crate::core) fn ended_keys(view: &View, store: Uuid) -> Result<Vec<Uuid>, ReadError> {
    let now = now_ns();
    let over = |key: &AwsKeyEntry| {
        let deleted = key.told.as_ref().and_then(|told| told.deletion_ns).is_some_and(|at| at <= now);
        is_in(key, store) && (key.gone || deleted)
    };
    Ok(view.aws_keys()?.iter().filter(|key| over(key)).map(|key| key.id).collect())
}

/// Whether a key is in this store.
pub(in crate::core) fn is_in(key: &AwsKeyEntry, store: Uuid) -> bool {
    match &key.kind {
        AwsKeyKind::Hyok { store: its } => *its == store,
        AwsKeyKind::CloudHsm { store: its } => *its == Some(store),
        AwsKeyKind::External { .. } | AwsKeyKind::Native | AwsKeyKind::Imported { .. } => false,
    }
}

/// Why a step is not done, for people.
fn not_done(step: &KeyStoreStep, told: Told<'_>) -> String {
    match told {
        Told::Unasked(why) => format!("AWS was not asked to {}: {why}", words(step)),
        Told::Refused(why) => format!("{REFUSED}{}: {why}", words(step)),
        Told::Nothing | Told::Made(_) | Told::Absent | Told::Found(_) | Told::Lately(_) => format!("{REFUSED}{}", words(step)),
    }
}

/// Whether a failure to connect, or to disconnect, is none any more: AWS is there, as when it refuses what is so already.
fn is_over(failure: &str, state: ConnectionState) -> bool {
    let step = match state {
        ConnectionState::Connected | ConnectionState::Connecting => KeyStoreStep::Connect,
        ConnectionState::Disconnected | ConnectionState::Disconnecting => KeyStoreStep::Disconnect,
        ConnectionState::Failed => return false,
    };
    failure.strip_prefix(REFUSED).is_some_and(|rest| rest.starts_with(words(&step)))
}

const fn words(step: &KeyStoreStep) -> &'static str {
    match step {
        KeyStoreStep::Create | KeyStoreStep::Link => "create the custom key store",
        KeyStoreStep::Update => "take the change",
        KeyStoreStep::Connect => "connect the custom key store",
        KeyStoreStep::Disconnect => "disconnect the custom key store",
        KeyStoreStep::Delete => "delete the custom key store",
        KeyStoreStep::RotateCredential(_) => "take the new credential",
    }
}

/// How the failure begins of a step that AWS did not do.
const REFUSED: &str = "AWS did not ";
/// How the failure begins that tells of a drift.
const DRIFT: &str = "AWS has another ";
/// How the failure begins of a step of which AWS does not tell; when it tells, that is no more.
const UNTOLD: &str = "it is not known whether AWS did ";

#[cfg(test)]
mod tests {
    use KeyStoreStep::{Connect, Create, Delete, Disconnect, Link, RotateCredential, Update};

    use super::*;
    use crate::{
        aws::{AwsError, AwsFault},
        store::entry::Stamps,
    };

    fn entry() -> AwsKeyStoreEntry {
        let kind = AwsKeyStoreKind::Linked { credential: Some(Uuid::from_u128(1)) };
        AwsKeyStoreEntry::new((Uuid::nil(), Uuid::nil()), "us-east-1", ("name".into(), kind), Stamps::default())
    }

    #[test]
    fn a_step_that_aws_does_not_tell_of_is_left_with_all_that_it_may_have_unless_aws_may_be_making_the_store() {
        let refused =
            CoreError::Aws(AwsError { call: "KMS X", fault: AwsFault::Refused, code: None, message: String::new(), request_id: None });
        let after = |step: &KeyStoreStep| left(&AwsKeyStoreEntry { doing: Some(step.clone()), ..entry() }, &refused);
        assert_eq!(left(&entry(), &refused), None);
        for step in [Create, Link] {
            assert_eq!(after(&step), None, "{step:?}");
        }
        for step in [Update, Connect, Disconnect, Delete, RotateCredential(Uuid::from_u128(2))] {
            let after = after(&step).unwrap();
            assert!(after.doing.is_none() && after.kind == entry().kind, "{step:?}");
            assert!(after.failure.unwrap().contains("not known"), "{step:?}");
            let unsure = matches!(step, RotateCredential(_)).then(|| Uuid::from_u128(2));
            assert_eq!(after.unsure_credentials, BTreeSet::from_iter(unsure), "{step:?}");
        }
    }

    #[test]
    fn of_rotations_that_stay_unsure_one_after_another_every_credential_is_kept_until_aws_took_a_later_one() {
        let refused =
            CoreError::Aws(AwsError { call: "KMS X", fault: AwsFault::Refused, code: None, message: String::new(), request_id: None });
        let begun = |entry: AwsKeyStoreEntry, n| AwsKeyStoreEntry { doing: Some(RotateCredential(Uuid::from_u128(n))), ..entry };
        let once = left(&begun(entry(), 2), &refused).unwrap();
        let mut twice = left(&begun(once, 3), &refused).unwrap();
        let used = |entry: &AwsKeyStoreEntry| {
            let used = |n: &u128| key_stores::is_used_by_aws(Some(entry), StoreId(Uuid::nil()), CredentialId(Uuid::from_u128(*n)));
            (1..=4).filter(used).collect::<Vec<_>>()
        };
        assert_eq!(used(&twice), [1, 2, 3]);
        done(&mut twice, &RotateCredential(Uuid::from_u128(4)));
        assert_eq!(used(&twice), [4]);
    }

    #[test]
    fn a_failure_says_whether_aws_was_asked_and_is_over_when_aws_is_where_it_was_to_go() {
        use ConnectionState::{Connected, Connecting, Disconnected, Disconnecting, Failed};
        assert_eq!(not_done(&Connect, Told::Refused("X: no")), "AWS did not connect the custom key store: X: no");
        let unasked = not_done(&RotateCredential(Uuid::nil()), Told::Unasked("node-1 is away"));
        assert_eq!(unasked, "AWS was not asked to take the new credential: node-1 is away");
        for told in [Told::Absent, Told::Refused("X: no")] {
            for (step, ends) in
                [(Connect, [Connected, Connecting]), (Disconnect, [Disconnected, Disconnecting]), (Update, [Failed, Failed])]
            {
                for state in [Connected, Connecting, Disconnected, Disconnecting, Failed] {
                    let over = ends.contains(&state) && step != Update;
                    assert_eq!(is_over(&not_done(&step, told), state), over, "{step:?} {state:?}");
                }
            }
        }
    }

    #[test]
    fn a_drift_tells_what_aws_has_of_each_member_that_differs() {
        let address = |endpoint: &str| AddressEntry { endpoint: Some(endpoint.into()), ..AddressEntry::default() };
        let here = address("https://a");
        let told = |address: AddressEntry, uri_path: &str| StoreInAws {
            id: "cks-1".into(),
            name: "another".into(),
            state: ConnectionState::Connected,
            error: None,
            behind: Behind::Proxy { address, uri_path: uri_path.into(), access_key_id: None },
        };
        assert_eq!(drift((&here, "/a/kms/xks/v1"), (&told(address("https://a"), "/a/kms/xks/v1"), None)), None);
        let vpc = AddressEntry { connectivity: Connectivity::Vpc, vpc_service: Some("com.v".into()), ..address("https://b") };
        let text = drift((&here, "/a/kms/xks/v1"), (&told(vpc, "/b/kms/xks/v1"), None)).unwrap();
        for part in ["endpoint https://b, not https://a", "path /b/kms/xks/v1, not /a", "VPC_ENDPOINT_SERVICE com.v, not PUBLIC"] {
            assert!(text.starts_with(DRIFT) && text.contains(part), "{part}: {text}");
        }
    }
}
