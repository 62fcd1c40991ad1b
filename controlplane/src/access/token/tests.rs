use std::sync::Arc;

use holdfast_proto::seal::{Seal, SealRing};
use jsonwebtoken::EncodingKey;

use super::*;
use crate::{
    access::keys::{Keys, ROTATE_AFTER},
    audit::Audit,
    core::Writer,
    store::{Store, View, entry::Stamps, memory::MemoryStore, seal::ControlSeal},
};

fn user() -> UserEntry {
    UserEntry {
        id: Uuid::from_u128(5),
        name: UserName::try_from("admin").unwrap(),
        password_hash: String::new(),
        roles: vec![Role::Auditor],
        disabled: false,
        generation: 3,
        stamps: Stamps::default(),
    }
}

fn seal() -> ControlSeal {
    ControlSeal::new(Arc::new(SealRing::new(Seal::generate().unwrap(), Vec::new())))
}

async fn keys(store: &Arc<dyn Store>, seal: &ControlSeal) -> Keys {
    Keys::load(Arc::new(Writer::new(Arc::clone(store), Audit::unread())), seal.clone()).await.unwrap()
}

async fn issued(keys: &Keys, now: SystemTime) -> String {
    issue(&keys.current(now).await.unwrap(), &user(), now).unwrap().jwt
}

#[tokio::test]
async fn a_token_lives_300_seconds_even_over_a_rotation_of_the_key_and_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let (seal, start) = (seal(), SystemTime::now());
    let before = keys(&store, &seal).await;
    issued(&before, start).await;
    let late = start + ROTATE_AFTER - Duration::from_secs(1);
    let token = issued(&before, late).await;
    drop(before);
    let after = keys(&store, &seal).await;
    let rotated = issued(&after, start + ROTATE_AFTER).await;
    assert_ne!(decode_header(&token).unwrap().kid, decode_header(&rotated).unwrap().kid);
    let bearer = verify(&after.all(), &token, late + Duration::from_secs(298)).unwrap();
    assert_eq!((bearer.id, bearer.name.as_str(), bearer.generation), (Uuid::from_u128(5), "admin", 3));
    assert_eq!(verify(&after.all(), &token, late + LIFE).unwrap_err(), BadToken);
}

#[tokio::test]
async fn a_replaced_key_goes_when_its_tokens_have_died_and_the_store_holds_two_at_most() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let (seal, start) = (seal(), SystemTime::now());
    let keys = keys(&store, &seal).await;
    let first = issued(&keys, start).await;
    for hours in 1..5 {
        issued(&keys, start + ROTATE_AFTER * hours).await;
        assert_eq!((keys.all().len(), View::of(&store).await.unwrap().signing_keys().unwrap().len()), (2, 2));
    }
    assert_eq!(verify(&keys.all(), &first, start).unwrap_err(), BadToken);
}

#[tokio::test]
async fn under_another_control_seal_keys_are_left_alone_and_a_new_one_signs() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let now = SystemTime::now();
    let lost = issued(&keys(&store, &seal()).await, now).await;
    let keys = keys(&store, &seal()).await;
    assert_eq!(verify(&keys.all(), &lost, now).unwrap_err(), BadToken);
    let token = issued(&keys, now).await;
    assert!(verify(&keys.all(), &token, now).is_ok());
    assert_eq!(View::of(&store).await.unwrap().signing_keys().unwrap().len(), 2);
}

#[tokio::test]
async fn a_signing_key_lies_in_the_store_sealed_only() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    issued(&keys(&store, &seal()).await, SystemTime::now()).await;
    let kept = View::of(&store).await.unwrap().signing_keys().unwrap();
    let text = serde_json::to_string(&kept).unwrap();
    assert!(!text.contains("PRIVATE"), "{text}");
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn many_who_sign_in_at_once_share_one_new_key() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let (keys, now) = (Arc::new(keys(&store, &seal()).await), SystemTime::now());
    let tasks: Vec<_> =
        (0..20).map(|_| Arc::clone(&keys)).map(|keys| tokio::spawn(async move { keys.current(now).await.unwrap().id })).collect();
    let mut ids = std::collections::HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(keys.all().len(), 1);
}

#[tokio::test]
async fn an_altered_or_foreign_token_is_refused() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let (keys, now) = (keys(&store, &seal()).await, SystemTime::now());
    let jwt = issued(&keys, now).await;
    let all = keys.all();
    assert!(verify(&all, &jwt, now).is_ok());
    let (body, _) = jwt.rsplit_once('.').unwrap();
    let none = jsonwebtoken::encode(&Header::default(), &serde_json::json!({}), &EncodingKey::from_secret(b"x")).unwrap();
    for bad in ["", "a.b.c", body, &format!("{body}."), &format!("{jwt}A"), &none] {
        assert_eq!(verify(&all, bad, now).unwrap_err(), BadToken, "{bad}");
    }
    for at in 0..jwt.len() {
        let mut bent = jwt.clone().into_bytes();
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        assert!(verify(&all, &bent, now).is_err(), "byte {at}");
    }
    // Signed by a stranger, under a key id of ours.
    let stranger = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(all[0].id.to_string());
    let claims = jsonwebtoken::dangerous::insecure_decode::<serde_json::Value>(&jwt).unwrap().claims;
    let forged = encode(&header, &claims, &EncodingKey::from_ec_der(stranger.serialized_der())).unwrap();
    assert_eq!(verify(&all, &forged, now).unwrap_err(), BadToken);
}
