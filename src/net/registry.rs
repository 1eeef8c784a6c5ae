//! The open connections: how many each adapter has, and the means to end them.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::connection::Link;
use crate::{store::AdapterId, telemetry::metric, trust::Identity};

/// All open connections, those in their handshake included.
pub(super) struct Registry {
    max_per_adapter: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    entries: HashMap<u64, Entry>,
    per_adapter: HashMap<AdapterId, u32>,
}

struct Entry {
    /// `None` during the handshake.
    identity: Option<Identity>,
    link: Arc<Link>,
    abort: Arc<OnceLock<AbortHandle>>,
    /// Its task is being dropped.
    cut: bool,
}

impl Registry {
    pub(super) fn new(max_per_adapter: u32) -> Self {
        Self { max_per_adapter, open: Mutex::default() }
    }

    /// Enters a connection; it leaves when the returned value is dropped.
    pub(super) fn register(self: &Arc<Self>, draining: Arc<AtomicBool>) -> Registered {
        let link = Arc::new(Link::new(draining));
        let abort = Arc::new(OnceLock::new());
        let mut open = self.open.lock();
        let id = open.next_id;
        open.next_id += 1;
        let entry = Entry { identity: None, link: Arc::clone(&link), abort: Arc::clone(&abort), cut: false };
        open.entries.insert(id, entry);
        drop(open);
        metrics::gauge!(metric::CONNECTIONS_OPEN).increment(1.0);
        Registered { registry: Arc::clone(self), id, link, abort }
    }

    /// How many connections are open, those in their handshake included.
    pub(super) fn open(&self) -> usize {
        self.open.lock().entries.len()
    }

    /// Cuts the connections whose identity `lost` is true of, also in the middle of a request (which is finished, but not answered).
    /// Returns how many.
    pub(super) fn cut(&self, lost: impl Fn(&Identity) -> bool) -> u64 {
        self.cut_entries(|entry| entry.identity.as_ref().is_some_and(&lost))
    }

    /// Cuts the connection that has been longest without an identity. Returns whether there was one.
    pub(super) fn cut_oldest_handshake(&self) -> bool {
        let mut open = self.open.lock();
        let handshakes = open
            .entries
            .iter_mut()
            .filter(|(_, entry)| entry.identity.is_none() && !entry.cut && entry.abort.get().is_some());
        let Some((_, oldest)) = handshakes.min_by_key(|(id, _)| **id) else { return false };
        oldest.cut = true;
        oldest.abort();
        true
    }

    /// Cuts all connections. Returns how many.
    pub(super) fn cut_all(&self) -> u64 {
        self.cut_entries(|_| true)
    }

    /// Ends the connections that have no request under way, and handshakes.
    pub(super) fn stop_idle(&self) {
        for entry in self.open.lock().entries.values() {
            entry.link.stop_if_idle();
            if entry.identity.is_none() {
                entry.abort();
            }
        }
    }

    fn cut_entries(&self, chosen: impl Fn(&Entry) -> bool) -> u64 {
        let mut cut = 0;
        for entry in self.open.lock().entries.values().filter(|entry| chosen(entry)) {
            cut += 1;
            // An idle connection says goodbye by itself; anything else is not waited for.
            if entry.link.stop() || entry.identity.is_none() {
                entry.abort();
            }
        }
        cut
    }
}

impl Entry {
    /// Drops the connection's task at its next pause. In the instant before the handle is set, the link alone ends it.
    fn abort(&self) {
        if let Some(handle) = self.abort.get() {
            handle.abort();
        }
    }
}

/// A connection's place in the registry.
pub(super) struct Registered {
    registry: Arc<Registry>,
    id: u64,
    link: Arc<Link>,
    abort: Arc<OnceLock<AbortHandle>>,
}

/// Where the handle of a connection's task is put once the task exists.
pub(super) struct AbortSetter(Arc<OnceLock<AbortHandle>>);

impl AbortSetter {
    pub(super) fn set(self, handle: AbortHandle) {
        // The only setter, so the place is empty.
        let _: Result<(), AbortHandle> = self.0.set(handle);
    }
}

impl Registered {
    pub(super) fn abort_setter(&self) -> AbortSetter {
        AbortSetter(Arc::clone(&self.abort))
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Gives the connection its identity; `false` if the adapter has as many connections as it may.
    pub(super) fn admit(&self, identity: Identity) -> bool {
        let mut open = self.registry.open.lock();
        let Open { entries, per_adapter, .. } = &mut *open;
        let connections = per_adapter.entry(identity.adapter).or_default();
        if *connections >= self.registry.max_per_adapter {
            return false;
        }
        *connections += 1;
        if let Some(entry) = entries.get_mut(&self.id) {
            entry.identity = Some(identity);
        }
        true
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        metrics::gauge!(metric::CONNECTIONS_OPEN).decrement(1.0);
        let mut open = self.registry.open.lock();
        let Some(Entry { identity: Some(identity), .. }) = open.entries.remove(&self.id) else { return };
        if let Some(connections) = open.per_adapter.get_mut(&identity.adapter) {
            *connections -= 1;
            if *connections == 0 {
                open.per_adapter.remove(&identity.adapter);
            }
        }
    }
}
