//! Listeners and sessions: bytes to calls, answers to bytes.
//!
//! Start at [`https::serve`], which answers for Azure Resource Manager, sign-in, Graph and every hub over
//! HTTPS, and at [`sessions::serve`], to which devices and services connect over MQTT and AMQP.
//! [`plain::serve_plain`] answers probes and metrics, [`tls::Certificates`] says who we are. A front decodes, calls
//! [`ops::call::run`] and encodes: it holds no rule about who may do what, and it cannot import the gates.

mod amqp;
mod answer;
mod authorization;
mod body;
mod connections;
mod exchange;
mod handshake;
mod headers;
pub mod https;
pub mod identity_endpoint;
pub mod mqtt;
mod path;
pub mod plain;
mod request;
mod router;
mod scratch;
mod sent;
pub mod sessions;
mod storage;
mod tasks;
pub mod tls;
mod websocket;

pub use connections::stopped;
pub use https::{Side, serve};
pub use plain::serve_plain;
pub use tls::{Certificates, TlsError};
