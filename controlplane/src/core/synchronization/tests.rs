use std::collections::BTreeMap;

use super::{progress::*, targets::Target, *};
use crate::{
    core::kms_containers,
    publish::tests::estate::kms_container,
    store::{Store, memory::MemoryStore},
};

const REGIONS: [&str; 2] = ["eu-west-1", "us-east-1"];

fn container(number: u128, account: &str, regions: &[&str]) -> KmsContainerEntry {
    kms_container(Uuid::from_u128(number), account, regions)
}

async fn view(containers: Vec<KmsContainerEntry>) -> View {
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(MemoryStore::new(1));
    let changes = containers.into_iter().map(|entry| EntryChange::put(Entry::KmsContainer(entry))).collect();
    store.commit(store.head().revision(), changes).await.unwrap();
    View::of(&store).await.unwrap()
}

fn given(kms: &[&str], regions: &[&str], synchronize_all: bool) -> GivenSync {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    GivenSync { kms: texts(kms), regions: texts(regions), synchronize_all }
}

pub(in crate::core) fn job(detail: &[(&str, &str)]) -> SyncJobEntry {
    SyncJobEntry {
        id: Uuid::nil(),
        kms_as_sent: Vec::new(),
        kms: vec![Uuid::from_u128(1), Uuid::from_u128(2)],
        regions: Vec::new(),
        synchronize_all: false,
        status: SyncStatus::InProgress,
        detail: detail.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
        abort: false,
        again: BTreeSet::new(),
        only: None,
        run: None,
        stamps: Stamps::default(),
    }
}

#[tokio::test]
async fn a_job_looks_where_it_was_told_and_everywhere_where_it_was_told_nothing() {
    let view = view(vec![container(1, "111111111111", &REGIONS), container(2, "222222222222", &REGIONS[..1])]).await;
    let looks_at = |given: GivenSync| -> Result<Vec<String>, String> {
        let job = new(&view, Uuid::nil(), &given).map_err(|error| error.to_string())?;
        let targets = targets::of(&job, view.kms_containers().unwrap());
        Ok(targets.iter().map(Target::name).collect())
    };
    let everywhere = Ok(["111111111111/eu-west-1", "111111111111/us-east-1", "222222222222/eu-west-1"].map(str::to_owned).to_vec());
    assert_eq!(looks_at(given(&[], &[], true)), everywhere);
    assert_eq!(looks_at(given(&[], &[], false)), everywhere);
    let id = Uuid::from_u128(2).to_string();
    assert_eq!(looks_at(given(&["k2", &id], &[], false)).unwrap(), ["222222222222/eu-west-1"]);
    assert_eq!(looks_at(given(&[], &["us-east-1"], false)).unwrap(), ["111111111111/us-east-1"]);
    for (bad, why) in [
        (given(&["k1"], &[], true), "kms: can't"),
        (given(&[], &["eu-west-1"], true), "regions: can't"),
        (given(&["k1", "k2"], &["us-east-1"], false), "regions: us-east-1 is not in the KMS container k2"),
        (given(&[], &["eu-west-3"], false), "regions: eu-west-3 is in no KMS container"),
        (given(&[], &["west"], false), "regions: must be"),
        (given(&["k3"], &[], false), "KMS container not found"),
    ] {
        let told = looks_at(bad).unwrap_err();
        assert!(told.starts_with(why), "{told}");
    }
    assert_eq!(kms_containers::find(&view, "k1").unwrap().regions, REGIONS);
}

#[test]
fn a_region_that_two_containers_have_is_looked_at_once() {
    let both = vec![container(1, "111111111111", &REGIONS), container(2, "111111111111", &REGIONS[..1]), container(3, "3", &REGIONS)];
    let targets = targets::of(&job(&[]), both);
    let found: BTreeMap<_, _> = targets.iter().map(|target| (target.name(), target.containers.len())).collect();
    assert_eq!(found, [("111111111111/eu-west-1".to_owned(), 2), ("111111111111/us-east-1".to_owned(), 1)].into());
    let only = SyncJobEntry { only: Some(["111111111111/us-east-1".to_owned()].into()), ..job(&[]) };
    let named: Vec<_> = targets::of(&only, vec![container(1, "111111111111", &REGIONS)]).iter().map(Target::name).collect();
    assert_eq!(named, ["111111111111/us-east-1"]);
}

