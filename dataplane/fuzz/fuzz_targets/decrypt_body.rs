//! Any body of Decrypt: refused, or within the limits, and its AAD can be encoded in every format.

#![no_main]

use holdfast_wire::aad::{CiphertextMetadata, LegacyFormat, gcm_aad};
use holdfast_wire::message::DecryptRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| match DecryptRequest::parse(body) {
    Ok(read) => {
        assert!(read.ciphertext.as_bytes().len() <= 65_536);
        assert!(matches!(read.iv.as_bytes().len(), 12 | 16));
        let metadata = read.ciphertext_metadata.as_bytes();
        assert!(metadata.len() <= 20);
        if let Ok(ours) = CiphertextMetadata::parse(metadata) {
            assert_eq!(ours.encode(), metadata);
        }
        let present = read.aad.as_ref().map(|aad| aad.as_bytes());
        let mut aad = vec![];
        assert_eq!(gcm_aad(present.unwrap_or_default(), metadata, &mut aad), Ok(()));
        for format in [LegacyFormat::AwsSample, LegacyFormat::RawConcat] {
            assert_eq!(format.aad(present, metadata, &mut aad), Ok(()));
        }
    }
    Err(refusal) => assert!(matches!(refusal.wire().0, 400 | 501)),
});
