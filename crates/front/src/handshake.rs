//! The TLS handshake of every listener.

use crate::https::Side;
use crate::tls::Certificates;
use model::operations::Protocol;
use ops::Env;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longest TLS handshake.
pub(crate) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Shakes hands as whoever is at the address that the client came to; `None` where that fails, for which a
/// client has alerts of its own.
pub(crate) async fn shake_hands(
    env: &Env,
    certificates: &Certificates,
    protocol: Protocol,
    side: Side,
    stream: TcpStream,
) -> Option<Box<TlsStream<TcpStream>>> {
    let local = stream.local_addr().ok()?.ip();
    // Answers are small and whole: waiting to fill a segment only delays them.
    stream.set_nodelay(true).ok()?;
    if let Err(error) = certificates.prepare(local) {
        let cause =
            std::error::Error::source(&error).map(|it| format!(": {it}")).unwrap_or_default();
        env.metrics.log_fault(env.new_tracking_id(), &format!("{error}{cause}"));
        return None;
    }
    let shaken =
        TlsAcceptor::from(certificates.config(local, protocol, side)).accept(stream).await.ok();
    // It is large, and handed on: each hand would have room for it as long as the connection lasts.
    shaken.map(Box::new)
}
