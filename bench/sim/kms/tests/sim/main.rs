//! The simulator as its clients and its proxies see it.
#![cfg(test)]

mod asked;
mod binary;
mod calls;
mod client;
mod faults;
mod kept;
mod proxy;
mod rig;
mod stores;
mod trouble;
