//! The product as a user meets it: the real binary, real TLS, real sled, real clients.

mod admin;
mod client;
mod dev;
mod gate;
mod planes_apart;
mod process;
mod rotation;
mod secrets;
mod site;
