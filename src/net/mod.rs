//! The network edge: sockets, TLS, frames, time-outs and connection limits. The only async code.
//!
//! It owns the way from an accepted TCP connection to one complete request frame and back: it settles who the peer is
//! (KMIP Profiles, TLS client authentication), reads frames within [`Limits`], hands each to a [`Handler`] on a bounded pool
//! of threads, and writes the answer. It never looks into a frame beyond its eight-byte TTLV header (KMIP Encoding §9.1), and it
//! never decides what an adapter may do.

use std::{net::SocketAddr, time::Duration};

use zeroize::Zeroizing;

pub(crate) use self::hsm_key::{P256_SCHEMES, P384_SCHEMES, RSA_SCHEMES, TlsScheme, verifies};
pub(crate) use self::paced::Paced;
pub use self::{
    hsm_key::{HsmKey, HsmKeyError},
    https::HttpsHandshakes,
    renewal::RenewalError,
    server::{OpenConnections, Server, ServerError},
    tls::{ServerCertificate, ServerKey, TlsConfig, TlsError},
};
use crate::{
    store::{AdapterId, Fingerprint},
    trust::ShownCertificate,
};

pub mod arrivals;
mod client_certificate;
mod connection;
mod handshake;
mod hsm_key;
pub mod http;
mod https;
mod paced;
mod registry;
mod renewal;
mod report;
mod server;
mod throttle;
mod tls;
mod workers;

/// Who is at the other end, settled by TLS before the first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The adapter that the certificate belongs to or that a rule maps it to.
    pub adapter: AdapterId,
    /// The certificate whose private key the peer proved to hold.
    pub certificate: Fingerprint,
    /// The peer's end of the TCP connection.
    pub address: SocketAddr,
}

/// One complete response message.
#[derive(Debug)]
pub struct Reply {
    /// The message, ready to be sent. It may hold key material.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Asks to close the connection after sending it.
    pub close: bool,
}

/// What answers requests: the engine. Called on threads of the worker pool, so it may block.
pub trait Handler: Send + Sync + 'static {
    /// Answers one complete request frame. Everything that must precede the reply (durable mutation, audit event) is done
    /// when this returns. It is called to its end even if the peer hangs up meanwhile.
    fn handle(&self, peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply;

    /// A peer has connected with this certificate. Must not block: it is called on the network threads.
    fn connected(&self, _peer: &PeerIdentity, _certificate: &ShownCertificate) {}

    /// Whether the answer may have to wait for the HSM. Requests that never do have threads of their own, so that a slow HSM
    /// does not silence the status probes of clients. Must be quick and must not block: it is called on the network threads.
    fn may_wait_for_hsm(&self, _request: &[u8]) -> bool {
        true
    }

    /// The answer to a request that announces more than `limit` bytes; `None` closes the connection without one. Must not
    /// block: it is called on the network threads.
    fn too_large(&self, limit: u32) -> Option<Reply>;
}

/// Bounds of the network edge. Past each of them: a closed connection, a metric and no growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request message, its header included.
    pub max_frame_bytes: u32,
    /// Open connections in all, those still in their handshake included.
    pub max_connections: u32,
    /// Open connections of one adapter.
    pub max_connections_per_adapter: u32,
    /// From the accepted TCP connection to the end of the TLS handshake.
    pub handshake_timeout: Duration,
    /// Without the first byte of a request, after the handshake or after a reply.
    pub idle_timeout: Duration,
    /// From the first byte of a request to its last, and again for writing the reply.
    pub request_timeout: Duration,
    /// After a shutdown was asked for, until connections with a request in flight are cut.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 1 << 20,
            max_connections: 4096,
            max_connections_per_adapter: 1024,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests;
