//! Holdfast's control plane: keeps the intended configuration, offers it to admins, and pushes it to data planes.

pub mod access;
pub mod names;
pub mod pki;
pub mod publish;
pub mod store;
