//! dataplane/keys
