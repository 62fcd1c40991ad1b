//! Holdfast's control plane: keeps the intended configuration, offers it to admins, and pushes it to data planes.
//!
//! [`init`] makes a data directory, [`enroll`] what a node needs to join; [`ControlPlane`] runs. It knows no data plane but by the sync
//! protocol, and no key material ever.

pub mod access;
mod api;
pub mod audit;
pub mod aws;
pub mod backup;
mod clock;
pub mod connections;
pub mod core;
mod files;
mod init;
pub mod names;
mod ops_port;
mod peer;
pub mod pki;
mod plane;
pub mod publish;
mod restore;
pub mod settings;
pub mod store;
mod upkeep;

pub use self::{
    api::ApiError,
    core::{
        demo::{DemoCredential, DemoKms, DemoOptions, PartitionDemo},
        source_keys::ExistingKey,
    },
    files::FileError,
    init::{EnrollOptions, InitError, InitOptions, InitReport, enroll, init, sync_name},
    plane::{ControlPlane, StartErrors, StartFault},
    restore::{RestoreError, RestoreOptions, Restored, restore},
    settings::Settings,
};
