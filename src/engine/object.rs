//! A managed object in the engine's hands: its attributes, its state by the clock, and its row in the store.

use kmip::{
    attributes::{Attribute, AttributeKind},
    enums::{ObjectType, State},
    fields::DateTime,
    tags::Tag,
    tree::{Item, Value},
    ttlv,
};

use ring::digest::{Context, SHA256};

use super::{
    attribute_set::AttributeSet,
    error::OpError,
    state::{self, Event},
    terms,
};
use crate::{
    store::{AdapterId, Change, IndexEntries, ObjectId, ObjectRow, SealedRow},
    vault::Place,
};

/// Bytes of the digest behind the stored metadata.
const DIGEST_LEN: usize = 16;

/// A managed object, loaded and permitted.
#[derive(Clone, Debug)]
pub(super) struct ManagedObject {
    /// Its Unique Identifier.
    pub(super) id: ObjectId,
    /// Whose it is.
    pub(super) adapter: AdapterId,
    /// What it is.
    pub(super) object_type: ObjectType,
    /// The store's revision that this was read from; 0 for an object not stored yet.
    pub(super) revision: u64,
    /// Its attributes, the State among them.
    pub(super) attributes: AttributeSet,
    /// The vault's sealed material; gone once destroyed.
    pub(super) sealed: Option<SealedRow>,
    /// Set where it is being destroyed and its material is to be kept out of reach until then, in seconds since 1970-01-01 UTC.
    pub(super) hold_until: Option<i64>,
}

impl ManagedObject {
    /// Reads a row and lets the clock move its state.
    ///
    /// # Errors
    /// The row is not one that this server wrote.
    pub(super) fn from_row(row: ObjectRow, now: i64) -> Result<Self, OpError> {
        let object_type = ObjectType::from_code(row.object_type).ok_or(OpError::CorruptObject)?;
        let metadata = open_metadata(&row).ok_or(OpError::CorruptObject)?;
        let metadata = ttlv::decode(metadata, &ttlv::Limits::default()).map_err(|_| OpError::CorruptObject)?;
        let Value::Structure(items) = metadata.value else { return Err(OpError::CorruptObject) };
        let attributes = AttributeSet::from_items(items.into_iter()).ok_or(OpError::CorruptObject)?;
        let (id, adapter) = (row.id, row.adapter);
        let (revision, sealed) = (row.revision, row.sealed);
        let mut object = Self { id, adapter, object_type, revision, attributes, sealed, hold_until: None };
        object.settle(now);
        Ok(object)
    }

    /// What stores this object: a new one where its revision is 0, else the next revision.
    pub(super) fn to_change(&self) -> Change {
        let (row, index) = self.to_row();
        change(self.revision, self.hold_until, row, index)
    }

    /// The row and index entries that store this object as the next revision.
    pub(super) fn to_row(&self) -> (ObjectRow, IndexEntries) {
        let metadata = ttlv::encode(&Item::structure(Tag::Attributes, self.attributes.to_items())).to_vec();
        let mut row = ObjectRow {
            id: self.id,
            adapter: self.adapter,
            object_type: self.object_type.code(),
            revision: self.revision + 1,
            metadata,
            sealed: self.sealed.clone(),
            destroyed: state::is_destroyed(self.state()),
            due_at: self.due_at(),
        };
        row.metadata.extend(metadata_digest(&row, &row.metadata));
        (row, terms::index_entries(self))
    }

    /// Its State.
    pub(super) fn state(&self) -> State {
        self.attributes.state()
    }

    /// Where its material belongs.
    pub(super) fn place(&self) -> Place {
        Place { adapter: self.adapter, object: self.id, object_type: self.object_type.code() }
    }

    /// Moves the state as the dates demand (KMIP 1.4 §3.22, transitions 4 and 6). Dates that went by while nobody looked
    /// move it in their order.
    pub(super) fn settle(&mut self, now: i64) {
        while let Some((kind, event)) = self.pending() {
            let reached = self.attributes.date(kind).is_some_and(|date| date <= now);
            match state::next(self.state(), event) {
                Some(next) if reached => self.attributes.set(Attribute::State(next)),
                _ => return,
            }
        }
    }

    /// Moves the state by `event`; false where the specification permits no such transition.
    pub(super) fn advance(&mut self, event: Event) -> bool {
        let next = state::next(self.state(), event);
        if let Some(next) = next {
            self.attributes.set(Attribute::State(next));
        }
        next.is_some()
    }

    /// Destroys it at `now`; its material is kept out of reach until `hold_until` where that is given. False where its state
    /// does not allow it.
    pub(super) fn destroy(&mut self, hold_until: Option<i64>, now: i64) -> bool {
        if !self.advance(Event::Destroy) {
            return false;
        }
        self.hold_until = hold_until.filter(|_| self.sealed.is_some());
        self.sealed = None;
        self.attributes.set(Attribute::DestroyDate(DateTime(now)));
        self.touch(now);
        true
    }

    /// Records a change made at `now`.
    pub(super) fn touch(&mut self, now: i64) {
        self.attributes.set(Attribute::LastChangeDate(DateTime(now)));
    }

    /// The date that moves the state next, and how.
    fn pending(&self) -> Option<(AttributeKind, Event)> {
        match self.state() {
            State::PreActive => Some((AttributeKind::ActivationDate, Event::Activate)),
            State::Active => Some((AttributeKind::DeactivationDate, Event::Deactivate)),
            _ => None,
        }
    }

    fn due_at(&self) -> Option<i64> {
        self.pending().and_then(|(kind, _)| self.attributes.date(kind))
    }
}

/// What stores `row` over the revision `base`, which is 0 for a new object.
pub(super) fn change(base: u64, hold_until: Option<i64>, row: ObjectRow, index: IndexEntries) -> Change {
    match (base, hold_until) {
        (0, _) => Change::Insert { row, index },
        (_, Some(until)) => Change::Hold { row, index: Some(index), until },
        (_, None) => Change::Update { row, index: Some(index) },
    }
}

/// What stands behind the metadata in a row: it shows damage, and metadata that came from another object. It does not stop
/// someone who can write the database and works it out anew; material is safe from them too, for the vault has a key.
fn metadata_digest(row: &ObjectRow, metadata: &[u8]) -> [u8; DIGEST_LEN] {
    let mut context = Context::new(&SHA256);
    context.update(row.adapter.0.as_bytes());
    context.update(row.id.0.as_bytes());
    context.update(&row.object_type.to_be_bytes());
    context.update(metadata);
    let mut out = [0; DIGEST_LEN];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// The metadata of a row without its digest; `None` where that is not its digest.
fn open_metadata(row: &ObjectRow) -> Option<&[u8]> {
    let (metadata, digest) = row.metadata.split_last_chunk::<DIGEST_LEN>()?;
    (*digest == metadata_digest(row, metadata)).then_some(metadata)
}
