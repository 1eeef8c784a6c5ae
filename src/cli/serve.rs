//! `keystead serve`: puts the parts together and runs them until a signal says stop.
//!
//! SIGTERM and SIGINT let requests in flight finish; a second one does not wait for them. SIGHUP reads the server certificate
//! again and seals the audit log's segment. The token may be away at the start: what needs no HSM is answered.

use std::{future::Future, net::SocketAddr, sync::Arc};

use hal::{Health, RootKeys};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    CliError, ConfigArgs,
    admin::{Admin, Parts},
    backend,
    data_dir::ServerLock,
    gauges,
    output::say,
    signer,
};
use crate::{
    admin::{
        self,
        executor::Executing,
        server::AdminServer,
        service::{Remembered, Service, Watched},
    },
    audit::{Actor, Audit},
    ca::{Thumbprints, read_certificates},
    config::{self, Config, LogFormat, LogLevel},
    engine::{Clock, Engine, EngineLimits, EngineParts, Eraser},
    expiry,
    net::{
        Handler, HttpsHandshakes, Limits, Server, ServerCertificate, TlsConfig,
        http::{self, Readiness},
    },
    process, root_keys,
    rotation::{Background, Rotator},
    store::Store,
    telemetry,
    trust::{LiveTrust, TrustSource, keep_registered},
    vault::Vault,
};

/// Threads that move bytes; requests have threads of their own.
const NETWORK_THREADS: usize = 2;
/// Open files that are not connections: listeners, the database, the audit log, the token.
const OTHER_FILES: u64 = 256;

pub(super) fn run(args: &ConfigArgs) -> Result<(), CliError> {
    let config = Config::load_checked(&args.config)?;
    backend::prepare_environment(&config.hsm.backend)?;
    start_logs(config.telemetry.log_format, config.telemetry.log_level);
    let lock = ServerLock::take(&config.store.path)?;
    let hal = backend::open(&config.hsm)?;
    serve(Admin::open_alone(config, &lock)?, hal, &lock)
}

/// Sends log lines to standard error. Does nothing where that was done before.
pub(super) fn start_logs(format: LogFormat, level: LogLevel) {
    // It can only fail because logs were started before: a level is always a good filter.
    let _ = telemetry::init_logs(format, level.as_str());
}

/// What a signal may have to reach.
struct Running {
    certificate: Arc<ServerCertificate>,
    trust: Arc<LiveTrust>,
    audit: Arc<Audit>,
}

