//! What AWS demands of tags.
//!
//! Always holds: a key has at most one tag of a name, and at most 50. Source: AWS KMS API reference, `TagResource`, `Tag`.

use crate::{
    error::{AwsException, ErrorName},
    state::Tag,
};

/// Tags of a new key.
///
/// # Errors
/// As [`merged`].
pub(crate) fn taken(given: Vec<Tag>) -> Result<Vec<Tag>, AwsException> {
    merged(&[], given)
}

/// The tags that a key has with `given` put on: one of the same name gets the new value.
///
/// # Errors
/// `ValidationException` for a length, `TagException` for what a tag can't be and for too many at once, `LimitExceededException` for too many
/// together with those that the key has.
pub(crate) fn merged(has: &[Tag], given: Vec<Tag>) -> Result<Vec<Tag>, AwsException> {
    let mut tags = has.to_vec();
    if given.len() > MAX_TAGS {
        return Err(refused("Too many tags"));
    }
    for (index, tag) in given.iter().enumerate() {
        checked_key(&tag.tag_key)?;
        if tag.tag_value.chars().count() > MAX_VALUE {
            return Err(AwsException::invalid(format!(
                "1 validation error detected: Value '{}' at 'tags.{}.member.tagValue' failed to satisfy constraint: Member must have length \
                 less than or equal to {MAX_VALUE}",
                tag.tag_value,
                index + 1
            )));
        }
        if !tag.tag_value.chars().all(allowed) {
            return Err(refused("A tag value has a character that is not allowed"));
        }
        if given.iter().take(index).any(|other| other.tag_key == tag.tag_key) {
            return Err(refused("Duplicate tag keys"));
        }
    }
    for tag in given {
        match tags.iter_mut().find(|has| has.tag_key == tag.tag_key) {
            Some(has) => has.tag_value = tag.tag_value,
            None => tags.push(tag),
        }
    }
    if tags.len() > MAX_TAGS {
        return Err(AwsException::new(ErrorName::LimitExceeded, format!("A KMS key has at most {MAX_TAGS} tags.")));
    }
    Ok(tags)
}

/// Checks the name of a tag.
///
/// # Errors
/// `ValidationException` for its length, `TagException` for what it can't be.
pub(crate) fn checked_key(key: &str) -> Result<(), AwsException> {
    if !(1..=MAX_KEY).contains(&key.chars().count()) {
        return Err(AwsException::invalid(format!("A tag key has 1 to {MAX_KEY} characters.")));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(refused("Tags beginning with aws: are reserved"));
    }
    if !key.chars().all(allowed) {
        return Err(refused("A tag key has a character that is not allowed"));
    }
    Ok(())
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`, as near as the standard library knows those classes.
fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || (!c.is_ascii() && c.is_whitespace()) || "_.:/=+-@".contains(c)
}

fn refused(message: &str) -> AwsException {
    AwsException::new(ErrorName::Tag, message)
}

const MAX_TAGS: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { tag_key: key.into(), tag_value: value.into() }
    }

    #[test]
    fn a_tag_of_the_same_name_gets_the_new_value() {
        let tags = merged(&[tag("a", "1"), tag("b", "2")], vec![tag("a", "3"), tag("c", "")]).unwrap();
        assert_eq!(tags, [tag("a", "3"), tag("b", "2"), tag("c", "")]);
    }

    #[test]
    fn what_aws_refuses_of_a_tag_is_refused_by_its_name() {
        for (given, name) in [
            (vec![tag("", "x")], "ValidationException"),
            (vec![tag(&"k".repeat(129), "x")], "ValidationException"),
            (vec![tag("k", &"v".repeat(257))], "ValidationException"),
            (vec![tag("aws:k", "x")], "TagException"),
            (vec![tag("k", "a,b")], "TagException"),
            (vec![tag("k#", "a")], "TagException"),
            (vec![tag("k", "1"), tag("k", "2")], "TagException"),
            ((0..51).map(|n| tag(&n.to_string(), "x")).collect(), "TagException"),
        ] {
            assert_eq!(taken(given).unwrap_err().name(), name);
        }
        let many: Vec<_> = (0..50).map(|n| tag(&n.to_string(), "x")).collect();
        assert_eq!(merged(&many, vec![tag("k", "x")]).unwrap_err().name(), "LimitExceededException");
        assert!(taken((0..50).map(|n| tag(&n.to_string(), "Grüße _.:/=+-@")).collect()).is_ok());
    }
}
