//! Partitions on real modules: SoftHSM, and the simulator of this repository for everything that goes wrong.

mod faults;
mod hangs;
mod scene;
mod storms;
mod tokens;