/// Serves until a signal says stop. `_lock` proves that no other server is at work on the same files.
pub(super) fn serve(admin: Admin, hal: Arc<dyn RootKeys>, _lock: &ServerLock) -> Result<(), CliError> {
    let Parts { config, store, audit } = admin.into_parts();
    let metrics = telemetry::init_metrics()?;
    let connections = u64::from(config.limits.connections);
    let files = process::raise_open_files(connections + OTHER_FILES)
        .map_err(|source| CliError::System { what: "more open files", source })?;
    if files < connections + OTHER_FILES {
        tracing::warn!(files, connections, "the limit of open files is lower than limits.connections needs: raise it");
    }

    let own_ca = std::fs::read(&config.tls.ca).map_err(CliError::file(&config.tls.ca))?;
    let own_ca = read_certificates(&own_ca).map_err(CliError::content(&config.tls.ca))?;
    let trust = LiveTrust::start(TrustSource::store(&store), &own_ca)?;
    if let Err(error) = keep_registered(&store, &trust, Timestamp::now().as_second()) {
        // It is tried again with the next start, and nobody waits for it.
        tracing::warn!(%error, "for whom certificates of the own authority were issued is not on record yet");
    }
    let certificate = Arc::new(signer::server_certificate(&config, &store, &hal)?);
    let tls = signer::bound_handshakes(TlsConfig::new(Arc::clone(&certificate), Arc::clone(&trust))?, &config);
    root_keys::follow(&store, &hal, &trust)
        .map_err(|source| CliError::System { what: "the thread that looks at root keys", source })?;
    let https = HttpsHandshakes::new(Arc::clone(&certificate))?;
    let service = Service {
        store: Arc::clone(&store),
        hal: Arc::clone(&hal),
        trust: Arc::clone(&trust),
        audit: Arc::clone(&audit),
        config: config.clone(),
        kmip_listen: Vec::new(),
        certificate: Arc::clone(&certificate),
        started_at: Timestamp::now(),
        backing_up: Mutex::default(),
        watched: Watched::default(),
        remembered: Remembered::default(),
    };
    let readiness = readiness(Arc::clone(&hal), Arc::clone(&store), Arc::clone(&audit));
    let last = Arc::clone(&store);
    let hsm = Arc::default();
    gauges::watch(&config, &store, &hal, &hsm)?;
    let rotations = Background::start(Rotator {
        store: Arc::clone(&store),
        hal: Arc::clone(&hal),
        audit: Arc::clone(&audit),
        actor: Actor::Server,
        per_second: config.hsm.rotation_per_second,
    });
    let rotations =
        rotations.map_err(|source| CliError::System { what: "the thread that rotates root keys", source })?;
    let patience = config.limits.drain;
    let audit_work = signer::AuditWork::start(&config, &store, &hal, &audit)?;
    let thread = |what| move |source| CliError::System { what, source };
    let eraser = Eraser { store: Arc::clone(&store), audit: Arc::clone(&audit), clock: Clock::System };
    let erasing = eraser.start().map_err(thread("the thread that erases destroyed keys"))?;
    let expiring = expiry::watch(&store, &certificate, own_ca, Clock::System)
        .map_err(thread("the thread that watches certificates expire"))?;
    let engine = engine(Arc::clone(&store), hal, Arc::clone(&audit), Arc::clone(&trust), &config);
    let seeing = engine.sightings().follow(&store).map_err(thread("the thread that notes who was seen"))?;
    drop(store);
    let watched = Watched {
        statistics: Arc::clone(engine.statistics()),
        hsm_times: engine.hsm_times(),
        makings: Arc::clone(engine.makings()),
        hsm,
        ..Watched::default()
    };
    let handler: Arc<dyn Handler> = engine;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(NETWORK_THREADS)
        .thread_name("network")
        .enable_all()
        .build()
        .map_err(|source| CliError::System { what: "network threads", source })?;
    let served = runtime.block_on(async move {
        let limits = network_limits(&config.limits);
        let threads = config.limits.worker_threads as usize;
        let server = Server::bind(&config.server.kmip_listen, tls, limits, handler, threads).await?;
        let api = AdminServer::bind(config.admin.listen, https, config.admin.connections, config.limits.drain).await?;
        let listens_for_health = config.telemetry.listen;
        let pages = listen(listens_for_health).await?;
        let (stop, stopping) = watch::channel(false);
        say_thumbprints(&config)?;
        let running = Arc::new(Running { certificate, trust, audit });
        let signals = follow_signals(stop, running)?;
        let health = pages.local_addr().unwrap_or(listens_for_health);
        say(format_args!("health and metrics: http://{health}/readyz and /metrics"));
        say(format_args!("admin API ready on {}", api.local_addr()));
        for address in server.local_addrs() {
            say(format_args!("KMIP ready on {address}"));
        }
        let pages = tokio::spawn(http::serve(pages, readiness, metrics, stopped(stopping.clone())));
        let (arrivals, connections) = (server.arrivals(), server.open_connections());
        let watched = Watched { arrivals, connections, ..watched };
        let plane = admin::Admin::new(Service { kmip_listen: server.local_addrs(), watched, ..service });
        let executing = Executing::start(&plane);
        let executing = executing.map_err(thread("the thread that does what was approved"))?;
        let api = api.run(plane, stopped(stopping.clone()));
        tokio::select! {
            _ = async { tokio::join!(server.run(stopped(stopping)), api) } => {}
            () = signals => tracing::warn!("stopped at once: requests in flight were cut"),
        }
        pages.abort();
        Ok(executing)
    });
    rotations.end(patience);
    let served = served.map(|executing| executing.end(patience));
    erasing.end(patience);
    seeing.end(patience);
    drop(expiring);
    drop(audit_work);
    // Nothing of destroyed keys stays behind in the log of a server that is at rest.
    if let Err(error) = last.scrub() {
        tracing::warn!(%error, "the store's log could not be emptied; it will be at the next start");
    }
    served
}

