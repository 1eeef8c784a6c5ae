//! Tests of the store through its public face, and what they share.

use std::path::PathBuf;

use tempfile::TempDir;
use uuid::Uuid;

use crate::store::{
    AdapterId, AdapterRow, Change, DateEntry, IndexEntries, Loss, ObjectId, ObjectRow, RootKeyRow, RootKeyState,
    RootKeyVersionRow, SealedRow, Search, Store, StoreError, StoreOptions, Term, VersionState,
};

mod adapters;
mod approvals;
mod backup;
mod changes;
mod crash;
mod erasure;
mod faults;
mod file;
mod hands;
mod held;
mod identities;
mod listing;
mod migration;
mod root_keys;
mod rotation;
mod search;
mod trust;

/// The root key that everything is under.
const ROOT: Uuid = Uuid::from_u128(0x0100_0000);

/// A store in a directory of its own, with one root key and one adapter.
struct Fixture {
    store: Store,
    adapter: AdapterId,
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    fn with(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("keystead.db"), options).unwrap();
        store.insert_root_key(root_row(ROOT, "root")).unwrap();
        let adapter = add_adapter(&store, "demo");
        Self { store, adapter, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("keystead.db")
    }

    /// Closes the store and opens it again.
    fn reopened(self) -> Self {
        let Self { store, adapter, directory } = self;
        drop(store);
        let store = Store::open(&directory.path().join("keystead.db"), StoreOptions::default()).unwrap();
        Self { store, adapter, directory }
    }

    fn insert(&self, index: IndexEntries) -> ObjectRow {
        let row = new_row(self.adapter);
        self.store.apply(vec![Change::Insert { row: row.clone(), index }]).unwrap();
        row
    }

    fn update(&self, row: &ObjectRow, index: Option<IndexEntries>) -> Result<(), StoreError> {
        self.store.apply(vec![Change::Update { row: row.clone(), index }])
    }

    fn object(&self, id: ObjectId) -> Option<ObjectRow> {
        self.store.object(self.adapter, id).unwrap()
    }

    fn search(&self, search: &Search) -> Vec<ObjectId> {
        self.store.search(self.adapter, search).unwrap()
    }
}

fn add_adapter(store: &Store, name: &str) -> AdapterId {
    let row = adapter_row(name);
    store.insert_adapter(row.clone()).unwrap();
    row.id
}

fn adapter_row(name: &str) -> AdapterRow {
    AdapterRow {
        id: AdapterId(Uuid::now_v7()),
        name: name.into(),
        description: Some("for tests".into()),
        root_key: ROOT,
        credential: None,
        created_at: 1_700_000_000,
        revision: 1,
        changed_at: 1_700_000_000,
        hold_seconds: 0,
    }
}

pub(super) fn root_row(id: Uuid, label: &str) -> RootKeyRow {
    RootKeyRow {
        id,
        label: label.into(),
        state: RootKeyState::Active,
        current_version: 1,
        created_at: 1_700_000_000,
        changed_at: 1_700_000_000,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: vec![version_row(1)],
    }
}

fn version_row(version: u32) -> RootKeyVersionRow {
    RootKeyVersionRow {
        version,
        state: VersionState::Current,
        kcv: [1, 2, 3],
        kcv_method: "method".into(),
        created_at: 1_700_000_000 + i64::from(version),
        retired_at: None,
        attestation: None,
    }
}

/// Sealed content under the first version of [`ROOT`].
#[expect(clippy::unnecessary_wraps, reason = "it is what rows hold")]
fn sealed(body: &[u8]) -> Option<SealedRow> {
    Some(SealedRow { root: ROOT, version: 1, wrapped_kek: vec![0xee; 63], body: body.to_vec() })
}

fn new_row(adapter: AdapterId) -> ObjectRow {
    ObjectRow {
        id: ObjectId(Uuid::now_v7()),
        adapter,
        object_type: 2,
        revision: 1,
        metadata: b"metadata".to_vec(),
        sealed: sealed(b"sealed"),
        destroyed: false,
        due_at: None,
    }
}

/// The row as its next revision has it.
fn next(row: &ObjectRow) -> ObjectRow {
    ObjectRow { revision: row.revision + 1, ..row.clone() }
}

/// The row as it is once destroyed.
fn destroyed(row: &ObjectRow) -> ObjectRow {
    ObjectRow { sealed: None, destroyed: true, due_at: None, ..next(row) }
}

fn term(value: u64) -> Term {
    let mut bytes = [7; 16];
    bytes[..8].copy_from_slice(&value.to_be_bytes());
    Term(bytes)
}

fn terms(values: &[u64]) -> IndexEntries {
    IndexEntries { terms: values.iter().copied().map(term).collect(), ..IndexEntries::default() }
}

fn named(value: u64) -> IndexEntries {
    IndexEntries { terms: vec![term(value)], unique: vec![term(value)], ..IndexEntries::default() }
}

fn dated(field: u32, seconds: &[i64]) -> IndexEntries {
    let dates = seconds.iter().map(|seconds| DateEntry { field, seconds: *seconds }).collect();
    IndexEntries { dates, ..IndexEntries::default() }
}

/// A search for live objects that have all of these terms.
fn live(values: &[u64]) -> Search {
    Search { terms: values.iter().copied().map(term).collect(), live: true, limit: 100, ..Search::default() }
}
