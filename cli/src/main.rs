//! The holdfast command.
mod config;
fn main() {}
