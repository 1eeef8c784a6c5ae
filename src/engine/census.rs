//! How many objects of an adapter are in which state, by the clock: for operators who are about to destroy a root key.

use kmip::enums::State;

use super::{object::ManagedObject, terms};
use crate::store::{AdapterId, InState, ObjectId, ObjectRow, Search, Store, StoreError};

/// Identifiers read in one step.
const STEP: u64 = 10_000;

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
            let search = Search { terms: vec![terms::state_term(state)], ..everything() };
            counts.push((state, count(store, adapter, search)?));
        }
        let objects = count(store, adapter, everything())?;
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
        let newest = store.search(adapter, &Search { newest_first: true, limit: 1, ..everything() })?;
        let newest = newest.first().and_then(made_at);
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

fn everything() -> Search {
    Search { live: true, destroyed: true, limit: STEP, ..Search::default() }
}

fn count(store: &Store, adapter: AdapterId, mut search: Search) -> Result<u64, StoreError> {
    let mut found = 0;
    loop {
        let page = store.search(adapter, &search)?;
        found += u64::try_from(page.len()).unwrap_or(u64::MAX);
        match page.last() {
            Some(last) => search.after = Some(*last),
            None => return Ok(found),
        }
    }
}

/// An identifier begins with the time at which it was made.
fn made_at(id: &ObjectId) -> Option<i64> {
    let (seconds, _) = id.0.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}
