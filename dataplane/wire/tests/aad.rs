//! The bytes that bind a ciphertext, against known answers.

#![cfg(test)]

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_wire::aad::{CdivParts, CiphertextMetadata, ForeignMetadata, LegacyFormat, TooLong, cdiv, gcm_aad};
use proptest::prelude::*;

/// The example of the XKS specification.
#[test]
fn the_specifications_cdiv_is_ours() {
    let value = cdiv(&CdivParts {
        aad: b"project=nile,department=marketing",
        metadata: b"key_version=1",
        iv: &hex("1ccae5470f39700254779031"),
        ciphertext: &hex("821c642b5b71783367deaf18"),
        tag: &hex("bc1c4dda7707d6812447c5955e99b261"),
    });
    assert_eq!(STANDARD.encode(value), "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=");
}

#[test]
fn each_part_of_the_aad_follows_its_length() {
    let aad = |aad: &[u8], metadata: &[u8]| {
        let mut out = vec![];
        gcm_aad(aad, metadata, &mut out).unwrap();
        out
    };
    assert_eq!(aad(b"", b""), [0, 0, 0]);
    assert_eq!(aad(b"ab", b"c"), [0, 2, b'a', b'b', 1, b'c']);
    let long = aad(&[7; 65_535], &[8; 255]);
    assert_eq!((&long[..3], long.len()), (&[255, 255, 7][..], 3 + 65_535 + 255));
}

#[test]
fn a_length_that_does_not_fit_leaves_the_buffer_alone() {
    let mut out = vec![1];
    assert_eq!(gcm_aad(&[0; 65_536], b"", &mut out), Err(TooLong));
    assert_eq!(gcm_aad(b"", &[0; 256], &mut out), Err(TooLong));
    let sample = LegacyFormat::AwsSample;
    assert_eq!(sample.aad(Some(&[0; 65_536]), b"", &mut out), Err(TooLong));
    assert_eq!(out, [1]);
}

#[test]
fn the_aws_sample_hashes_an_aad_that_is_there() {
    let aad = |aad: Option<&[u8]>, metadata: &[u8]| {
        let mut out = vec![];
        LegacyFormat::AwsSample.aad(aad, metadata, &mut out).unwrap();
        out
    };
    assert_eq!(aad(None, b""), [0, 0, 0]);
    assert_eq!(aad(None, b"m"), [0, 0, 1, b'm']);
    let hash = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
    assert_eq!(aad(Some(b""), b"m"), [&[0, 0][..], &hash(b""), &[1, b'm']].concat());
    assert_eq!(aad(Some(b"abc"), b""), [&[0, 3][..], &hash(b"abc"), &[0]].concat());
}

#[test]
fn raw_concatenation_has_no_lengths() {
    let mut out = vec![];
    LegacyFormat::RawConcat.aad(Some(b"abc"), b"de", &mut out).unwrap();
    assert_eq!(out, b"abcde");
    LegacyFormat::RawConcat.aad(None, b"f", &mut out).unwrap();
    assert_eq!(out, b"abcdef");
}

#[test]
fn our_metadata_is_nine_bytes() {
    let metadata = CiphertextMetadata { version: 0x0102_0304, tag: [5, 6, 7, 8] };
    assert_eq!(metadata.encode(), [1, 1, 2, 3, 4, 5, 6, 7, 8]);
    for foreign in [&b""[..], &[1; 8], &[1; 10], &[0, 0, 0, 0, 0, 0, 0, 0, 0], &[2; 9]] {
        assert_eq!(CiphertextMetadata::parse(foreign), Err(ForeignMetadata));
    }
}

proptest! {
    #[test]
    fn metadata_reads_as_it_was_written(version: u32, tag: [u8; 4]) {
        let metadata = CiphertextMetadata { version, tag };
        prop_assert_eq!(CiphertextMetadata::parse(&metadata.encode()), Ok(metadata));
    }

    #[test]
    fn any_bytes_are_our_metadata_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        if let Ok(metadata) = CiphertextMetadata::parse(&bytes) {
            prop_assert_eq!(&metadata.encode()[..], bytes);
        }
    }

    /// Moving bytes between AAD and metadata gives other bytes to authenticate.
    #[test]
    fn different_parts_encode_differently(bytes in prop::collection::vec(0..3_u8, 0..40), a: prop::sample::Index, b: prop::sample::Index) {
        let (a, b) = (a.index(bytes.len() + 1), b.index(bytes.len() + 1));
        let encode = |at: usize| {
            let mut out = vec![];
            gcm_aad(&bytes[..at], &bytes[at..], &mut out).unwrap();
            out
        };
        prop_assert_eq!(encode(a) == encode(b), a == b);
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
