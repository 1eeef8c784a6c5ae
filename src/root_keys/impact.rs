//! What would be lost with a root key or an adapter.

use kmip::enums::State;
use uuid::Uuid;

use crate::{
    engine::Census,
    statement::StateCount,
    store::{AdapterRow, RootKeyRow, Store, StoreError},
};

/// What is lost with a root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// What each adapter under it loses.
    pub adapters: Vec<AdapterImpact>,
    /// Objects of these adapters.
    pub objects: u64,
    /// Those of them that are Active.
    pub active_objects: u64,
    /// KEKs wrapped under any version of the root key.
    pub wrapped_keks: u64,
}

/// What is lost with an adapter's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterImpact {
    /// Its identifier.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its objects.
    pub objects: u64,
    /// Those of them that are Active.
    pub active_objects: u64,
    /// Those of them that are destroyed and held: they could still be recovered.
    pub held_objects: u64,
    /// How many are in which state.
    pub states: Vec<StateCount>,
    /// When the newest object was made, in seconds since 1970-01-01 UTC.
    pub newest: Option<i64>,
}

impl Impact {
    /// What would be lost with `row` at the time `now`.
    ///
    /// # Errors
    /// The database failed.
    pub fn of(store: &Store, row: &RootKeyRow, now: i64) -> Result<Self, StoreError> {
        let adapters = store.trust()?.adapters;
        let under = adapters.iter().filter(|adapter| adapter.root_key == row.id);
        let adapters = under.map(|adapter| AdapterImpact::of(store, adapter, now)).collect::<Result<Vec<_>, _>>()?;
        let keks = store.kek_counts()?.into_iter().filter(|count| count.root == row.id);
        Ok(Self {
            objects: adapters.iter().map(|adapter| adapter.objects).sum(),
            active_objects: adapters.iter().map(|adapter| adapter.active_objects).sum(),
            wrapped_keks: keks.map(|count| count.keks).sum(),
            adapters,
        })
    }
}

impl AdapterImpact {
    /// What would be lost with `adapter` at the time `now`.
    ///
    /// # Errors
    /// The database failed.
    pub fn of(store: &Store, adapter: &AdapterRow, now: i64) -> Result<Self, StoreError> {
        let census = Census::of(store, adapter.id, now)?;
        let state = |(state, objects): &(State, u64)| StateCount { state: state.name().to_owned(), objects: *objects };
        Ok(Self {
            id: adapter.id.0,
            name: adapter.name.clone(),
            objects: census.objects,
            active_objects: census.count(State::Active),
            held_objects: store.held_count(adapter.id)?,
            states: census.states.iter().map(state).collect(),
            newest: census.newest,
        })
    }
}
