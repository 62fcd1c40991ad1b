//! Looks at one region of an account: its custom key stores, then its keys, each taken in as it is read.
//!
//! Always holds: only what AWS itself says is not there counts as gone, only if the whole list was read, and only of the container's account
//! (`aws::caller`); an object that can't be read is told, and does not keep the others from being read; between two objects a job can be
//! broken off.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    gone,
    progress::{self, RegionFault, Withheld},
    worker::Look,
};
use crate::{
    aws::{
        AwsError, AwsFault, keys,
        stores::{self, StoreInAws},
    },
    clock::now_ns,
    core::{
        Core, CoreError,
        aws_keys::{Looked, Place as KeyPlace},
        kms_containers,
    },
    store::entry::{KeyInAws, KmsContainerEntry},
};

/// A KMS container in the region that is looked at.
struct Place<'a> {
    look: &'a Look,
    container: &'a KmsContainerEntry,
    kms: aws_sdk_kms::Client,
}

/// What was not read.
#[derive(Default)]
struct Unread {
    /// AWS would not tell.
    withheld: Withheld,
    /// AWS did not tell in time.
    late: Option<(usize, AwsError)>,
}

impl Core {
    /// Takes in all that is in a region, when nobody else looks there.
    pub(super) async fn look_at_region(self: Arc<Self>, look: Look) -> Result<Withheld, RegionFault> {
        let turn = self.syncing.turn(&look.target);
        let _held = look.cancelled.run_until_cancelled(turn.lock()).await.ok_or(RegionFault::Cancelled)?;
        let (mut unread, mut broken) = (Unread::default(), None);
        let containers = &look.target.containers;
        for container in containers {
            let Err(fault) = self.look_by(&look, container.id, &mut unread).await else { continue };
            let fault = if containers.len() > 1 { fault.by(&container.name) } else { fault };
            // The next container's connection may be allowed what this one's is not.
            if !matches!(fault, RegionFault::Broken { may_pass: false, .. }) {
                return Err(fault);
            }
            broken.get_or_insert(fault);
        }
        match (broken, unread.late) {
            (Some(fault), _) => Err(fault),
            (None, Some((count, first))) => Err(RegionFault::Some { count, first: first.to_string() }),
            (None, None) => Ok(unread.withheld),
        }
    }

    /// Takes in what one KMS container's connection is told of.
    async fn look_by(&self, look: &Look, container: Uuid, unread: &mut Unread) -> Result<(), RegionFault> {
        let (container, account) = {
            let view = self.view().await?;
            // It may have changed since the job began.
            let container = kms_containers::still(&view, container, &look.target.region)?;
            let account = self.account_of(&view, &container)?;
            (container, account)
        };
        let place = Place { look, container: &container, kms: self.aws.kms(&account, &look.target.region) };
        self.take_in_key_stores(&place).await?;
        self.take_in_keys(&place, unread).await
    }

    async fn take_in_key_stores(&self, place: &Place<'_>) -> Result<(), RegionFault> {
        let Place { look, container, kms } = place;
        let known = gone::known_key_stores(&self.view().await?, container.id, &look.target.region)?;
        let told = self.list_of_aws(place, || stores::list(kms)).await?;
        let there: BTreeSet<_> = told.iter().map(|store| &store.id).collect();
        for store in &told {
            self.keep_key_store(place, store).await?;
        }
        for (entry, id) in known.iter().filter(|(_, id)| !there.contains(id)) {
            // It may have been made after the list was read, or the list lag behind.
            match self.patiently(look, || async move { Ok(stores::describe(kms, id).await?) }).await? {
                Some(store) => self.keep_key_store(place, &store).await?,
                None => self.key_store_is_gone(&look.trail, *entry).await?,
            }
        }
        Ok(())
    }

    async fn keep_key_store(&self, place: &Place<'_>, told: &StoreInAws) -> Result<(), RegionFault> {
        let Place { look, container, .. } = place;
        let region = &look.target.region;
        self.patiently(look, || async move { self.sync_key_store(&look.trail, container, region, told).await }).await.map(drop)
    }

