//! Keys on PKCS#11 tokens, through the real binary: SoftHSM, and the simulator for what SoftHSM can't be made to show.

mod configuration;
mod conformance;
mod faults;
mod groups;
mod pins;
mod rig;
pub(crate) mod simulator;
pub(crate) mod softhsm;
mod take_over;