/// The engine behind the network.
fn engine(
    store: Arc<Store>,
    hal: Arc<dyn RootKeys>,
    audit: Arc<Audit>,
    trust: Arc<LiveTrust>,
    config: &Config,
) -> Arc<Engine> {
    let limits = EngineLimits {
        decode: kmip::ttlv::Limits {
            bytes: size(config.limits.frame_bytes),
            depth: size(config.limits.tree_depth),
            ..kmip::ttlv::Limits::default()
        },
        batch_items: size(config.limits.batch_items),
        locate_page: config.limits.locate_page,
        held_bytes: EngineLimits::HELD_BYTES.max(size(config.limits.frame_bytes)),
    };
    Arc::new(Engine::new(EngineParts { store, vault: Vault::new(hal), trust, audit, clock: Clock::System, limits }))
}

fn size(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// What an administrator compares with what vCenter shows.
pub(super) fn say_thumbprints(config: &Config) -> Result<(), CliError> {
    let path = &config.tls.certificate;
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    if let Some(certificate) = read_certificates(&file).map_err(CliError::content(path))?.first() {
        let thumbprints = Thumbprints::of(certificate);
        say(format_args!("server certificate SHA-256 {}", thumbprints.sha256));
        say(format_args!("server certificate SHA-1   {}", thumbprints.sha1));
    }
    Ok(())
}

fn network_limits(limits: &config::Limits) -> Limits {
    Limits {
        max_frame_bytes: limits.frame_bytes,
        max_connections: limits.connections,
        max_connections_per_adapter: limits.connections_per_adapter,
        handshake_timeout: limits.handshake,
        idle_timeout: limits.idle,
        request_timeout: limits.request,
        drain_timeout: limits.drain,
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|source| CliError::Listen { address, source })
}

fn readiness(hal: Arc<dyn RootKeys>, store: Arc<Store>, audit: Arc<Audit>) -> Readiness {
    Readiness::default()
        .with(
            "hsm",
            Box::new(move || match hal.health() {
                Health::Ready | Health::Degraded(_) => Ok(()),
                Health::Down(error) => Err(error.to_string().into()),
            }),
        )
        .with("store", Box::new(move || store.trust_generation().map(drop).map_err(|error| error.to_string().into())))
        .with("audit", Box::new(move || audit.health().map_err(|error| error.to_string().into())))
}

/// Follows signals: the first SIGTERM or SIGINT sends on `stop`, the second one ends the returned future.
fn follow_signals(stop: watch::Sender<bool>, running: Arc<Running>) -> Result<impl Future<Output = ()>, CliError> {
    let watch = |kind| signal(kind).map_err(|source| CliError::System { what: "signals", source });
    let mut terminate = watch(SignalKind::terminate())?;
    let mut interrupt = watch(SignalKind::interrupt())?;
    let mut hang_up = watch(SignalKind::hangup())?;
    Ok(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {
                    let running = Arc::clone(&running);
                    // A reload that panics is in the log; the server goes on.
                    let _ = tokio::task::spawn_blocking(move || running.reload()).await;
                    continue;
                }
            }
            if std::mem::replace(&mut asked, true) {
                return;
            }
            tracing::info!("stopping: requests in flight are finished first");
            stop.send_replace(true);
        }
    })
}

/// Resolves when `stop` was sent.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone means stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl Running {
    /// Reads again what may have been changed on disk. What cannot be used is reported, and the old stays in use.
    fn reload(&self) {
        match self.certificate.reload() {
            Ok(()) => tracing::info!("server certificate read again"),
            Err(error) => tracing::error!(%error, "the old server certificate stays in use"),
        }
        match self.audit.reopen() {
            Ok(()) => tracing::info!("the audit log goes on in a new segment"),
            Err(error) => tracing::error!(%error, "the audit log goes on in the old segment"),
        }
        if let Err(error) = self.trust.refresh_now() {
            tracing::error!(%error, "adapters and certificates could not be read again");
        }
    }
}
