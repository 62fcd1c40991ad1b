//! The product as a user meets it: the real binary, real TLS, real sled, real clients.
#![cfg(test)]

mod admin;
mod api_page;
mod cli;
mod client;
mod dev;
mod gate;
mod hsm;
mod http;
mod linked;
mod planes_apart;
mod process;
mod reflection;
mod rest;
mod rotation;
mod safety;
mod secrets;
mod site;
