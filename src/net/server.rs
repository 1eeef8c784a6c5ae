//! Accepting connections: permit, TLS, identity, caps; and ending them: loss of trust, shutdown.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tracing::Instrument;

use super::{
    Handler, Limits, PeerIdentity,
    arrivals::Arrivals,
    connection::{Connection, LargeFrames, linger},
    handshake::Handshakes,
    registry::{Registered, Registry},
    report::Report,
    tls::TlsConfig,
    workers::{self, ReplyRoom, Workers},
};
use crate::{
    telemetry::{field, metric},
    trust::{self, Identity, LiveTrust, Refusal},
};

/// How long accepting pauses when the operating system has no more files or memory to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a connection that is cut to be gone.
const MAKE_ROOM: Duration = Duration::from_millis(100);
/// After the drain, for requests whose connections were cut to be finished and audited.
const THREADS_GRACE: Duration = Duration::from_secs(5);

/// Why the server could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// A thread for requests or handshakes could not be started.
    #[error("threads could not be started: {0}")]
    Threads(io::Error),
}

/// A KMIP server that listens but does not accept yet.
pub struct Server {
    listeners: Vec<(TcpListener, SocketAddr)>,
    shared: Arc<Shared>,
    workers_ended: workers::Ended,
}

struct Shared {
    handshakes: Handshakes,
    trust: Arc<LiveTrust>,
    limits: Limits,
    handler: Arc<dyn Handler>,
    workers: Workers,
    permits: Arc<Semaphore>,
    registry: Arc<Registry>,
    large: LargeFrames,
    draining: Arc<AtomicBool>,
    report: Report,
}

impl Server {
    /// Listens on `addresses` and starts `threads` threads for requests. Must be called within a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// An address cannot be listened on, or a thread could not be started.
    pub async fn bind(
        addresses: &[SocketAddr],
        tls: TlsConfig,
        limits: Limits,
        handler: Arc<dyn Handler>,
        threads: usize,
    ) -> Result<Self, ServerError> {
        let mut listeners = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let bind = |source| ServerError::Bind { address, source };
            let listener = TcpListener::bind(address).await.map_err(bind)?;
            let local = listener.local_addr().map_err(bind)?;
            listeners.push((listener, local));
        }
        let connections = limits.max_connections as usize;
        let room = ReplyRoom::new(limits.max_frame_bytes);
        let (workers, workers_ended) =
            Workers::start(&handler, threads, connections, room).map_err(ServerError::Threads)?;
        let shared = Arc::new(Shared {
            handshakes: Handshakes::new(tls.rustls, tls.handshake_threads).map_err(ServerError::Threads)?,
            trust: tls.trust,
            permits: Arc::new(Semaphore::new(connections)),
            registry: Arc::new(Registry::new(limits.max_connections_per_adapter)),
            large: LargeFrames::new(),
            draining: Arc::new(AtomicBool::new(false)),
            report: Report::new(),
            limits,
            handler,
            workers,
        });
        Ok(Self { listeners, shared, workers_ended })
    }

    /// The addresses listened on, with the ports that the operating system chose for port 0.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|(_, address)| *address).collect()
    }

    /// Who came lately.
    #[must_use]
    pub fn arrivals(&self) -> Arc<Arrivals> {
        Arc::clone(self.shared.report.arrivals())
    }

    /// Tells how many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> OpenConnections {
        OpenConnections(Some(Arc::clone(&self.shared.registry)))
    }

    /// Serves until `shutdown` resolves, then drains: accepts nothing more, closes idle connections, lets requests in flight
    /// finish and be answered for up to the drain time-out, and cuts what is left.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listeners, shared, workers_ended } = self;
        // Whatever way this future ends, no connection outlives it.
        let _cut = CutOnDrop(Arc::clone(&shared.registry));
        let mut following = JoinSet::new();
        following.spawn(cut_untrusted(Arc::clone(&shared), shared.trust.subscribe()));
        let mut accepting = JoinSet::new();
        for (listener, _) in listeners {
            accepting.spawn(accept(Arc::clone(&shared), listener));
        }
        shutdown.await;
        accepting.shutdown().await;
        shared.drain().await;
        // What holds an entrance to the pool goes first, then its threads end by themselves. A request whose connection was
        // cut is still under way; it must not be torn from its audit event.
        following.shutdown().await;
        drop(shared);
        if timeout(THREADS_GRACE, workers_ended.wait()).await.is_err() {
            tracing::error!("requests are still under way after the drain time; stopping nevertheless");
        }
    }
}

/// Tells how many connections are open, those in their handshake included.
#[derive(Clone, Default)]
pub struct OpenConnections(Option<Arc<Registry>>);

impl OpenConnections {
    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |registry| registry.open())
    }
}

struct CutOnDrop(Arc<Registry>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut_all();
    }
}

