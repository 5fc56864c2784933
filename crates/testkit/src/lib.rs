//! Whole servers for tests, and clients that speak the wire to them.
//!
//! [`World`] runs a server in this process, on real sockets and a real store, with a clock that the test
//! drives. [`Process`] runs the real binary as a child, so that it can be killed. [`Wire`] is an HTTPS
//! client that trusts the server's CA and nothing else, [`Mqtt`] and [`Amqp`] are a device's or service's side of a
//! connection, [`WebSocket`] one of any protocol. [`x509`] makes certificates, right ones and wrong ones, and
//! [`tpm`] is a TPM in software. [`fuzz`] says what must hold of every decoder.

mod amqp_client;
mod browser;
mod device;
pub mod fuzz;
mod kept;
mod mqtt_client;
mod process;
pub mod tpm;
mod web_socket;
mod wire_client;
mod world;
pub mod x509;

pub use amqp_client::{Amqp, Delivered, IsSettled};
pub use browser::{Browser, Shown, encoded};
pub use device::Device;
pub use kept::messages_in;
pub use mqtt_client::{Closed, Mqtt};
pub use process::{Process, cpu_seconds};
pub use web_socket::WebSocket;
pub use wire_client::{Answer, Wire};
pub use world::{Identity, World};
