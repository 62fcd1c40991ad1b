//! Any request target: refused, or exactly what its route says.

#![no_main]

use holdfast_wire::path::{Operation, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &str| {
    let Ok(route) = parse(target) else { return };
    assert!(route.uri_path.ends_with("/kms/xks/v1") && route.uri_path.len() <= 128);
    let operation = match route.operation {
        Operation::Health => return assert_eq!(target, format!("{}/health", route.uri_path)),
        Operation::Metadata => "metadata",
        Operation::Encrypt => "encrypt",
        Operation::Decrypt => "decrypt",
    };
    assert!((1..=128).contains(&route.key.len()));
    assert_eq!(target, format!("{}/keys/{}/{operation}", route.uri_path, route.key));
});
