//! Which jobs are due, as a pure function of what is wanted, what was done, and the time.
//!
//! Always holds: a time that was missed, because nothing ran then, is made up for once, within a day of it; a job that was changed owes
//! nothing of before; of several missed times, only the last counts.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::schedule::Schedule;

/// A job, as far as its times go.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    pub(super) id: Uuid,
    pub(super) schedule: Schedule,
    /// When it was made or last changed.
    pub(super) since: OffsetDateTime,
    pub(super) start: Option<OffsetDateTime>,
    pub(super) end: Option<OffsetDateTime>,
}

/// What there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Jobs to run now, with the times at which they were due.
    pub(super) jobs: Vec<(Uuid, OffsetDateTime)>,
    /// When to look again; none: nothing will come.
    pub(super) next: Option<OffsetDateTime>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    /// The last time, as it was due, that a job has been run for.
    pub(super) ran: BTreeMap<Uuid, OffsetDateTime>,
    /// When a run failed last.
    pub(super) failed: BTreeMap<Uuid, OffsetDateTime>,
}

/// What is due at `now`.
pub(super) fn due(jobs: &[Timed], done: &Done, now: OffsetDateTime) -> Due {
    let mut all = Due::default();
    for job in jobs {
        let again = done.failed.get(&job.id).map(|failed| *failed + RETRY_AFTER);
        match job.owed(done.ran.get(&job.id).copied(), now) {
            Some(at) if again.is_none_or(|again| again <= now) => all.jobs.push((job.id, at)),
            Some(_) => all.next = earlier(all.next, again),
            None => {}
        }
        all.next = earlier(all.next, job.next(now));
    }
    all
}

impl Timed {
    /// The last time up to now, if it counts and nothing was run for it.
    fn owed(&self, ran: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let last = self.schedule.until(now)?;
        let counts = last > self.since && last >= now - MADE_UP_WITHIN;
        let within = self.start.is_none_or(|start| last >= start) && self.end.is_none_or(|end| last <= end);
        (counts && within && ran.is_none_or(|ran| ran < last)).then_some(last)
    }

    fn next(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let from = self.start.map_or(now, |start| now.max(start - Duration::SECOND));
        self.schedule.after(from).filter(|next| self.end.is_none_or(|end| *next <= end))
    }
}

fn earlier(one: Option<OffsetDateTime>, other: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    one.into_iter().chain(other).min()
}

/// How long after its time a missed run is still made.
const MADE_UP_WITHIN: Duration = Duration::DAY;
/// How soon after a failed run the next try is.
pub(super) const RETRY_AFTER: Duration = Duration::minutes(5);

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const ID: Uuid = Uuid::nil();
    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    /// At noon, every day.
    fn daily() -> Timed {
        let made = NOON - Duration::days(30);
        Timed { id: ID, schedule: Schedule::parse("0 12 * * *", made).unwrap(), since: made, start: None, end: None }
    }

    fn ran(at: OffsetDateTime) -> Done {
        Done { ran: [(ID, at)].into(), ..Done::default() }
    }

    fn owed(job: Timed, done: &Done, now: OffsetDateTime) -> Option<OffsetDateTime> {
        due(&[job], done, now).jobs.first().map(|(_, at)| *at)
    }

    #[test]
    fn a_job_runs_once_at_its_time_and_next_a_day_later() {
        let (yesterday, before) = (NOON - Duration::DAY, NOON - Duration::SECOND);
        assert_eq!(due(&[daily()], &ran(yesterday), before), Due { jobs: Vec::new(), next: Some(NOON) });
        let tomorrow = Some(NOON + Duration::DAY);
        assert_eq!(due(&[daily()], &ran(yesterday), NOON), Due { jobs: vec![(ID, NOON)], next: tomorrow });
        assert_eq!(due(&[daily()], &ran(NOON), NOON), Due { jobs: Vec::new(), next: tomorrow });
        assert_eq!(due(&[], &Done::default(), NOON), Due::default());
    }

    #[test]
    fn the_last_missed_time_is_made_up_for_within_a_day() {
        for late in [Duration::SECOND, Duration::hours(23)] {
            assert_eq!(owed(daily(), &Done::default(), NOON + late), Some(NOON), "{late}");
            assert_eq!(owed(daily(), &ran(NOON - Duration::days(7)), NOON + late), Some(NOON), "{late}");
        }
        let weekly = || Timed { schedule: Schedule::parse("0 12 * * sun", NOON).unwrap(), ..daily() };
        assert_eq!(owed(weekly(), &Done::default(), NOON + Duration::DAY), Some(NOON));
        assert_eq!(owed(weekly(), &Done::default(), NOON + Duration::DAY + Duration::SECOND), None);
    }

    #[test]
    fn a_job_that_was_changed_owes_nothing_of_before() {
        assert_eq!(owed(Timed { since: NOON, ..daily() }, &Done::default(), NOON), None);
        assert_eq!(owed(Timed { since: NOON - Duration::SECOND, ..daily() }, &Done::default(), NOON), Some(NOON));
    }

    #[test]
    fn nothing_runs_before_the_start_or_after_the_end() {
        let starting = || Timed { start: Some(NOON + Duration::hours(1)), ..daily() };
        assert_eq!(due(&[starting()], &Done::default(), NOON), Due { jobs: Vec::new(), next: Some(NOON + Duration::DAY) });
        let ended = || Timed { end: Some(NOON - Duration::SECOND), ..daily() };
        assert_eq!(due(&[ended()], &Done::default(), NOON), Due::default());
        let last = || Timed { start: Some(NOON), end: Some(NOON), ..daily() };
        assert_eq!(due(&[last()], &Done::default(), NOON), Due { jobs: vec![(ID, NOON)], next: None });
        assert_eq!(due(&[last()], &ran(NOON), NOON - Duration::SECOND).next, Some(NOON));
    }

    #[test]
    fn a_failed_run_is_tried_again_after_a_while() {
        let failed = Done { failed: [(ID, NOON)].into(), ..Done::default() };
        let soon = NOON + Duration::SECOND;
        assert_eq!(due(&[daily()], &failed, soon), Due { jobs: Vec::new(), next: Some(NOON + RETRY_AFTER) });
        assert_eq!(owed(daily(), &failed, NOON + RETRY_AFTER), Some(NOON));
    }
}
