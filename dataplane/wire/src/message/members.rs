//! JSON objects as tables of members: one pass, borrowed text, and a fault for each member rather than
//! for the text as a whole, so that a refusal can name its field.
//!
//! Holds: a known member keeps what it was (absent, null, text, other, twice); an unknown one is skipped.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::bytes::NotBase64;
use crate::refusal::{Fault, Refusal};

/// The members of a body: those of `requestMetadata`, and those beside it.
pub(super) struct Body<'a, const N: usize> {
    pub(super) metadata: Section<'a>,
    pub(super) members: [Member<'a>; N],
}

/// What stood where a string is expected.
#[derive(Default)]
pub(super) enum Member<'a> {
    #[default]
    Absent,
    Null,
    Text(Cow<'a, str>),
    Other,
    Twice,
}

/// What stood where `requestMetadata` is expected.
#[derive(Default)]
pub(super) enum Section<'a> {
    #[default]
    Absent,
    Null,
    Object([Member<'a>; METADATA.len()]),
    Other,
    Twice,
}

/// Reads a body whose members, apart from `requestMetadata`, are `names`.
pub(super) fn read<'a, const N: usize>(body: &'a [u8], names: &[&'static str; N]) -> Result<Body<'a, N>, Refusal> {
    // Checked as a whole: serde_json does not look at the text of members that it skips.
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refuse("body", Fault::NotJson));
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let read = json.deserialize_map(BodyVisitor { names });
    match read.and_then(|body| json.end().map(|()| body)) {
        Ok(body) => Ok(body),
        Err(_) => Err(refuse("body", Fault::NotJson)),
    }
}

impl<'a> Member<'a> {
    pub(super) fn required(self, field: &'static str) -> Result<Cow<'a, str>, Refusal> {
        self.optional(field)?.ok_or_else(|| refuse(field, Fault::Missing))
    }

    pub(super) fn optional(self, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self {
            Self::Absent | Self::Null => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Other => Err(refuse(field, Fault::Mistyped)),
            Self::Twice => Err(refuse(field, Fault::Duplicate)),
        }
    }

    /// A second one makes it [`Member::Twice`], whatever either was.
    fn put(&mut self, value: Self) {
        *self = match self {
            Self::Absent => value,
            Self::Null | Self::Text(_) | Self::Other | Self::Twice => Self::Twice,
        };
    }
}

impl<'a> Section<'a> {
    pub(super) fn required(self) -> Result<[Member<'a>; METADATA.len()], Refusal> {
        match self {
            Self::Absent | Self::Null => Err(refuse(SECTION, Fault::Missing)),
            Self::Object(members) => Ok(members),
            Self::Other => Err(refuse(SECTION, Fault::Mistyped)),
            Self::Twice => Err(refuse(SECTION, Fault::Duplicate)),
        }
    }

    fn put(&mut self, value: Self) {
        *self = match self {
            Self::Absent => value,
            Self::Null | Self::Object(_) | Self::Other | Self::Twice => Self::Twice,
        };
    }
}

/// The refusal for one field.
pub(super) const fn refuse(field: &'static str, fault: Fault) -> Refusal {
    Refusal::Validation { field, fault }
}

/// Names the field of a failed decoding.
pub(super) const fn not_base64(field: &'static str) -> impl FnOnce(NotBase64) -> Refusal {
    move |NotBase64| refuse(field, Fault::NotBase64)
}

/// A member's place among `names`; `None` for an unknown one. Names are compared unescaped.
#[derive(Clone, Copy)]
struct Place<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Option<usize>, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

struct BodyVisitor<'n, const N: usize> {
    names: &'n [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for BodyVisitor<'_, N> {
    type Value = Body<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata = Section::default();
        let mut members = std::array::from_fn(|_| Member::default());
        while let Some(name) = map.next_key_seed(TopPlace(Place(self.names)))? {
            match name {
                Top::Metadata => metadata.put(map.next_value_seed(SectionSeed)?),
                Top::Member(at) => put_at(&mut members, at, map.next_value_seed(MemberSeed)?),
                Top::Unknown => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Body { metadata, members })
    }
}

enum Top {
    Metadata,
    Member(usize),
    Unknown,
}

/// As [`Place`], beside `requestMetadata`.
struct TopPlace<'n>(Place<'n>);

impl<'de> DeserializeSeed<'de> for TopPlace<'_> {
    type Value = Top;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Top, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for TopPlace<'_> {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Top, E> {
        if name == SECTION {
            return Ok(Top::Metadata);
        }
        Ok(self.0.visit_str(name)?.map_or(Top::Unknown, Top::Member))
    }
}

fn put_at<'a>(members: &mut [Member<'a>], at: usize, value: Member<'a>) {
    if let Some(member) = members.get_mut(at) {
        member.put(value);
    }
}

/// Any JSON value, read as a member.
struct MemberSeed;

impl<'de> DeserializeSeed<'de> for MemberSeed {
    type Value = Member<'de>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Member<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed {
    type Value = Member<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member<'de>, E> {
        Ok(Member::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Member<'de>, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Member<'de>, E> {
        Ok(Member::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Member<'de>, E> {
        Ok(Member::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Member<'de>, E> {
        Ok(Member::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Member<'de>, E> {
        Ok(Member::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Member<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Member::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member<'de>, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Member::Other)
    }
}

/// Any JSON value, read as `requestMetadata`.
struct SectionSeed;

impl<'de> DeserializeSeed<'de> for SectionSeed {
    type Value = Section<'de>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Section<'de>, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SectionSeed {
    type Value = Section<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section<'de>, A::Error> {
        let mut members = std::array::from_fn(|_| Member::default());
        while let Some(place) = map.next_key_seed(Place(&METADATA))? {
            match place {
                Some(at) => put_at(&mut members, at, map.next_value_seed(MemberSeed)?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Section::Object(members))
    }

    fn visit_unit<E: Error>(self) -> Result<Section<'de>, E> {
        Ok(Section::Null)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Section<'de>, E> {
        Ok(Section::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Section<'de>, E> {
        Ok(Section::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Section<'de>, E> {
        Ok(Section::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Section<'de>, E> {
        Ok(Section::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Section<'de>, E> {
        Ok(Section::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Section<'de>, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Section::Other)
    }
}

/// The members of `requestMetadata`, in the order of the specification's table.
pub(super) const METADATA: [&str; 7] =
    ["awsPrincipalArn", "kmsOperation", "kmsRequestId", "kmsKeyArn", "awsSourceVpc", "awsSourceVpce", "kmsViaService"];
const SECTION: &str = "requestMetadata";
