//! The simulator's keys as AWS's own client sees them.
#![cfg(test)]

mod aliases;
mod cloud_hsm;
mod create;
mod deletion;
mod encryption;
mod import;
mod regions;
mod rig;
mod rotation;
mod signing;
