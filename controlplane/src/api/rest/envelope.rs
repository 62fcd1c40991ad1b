//! What every stored object carries (contract §2.1): id, uri, account and two times.
//!
//! Always holds: an object that did not change is told in the same bytes at each read.

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::store::entry::Stamps;

/// Members of every stored object; flatten it into the object.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Envelope {
    /// A lower-case UUID, or 64 hexadecimal digits for keys of `vault/keys2`.
    id: String,
    /// Names the object's kind, too.
    #[schema(examples("kylo:kylo:cckm:aws_cks:0b8e8f1c-7f5e-4c5e-9f0a-2f1f2d1f0a11"))]
    uri: String,
    /// The account that owns it.
    account: String,
    /// Not of all kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'static str>,
    /// Not of all kinds.
    #[serde(rename = "devAccount", skip_serializing_if = "Option::is_none")]
    dev_account: Option<&'static str>,
    /// RFC 3339, UTC.
    #[serde(rename = "createdAt")]
    #[schema(format = DateTime)]
    created_at: String,
    /// RFC 3339, UTC. Reads don't move it.
    #[serde(rename = "updatedAt")]
    #[schema(format = DateTime)]
    updated_at: String,
}

/// How exactly times are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// By what made or changed the object: nine digits.
    Change,
    /// By a read: six digits.
    Read,
}

impl Envelope {
    /// Of an object of `kind`, such as `cckm:aws_cks`.
    pub(super) fn new(kind: &str, id: &impl ToString, stamps: Stamps, told: Told) -> Self {
        let id = id.to_string();
        Self {
            uri: format!("kylo:kylo:{kind}:{id}"),
            id,
            account: ACCOUNT.into(),
            application: None,
            dev_account: None,
            created_at: timestamp(stamps.created_ns, told),
            updated_at: timestamp(stamps.updated_ns, told),
        }
    }

    /// With `application` and `devAccount`.
    pub(super) const fn of_application(mut self) -> Self {
        self.application = Some("ncryptify:gemalto:admin:apps:kylo");
        self.dev_account = Some("ncryptify:gemalto:admin:accounts:gemalto");
        self
    }
}

/// A time as RFC 3339 in UTC.
pub(super) fn timestamp(ns: u64, told: Told) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, clock) = (time.date(), time.time());
    let (hour, minute, second, nanos) = clock.as_hms_nano();
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    match told {
        Told::Change => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z"),
        Told::Read => format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", nanos / 1_000),
    }
}

/// The root domain's.
const ACCOUNT: &str = "kylo:kylo:admin:accounts:kylo";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_nine_digits_where_something_changed_and_six_at_reads() {
        let ns = 1_700_000_000_123_456_789;
        assert_eq!(timestamp(ns, Told::Change), "2023-11-14T22:13:20.123456789Z");
        assert_eq!(timestamp(ns, Told::Read), "2023-11-14T22:13:20.123456Z");
    }

    #[test]
    fn an_object_has_its_kind_in_its_uri_and_the_root_account() {
        let stamps = Stamps { created_ns: 0, updated_ns: 1_000 };
        let told = serde_json::to_value(Envelope::new("cckm:aws_cks", &"x", stamps, Told::Read)).unwrap();
        assert_eq!(told["uri"], "kylo:kylo:cckm:aws_cks:x");
        assert_eq!(told["account"], "kylo:kylo:admin:accounts:kylo");
        assert_eq!(told["updatedAt"], "1970-01-01T00:00:00.000001Z");
        assert_eq!(told.get("application"), None);
    }
}
