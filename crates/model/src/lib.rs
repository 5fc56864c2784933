//! The nouns: what exists, what can be done to it, and how an attempt went.
//!
//! Two tables say everything that the rest reads: [`operations::OPERATIONS`] (what can be done, who may
//! reach it, at which address; [`published::PUBLISHED`] goes on with what has no address yet) and
//! [`resource_types::RESOURCE_TYPES`] (what exists in the control plane).
//! Nothing here does I/O, reads a clock or decides: `gate` decides, `ops` acts.

pub mod action;
pub mod credential;
pub mod error;
pub mod ids;
pub mod json;
pub mod limits;
pub mod network;
pub mod operations;
pub mod principal;
pub mod published;
pub mod resource_types;
pub mod roles;
pub mod scope;
pub mod security;
pub mod time;
pub mod trace;

pub use action::{ActionName, ActionPattern};
pub use credential::{
    CertificateChain, Credential, DelegationKey, Deployer, JobMaker, SasToken, Secret, StorageKey,
    StorageSas, StorageSignature, StorageSigned,
};
pub use error::{Error, Wire};
pub use ids::{DeviceId, ObjectId, TrackingId};
pub use network::Network;
pub use operations::{OPERATIONS, Op, Operation, Plane};
pub use principal::PrincipalKind;
pub use scope::{Place, Scope};
pub use time::Timestamp;
pub use trace::{Gate, Trace, Verdict};
