//! What a batch with the Undo option has changed so far, held back until its last item succeeds (KMIP 1.4 §6.13).
//!
//! Later items of the batch see these changes, nobody else does; they become one transaction or nothing.

use std::collections::BTreeMap;

use super::{
    error::OpError,
    object::{ManagedObject, change},
};
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
    hold_until: Option<i64>,
    row: ObjectRow,
    index: IndexEntries,
}

impl Unit {
    /// Holds the object's next revision back.
    pub(super) fn hold(&mut self, object: &ManagedObject) {
        let (row, index) = object.to_row();
        let earlier = self.objects.get(&object.id);
        let base = earlier.map_or(object.revision, |held| held.base);
        // Once destroyed by this batch, it stays so.
        let hold_until = object.hold_until.or_else(|| earlier.and_then(|held| held.hold_until));
        self.bytes += size(&row);
        if let Some(before) = self.objects.insert(object.id, Held { base, hold_until, row, index }) {
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
        let change = |Held { base, hold_until, mut row, index }| {
            row.revision = base + 1;
            change(base, hold_until, row, index)
        };
        self.objects.into_values().map(change).collect()
    }
}

fn size(row: &ObjectRow) -> usize {
    row.metadata.len() + row.sealed.as_ref().map_or(0, SealedRow::bytes)
}
