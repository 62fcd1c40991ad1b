//! A small PKCS#11 (Cryptoki v2.40) module for tests and measurements, with settable latency and faults. See `deploy/docs/sim-hsm.md`.
//!
//! It shares no code with the product, so that a mistake can't hide in both. Keys in it are protected by nothing.

mod command;
mod config;
mod control;
mod crypt;
mod ffi;
mod file;
mod function;
mod gate;
mod gcm;
mod hex;
mod key;
mod ledger;
mod module;
mod partition;
mod rv;
mod session;
mod table;
mod token;
