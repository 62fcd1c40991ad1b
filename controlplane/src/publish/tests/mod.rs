//! The whole module over real mutual TLS on loopback, with nodes played step by step.

mod admission;
pub(crate) mod estate;
mod node;
mod pushes;
mod rotation;
mod work;
