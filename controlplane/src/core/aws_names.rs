//! Whether a text has the form of what AWS calls something. Forms only: whether it exists is AWS's to say.

use super::CoreError;

/// 12 digits.
pub(super) fn account(field: &'static str, text: &str) -> Result<(), CoreError> {
    let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    expect(fits, field, "must be an AWS account id of 12 digits")
}

/// Such as `eu-west-1` or `us-gov-east-1`.
pub(super) fn region(field: &'static str, text: &str) -> Result<(), CoreError> {
    let parts: Vec<_> = text.split('-').collect();
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    let fits = match parts.as_slice() {
        [area, middle @ .., number] => {
            let number = matches!(number.len(), 1 | 2) && number.bytes().all(|b| b.is_ascii_digit());
            (2..=4).contains(&area.len()) && word(area) && !middle.is_empty() && middle.iter().all(word) && number
        }
        [] | [_] => false,
    };
    expect(fits && text.len() <= 32, field, "must be an AWS region, such as us-east-1")
}

/// Which ARN a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArnOf {
    Role,
    AnywhereProfile,
    TrustAnchor,
}

/// `arn:partition:service:region:account:kind/name`, of the service and kind that belong here (AWS General Reference, ARN format).
pub(super) fn arn(field: &'static str, of: ArnOf, text: &str) -> Result<(), CoreError> {
    let (service, kind, example) = match of {
        ArnOf::Role => ("iam", "role/", "arn:aws:iam::123456789012:role/name"),
        ArnOf::AnywhereProfile => ("rolesanywhere", "profile/", "arn:aws:rolesanywhere:us-east-1:123456789012:profile/id"),
        ArnOf::TrustAnchor => ("rolesanywhere", "trust-anchor/", "arn:aws:rolesanywhere:us-east-1:123456789012:trust-anchor/id"),
    };
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let fits = match parts.as_slice() {
        ["arn", partition, served_by, place, owner, resource] => {
            let placed = if of == ArnOf::Role { place.is_empty() } else { region(field, place).is_ok() };
            let named = resource.strip_prefix(kind).is_some_and(|name| !name.is_empty());
            partition.starts_with("aws") && *served_by == service && placed && account(field, owner).is_ok() && named
        }
        _ => false,
    };
    expect(fits && text.len() <= 2048 && !text.chars().any(char::is_control), field, &format!("must be an ARN such as {example}"))
}

/// What people name a record: 1 to 256 characters.
pub(super) fn name(field: &'static str, text: &str) -> Result<(), CoreError> {
    let fits = !text.trim().is_empty() && text.chars().count() <= 256 && !text.chars().any(char::is_control);
    expect(fits, field, "must have 1 to 256 characters")
}

fn expect(fits: bool, field: &'static str, detail: &str) -> Result<(), CoreError> {
    if fits { Ok(()) } else { Err(CoreError::Invalid { field, detail: detail.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_all_partitions_fit_and_nothing_else_does() {
        for good in ["us-east-1", "eu-central-2", "us-gov-west-1", "cn-northwest-1", "ap-southeast-7", "eusc-de-east-1", "us-iso-east-1"] {
            assert!(region("f", good).is_ok(), "{good}");
        }
        for bad in
            ["", "-", "us", "us-1", "us-east", "us-east-", "US-east-1", "us-east-1a", "us-east-123", "us--1", "a-east-1", "us_east_1"]
        {
            assert!(region("f", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_arn_is_taken_only_where_it_belongs() {
        let (role, profile) = ("arn:aws:iam::123456789012:role/path/name", "arn:aws:rolesanywhere:eu-west-1:123456789012:profile/1");
        assert!(arn("f", ArnOf::Role, role).is_ok() && arn("f", ArnOf::AnywhereProfile, profile).is_ok());
        assert!(arn("f", ArnOf::Role, &role.replace(":aws:", ":aws-cn:")).is_ok());
        assert!(arn("f", ArnOf::TrustAnchor, profile).is_err() && arn("f", ArnOf::Role, profile).is_err());
        for bad in
            ["", "arn", "arn:aws:iam::123456789012:role/", "arn:aws:iam::12345678901:role/a", "arn:aws:iam:us-east-1:123456789012:role/a"]
        {
            assert!(arn("f", ArnOf::Role, bad).is_err(), "{bad}");
        }
        assert!(account("f", "123456789012").is_ok() && account("f", "12345678901x").is_err());
    }
}
