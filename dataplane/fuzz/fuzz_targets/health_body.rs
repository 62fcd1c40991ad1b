//! Any body of `GetHealthStatus`: refused as a bad request, or within the protocol's limits.

#![no_main]

use holdfast_wire::message::HealthRequest;
use holdfast_wire::refusal::ErrorName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| match HealthRequest::parse(body) {
    Ok(read) => {
        let arn = read.request.aws_principal_arn;
        assert!(arn.is_none_or(|arn| arn.chars().count() <= 2_048));
    }
    Err(refusal) => assert_eq!(refusal.wire(), (400, ErrorName::ValidationException)),
});
