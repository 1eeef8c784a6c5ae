//! What a batch with the Undo option has changed so far, held back until its last item succeeds (KMIP 1.4 §6.13).
//!
//! Later items of the batch see these changes, nobody else does; they become one transaction or nothing.

use std::collections::BTreeMap;

use super::{error::OpError, object::ManagedObject};
use crate::store::{Change, IndexEntries, ObjectId, ObjectRow, SealedRow};

/// Changes held back.
#[derive(Debug, Default)]
pub(super) struct Unit {
    objects: BTreeMap<ObjectId, Held>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    /// The revision in the store that the first change was made from; 0 for a new object.
    base: u64,
    row: ObjectRow,
    index: IndexEntries,
}

impl Unit {
    /// Holds the object's next revision back.
    pub(super) fn hold(&mut self, object: &ManagedObject) {
        let (row, index) = object.to_row();
        let base = self.objects.get(&object.id).map_or(object.revision, |held| held.base);
        self.bytes += size(&row);
        if let Some(before) = self.objects.insert(object.id, Held { base, row, index }) {
            self.bytes -= size(&before.row);
        }
    }

    /// Bytes of the objects held back.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The object as the batch has left it.
    pub(super) fn get(&self, id: ObjectId, now: i64) -> Option<Result<ManagedObject, OpError>> {
        self.objects.get(&id).map(|held| ManagedObject::from_row(held.row.clone(), now))
    }

    /// Every object the batch has changed or made.
    pub(super) fn objects(&self, now: i64) -> impl Iterator<Item = Result<ManagedObject, OpError>> {
        self.objects.values().map(move |held| ManagedObject::from_row(held.row.clone(), now))
    }

    /// The identifiers of those objects.
    pub(super) fn ids(&self) -> impl Iterator<Item = ObjectId> {
        self.objects.keys().copied()
    }

    /// The one transaction that makes all of it true.
    pub(super) fn into_changes(self) -> Vec<Change> {
        let change = |Held { base, mut row, index }| {
            row.revision = base + 1;
            if base == 0 { Change::Insert { row, index } } else { Change::Update { row, index: Some(index) } }
        };
        self.objects.into_values().map(change).collect()
    }
}

fn size(row: &ObjectRow) -> usize {
    row.metadata.len() + row.sealed.as_ref().map_or(0, SealedRow::bytes)
}
