//! A whole control plane, with sled and TLS as it ships, and nodes that are written from the protocol.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod node;
#[cfg(test)]
mod partitions;
#[cfg(test)]
mod plane;
#[cfg(test)]
mod rest;
