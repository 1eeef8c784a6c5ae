//! How many objects of an adapter are in which state, by the clock: for operators who are about to destroy a root key.

use kmip::enums::State;

use super::{object::ManagedObject, terms};
use crate::store::{AdapterId, InState, ObjectId, ObjectRow, Search, Store, StoreError};

/// The objects of one adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The states that some object is in, in the specification's order, with how many are.
    pub states: Vec<(State, u64)>,
    /// All of them.
    pub objects: u64,
    /// When the newest was made, in seconds since 1970-01-01 UTC.
    pub newest: Option<i64>,
}

impl Census {
    /// Counts what `adapter` holds at the time `now`.
    ///
    /// # Errors
    /// The store failed.
    pub fn of(store: &Store, adapter: AdapterId, now: i64) -> Result<Self, StoreError> {
        let mut counts = Vec::with_capacity(State::ALL.len());
        for &state in State::ALL {
            counts.push((state, store.count_term(adapter, terms::state_term(state))?));
        }
        let count = store.count(adapter)?;
        let objects = count.live + count.destroyed;
        // What the clock has moved since it was last looked at: the index has its old state.
        store.each_due(adapter, now, |row| {
            // A damaged row is counted as the index has it.
            let Ok(mut object) = ManagedObject::from_row(row, i64::MIN) else { return };
            let before = object.state();
            object.settle(now);
            for (state, count) in &mut counts {
                if *state == before {
                    *count = count.saturating_sub(1);
                }
                if *state == object.state() {
                    *count += 1;
                }
            }
        })?;
        let newest = newest(store, adapter)?.map(|(_, at)| at);
        counts.retain(|(_, count)| *count > 0);
        Ok(Self { states: counts, objects, newest })
    }

    /// How many are in `state`.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.states.iter().find(|(other, _)| *other == state).map_or(0, |(_, count)| *count)
    }
}

/// A bound on the Active objects that whoever deletes an adapter may lose, for the store to check as it deletes.
#[must_use]
pub fn at_most_active(at_most: u64) -> InState {
    InState { term: terms::state_term(State::Active), moved: moved_into_active, at_most }
}

/// A damaged row is counted as the index has it, as in a census.
fn moved_into_active(row: ObjectRow, now: i64) -> i64 {
    let Ok(mut object) = ManagedObject::from_row(row, i64::MIN) else { return 0 };
    let was_active = object.state() == State::Active;
    object.settle(now);
    i64::from(object.state() == State::Active) - i64::from(was_active)
}

/// The object that `adapter` made first, and when.
///
/// # Errors
/// The store failed.
pub fn oldest(store: &Store, adapter: AdapterId) -> Result<Option<(ObjectId, i64)>, StoreError> {
    end_of(store, adapter, false)
}

/// The object that `adapter` made last, and when.
///
/// # Errors
/// The store failed.
pub fn newest(store: &Store, adapter: AdapterId) -> Result<Option<(ObjectId, i64)>, StoreError> {
    end_of(store, adapter, true)
}

fn end_of(store: &Store, adapter: AdapterId, newest_first: bool) -> Result<Option<(ObjectId, i64)>, StoreError> {
    let search = Search { live: true, destroyed: true, limit: 1, newest_first, ..Search::default() };
    let found = store.search(adapter, &search)?.first().copied();
    Ok(found.and_then(|id| Some((id, made_at(id)?))))
}

/// An identifier begins with the time at which it was made.
fn made_at(id: ObjectId) -> Option<i64> {
    let (seconds, _) = id.0.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}
