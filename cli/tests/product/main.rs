//! The product as a user meets it: the real binary, real TLS, real sled, real clients.

mod dev;
mod planes_apart;
mod process;
