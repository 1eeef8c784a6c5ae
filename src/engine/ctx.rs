//! What an operation may touch: objects it is permitted, the vault, the store, the clock. There is no other way to any of them.

use std::cell::{Cell, OnceCell, RefCell};

use hal::HalError;
use kmip::{enums::Operation, objects::Object, ttlv, version::Version};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Engine,
    authn::Principal,
    error::OpError,
    gate::{LARGE_BYTES, Place},
    object::ManagedObject,
    policy, prompt, root_key,
    state::is_destroyed,
    terms::Plan,
    unit::Unit,
};
use crate::{
    store::{Change, IndexEntries, ObjectId, ObjectRow, SealedRow, StoreError},
    vault::{Material, VaultError},
};

/// How often a change starts again because another node changed the object first.
const ATTEMPTS: u32 = 100;
/// How often new material is sealed again because its root key got another version meanwhile.
const SEAL_ATTEMPTS: u32 = 4;
/// Objects looked at in one step of a search that the index cannot decide.
const SEARCH_STEP: u64 = 256;

/// What a stored object may cost to read: as much as the configuration can ever let in, so that a limit that an operator lowers
/// does not shut older keys away.
const STORED: ttlv::Limits = ttlv::Limits { bytes: 64 << 20, depth: 64, items: 1 << 16 };

/// One item of a batch at work.
pub(super) struct Ctx<'a> {
    /// The engine.
    pub(super) engine: &'a Engine,
    /// Who asks.
    pub(super) principal: Principal,
    /// What is asked.
    pub(super) operation: Operation,
    /// The version of the message.
    pub(super) version: Version,
    /// When the message arrived, seconds since 1970-01-01 UTC.
    pub(super) now: i64,
    /// The ID Placeholder (KMIP 1.4 §4): the object that an item of this batch made or located last.
    pub(super) placeholder: Cell<Option<ObjectId>>,
    /// The object that this item is about, for the audit log and for operators: never one that the principal may not know of.
    pub(super) subject: Cell<Option<ObjectId>>,
    /// Changes held back, in a batch with the Undo option.
    pub(super) unit: Option<RefCell<Unit>>,
    /// The place of a large message.
    pub(super) place: &'a OnceCell<Place>,
}

