//! Any body of Encrypt: refused, or within the limits, and its AAD can be encoded.

#![no_main]

use holdfast_wire::aad::{CiphertextMetadata, gcm_aad};
use holdfast_wire::message::EncryptRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| match EncryptRequest::parse(body) {
    Ok(read) => {
        assert!(read.plaintext.as_bytes().len() <= 65_536);
        assert!(read.request.aws_principal_arn.is_some() && read.request.kms_key_arn.is_some());
        let metadata = CiphertextMetadata { version: 7, tag: [1; 4] }.encode();
        let mut aad = vec![];
        assert_eq!(gcm_aad(read.aad.as_bytes(), &metadata, &mut aad), Ok(()));
        assert_eq!(aad.len(), read.aad.as_bytes().len() + 12);
    }
    Err(refusal) => assert!(matches!(refusal.wire().0, 400 | 501)),
});