    async fn take_in_keys(&self, place: &Place<'_>, unread: &mut Unread) -> Result<(), RegionFault> {
        let Place { look, container, kms } = place;
        let known = gone::known_keys(&self.view().await?, container.id, &look.target.region)?;
        let told = self.list_of_aws(place, || keys::list(kms)).await?;
        let there: BTreeSet<_> = told.iter().collect();
        let missed: Vec<_> = known.iter().filter(|(_, id)| !there.contains(id)).collect();
        for batch in told.chunks(BATCH) {
            let asked_ns = now_ns();
            let mut found = Vec::with_capacity(batch.len());
            for id in batch {
                found.extend(self.key_in_aws(place, id, unread).await?.flatten());
            }
            self.keep_keys(place, Looked { keys: found, asked_ns }).await?;
        }
        for (entry, id) in missed {
            let asked_ns = now_ns();
            match self.key_in_aws(place, id, unread).await? {
                Some(found) => self.keep_keys(place, Looked { keys: found.into_iter().collect(), asked_ns }).await?,
                None => self.key_is_gone(&look.trail, *entry).await?,
            }
        }
        Ok(())
    }

    async fn keep_keys(&self, place: &Place<'_>, looked: Looked) -> Result<(), RegionFault> {
        if !looked.keys.is_empty() {
            let at = KeyPlace { kms: place.container.id, region: &place.look.target.region };
            self.sync_keys(&place.look.trail, at, looked).await?;
        }
        Ok(())
    }

    /// How a key stands; none: AWS has it not. Nothing of it where it can't be read, or is not for customers to manage.
    async fn key_in_aws(&self, place: &Place<'_>, id: &str, unread: &mut Unread) -> Result<Option<Option<KeyInAws>>, RegionFault> {
        match self.ask(place.look, || async move { Ok(keys::describe(&place.kms, id).await?) }).await? {
            Ok(key) => Ok(Some(Some(key).filter(|key| key.manager != AWS_MANAGED))),
            Err(error) if error.is("NotFoundException") => Ok(None),
            Err(error) => {
                tracing::warn!(job = %place.look.job, %error, "a key was not read");
                unread.add(error);
                Ok(Some(None))
            }
        }
    }

    /// A list of AWS's; how it was got tells how the container's connection does.
    async fn list_of_aws<T, F>(&self, place: &Place<'_>, list: impl Fn() -> F) -> Result<T, RegionFault>
    where
        F: Future<Output = Result<T, AwsError>>,
    {
        let connection = place.container.connection;
        let ask = || async {
            let told = list().await;
            self.note_connection(connection, told.as_ref().err());
            Ok(told?)
        };
        self.patiently(place.look, ask).await
    }

    /// [`Core::ask`], where a refusal ends the region.
    async fn patiently<T, F>(&self, look: &Look, ask: impl Fn() -> F) -> Result<T, RegionFault>
    where
        F: Future<Output = Result<T, CoreError>>,
    {
        self.ask(look, ask).await?.map_err(|error| CoreError::from(error).into())
    }

    /// Asks AWS, again after a while where it throttles or is away; what it refuses, and in the end what it did not do, is told.
    async fn ask<T, F>(&self, look: &Look, ask: impl Fn() -> F) -> Result<Result<T, AwsError>, RegionFault>
    where
        F: Future<Output = Result<T, CoreError>>,
    {
        let mut pauses = 0;
        loop {
            let slot = look.cancelled.run_until_cancelled(self.syncing.calls.acquire()).await.ok_or(RegionFault::Cancelled)?;
            let answer = match ask().await {
                Ok(answer) => Ok(answer),
                Err(CoreError::Aws(error)) => Err(error),
                Err(other) => return Err(other.into()),
            };
            drop(slot);
            let pause = answer.as_ref().err().and_then(|error| pause(error, pauses));
            let (Err(error), Some(pause)) = (&answer, pause) else {
                if pauses > 0 {
                    self.tell_region(look, progress::IN_PROGRESS.into()).await?;
                }
                return Ok(answer);
            };
            tracing::info!(job = %look.job, region = look.target.name(), %error, ?pause, "a synchronization job waits");
            self.tell_region(look, progress::paused(error)).await?;
            if look.cancelled.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return Err(RegionFault::Cancelled);
            }
            pauses += 1;
        }
    }
}

