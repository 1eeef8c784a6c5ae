//! The engine: from a request's bytes to its reply's bytes, synchronous from end to end.
//!
//! `batch` runs a message, `authn` settles who asks, `policy` decides what they may, `ops` does it through `Ctx`, `error`
//! says why not. It does no network I/O and never sees a socket or a certificate, only a [`PeerIdentity`].

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use zeroize::Zeroizing;

pub use self::{
    adapter_status::{AdapterStatus, adapter_status},
    census::{Census, at_most_active, newest, oldest},
    clock::Clock,
    erasure::{Eraser, Erasing, ErasureError},
    hold::{RecoverError, recover},
    inventory::{Filter, IdentifierRange, Page, WantedAttribute, inventory, summary},
    makings::{Made, Making, Makings},
    removal::{Removal, RemovalError, remove},
    sightings::{Sightings, Writing},
    summary::{Dates, ShownAttribute, Summary},
};
use crate::{
    audit::Audit,
    net::{Handler, PeerIdentity, Reply},
    store::{ObjectId, Store, StoreError},
    telemetry::{ItemMetrics, Statistics},
    trust::{LiveTrust, ShownCertificate, TrustError},
    vault::{Vault, VaultTimes},
};

mod adapter_status;
mod attribute_rules;
mod attribute_set;
mod authn;
mod batch;
mod census;
mod certificate;
mod clock;
mod ctx;
mod erasure;
mod error;
mod gate;
mod hold;
mod inventory;
mod makings;
mod material;
mod object;
mod ops;
mod policy;
mod prompt;
mod removal;
mod root_key;
mod sightings;
mod state;
mod summary;
mod terms;
mod unit;
mod wrapping;

/// Locks that keep changes of one object by one node from racing into needless conflicts.
const STRIPES: usize = 256;

/// Limits of what one request may ask for.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// What a message may cost to read.
    pub decode: kmip::ttlv::Limits,
    /// Items of a batch.
    pub batch_items: usize,
    /// Identifiers in one Locate response.
    pub locate_page: u32,
    /// Bytes that one message may make the server hold, of answers and of changes held back each: past it no further item of
    /// the batch is performed. What the last item brings comes on top.
    pub held_bytes: usize,
}

impl EngineLimits {
    /// Thousands of keys, or a Locate page of the usual size twice.
    pub const HELD_BYTES: usize = 1 << 20;
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            decode: kmip::ttlv::Limits::default(),
            batch_items: 256,
            locate_page: 10_000,
            held_bytes: Self::HELD_BYTES,
        }
    }
}

/// What an engine is made of.
pub struct EngineParts {
    /// Objects.
    pub store: Arc<Store>,
    /// Seals their material.
    pub vault: Vault,
    /// Adapters, their root keys and credentials.
    pub trust: Arc<LiveTrust>,
    /// Every item is recorded here before its reply leaves.
    pub audit: Arc<Audit>,
    /// The time.
    pub clock: Clock,
    /// Limits.
    pub limits: EngineLimits,
}

/// Answers KMIP requests.
pub struct Engine {
    parts: EngineParts,
    credentials: authn::Credentials,
    metrics: ItemMetrics,
    stripes: Vec<Mutex<()>>,
    gate: Arc<gate::Gate>,
    sightings: Arc<Sightings>,
    makings: Arc<Makings>,
}

impl Engine {
    /// An engine of `parts`.
    pub fn new(parts: EngineParts) -> Self {
        let stripes = std::iter::repeat_with(Mutex::default).take(STRIPES).collect();
        Self {
            parts,
            credentials: authn::Credentials::new(),
            metrics: ItemMetrics::default(),
            stripes,
            gate: Arc::new(gate::Gate::new()),
            sightings: Arc::default(),
            makings: Arc::default(),
        }
    }

    /// Who was seen, to be written to the store by whoever runs the engine.
    #[must_use]
    pub fn sightings(&self) -> &Arc<Sightings> {
        &self.sightings
    }

    /// Which clients made objects since the start.
    #[must_use]
    pub fn makings(&self) -> &Arc<Makings> {
        &self.makings
    }

    /// How many requests there were, and how long they took.
    #[must_use]
    pub fn statistics(&self) -> &Arc<Statistics> {
        self.metrics.statistics()
    }

    /// How long the HSM took lately.
    #[must_use]
    pub fn hsm_times(&self) -> VaultTimes {
        self.parts.vault.times()
    }

    /// Reads again who may connect and what root keys may do, where that has changed.
    ///
    /// # Errors
    /// The store failed.
    fn refresh_trust(&self) -> Result<(), error::OpError> {
        self.parts.trust.refresh_now().map_err(|error| match error {
            TrustError::Store(error) => error.into(),
            // Only the store is asked; the certificates of the own CA were read at the start.
            _ => error::OpError::Store(StoreError::StaleRootKey),
        })
    }

    /// The lock that changes of `id` take.
    fn stripe(&self, id: ObjectId) -> Option<&Mutex<()>> {
        self.stripes.get(stripe_number(id))
    }

    /// Takes the locks that changes of all of `ids` take. One order for all, so that nobody waits in a circle.
    fn lock_stripes(&self, ids: &BTreeSet<ObjectId>) -> Vec<MutexGuard<'_, ()>> {
        let numbers: BTreeSet<usize> = ids.iter().copied().map(stripe_number).collect();
        numbers.into_iter().filter_map(|number| self.stripes.get(number)).map(Mutex::lock).collect()
    }
}

fn stripe_number(id: ObjectId) -> usize {
    // The last byte of a version 7 identifier is random.
    usize::from(id.0.as_bytes()[15]) % STRIPES
}

impl Handler for Engine {
    fn handle(&self, peer: &PeerIdentity, request: Zeroizing<Vec<u8>>) -> Reply {
        batch::answer(self, peer, &request)
    }

    fn connected(&self, peer: &PeerIdentity, certificate: &ShownCertificate) {
        self.sightings.connected(peer, certificate, self.parts.clock.now());
    }

    fn may_wait_for_hsm(&self, request: &[u8]) -> bool {
        !prompt::is_prompt(request)
    }

    fn too_large(&self, _: u32) -> Option<Reply> {
        Some(batch::refuse_too_large(self))
    }
}
