//! What a key store may use of a node.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    client::{Connection, Signer, path, plain},
    rig::Rig,
};

const QUOTA: u32 = 50;

/// How many of `count` pipelined requests were let in.
async fn let_in(connection: &mut Connection, count: u32) -> u128 {
    let request = Signer::default().request(&path("metadata"), &plain("metadata").to_string());
    let mut good = 0;
    for _ in 0..count {
        connection.send(&request).await;
        let answer = connection.receive().await.unwrap();
        match answer.status {
            200 => good += 1,
            _ => assert_eq!(answer.refusal(), (429, "ThrottlingException".into())),
        }
    }
    good
}

#[tokio::test]
async fn a_spent_quota_stays_spent_over_a_push_and_never_stops_a_health_check() {
    let mut rig = Rig::with(|_, _| (), |header| header.quota = NonZeroU32::new(QUOTA)).await;
    let mut connection = Connection::open(&rig).await;
    let start = Instant::now();
    // At one more every 20 ms, twice the quota is spent long before it is asked for.
    let most = |start: Instant| start.elapsed().as_millis() / u128::from(1_000 / QUOTA) + 1;
    let good = let_in(&mut connection, 2 * QUOTA).await;
    assert!(good >= u128::from(QUOTA) && good <= u128::from(QUOTA) + most(start), "{good}");
    if good < u128::from(2 * QUOTA) {
        let pushed = Instant::now();
        rig.alter(|header| header.success_audit = true);
        let good = let_in(&mut connection, QUOTA).await;
        assert!(good <= 1 + most(pushed), "{good} after the push");
    }
    for _ in 0..2 * QUOTA {
        assert_eq!(connection.call("health", &plain("health")).await.status, 200);
    }
}

#[tokio::test]
async fn a_stranger_spends_nobodys_quota() {
    let rig = Rig::with(|_, _| (), |header| header.quota = NonZeroU32::new(1)).await;
    let mut connection = Connection::open(&rig).await;
    let stranger = Signer { secret: "x".repeat(43), ..Signer::default() };
    for _ in 0..10 {
        connection.send(stranger.request(&path("metadata"), &plain("metadata").to_string())).await;
        assert_eq!(connection.receive().await.unwrap().status, 401);
    }
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}

#[tokio::test]
async fn a_snapshot_older_than_the_store_allows_is_not_served_from() {
    let rig = Rig::with(|_, _| (), |header| header.max_snapshot_age = Some(Duration::from_secs(60))).await;
    let mut connection = Connection::open(&rig).await;
    rig.plane.live().mark_confirmed_at(SystemTime::now() - Duration::from_secs(3_600));
    assert_eq!(connection.call("metadata", &plain("metadata")).await.refusal(), (500, "InternalException".into()));
    rig.plane.live().mark_current();
    assert_eq!(connection.call("metadata", &plain("metadata")).await.status, 200);
}
