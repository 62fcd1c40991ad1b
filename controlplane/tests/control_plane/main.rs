//! A whole control plane, with sled and TLS as it ships, and nodes that are written from the protocol.

mod admin;
mod directory;
mod node;
mod plane;
mod rest;

use std::time::Duration;

/// Long enough for a machine that is busy.
const SOON: Duration = Duration::from_secs(30);
