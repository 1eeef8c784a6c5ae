//! The snapshot in force, and its replacement when adapters, certificates or rules change.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::{Trust, TrustError, own_ca_verifier};
use crate::store::{Store, StoreError, TrustRows};

/// How often another process's changes are looked for.
const POLL: Duration = Duration::from_millis(500);

/// Where snapshots come from.
pub struct TrustSource {
    /// A number that changes whenever `rows` may return something else.
    pub generation: Box<dyn Fn() -> Result<u64, StoreError> + Send + Sync>,
    /// Everything that decides who may connect.
    pub rows: Box<dyn Fn() -> Result<TrustRows, StoreError> + Send + Sync>,
}

impl TrustSource {
    /// The store as the source.
    #[must_use]
    pub fn store(store: &Arc<Store>) -> Self {
        let (for_generation, for_rows) = (Arc::clone(store), Arc::clone(store));
        Self {
            generation: Box::new(move || for_generation.trust_generation()),
            rows: Box::new(move || for_rows.trust()),
        }
    }
}

/// The snapshot in force. Dropping it ends its thread.
pub struct LiveTrust {
    source: TrustSource,
    chain_verifier: Option<Arc<dyn ClientCertVerifier>>,
    current: RwLock<Arc<Trust>>,
    /// The generation in force; also serialises refreshes, so that an older snapshot never replaces a newer one.
    generation: Mutex<u64>,
    changed: watch::Sender<u64>,
    /// Closed when this is dropped, which ends the thread.
    _alive: mpsc::Sender<()>,
}

impl LiveTrust {
    /// Reads the first snapshot and starts the thread that follows changes.
    ///
    /// # Errors
    /// The source failed, an own CA's certificate cannot be used, or the thread could not be started.
    pub fn start(source: TrustSource, own_ca: &[CertificateDer<'static>]) -> Result<Arc<Self>, TrustError> {
        let (live, ended) = Self::first(source, own_ca)?;
        let follower = Arc::downgrade(&live);
        thread::Builder::new()
            .name("trust".to_owned())
            .spawn(move || follow(&follower, &ended))
            .map_err(TrustError::Thread)?;
        Ok(live)
    }

    /// Reads the first snapshot; others come into force by [`LiveTrust::refresh_now`] alone. For a process of one command.
    ///
    /// # Errors
    /// As for [`LiveTrust::start`].
    pub fn still(source: TrustSource, own_ca: &[CertificateDer<'static>]) -> Result<Arc<Self>, TrustError> {
        Self::first(source, own_ca).map(|(live, _)| live)
    }

    fn first(
        source: TrustSource,
        own_ca: &[CertificateDer<'static>],
    ) -> Result<(Arc<Self>, mpsc::Receiver<()>), TrustError> {
        let chain_verifier = own_ca_verifier(own_ca)?;
        let generation = (source.generation)()?;
        let first = Trust::new((source.rows)()?, chain_verifier.clone());
        let (alive, ended) = mpsc::channel();
        let live = Arc::new(Self {
            source,
            chain_verifier,
            current: RwLock::new(Arc::new(first)),
            generation: Mutex::new(generation),
            changed: watch::Sender::new(generation),
            _alive: alive,
        });
        Ok((live, ended))
    }

    /// The snapshot in force.
    #[must_use]
    pub fn current(&self) -> Arc<Trust> {
        Arc::clone(&self.current.read())
    }

    /// Told about every new snapshot, after it is in force.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Puts a new snapshot in force if the source has changed. For changes made in this process, which take effect at once.
    ///
    /// # Errors
    /// The source failed; the old snapshot stays in force.
    pub fn refresh_now(&self) -> Result<(), TrustError> {
        let mut in_force = self.generation.lock();
        // Read before the rows: a change in between is seen as a change again next time, never missed.
        let generation = (self.source.generation)()?;
        if generation == *in_force {
            return Ok(());
        }
        let next = Arc::new(Trust::new((self.source.rows)()?, self.chain_verifier.clone()));
        *self.current.write() = next;
        *in_force = generation;
        self.changed.send_replace(generation);
        Ok(())
    }
}

impl fmt::Debug for LiveTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTrust").field("current", &self.current()).finish_non_exhaustive()
    }
}

fn follow(live: &Weak<LiveTrust>, ended: &mpsc::Receiver<()>) {
    let mut failing = false;
    while ended.recv_timeout(POLL) == Err(RecvTimeoutError::Timeout) {
        let Some(live) = live.upgrade() else { return };
        match live.refresh_now() {
            Ok(()) if failing => {
                failing = false;
                tracing::info!("adapters and certificates can be read again");
            }
            Ok(()) => {}
            // Once for each outage: a store that is away has its own log lines.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "changes of adapters and certificates do not take effect until this ends");
            }
            Err(_) => {}
        }
    }
}
