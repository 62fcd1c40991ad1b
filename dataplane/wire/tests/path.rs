//! Which request paths exist.

#![cfg(test)]

use holdfast_wire::path::{BadPath, Operation, parse};
use proptest::prelude::*;

#[test]
fn every_operation_has_its_path() {
    for (path, uri_path, operation, key) in [
        ("/kms/xks/v1/health", "/kms/xks/v1", Operation::Health, ""),
        ("/a/b_c-9/kms/xks/v1/health", "/a/b_c-9/kms/xks/v1", Operation::Health, ""),
        ("/p/kms/xks/v1/keys/k.1_-/metadata", "/p/kms/xks/v1", Operation::Metadata, "k.1_-"),
        ("/kms/xks/v1/keys/k/encrypt", "/kms/xks/v1", Operation::Encrypt, "k"),
        ("/kms/xks/v1/keys/.../decrypt", "/kms/xks/v1", Operation::Decrypt, "..."),
        ("/kms/xks/v1/keys/encrypt/encrypt", "/kms/xks/v1", Operation::Encrypt, "encrypt"),
    ] {
        let route = parse(path).unwrap();
        assert_eq!((route.uri_path, route.operation, route.key), (uri_path, operation, key));
    }
}

/// A prefix may look like the API itself; what is cut off is the last match.
#[test]
fn a_prefix_may_contain_the_api_path() {
    let route = parse("/kms/xks/v1/keys/k/kms/xks/v1/health").unwrap();
    assert_eq!(route.uri_path, "/kms/xks/v1/keys/k/kms/xks/v1");
    let route = parse("/keys/kms/xks/v1/keys/k/encrypt").unwrap();
    assert_eq!(route.uri_path, "/keys/kms/xks/v1");
}

#[test]
fn every_other_path_is_refused() {
    for (path, why) in [
        ("", BadPath::Prefix),
        ("*", BadPath::Character),
        ("/", BadPath::EmptySegment),
        ("kms/xks/v1/health", BadPath::Prefix),
        ("/health", BadPath::Prefix),
        ("/kms/xks/v2/health", BadPath::Prefix),
        ("/Kms/xks/v1/health", BadPath::Prefix),
        ("/akms/xks/v1/health", BadPath::Prefix),
        ("/a.b/kms/xks/v1/health", BadPath::Prefix),
        ("/kms/xks/v1", BadPath::Operation),
        ("/kms/xks/v1/", BadPath::EmptySegment),
        ("/kms/xks/v1/health/", BadPath::EmptySegment),
        ("//kms/xks/v1/health", BadPath::EmptySegment),
        ("/kms/xks/v1//health", BadPath::EmptySegment),
        ("/kms/xks/v1/Health", BadPath::Operation),
        ("/kms/xks/v1/keys/k", BadPath::Operation),
        ("/kms/xks/v1/keys/k/delete", BadPath::Operation),
        ("/kms/xks/v1/key/k/encrypt", BadPath::Operation),
        ("/kms/xks/v1/keys/k/health", BadPath::Prefix),
        ("/kms/xks/v1/keys//encrypt", BadPath::EmptySegment),
        ("/kms/xks/v1/keys/./encrypt", BadPath::DotSegment),
        ("/kms/xks/v1/keys/../encrypt", BadPath::DotSegment),
        ("/a/../kms/xks/v1/health", BadPath::DotSegment),
        ("/kms/xks/v1/keys/%6b/encrypt", BadPath::Character),
        ("/kms/xks/v1/keys/k~/encrypt", BadPath::Character),
        ("/kms/xks/v1/keys/é/encrypt", BadPath::Character),
        ("/kms/xks/v1/health?", BadPath::Query),
        ("/kms/xks/v1/health?a=b", BadPath::Query),
        ("/kms/xks/v1/health#a", BadPath::Character),
        ("/kms/xks/v1/hea\nlth", BadPath::Character),
    ] {
        assert_eq!(parse(path), Err(why), "{path:?}");
    }
}

#[test]
fn lengths_count_to_the_last_character() {
    let uri_path = |chars: usize| format!("/{}/kms/xks/v1", "p".repeat(chars - 12));
    let health = |chars| format!("{}/health", uri_path(chars));
    assert!(parse(&health(128)).is_ok());
    assert_eq!(parse(&health(129)), Err(BadPath::Prefix));

    let key = |chars: usize| format!("/kms/xks/v1/keys/{}/encrypt", "k".repeat(chars));
    assert!(parse(&key(128)).is_ok());
    assert_eq!(parse(&key(129)), Err(BadPath::KeyId));

    let whole = |uri: usize, key: usize| format!("{}/keys/{}/encrypt", uri_path(uri), "k".repeat(key));
    assert_eq!(whole(128, 114).len(), 256);
    assert!(parse(&whole(128, 114)).is_ok());
    assert_eq!(parse(&whole(128, 115)), Err(BadPath::TooLong));
}

#[test]
fn operations_have_the_names_of_the_specification() {
    let names = Operation::ALL.map(Operation::as_str);
    assert_eq!(names, ["GetHealthStatus", "GetKeyMetadata", "Encrypt", "Decrypt"]);
}

proptest! {
    /// Whatever is accepted is exactly prefix, key and operation put together again.
    #[test]
    fn a_route_is_its_path(path in "(/[a-zA-Z0-9_.-]{0,9}){0,4}(/kms/xks/v1)?(/keys)?(/[!-~]{0,9})?(/(health|encrypt))?") {
        if let Ok(route) = parse(&path) {
            let again = match route.operation {
                Operation::Health => format!("{}/health", route.uri_path),
                Operation::Metadata => format!("{}/keys/{}/metadata", route.uri_path, route.key),
                Operation::Encrypt => format!("{}/keys/{}/encrypt", route.uri_path, route.key),
                Operation::Decrypt => format!("{}/keys/{}/decrypt", route.uri_path, route.key),
            };
            prop_assert_eq!(again, path);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(path in "\\PC{0,300}") {
        prop_assert!(parse(&path).is_err());
    }
}
