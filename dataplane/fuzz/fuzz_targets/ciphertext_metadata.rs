//! Any ciphertext metadata: foreign, or exactly what we would write for what it says.

#![no_main]

use holdfast_wire::aad::CiphertextMetadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(metadata) = CiphertextMetadata::parse(bytes) {
        assert_eq!(metadata.encode(), bytes);
    }
});
