//! Keys on PKCS#11 tokens, from outside, on SoftHSM and on the simulator.
#![cfg(test)]

mod admin;
mod fixture;
mod groups;
mod pins;
