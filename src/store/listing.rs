//! Objects as administrators see them: without what is sealed, with who used them last, counted, and held after their
//! destruction.

use std::{ops::ControlFlow, time::Instant};

use uuid::Uuid;

use super::{AdapterId, DateRange, Fingerprint, ObjectId, Search, Store, StoreError, Term};

/// An object without its sealed content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its Unique Identifier.
    pub id: ObjectId,
    /// The adapter that owns it.
    pub adapter: AdapterId,
    /// The KMIP Object Type code.
    pub object_type: u32,
    /// Its revision.
    pub revision: u64,
    /// Attributes and life-cycle data in the encoding of whoever wrote them. Not secret.
    pub metadata: Vec<u8>,
    /// Whether it is destroyed.
    pub destroyed: bool,
    /// When the clock alone will next change its state, in seconds since 1970-01-01 UTC.
    pub due_at: Option<i64>,
    /// The root key and its version that its KEK is wrapped under; `None` where it has none or that was erased.
    pub sealed_under: Option<(Uuid, u32)>,
    /// Until when its material is held though it is destroyed.
    pub held_until: Option<i64>,
    /// Its last use.
    pub seen: Option<ObjectUse>,
}

/// A use of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectUse {
    /// Seconds since 1970-01-01 UTC.
    pub at: i64,
    /// The certificate of whoever used it.
    pub certificate: Fingerprint,
}

/// That an object was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenObject {
    /// The object.
    pub object: ObjectId,
    /// When and by whom.
    pub seen: ObjectUse,
}

/// A destroyed object whose material is kept until a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// The object.
    pub object: ObjectId,
    /// The adapter that owns it.
    pub adapter: AdapterId,
    /// Seconds since 1970-01-01 UTC.
    pub until: i64,
}

/// Numbers of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectCount {
    /// Not destroyed.
    pub live: u64,
    /// Destroyed; their rows remain.
    pub destroyed: u64,
}

/// A search in several adapters, newest first.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// What is looked for in which adapter. Of a [`Search`] its terms, ranges and statuses count, and it is newest first.
    pub searches: Vec<(AdapterId, Search)>,
    /// A range of the date of creation. What is shown may be outside of it by an hour or so: it only tells where to look, and
    /// takes for granted that nobody has set the clock back by more than an hour.
    pub made: Option<DateRange>,
    /// Only what was made before this object, which is of one of the adapters.
    pub after: Option<ObjectId>,
    /// From then on adapters are prepared for in the cheapest way, which may find more candidates that are passed over.
    pub hurry_from: Option<Instant>,
}

/// An object that a search comes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// It is as the search says.
    Found(ListedObject),
    /// It meets one condition, and not another.
    PassedOver(ObjectId),
}

/// Objects as administrators see them.
impl Store {
    /// Shows `visit` the objects that `newest` finds, and those that it looks at on the way, made last first, for as long as it
    /// says so. Behind an object that is of none of the adapters nothing is found, as behind one that is not there. A
    /// connection to the database is in use meanwhile.
    ///
    /// # Errors
    /// The database failed; `visit` may have seen some by then.
    pub fn each_newest(
        &self,
        newest: &Newest,
        visit: impl FnMut(Candidate) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.engine.each_newest(newest, visit)
    }

    /// Shows `visit` the objects whose identifiers are from the first to the last of `range`, the greatest first, behind `after`,
    /// whosever they are, for as long as it says so.
    ///
    /// # Errors
    /// As [`Store::each_newest`].
    pub fn each_identified(
        &self,
        range: (ObjectId, ObjectId),
        after: Option<ObjectId>,
        visit: impl FnMut(ListedObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.engine.each_identified(range, after, visit)
    }

    /// How many objects of `adapter` have `term`, destroyed ones as well. Reads the index only.
    ///
    /// # Errors
    /// The database failed.
    pub fn count_term(&self, adapter: AdapterId, term: Term) -> Result<u64, StoreError> {
        self.engine.count_term(adapter, term)
    }

    /// The object `id`, whosever it is.
    ///
    /// # Errors
    /// The database failed.
    pub fn listed_object(&self, id: ObjectId) -> Result<Option<ListedObject>, StoreError> {
        self.engine.listed_object(id)
    }

    /// How many objects `adapter` has. Costs the same however many there are.
    ///
    /// # Errors
    /// The database failed.
    pub fn count(&self, adapter: AdapterId) -> Result<ObjectCount, StoreError> {
        self.engine.count(adapter)
    }

    /// How many objects each adapter has that is not gone. Costs the same however many there are.
    ///
    /// # Errors
    /// The database failed.
    pub fn counts(&self) -> Result<Vec<(AdapterId, ObjectCount)>, StoreError> {
        self.engine.counts()
    }

    /// Notes when objects were used. Objects that are not there are passed over; no time moves back.
    ///
    /// # Errors
    /// The database failed, `DiskFull`, `Overloaded`.
    pub fn see_objects(&self, seen: Vec<SeenObject>) -> Result<(), StoreError> {
        self.engine.see_objects(seen)
    }

    /// Held objects of `adapter`, or of all where there is none, that end first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub fn held_objects(&self, adapter: Option<AdapterId>, limit: u64) -> Result<Vec<HeldRow>, StoreError> {
        self.engine.held_objects(adapter, limit)
    }

    /// How many objects of `adapter` are held.
    ///
    /// # Errors
    /// The database failed.
    pub fn held_count(&self, adapter: AdapterId) -> Result<u64, StoreError> {
        self.engine.held_count(adapter)
    }

    /// Held objects whose time has come at `now`, at most `limit`, longest overdue first.
    ///
    /// # Errors
    /// The database failed.
    pub fn due_holds(&self, now: i64, limit: u64) -> Result<Vec<HeldRow>, StoreError> {
        self.engine.due_holds(now, limit)
    }

    /// Erases the material of an object that is held until `until`.
    ///
    /// # Errors
    /// `NotFound` where it is not held, `Conflict` where it is held until another time.
    pub fn release_hold(&self, object: ObjectId, until: i64) -> Result<(), StoreError> {
        self.engine.release_hold(object, until)
    }

    /// Makes a held object what it was before it was destroyed, at its next revision, if its time has not come at `now`.
    ///
    /// # Errors
    /// `NotFound` where it is not held or its adapter was deleted, `Conflict` where its time has come, `Duplicate` where
    /// another object has taken what only one can have, `StaleRootKey` where its KEK was erased.
    pub fn recover_held(&self, object: ObjectId, now: i64) -> Result<(), StoreError> {
        self.engine.recover_held(object, now)
    }
}
