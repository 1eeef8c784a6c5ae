//! Adapters, certificates, rules and root keys as they are, read from the store once for each change of them.
//!
//! Pages that show numbers of each adapter would otherwise read and parse every certificate each time. The store says with one
//! number whether anything has changed, so what is shown is never older than the request.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    expiry::{self, Expiring},
    store::{AdapterId, AdapterRow, Store, StoreError, TrustRows},
};

/// What there is.
pub(super) struct Directory {
    /// The rows.
    pub(super) rows: TrustRows,
    /// How many client certificates each adapter has.
    certificates: HashMap<AdapterId, usize>,
    /// How many rules each adapter has.
    rules: HashMap<AdapterId, usize>,
    /// The certificates in the rows, those that expire first in front, counted from a time that is long over.
    expiring: Vec<Expiring>,
}

/// The directory that was read last, and what it was read of.
#[derive(Default)]
pub(super) struct Latest(Mutex<Option<(u64, Arc<Directory>)>>);

impl Directory {
    fn new(rows: TrustRows) -> Self {
        let mut directory =
            Self { expiring: expiry::registered(&rows, 0), certificates: HashMap::new(), rules: HashMap::new(), rows };
        for row in &directory.rows.certificates {
            *directory.certificates.entry(row.adapter).or_default() += 1;
        }
        for row in &directory.rows.ca_rules {
            *directory.rules.entry(row.adapter).or_default() += 1;
        }
        directory
    }

    /// How many client certificates an adapter has.
    pub(super) fn certificates_of(&self, adapter: AdapterId) -> usize {
        self.certificates.get(&adapter).copied().unwrap_or_default()
    }

    /// How many rules an adapter has.
    pub(super) fn rules_of(&self, adapter: AdapterId) -> usize {
        self.rules.get(&adapter).copied().unwrap_or_default()
    }

    /// An adapter.
    pub(super) fn adapter(&self, id: AdapterId) -> Option<&AdapterRow> {
        self.rows.adapters.iter().find(|row| row.id == id)
    }

    /// The registered certificates and those of authorities, those that expire first in front.
    pub(super) fn expiring(&self) -> &[Expiring] {
        &self.expiring
    }
}

impl Latest {
    /// What there is now.
    pub(super) fn of(&self, store: &Store) -> Result<Arc<Directory>, StoreError> {
        // Asked first: what changes meanwhile is read, and read again the next time.
        let generation = store.trust_generation()?;
        if let Some((read_of, directory)) = &*self.0.lock()
            && *read_of == generation
        {
            return Ok(Arc::clone(directory));
        }
        let directory = Arc::new(Directory::new(store.trust()?));
        *self.0.lock() = Some((generation, Arc::clone(&directory)));
        Ok(directory)
    }
}