#[test]
fn after_a_restart_a_job_goes_on_with_what_had_not_ended_and_is_completed_only_if_all_was_read() {
    let targets = targets::of(&job(&[]), vec![container(1, "1", &["a", "b", "c"])]);
    let broken = ended(&Err(RegionFault::Broken { text: "AWS".into(), may_pass: true }));
    let again = begun(job(&[("1/a", DONE), ("1/b", "in progress; waits"), ("gone/x", "in progress")]), &targets);
    let told = |names: [&str; 3], texts: [&str; 3]| names.into_iter().zip(texts).map(|(n, t)| (n.to_owned(), t.to_owned())).collect();
    assert_eq!(again.detail, told(["1/a", "1/b", "1/c"], [DONE, IN_PROGRESS, IN_PROGRESS]));
    assert_eq!(begun(again.clone(), &targets), again);
    for (texts, status) in [
        (&[DONE, DONE][..], SyncStatus::Completed),
        (&[DONE, &broken], SyncStatus::Failed),
        (&[DONE, IN_PROGRESS], SyncStatus::Failed),
        (&[], SyncStatus::Completed),
    ] {
        let names = ["a", "b"];
        let pairs: Vec<_> = names.into_iter().zip(texts.iter().copied()).collect();
        assert_eq!(finished(job(&pairs)).status, status, "{texts:?}");
    }
    let withheld = ended(&Ok(Withheld { keys: 2, first: Some("AWS".into()) }));
    assert!(withheld.starts_with(DONE) && withheld.contains("2 of its keys") && has_ended(Some(&withheld)), "{withheld}");
    assert_eq!(finished(job(&[("a", &withheld)])).status, SyncStatus::Completed);
    assert_eq!(ended(&Ok(Withheld::default())), DONE);
    for fault in [RegionFault::Cancelled, RegionFault::Fault, RegionFault::Some { count: 1, first: "AWS".into() }] {
        assert!(has_ended(Some(&ended(&Err(fault)))));
    }
    assert!(!has_ended(None) && !has_ended(Some(&IN_PROGRESS.to_owned())));
}

#[test]
fn only_the_oldest_jobs_that_ended_go_and_only_where_there_are_too_many() {
    let made = |number: u64, status| SyncJobEntry { id: Uuid::from_u128(number.into()), status, stamps: Stamps::new(number), ..job(&[]) };
    let jobs =
        |count: u64| (0..count).rev().map(|n| made(n, if n == 0 { SyncStatus::InProgress } else { SyncStatus::Completed })).collect();
    assert_eq!(crowded_out(jobs(999)), []);
    assert_eq!(crowded_out(jobs(1_001)), [1, 2].map(|n| EntryChange::Delete(EntryName::SyncJob(Uuid::from_u128(n)))));
}

#[tokio::test]
async fn more_jobs_than_can_do_anything_are_not_begun() {
    let view = view(Vec::new()).await;
    assert!(added(&view, job(&[])).is_ok());
    let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(MemoryStore::new(1));
    let many = |status| (0..50).map(move |n| SyncJobEntry { id: Uuid::from_u128(n), status, ..job(&[]) });
    let put = |status| many(status).map(|job| EntryChange::put(Entry::SyncJob(job))).collect();
    store.commit(store.head().revision(), put(SyncStatus::InProgress)).await.unwrap();
    assert!(matches!(added(&View::of(&store).await.unwrap(), job(&[])), Err(CoreError::TooMany(_))));
    store.commit(store.head().revision(), put(SyncStatus::Completed)).await.unwrap();
    assert!(added(&View::of(&store).await.unwrap(), job(&[])).is_ok());
}
