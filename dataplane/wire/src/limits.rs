//! The protocol's numbers, each once, with where it comes from.
//!
//! "XKS" is the AWS KMS External Key Store Proxy API Specification 1.0.3. "Ours" is a limit that the
//! protocol leaves to the proxy: going over it is answered `UnsupportedOperationException`, 501.

use std::ops::RangeInclusive;

/// Characters in a URI path up to and including `/kms/xks/v1` (XKS, URI path prefix).
pub const URI_PATH_CHARS: RangeInclusive<usize> = 10..=128;

/// Most characters in a whole request path (XKS, URI path).
pub const MAX_URI_CHARS: usize = 256;

/// Most characters in an external key id (XKS, `externalKeyId`).
pub const MAX_KEY_ID_CHARS: usize = 128;

/// Most characters in `awsPrincipalArn` (XKS, `requestMetadata`).
pub const MAX_PRINCIPAL_ARN_CHARS: usize = 2_048;

/// Bytes of the usual initialization vector (XKS; NIST SP 800-38D §8.2).
pub const IV_BYTES: usize = 12;

/// Bytes of the longer initialization vector that some key managers make (XKS).
pub const LONG_IV_BYTES: usize = 16;

/// Bytes of a GCM authentication tag (XKS).
pub const TAG_BYTES: usize = 16;

/// Most bytes in `ciphertextMetadata` before base64 (XKS).
pub const MAX_CIPHERTEXT_METADATA_BYTES: usize = 20;

/// Plaintext bytes that every proxy must take (XKS).
pub const REQUIRED_PLAINTEXT_BYTES: usize = 4_300;

/// AAD bytes that every proxy must take (XKS).
pub const REQUIRED_AAD_BYTES: usize = 8_192;

/// Most bytes of plaintext or ciphertext that we take (ours).
pub const MAX_PLAINTEXT_BYTES: usize = 64 * 1_024;

/// Most bytes of AAD that we take (ours): its length is written in two bytes, see [`crate::aad`].
pub const MAX_AAD_BYTES: usize = 65_535;

/// Most bytes in a request body (ours): the two limits above in base64, with room for the rest.
pub const MAX_BODY_BYTES: usize = 256 * 1_024;

// What we take is never less than what every proxy must.
const _: () = assert!(MAX_PLAINTEXT_BYTES >= REQUIRED_PLAINTEXT_BYTES && MAX_AAD_BYTES >= REQUIRED_AAD_BYTES);

/// Most characters of an `errorMessage` (XKS: under 512).
pub const MAX_ERROR_MESSAGE_CHARS: usize = 511;

/// Most entries in `ekmFleetDetails` (XKS: 1 to 10).
pub const MAX_FLEET_DETAILS: usize = 10;

/// How far a request's date may be from our clock, in seconds, either way (XKS, authentication).
pub const MAX_CLOCK_OFFSET_SECONDS: u64 = 300;

/// Characters in an access key id, each of `[A-Z2-7]` (XKS, authentication).
pub const ACCESS_KEY_ID_CHARS: RangeInclusive<usize> = 20..=30;

/// The service in a credential scope (XKS, authentication).
pub const SERVICE: &str = "kms-xks-proxy";
