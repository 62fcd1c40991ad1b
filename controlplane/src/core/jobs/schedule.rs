//! When a job runs: five fields of cron, in UTC.
//!
//! Always holds: a [`Schedule`] has a time to come, at least one in the next years; only whole minutes are in it.

use std::cmp::Ordering;

use croner::{
    Cron, CronDateTime,
    errors::CronError,
    parser::{CronParser, Seconds},
    time::{CivilDateTime, Resolution, Weekday},
};
use time::{Date, Month, OffsetDateTime, Time};

/// A checked schedule.
#[derive(Clone, Debug)]
pub(in crate::core) struct Schedule(Cron);

impl Schedule {
    /// Reads minute, hour, day of month, month and day of week, such as `0 9 * * fri`; what is wrong with it, otherwise.
    pub(in crate::core) fn parse(text: &str, now: OffsetDateTime) -> Result<Self, String> {
        if text.split_whitespace().count() != 5 {
            return Err("must have five fields: minute, hour, day of month, month, day of week".into());
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let schedule = Self(parser.parse(text).map_err(|fault| format!("is no cron schedule: {fault}"))?);
        if schedule.after(now).is_none() {
            return Err("never comes".into());
        }
        Ok(schedule)
    }

    /// The first time after `moment`.
    pub(in crate::core) fn after(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        self.0.find_next_occurrence(&Utc(moment), false).ok().map(|found| found.0)
    }

    /// The last time up to `moment`.
    pub(in crate::core) fn until(&self, moment: OffsetDateTime) -> Option<OffsetDateTime> {
        self.0.find_previous_occurrence(&Utc(moment), true).ok().map(|found| found.0)
    }
}

/// A moment as the cron crate looks at it. UTC has no gaps and nothing twice.
#[derive(Clone, Copy, Debug)]
struct Utc(OffsetDateTime);

impl CronDateTime for Utc {
    fn to_civil(&self) -> CivilDateTime {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second) = self.0.to_hms();
        let date = croner::time::CivilDate::from_parts_unchecked(year, u8::from(month).into(), day.into());
        CivilDateTime::new(date, croner::time::CivilTime::from_parts_unchecked(hour.into(), minute.into(), second.into()))
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.0.weekday().number_days_from_sunday().into())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let byte = |number: u32| u8::try_from(number).map_err(|_| CronError::InvalidDate);
        let month = Month::try_from(byte(civil.month())?).map_err(|_| CronError::InvalidDate)?;
        let date = Date::from_calendar_date(civil.year(), month, byte(civil.day())?).map_err(|_| CronError::InvalidDate)?;
        let clock =
            Time::from_hms(byte(civil.hour())?, byte(civil.minute())?, byte(civil.second())?).map_err(|_| CronError::InvalidTime)?;
        Ok(Resolution::Single(Self(OffsetDateTime::new_utc(date, clock))))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(time::Duration::seconds(seconds)).map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:30:15.5 UTC);

    fn around(text: &str) -> (OffsetDateTime, OffsetDateTime) {
        let schedule = Schedule::parse(text, NOW).unwrap();
        (schedule.until(NOW).unwrap(), schedule.after(NOW).unwrap())
    }

    #[test]
    fn names_steps_lists_and_ranges_are_understood_in_utc() {
        // The 22nd of November 2026 is a Sunday.
        let table = [
            ("* * * * *", datetime!(2026-11-22 12:30 UTC), datetime!(2026-11-22 12:31 UTC)),
            ("30 12 * * *", datetime!(2026-11-22 12:30 UTC), datetime!(2026-11-23 12:30 UTC)),
            ("0 9 * * fri", datetime!(2026-11-20 9:00 UTC), datetime!(2026-11-27 9:00 UTC)),
            ("45 23 * * 6", datetime!(2026-11-21 23:45 UTC), datetime!(2026-11-28 23:45 UTC)),
            ("0 0 * * SUN", datetime!(2026-11-22 0:00 UTC), datetime!(2026-11-29 0:00 UTC)),
            ("0 0 * * 7", datetime!(2026-11-22 0:00 UTC), datetime!(2026-11-29 0:00 UTC)),
            ("*/20 1-3,8 * * *", datetime!(2026-11-22 8:40 UTC), datetime!(2026-11-23 1:00 UTC)),
            ("0 0 1 jan *", datetime!(2026-01-01 0:00 UTC), datetime!(2027-01-01 0:00 UTC)),
            ("0 0 29 2 *", datetime!(2024-02-29 0:00 UTC), datetime!(2028-02-29 0:00 UTC)),
            // Either day, where both are named (crontab(5)).
            ("0 0 1 * mon", datetime!(2026-11-16 0:00 UTC), datetime!(2026-11-23 0:00 UTC)),
        ];
        for (text, last, next) in table {
            assert_eq!(around(text), (last, next), "{text}");
        }
    }

    #[test]
    fn what_has_other_fields_or_never_comes_is_refused() {
        let bad = [
            "",
            "* * * *",
            "0 0 9 * * fri",
            "@daily",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * fry",
            "0 0 31 2 *",
            "a b c d e",
        ];
        for text in bad {
            assert!(Schedule::parse(text, NOW).is_err(), "{text}");
        }
    }
}
