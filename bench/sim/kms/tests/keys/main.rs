//! The simulator's keys as AWS's own client sees them.
#![cfg(test)]

mod aliases;
mod create;
mod deletion;
mod import;
mod regions;
mod rig;
mod rotation;
mod signing;
