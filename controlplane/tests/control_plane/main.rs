//! A whole control plane, with sled and TLS as it ships, and nodes that are written from the protocol.
#![cfg(test)]

mod access;
mod admin;
mod directory;
mod hyok_keys;
mod key_stores;
mod node;
mod partitions;
mod plane;
mod records;
mod rest;
mod restoring;
mod source_keys;
mod source_keys_rest;
