//! `X-Amz-Date` and the scope's day, as moments rather than text.

use std::fmt;
use std::time::SystemTime;

use time::{Date, Month, OffsetDateTime, Time};

/// A day in UTC, as a credential scope names it. Shown as `yyyymmdd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

impl Day {
    /// The UTC day of a moment.
    #[must_use]
    pub fn of(now: SystemTime) -> Self {
        Self(OffsetDateTime::from(now).date())
    }

    /// Reads `yyyymmdd`. `None` for other text, or a day that the calendar lacks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let [y0, y1, y2, y3, m0, m1, d0, d1] = digits(text.as_bytes())?;
        let year = 100 * pair(y0, y1) + pair(y2, y3);
        let month = Month::try_from(u8::try_from(pair(m0, m1)).ok()?).ok()?;
        let day = u8::try_from(pair(d0, d1)).ok()?;
        let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
        Some(Self(date))
    }

    /// The day's first moment.
    pub(super) fn start(self) -> SystemTime {
        self.0.midnight().assume_utc().into()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        write!(f, "{year:04}{:02}{day:02}", u8::from(month))
    }
}

/// How far our clock was ahead of a request's date, in whole seconds; negative when behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// Signed whole seconds: our clock less the request's date.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Both in whole seconds since 1970, so that a date of exactly five minutes ago is never refused for
    /// the fraction of a second that a date can't say.
    pub(super) fn between(now: SystemTime, date: Moment) -> Self {
        let now = OffsetDateTime::from(now).unix_timestamp();
        Self(now.saturating_sub(date.unix_seconds))
    }
}

/// What `X-Amz-Date` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) day: Day,
    unix_seconds: i64,
}

impl Moment {
    /// Reads `yyyymmddThhmmssZ` (ISO 8601 basic format, as SigV4 has it). Leap seconds don't exist here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (day, clock) = text.strip_suffix('Z')?.split_once('T')?;
        let day = Day::parse(day)?;
        let [h0, h1, m0, m1, s0, s1] = digits(clock.as_bytes())?;
        let part = |tens, ones| u8::try_from(pair(tens, ones)).ok();
        let clock = Time::from_hms(part(h0, h1)?, part(m0, m1)?, part(s0, s1)?).ok()?;
        Some(Self { day, unix_seconds: day.0.with_time(clock).assume_utc().unix_timestamp() })
    }
}

/// Exactly `N` decimal digits, as their values.
fn digits<const N: usize>(text: &[u8]) -> Option<[u32; N]> {
    let text: &[u8; N] = text.try_into().ok()?;
    text.iter().all(u8::is_ascii_digit).then(|| text.map(|digit| u32::from(digit - b'0')))
}

const fn pair(tens: u32, ones: u32) -> u32 {
    10 * tens + ones
}
