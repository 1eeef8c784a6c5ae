//! The listener of the admin plane: HTTPS/1.1 with an optional client certificate, and a bound on everything.
//!
//! A stranger can hold a connection for the handshake's time and then for the headers' time, no longer; connections are
//! counted, and one too many waits in the operating system's queue. A shutdown lets requests in flight finish.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::extract::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{
    Admin,
    http::{Peer, PeerCertificate},
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
    connections: Arc<Semaphore>,
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
        let connections = Arc::new(Semaphore::new(connections as usize));
        Ok(Self { listener, address, handshakes: Arc::new(handshakes), connections, drain })
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
        let accepting = async {
            loop {
                let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((socket, address)) => {
                        let watcher = graceful.watcher();
                        let served =
                            serve(socket, address, Arc::clone(&self.handshakes), service.clone(), watcher, permit);
                        tokio::spawn(served);
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
        if let Some(graceful) = Arc::into_inner(graceful)
            && timeout(self.drain, graceful.shutdown()).await.is_err()
        {
            tracing::warn!("administrative requests were not finished in the drain time");
        }
    }
}

async fn serve(
    socket: TcpStream,
    address: SocketAddr,
    handshakes: Arc<HttpsHandshakes>,
    service: TowerToHyperService<axum::Router>,
    watcher: hyper_util::server::graceful::Watcher,
    _permit: OwnedSemaphorePermit,
) {
    let _ = socket.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_TIME, handshakes.with(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "a TLS handshake with the admin API failed");
            return;
        }
        Err(_) => return,
    };
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
