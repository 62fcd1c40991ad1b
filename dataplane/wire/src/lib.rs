//! dataplane/wire
