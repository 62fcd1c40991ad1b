//! The built module, loaded as an application loads it.
#![cfg(test)]

mod faults;
mod processes;
mod scene;
mod token;