impl Ctx<'_> {
    /// The object that a request is about: the one it names, or the one in the ID Placeholder.
    ///
    /// # Errors
    /// It names none and the placeholder is empty.
    pub(super) fn target(&self, unique_identifier: Option<String>) -> Result<String, OpError> {
        match unique_identifier {
            Some(id) => Ok(id),
            None => self.placeholder.get().map(|id| id.0.to_string()).ok_or(OpError::NoPlaceholder),
        }
    }

    /// Loads an object and asks for permission, in one step.
    ///
    /// # Errors
    /// There is no such object that the principal may know of.
    pub(super) fn fetch(&self, unique_identifier: &str) -> Result<ManagedObject, OpError> {
        self.fetch_found(parse_id(unique_identifier).ok_or(OpError::NotFound)?)
    }

    /// As [`Ctx::fetch`], and from here on the item is about this object.
    ///
    /// # Errors
    /// As for `fetch`.
    pub(super) fn fetch_target(&self, unique_identifier: Option<String>) -> Result<ManagedObject, OpError> {
        let id = parse_id(&self.target(unique_identifier)?).ok_or(OpError::NotFound)?;
        let fetched = self.fetch_found(id);
        if !matches!(fetched, Err(OpError::NotFound)) {
            self.subject.set(Some(id));
        }
        fetched
    }

    /// Loads an object that is to be worked on; a large one makes the message a large one.
    fn fetch_found(&self, id: ObjectId) -> Result<ManagedObject, OpError> {
        let object = self.fetch_id(id)?;
        let large = object.sealed.as_ref().is_some_and(|sealed| sealed.bytes() > LARGE_BYTES);
        if !large || self.place.get().is_some() || prompt::is_prompt_operation(self.operation) {
            return Ok(object);
        }
        // Nobody waits for a place with a large object in memory. Operations that never wait for the HSM do not wait here
        // either: their few threads bound them.
        drop(object);
        self.place.get_or_init(|| self.engine.gate.enter());
        self.fetch_id(id)
    }

    fn fetch_id(&self, id: ObjectId) -> Result<ManagedObject, OpError> {
        if let Some(held) = self.unit.as_ref().and_then(|unit| unit.borrow().get(id, self.now)) {
            return held;
        }
        let row = self.engine.parts.store.object(self.principal.adapter, id)?.ok_or(OpError::NotFound)?;
        let object = ManagedObject::from_row(row, self.now)?;
        policy::decide(&self.principal, self.operation, Some(&object))?;
        Ok(object)
    }

    /// Loads the target, changes it and stores it; starts again from the newest revision when somebody else was first.
    ///
    /// # Errors
    /// What `change` says; the store failed.
    pub(super) fn update<T>(
        &self,
        unique_identifier: Option<String>,
        mut change: impl FnMut(&mut ManagedObject) -> Result<T, OpError>,
    ) -> Result<(ManagedObject, T), OpError> {
        let id = self.fetch_target(unique_identifier)?.id;
        let _queue = self.unit.is_none().then(|| self.engine.stripe(id).map(|stripe| stripe.lock()));
        for _ in 0..ATTEMPTS {
            let mut object = self.fetch_id(id)?;
            let (attributes, sealed) = (object.attributes.clone(), object.sealed.is_some());
            let result = change(&mut object)?;
            if object.attributes == attributes && object.sealed.is_some() == sealed {
                return Ok((object, result));
            }
            match self.save(&object) {
                Err(OpError::Store(StoreError::Conflict)) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok((object, result)),
            }
        }
        Err(OpError::Store(StoreError::Conflict))
    }

    /// Stores an object: a new one where its revision is 0, else the next revision. Durable when this returns, unless the
    /// batch holds it back.
    ///
    /// # Errors
    /// `Conflict` where the object was changed meanwhile, `NameTaken`, or the store failed.
    pub(super) fn save(&self, object: &ManagedObject) -> Result<(), OpError> {
        if let Some(unit) = &self.unit {
            unit.borrow_mut().hold(object);
            return Ok(());
        }
        self.engine.parts.store.apply(vec![object.to_change()]).map_err(|error| match error {
            StoreError::Duplicate => OpError::NameTaken { creating: object.revision == 0 },
            other => other.into(),
        })
    }

    /// Seals a new object's content and stores it.
    ///
    /// # Errors
    /// The HSM or the store failed; the name is taken; the root key is suspended or destroyed.
    pub(super) fn create(&self, object: &mut ManagedObject, content: Object) -> Result<(), OpError> {
        let material = Material::new(ttlv::encode(&content.into_item(Version::V1_4)));
        for _ in 0..SEAL_ATTEMPTS {
            let under = root_key::to_seal(&self.engine.parts.trust.current(), self.principal.root_key)?;
            object.sealed = Some(self.engine.parts.vault.seal(under, &object.place(), &material)?);
            match self.save(object) {
                // The root key has a new version since: the sealed form is thrown away and made again under that.
                Err(OpError::Store(StoreError::StaleRootKey)) => self.engine.refresh_trust()?,
                Err(error) => return Err(error),
                Ok(()) => {
                    self.placeholder.set(Some(object.id));
                    self.subject.set(Some(object.id));
                    return Ok(());
                }
            }
        }
        Err(OpError::Store(StoreError::StaleRootKey))
    }

    /// Opens an object's content. Takes a loaded object, so there is no content without permission.
    ///
    /// # Errors
    /// It is destroyed, damaged, or the HSM is away; its root key is suspended or destroyed.
    pub(super) fn object(&self, object: &ManagedObject) -> Result<Object, OpError> {
        if is_destroyed(object.state()) {
            return Err(OpError::Destroyed);
        }
        let sealed = object.sealed.as_ref().ok_or(OpError::CorruptObject)?;
        if sealed.wrapped_kek.is_empty() {
            // Perhaps because its root key was destroyed a moment ago.
            self.engine.refresh_trust()?;
        }
        root_key::may_open(&self.engine.parts.trust.current(), sealed.root)?;
        let material = self.open(object, sealed)?;
        let item = ttlv::decode(material.expose(), &STORED).map_err(|_| OpError::CorruptObject)?;
        Object::from_item(item, Version::V1_4).map_err(|_| OpError::CorruptObject)
    }

    /// Opens the material, under the version that the store says now where the one that it was read under is gone: a rotation
    /// may have brought it under a newer one since, and the old one been retired.
    fn open(&self, object: &ManagedObject, sealed: &SealedRow) -> Result<Material, OpError> {
        let (store, vault) = (&self.engine.parts.store, &self.engine.parts.vault);
        match vault.open(&object.place(), sealed) {
            Err(VaultError::Hal(HalError::UnknownRootKey(unknown))) => {
                let row = store.object(object.adapter, object.id)?;
                let newer = row.and_then(|row| row.sealed).filter(|newer| {
                    newer.root == sealed.root && newer.version != sealed.version && !newer.wrapped_kek.is_empty()
                });
                match newer {
                    Some(newer) => Ok(vault.open(&object.place(), &newer)?),
                    None => Err(VaultError::Hal(HalError::UnknownRootKey(unknown)).into()),
                }
            }
            result => Ok(result?),
        }
    }

    /// Until when the material of an object that is destroyed now is kept, by the policy of its adapter; `None` where it is not.
    pub(super) fn hold_until(&self) -> Option<i64> {
        let trust = self.engine.parts.trust.current();
        let seconds = trust.adapter(self.principal.adapter).map_or(0, |adapter| adapter.hold_seconds);
        (seconds > 0).then(|| self.now.saturating_add(seconds.into()))
    }

    /// Random bytes for a new key.
    ///
    /// # Errors
    /// The system has none.
    pub(super) fn random(&self, length: usize) -> Result<Zeroizing<Vec<u8>>, OpError> {
        let mut out = Zeroizing::new(vec![0; length]);
        self.engine.parts.vault.random(&mut out)?;
        Ok(out)
    }

    /// The identifiers of the principal's objects that `plan` finds, in the order it asks for: `offset` passed over, `limit` at most.
    ///
    /// # Errors
    /// The store failed.
    pub(super) fn locate(&self, plan: &Plan, offset: u64, limit: u64) -> Result<Vec<ObjectId>, OpError> {
        if plan.nothing || limit == 0 {
            return Ok(Vec::new());
        }
        if let Some(id) = plan.only {
            let found = match self.fetch_id(id) {
                Ok(object) => plan.matches(&object),
                Err(OpError::NotFound) => false,
                Err(error) => return Err(error),
            };
            return Ok(if found && offset == 0 { vec![id] } else { Vec::new() });
        }
        match self.settle_due() {
            Ok(()) => {}
            // The index stays behind the clock until there is room: what the objects themselves say counts.
            Err(OpError::Store(StoreError::DiskFull | StoreError::Overloaded)) => {
                return self.locate_by_looking(&plan.without_states(), offset, limit);
            }
            Err(error) => return Err(error),
        }
        let held_back = self.unit.as_ref().is_some_and(|unit| unit.borrow().objects(self.now).next().is_some());
        if plan.exact && !held_back {
            let search = crate::store::Search { offset, limit, ..plan.search.clone() };
            return Ok(self.engine.parts.store.search(self.principal.adapter, &search)?);
        }
        self.locate_by_looking(plan, offset, limit)
    }

    /// Looks at every object that the index finds, and at those that this batch holds back.
    fn locate_by_looking(&self, plan: &Plan, mut offset: u64, limit: u64) -> Result<Vec<ObjectId>, OpError> {
        let mut found = Vec::new();
        let mut take = |id: ObjectId| {
            if offset > 0 {
                offset -= 1;
            } else {
                found.push(id);
            }
            u64::try_from(found.len()).is_ok_and(|count| count >= limit)
        };
        // Objects that the batch has made are newer than all others; one it has changed is looked at in its new shape.
        let mut held = Vec::new();
        if let Some(unit) = &self.unit {
            for object in unit.borrow().objects(self.now) {
                let object = object?;
                held.push((object.id, plan.matches(&object)));
            }
        }
        if plan.search.newest_first {
            held.reverse();
            if held.iter().filter(|(_, matches)| *matches).any(|(id, _)| take(*id)) {
                return Ok(found);
            }
        }
        let mut search = crate::store::Search { offset: 0, limit: SEARCH_STEP, ..plan.search.clone() };
        'pages: loop {
            let page = self.engine.parts.store.search(self.principal.adapter, &search)?;
            for id in &page {
                let held = held.iter().any(|(other, _)| other == id);
                let matches = match self.fetch_id(*id) {
                    Ok(object) => plan.matches(&object),
                    Err(OpError::NotFound | OpError::CorruptObject) => false,
                    Err(error) => return Err(error),
                };
                if !held && matches && take(*id) {
                    break 'pages;
                }
            }
            if u64::try_from(page.len()).is_ok_and(|count| count < SEARCH_STEP) {
                if !plan.search.newest_first {
                    let _full = held.iter().filter(|(_, matches)| *matches).any(|(id, _)| take(*id));
                }
                break;
            }
            search.after = page.last().copied();
        }
        Ok(found)
    }

    /// Stores the states that the clock has changed, so that the index knows them. A row that is damaged is left to whoever
    /// asks for it by name, and stands in nobody's way.
    fn settle_due(&self) -> Result<(), OpError> {
        let store = &self.engine.parts.store;
        let mut damaged: Vec<ObjectId> = Vec::new();
        loop {
            let limit = SEARCH_STEP.saturating_add(u64::try_from(damaged.len()).unwrap_or(u64::MAX));
            let due = store.due(self.principal.adapter, self.now, limit)?;
            let last = u64::try_from(due.len()).is_ok_and(|count| count < limit);
            let mut settled = Vec::new();
            for row in due.into_iter().filter(|row| !damaged.contains(&row.id)).collect::<Vec<_>>() {
                let id = row.id;
                match ManagedObject::from_row(row, self.now) {
                    Ok(object) => settled.push((id, object.to_row())),
                    Err(_) => damaged.push(id),
                }
            }
            let change = |(_, (row, index)): &(ObjectId, (ObjectRow, IndexEntries))| Change::Update {
                row: row.clone(),
                index: Some(index.clone()),
            };
            // All together first: a page costs one write. Where one stands in the way, each on its own.
            if settled.is_empty() || store.apply(settled.iter().map(change).collect()).is_err() {
                for one in &settled {
                    match store.apply(vec![change(one)]) {
                        // Whoever changed it meanwhile settled it too.
                        Ok(()) | Err(StoreError::Conflict | StoreError::NotFound) => {}
                        Err(StoreError::Damaged) => damaged.push(one.0),
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// The identifier of an object. Only the form that the server writes is one: no second spelling of one object.
pub(super) fn parse_id(text: &str) -> Option<ObjectId> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).map(ObjectId)
}
