use std::{sync::Arc, time::Duration};

use super::*;
use crate::access::fixtures::{RENEW_FOR, access, admin, put, reopened};

async fn signed_in(access: &Access, now: SystemTime) -> SignedIn {
    access.sign_in(&admin(), now).await.unwrap()
}

fn is_bad<T>(result: &Result<T, LoginError>) -> bool {
    matches!(result, Err(LoginError::Bad(BadToken)))
}

#[tokio::test]
async fn a_sign_in_is_renewed_until_its_end_also_after_a_restart() {
    let access = access().await;
    let start = SystemTime::now();
    let first = signed_in(&access, start).await;
    let access = reopened(access.writer.store()).await;
    let renewed = access.refresh(access.renewable(&first.refresh).await.unwrap(), first.refresh.clone()).await.unwrap();
    assert!(renewed.refresh_life <= first.refresh_life && renewed.refresh_life > RENEW_FOR - Duration::from_mins(5));
    assert_eq!((renewed.refresh_id, renewed.refresh.expose()), (first.refresh_id, first.refresh.expose()));
    assert_eq!(access.caller(&renewed.token.jwt).await.unwrap().who().to_string(), "admin");
    let last = start + RENEW_FOR - Duration::from_secs(1);
    assert!(access.renewable_at(&first.refresh, last).await.is_ok());
    assert!(is_bad(&access.renewable_at(&first.refresh, start + RENEW_FOR).await));
}

#[tokio::test]
async fn what_was_not_given_out_renews_nothing() {
    let access = access().await;
    let signed_in = signed_in(&access, SystemTime::now()).await;
    let other = Kind::Refresh.draw(admin().id).unwrap().text;
    let stranger = Kind::Refresh.draw(Uuid::from_u128(99)).unwrap().text;
    for bad in [other, stranger, Secret::new(String::new()), Secret::new(signed_in.token.jwt.clone())] {
        assert!(is_bad(&access.renewable(&bad).await));
    }
    // Nor is it a token for calls.
    assert!(access.caller(signed_in.refresh.expose()).await.is_err());
}

#[tokio::test]
async fn signing_out_ends_one_sign_in_and_no_other() {
    let access = access().await;
    let (one, other) = (signed_in(&access, SystemTime::now()).await, signed_in(&access, SystemTime::now()).await);
    let renewable = access.renewable(&one.refresh).await.unwrap();
    assert_eq!(renewable.user().as_str(), "admin");
    access.sign_out(&renewable).await.unwrap();
    assert!(is_bad(&access.renewable(&one.refresh).await));
    assert!(access.renewable(&other.refresh).await.is_ok());
}

#[tokio::test]
async fn sign_ins_end_with_the_password_with_a_disabling_and_with_the_user() {
    let change: [fn(&mut UserEntry); 3] = [|user| user.generation += 1, |user| user.disabled = true, |user| user.id = Uuid::from_u128(2)];
    for (case, change) in change.iter().enumerate() {
        let access = access().await;
        let signed_in = signed_in(&access, SystemTime::now()).await;
        assert!(access.caller(&signed_in.token.jwt).await.is_ok());
        let mut user = admin();
        change(&mut user);
        put(&access, vec![Entry::User(user)]).await;
        assert!(access.caller(&signed_in.token.jwt).await.is_err(), "case {case}");
        assert!(is_bad(&access.renewable(&signed_in.refresh).await), "case {case}");
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_sign_ins_goes() {
    let access = Arc::new(access().await);
    let mut all = Vec::new();
    for _ in 0..=MOST {
        all.push(signed_in(&access, SystemTime::now()).await);
    }
    assert!(is_bad(&access.renewable(&all.remove(0).refresh).await));
    for signed_in in all {
        assert!(access.renewable(&signed_in.refresh).await.is_ok());
    }
}