impl Unread {
    fn add(&mut self, error: AwsError) {
        match error.fault {
            AwsFault::Refused => {
                self.withheld.keys += 1;
                self.withheld.first.get_or_insert(error.to_string());
            }
            AwsFault::Throttled | AwsFault::Broken | AwsFault::Unreached | AwsFault::Credentials | AwsFault::Unasked => {
                self.late.get_or_insert((0, error)).0 += 1;
            }
        }
    }
}

/// How long to wait after one more failure, if it may pass.
fn pause(error: &AwsError, before: u32) -> Option<Duration> {
    let most = match error.fault {
        AwsFault::Throttled => THROTTLED_PAUSES,
        AwsFault::Broken | AwsFault::Unreached | AwsFault::Unasked => AWAY_PAUSES,
        AwsFault::Refused | AwsFault::Credentials => 0,
    };
    (before < most).then(|| FIRST_PAUSE.saturating_mul(1 << before.min(16)).min(LONGEST_PAUSE))
}

/// KeyManager of keys that AWS makes by itself.
const AWS_MANAGED: &str = "AWS";
/// Keys that are committed together.
const BATCH: usize = 50;
// Each failure comes after the tries that the client makes by itself.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Some ten minutes.
const THROTTLED_PAUSES: u32 = 14;
const AWAY_PAUSES: u32 = 4;

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, task::JoinSet};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        access::Trail,
        aws::AwsSettings,
        core::synchronization::{targets::Target, worker::CALLS_AT_ONCE},
        publish::tests::estate::Estate,
    };

    fn failure(fault: AwsFault) -> AwsError {
        AwsError { call: "KMS ListKeys", fault, code: None, message: String::new(), request_id: None }
    }

    #[test]
    fn a_job_waits_longer_and_longer_for_what_may_pass_and_gives_up_in_the_end() {
        let pauses = |fault| (0..99).map_while(|before| pause(&failure(fault), before)).collect::<Vec<_>>();
        let throttled = pauses(AwsFault::Throttled);
        assert!(throttled.is_sorted() && throttled.len() == 14);
        let sum: Duration = throttled.iter().sum();
        assert!(sum > Duration::from_secs(500) && sum < Duration::from_secs(700), "{sum:?}");
        for away in [AwsFault::Unreached, AwsFault::Unasked] {
            assert_eq!(pauses(away), [1, 2, 4, 8].map(Duration::from_secs));
        }
        assert!(pauses(AwsFault::Refused).is_empty() && pauses(AwsFault::Credentials).is_empty());
    }

    #[tokio::test]
    async fn regions_that_aws_throttles_wait_without_keeping_others_from_theirs() {
        let estate = Estate::new().await;
        let core = Arc::new(estate.core(AwsSettings::new()).await);
        let cancelled = CancellationToken::new();
        let look = |region: &str| Look {
            job: Uuid::nil(),
            target: Target { account: "123456789012".into(), region: region.into(), containers: Vec::new() },
            cancelled: cancelled.clone(),
            trail: Trail::system("test"),
        };
        let (asked, mut was_asked) = mpsc::unbounded_channel();
        let mut waiting = JoinSet::new();
        for n in 0..CALLS_AT_ONCE {
            let (core, look, asked) = (Arc::clone(&core), look(&n.to_string()), asked.clone());
            let throttled = async move {
                let ask = || async {
                    asked.send(()).unwrap();
                    Err::<(), _>(CoreError::Aws(failure(AwsFault::Throttled)))
                };
                core.ask(&look, ask).await
            };
            waiting.spawn(throttled);
        }
        for _ in 0..CALLS_AT_ONCE {
            was_asked.recv().await.unwrap();
        }
        let other = look("other");
        let answer = tokio::time::timeout(Duration::from_secs(60), core.ask(&other, || async { Ok(5) })).await;
        assert_eq!(answer.expect("the others give their turn away").unwrap(), Ok(5));
        cancelled.cancel();
        while let Some(ended) = waiting.join_next().await {
            assert_eq!(ended.unwrap(), Err(RegionFault::Cancelled));
        }
    }
}
