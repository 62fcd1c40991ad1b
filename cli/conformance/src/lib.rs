//! cli/conformance
