//! AMQP: devices and services of hubs, whoever reads what devices have sent, and devices that register at a
//! provisioning service, at a port of its own and in WebSockets.
//!
//! A connection that was taken, see [`sessions`](crate::sessions), proves somebody within a deadline: with SASL PLAIN
//! or TPM, or with a token put over the link `$cbs`. What its links lead to is read from their addresses in [`address`];
//! whatever comes over one is a call like any other, decided on the road and nowhere here. One connection may serve
//! many devices and many readers, and what ends one of them leaves the others.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "links are of a dozen kinds and values of two: whoever serves some names those"
)]

mod address;
mod asking;
mod attach;
mod bus;
mod bus_desk;
mod claims;
mod condition;
mod desk;
mod device;
mod driver;
mod events;
mod messages;
mod registration;
mod sasl;
mod service;
mod talk;
mod timers;
mod waits;

use crate::sessions::{Client, Waiting};
use driver::Driver;
use ops::Env;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Speaks AMQP over any stream of bytes, to its end.
pub(crate) async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    env: &Arc<Env>,
    stream: S,
    client: Client,
    waiting: Waiting,
    stop: watch::Receiver<bool>,
) {
    Driver::new(env, client, waiting).run(stream, stop).await;
}
