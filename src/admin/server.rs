//! The listener of the admin plane: HTTPS/1.1 with an optional client certificate, and a bound on everything.
//!
//! A stranger can hold a connection for the handshake's time and then for the headers' time, no longer; connections are
//! counted, and one too many waits in the operating system's queue. A shutdown lets requests in flight finish.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    Admin,
    http::{Peer, PeerCertificate},
    places::Places,
    router,
};
use crate::{
    net::{HttpsHandshakes, Paced, ServerError},
    trust::fingerprint,
};

/// From the accepted connection to the end of the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// From the end of one answer, or of the handshake, to the end of the next request's headers.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How long a write may wait for a client that reads nothing.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Longest headers of a request in bytes.
const MAX_HEADERS: usize = 32 * 1024;
/// How long accepting pauses when the operating system has no more files or memory to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The admin plane's listener.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    handshakes: Arc<HttpsHandshakes>,
    places: Places,
    drain: Duration,
}

impl AdminServer {
    /// Listens on `address` for at most `connections` at a time. Must be called within a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(
        address: SocketAddr,
        handshakes: HttpsHandshakes,
        connections: u32,
        drain: Duration,
    ) -> Result<Self, ServerError> {
        let bind = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Self { listener, address, handshakes: Arc::new(handshakes), places: Places::new(connections), drain })
    }

    /// The address listened on, with the port that the operating system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `admin` until `shutdown` resolves, then lets requests in flight finish for up to the drain time.
    pub async fn run(self, admin: Arc<Admin>, shutdown: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(router(admin));
        let graceful = Arc::new(GracefulShutdown::new());
        let (stop, stopping) = watch::channel(());
        let accepting = async {
            loop {
                let Some(permit) = self.places.free().await else { return };
                match self.listener.accept().await {
                    Ok((socket, address)) => {
                        let Some(place) = self.places.give(permit, address.ip()) else {
                            tracing::debug!(%address, "closed: this address has half of all connections already");
                            continue;
                        };
                        let (handshakes, watcher) = (Arc::clone(&self.handshakes), graceful.watcher());
                        let (service, stopping) = (service.clone(), stopping.clone());
                        tokio::spawn(async move {
                            if let Some(stream) = shake_hands(&handshakes, socket, address, stopping).await {
                                serve(stream, address, service, watcher).await;
                            }
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the admin API cannot accept connections now");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        drop(self.listener);
        drop(stop);
        if let Some(graceful) = Arc::into_inner(graceful)
            && timeout(self.drain, graceful.shutdown()).await.is_err()
        {
            tracing::warn!("administrative requests were not finished in the drain time");
        }
    }
}

/// The handshake with a client; `None` where it fails, takes too long, or the server stops.
async fn shake_hands(
    handshakes: &HttpsHandshakes,
    socket: TcpStream,
    address: SocketAddr,
    mut stopping: watch::Receiver<()>,
) -> Option<TlsStream<TcpStream>> {
    let _ = socket.set_nodelay(true);
    let finished = tokio::select! {
        finished = timeout(HANDSHAKE_TIME, handshakes.with(socket)) => finished.ok()?,
        _ = stopping.changed() => return None,
    };
    finished.inspect_err(|error| tracing::debug!(%address, %error, "a TLS handshake with the admin API failed")).ok()
}

async fn serve(
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
    service: TowerToHyperService<axum::Router>,
    watcher: Watcher,
) {
    let peer = Peer { address, certificate: certificate(&stream) };
    let with_peer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&service, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MAX_HEADERS)
        .serve_connection(TokioIo::new(Paced::new(stream, WRITE_TIME)), with_peer);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%address, %error, "a connection to the admin API ended");
    }
}

/// The certificate whose private key the peer proved to hold.
fn certificate(stream: &TlsStream<TcpStream>) -> Option<PeerCertificate> {
    let der = stream.get_ref().1.peer_certificates()?.first()?;
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(PeerCertificate {
        fingerprint: fingerprint(der),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
    })
}