/// Cuts the connections of certificates that a new trust snapshot no longer recognises.
async fn cut_untrusted(shared: Arc<Shared>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        let trust = shared.trust.current();
        let cut = shared.registry.cut(|identity| !trust.still_holds(identity));
        if cut > 0 {
            metrics::counter!(metric::CONNECTIONS_CUT).increment(cut);
            tracing::info!(
                connections = cut,
                "connections cut: their adapters, certificates, rules or authorities were removed"
            );
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((socket, address)) => shared.take_up(socket, address).await,
            Err(error) => {
                shared.report.accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Shared {
    /// Gives an accepted connection its permit and task, or closes it.
    async fn take_up(self: &Arc<Self>, socket: TcpStream, address: SocketAddr) {
        let Some(permit) = self.permit().await else {
            self.report.full(address, self.limits.max_connections);
            return;
        };
        let registered = self.registry.register(Arc::clone(&self.draining));
        let setter = registered.abort_setter();
        let task = tokio::spawn(Arc::clone(self).serve(socket, address, permit, registered));
        setter.set(task.abort_handle());
    }

    /// A place for a new connection. Where all are taken, the oldest handshake under way gives up its own: strangers that
    /// connect and say nothing must not keep out those who come to be served.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(permit);
        }
        if !self.registry.cut_oldest_handshake() {
            return None;
        }
        self.report.crowded_out();
        timeout(MAKE_ROOM, Arc::clone(&self.permits).acquire_owned()).await.ok()?.ok()
    }

    async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        address: SocketAddr,
        permit: OwnedSemaphorePermit,
        registered: Registered,
    ) {
        if let Some((stream, peer)) = self.identify(socket, address, &registered).await {
            let span = tracing::info_span!(
                "connection",
                { field::PEER } = %address,
                { field::PRINCIPAL } = %peer.adapter.0,
                { field::CERTIFICATE } = %peer.certificate,
            );
            let connection = Connection {
                peer: Arc::new(peer),
                limits: &self.limits,
                handler: &*self.handler,
                workers: &self.workers,
                link: registered.link(),
                large: &self.large,
            };
            let ended =
                async { self.report.end(address, &connection.serve(stream).await, self.limits.max_frame_bytes) };
            ended.instrument(span).await;
        }
        // Last: the permits are how the drain knows that a connection is gone.
        drop(registered);
        drop(permit);
    }

    /// The TLS handshake, and who the peer is under the trust of this moment.
    async fn identify(
        &self,
        socket: TcpStream,
        address: SocketAddr,
        registered: &Registered,
    ) -> Option<(TlsStream<TcpStream>, PeerIdentity)> {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%address, %error, "connection gone before its handshake");
            return None;
        }
        let stream = match timeout(self.limits.handshake_timeout, self.handshakes.with(socket)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, socket))) => {
                self.report.failed_handshake(address, &error);
                if let Some(socket) = socket {
                    linger(socket).await;
                }
                return None;
            }
            Err(_) => {
                self.report.slow_handshake(address);
                return None;
            }
        };
        match self.admit(&stream, registered) {
            Ok(identity) => {
                let peer = PeerIdentity { adapter: identity.adapter, certificate: identity.certificate, address };
                self.report.accepted(stream.get_ref().1, &peer, &identity.shown);
                self.handler.connected(&peer, &identity.shown);
                Some((stream, peer))
            }
            Err(NotAdmitted::Refused(refusal)) => {
                self.report.refusal(address, &refusal, Some(stream.get_ref().1));
                linger(stream.into_inner().0).await;
                None
            }
            Err(NotAdmitted::AdapterFull(identity)) => {
                self.report.full_adapter(address, &identity, self.limits.max_connections_per_adapter);
                None
            }
            Err(NotAdmitted::NoCertificate | NotAdmitted::JustRemoved) => None,
        }
    }

    /// Recognises the peer's certificate, now that the peer has proved to hold its key. The verifier has done so too, but not
    /// in a resumed session, and the certificate may have been removed since.
    fn admit(&self, stream: &TlsStream<TcpStream>, registered: &Registered) -> Result<Identity, NotAdmitted> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let (end_entity, intermediates) = chain.split_first().ok_or(NotAdmitted::NoCertificate)?;
        let identity = self
            .trust
            .current()
            .identify(end_entity, intermediates, trust::now())
            .map_err(|refusal| NotAdmitted::Refused(Box::new(refusal)))?;
        if !registered.admit(identity.clone()) {
            return Err(NotAdmitted::AdapterFull(Box::new(identity)));
        }
        // A removal between recognising and registering found nothing to cut.
        if self.trust.current().still_holds(&identity) { Ok(identity) } else { Err(NotAdmitted::JustRemoved) }
    }

    /// Ends all connections, within the drain time-out.
    async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.registry.stop_idle();
        tracing::info!("stopping: requests in flight are finished first");
        let all_gone = self.permits.acquire_many(self.limits.max_connections);
        if timeout(self.limits.drain_timeout, all_gone).await.is_err() {
            let cut = self.registry.cut_all();
            tracing::warn!(connections = cut, "connections cut: their requests were not finished in the drain time");
        }
    }
}

enum NotAdmitted {
    Refused(Box<Refusal>),
    AdapterFull(Box<Identity>),
    JustRemoved,
    /// Cannot happen while the verifier makes certificates mandatory.
    NoCertificate,
}
