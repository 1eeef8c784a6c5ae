//! Adapters: tenants, each under one root key.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Directory, Service, now};
use crate::{
    admin::{
        caller::Caller,
        etag::IfMatch,
        model::{Adapter, AdapterChange, AdapterState, NewAdapter, ObjectCounts, RootKeyReference, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    engine::at_most_active,
    root_keys::AdapterImpact,
    store::{AdapterId, AdapterRow, Loss, ObjectCount, RootKeyState, StoreError},
    text,
};

/// The longest that the material of destroyed objects may be held, in seconds: a year.
const MAX_HOLD_SECONDS: u32 = 366 * 86_400;

impl Service {
    /// Makes an adapter.
    pub(in crate::admin) fn create_adapter(&self, caller: &Caller, new: NewAdapter) -> Result<Adapter, Problem> {
        let id = AdapterId(Uuid::new_v4());
        let may = (Permission::KmipCreate, Scope::Everything);
        let about = Subject {
            adapter: Some(id),
            root_key: Some(new.root_key),
            name: Some(Name::new(&new.name)),
            ..Subject::default()
        };
        self.act(caller, "adapter.create", may, about, |_| {
            check_name(&new.name)?;
            check_description(new.description.as_deref())?;
            let hold_seconds = check_hold(new.hold_seconds.unwrap_or(0))?;
            self.check_root_key(new.root_key)?;
            let at = now();
            let row = AdapterRow {
                id,
                name: new.name,
                description: new.description,
                root_key: new.root_key,
                credential: None,
                created_at: at,
                revision: 1,
                changed_at: at,
                hold_seconds,
            };
            self.store.insert_adapter(row.clone()).map_err(|error| taken(error, &row.name))?;
            self.trust_changed();
            self.adapter_shown(row)
        })
    }

    /// Lists adapters by name.
    pub(in crate::admin) fn list_adapters(&self, caller: &Caller, window: &Window) -> Result<Page<Adapter>, Problem> {
        self.list(caller, "adapter.list", Permission::KmipList, |visible| {
            let directory = self.directory()?;
            let counts: HashMap<_, _> = self.store.counts()?.into_iter().collect();
            let rows = directory.rows.adapters.iter().filter(|row| visible.includes(row.id));
            let Page { items, next_page } = window.cut(rows, |row| row.name.clone());
            let count = |row: &AdapterRow| counts.get(&row.id).copied().unwrap_or_default();
            let items = items.into_iter().map(|row| shown(row.clone(), &directory, count(row))).collect();
            Ok(Page { items, next_page })
        })
    }

    /// Reads an adapter.
    pub(in crate::admin) fn read_adapter(&self, caller: &Caller, id: AdapterId) -> Result<Adapter, Problem> {
        let may = (Permission::KmipRead, Scope::Adapter(id));
        let about = Subject { adapter: Some(id), ..Subject::default() };
        self.act(caller, "adapter.read", may, about, |_| self.adapter_shown(self.find_adapter(id)?))
    }

    /// Changes an adapter's name, description or policy.
    pub(in crate::admin) fn update_adapter(
        &self,
        caller: &Caller,
        id: AdapterId,
        if_match: &IfMatch,
        change: AdapterChange,
    ) -> Result<Adapter, Problem> {
        let may = (Permission::KmipCreate, Scope::Adapter(id));
        let about = Subject { adapter: Some(id), ..Subject::default() };
        self.act(caller, "adapter.update", may, about, |about| {
            let mut row = self.find_adapter(id)?;
            about.name = Some(Name::new(&row.name));
            if_match.check(row.revision)?;
            if let Some(name) = change.name {
                check_name(&name)?;
                row.name = name;
            }
            if let Some(description) = change.description {
                check_description(description.as_deref())?;
                row.description = description;
            }
            if let Some(seconds) = change.hold_seconds {
                let seconds = check_hold(seconds)?;
                if seconds < row.hold_seconds {
                    // Otherwise whoever may destroy keys could also take away what protects them from that.
                    caller.may(Permission::ConfigWrite, Scope::Everything)?;
                }
                row.hold_seconds = seconds;
            }
            row.revision += 1;
            row.changed_at = now();
            self.store.update_adapter(row.clone()).map_err(|error| taken(error, &row.name))?;
            self.trust_changed();
            self.adapter_shown(row)
        })
    }

    /// Deletes an adapter without Active objects. One that has some needs a second person.
    pub(in crate::admin) fn delete_adapter(
        &self,
        caller: &Caller,
        id: AdapterId,
        if_match: &IfMatch,
    ) -> Result<(), Problem> {
        let may = (Permission::KmipDelete, Scope::Adapter(id));
        let about = Subject { adapter: Some(id), ..Subject::default() };
        self.act(caller, "adapter.delete", may, about, |about| {
            let row = self.find_adapter(id)?;
            about.name = Some(Name::new(&row.name));
            if_match.check(row.revision)?;
            let impact = AdapterImpact::of(&self.store, &row, now())?;
            refuse_loss(impact.active_objects, impact.held_objects)?;
            // Its policy protects destroyed keys for a while, and deleting the adapter would end that at once.
            let most = if row.hold_seconds > 0 { 0 } else { u64::MAX };
            let loss = Loss { objects: most, held: 0, in_state: Some(at_most_active(0)) };
            self.remove_adapter(id, row.revision, loss).map_err(|error| match error {
                // It may have become so since it was looked at; then nothing was deleted.
                RemoveError::MoreToLose { active, held } => refuse_loss(active, held).err().unwrap_or_else(|| {
                    let detail = "the adapter has a hold period and has, or had, keys: ask for its deletion with POST /v1/approvals, action \
                                  adapter.delete, which another person decides";
                    Problem::new(Code::ApprovalNeeded, detail).with("active_objects", active)
                }),
                RemoveError::Other(problem) => problem,
            })
        })
    }

    /// Takes an adapter away with all that belongs to it, if that is not more than `loss`. Whoever calls this has seen to
    /// permission and approval.
    pub(in crate::admin) fn remove_adapter(&self, id: AdapterId, revision: u64, loss: Loss) -> Result<(), RemoveError> {
        self.store.delete_adapter(id, revision, loss, now()).map_err(|error| match error {
            StoreError::MoreToLose { in_state, held, .. } => RemoveError::MoreToLose { active: in_state, held },
            error => RemoveError::Other(error.into()),
        })?;
        self.trust_changed();
        self.empty_at_once(id).map_err(RemoveError::Other)
    }

    fn empty_at_once(&self, id: AdapterId) -> Result<(), Problem> {
        // Its objects are erased by the job that erases, which records each of them. Where there never was one, the adapter is
        // gone at once and its name free.
        let count = self.store.count(id)?;
        if count.live == 0 && count.destroyed == 0 {
            match self.store.empty_deleted_adapter(id, 1) {
                // The job was quicker.
                Ok(_) | Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The adapter `id`. Ask for the permission first.
    pub(in crate::admin) fn find_adapter(&self, id: AdapterId) -> Result<AdapterRow, Problem> {
        self.store.adapter(id)?.ok_or_else(|| Problem::not_found("adapter"))
    }

    fn check_root_key(&self, id: Uuid) -> Result<(), Problem> {
        let found = self.store.root_keys()?.into_iter().find(|row| row.id == id);
        let row =
            found.ok_or_else(|| Problem::invalid("root_key", "there is no such root key: list them to find its id"))?;
        match row.state {
            RootKeyState::Active => Ok(()),
            RootKeyState::Suspended => {
                Err(Problem::new(Code::State, "the root key is suspended: resume it first, or choose another"))
            }
            RootKeyState::Destroyed => Err(Problem::new(Code::State, "the root key is destroyed: choose another")),
        }
    }

    fn adapter_shown(&self, row: AdapterRow) -> Result<Adapter, Problem> {
        let count = self.store.count(row.id)?;
        Ok(shown(row, &*self.directory()?, count))
    }
}

fn shown(row: AdapterRow, directory: &Directory, count: ObjectCount) -> Adapter {
    let root_key = directory.rows.root_keys.iter().find(|root| root.id == row.root_key);
    Adapter {
        id: row.id.0,
        state: match root_key.map(|root| root.state) {
            None | Some(RootKeyState::Active) => AdapterState::Active,
            Some(RootKeyState::Suspended) => AdapterState::RootKeySuspended,
            Some(RootKeyState::Destroyed) => AdapterState::RootKeyDestroyed,
        },
        root_key: RootKeyReference { id: row.root_key, label: root_key.map(|root| root.label.clone()) },
        certificates: directory.certificates_of(row.id),
        rules: directory.rules_of(row.id),
        objects: ObjectCounts { live: count.live, destroyed: count.destroyed },
        credential_user: row.credential.map(|credential| credential.username),
        name: row.name,
        description: row.description,
        hold_seconds: row.hold_seconds,
        created_at: shown_time(row.created_at),
        changed_at: shown_time(row.changed_at),
        revision: row.revision,
    }
}

/// Why an adapter is not deleted.
pub(in crate::admin) enum RemoveError {
    /// More would be lost than was agreed.
    MoreToLose {
        /// Active objects at that moment.
        active: u64,
        /// Destroyed ones whose material is held.
        held: u64,
    },
    /// Anything else.
    Other(Problem),
}

/// What one person alone may not have lost.
fn refuse_loss(active: u64, held: u64) -> Result<(), Problem> {
    let ask = "ask for its deletion with POST /v1/approvals, action adapter.delete, which another person decides";
    let detail = match (active, held) {
        (0, 0) => return Ok(()),
        (0, held) => format!(
            "{held} destroyed keys of the adapter are held and could be recovered, which its deletion would end: let their holds end first, or {ask}"
        ),
        (active, _) => {
            format!("the adapter has {active} Active keys or other objects: have them revoked first, or {ask}")
        }
    };
    Err(Problem::new(Code::ApprovalNeeded, detail).with("active_objects", active).with("held_objects", held))
}

fn taken(error: StoreError, name: &str) -> Problem {
    match error {
        StoreError::Duplicate => Problem::new(
            Code::Exists,
            format!("there is an adapter called {name:?}, or one that is still being deleted: choose another name"),
        )
        .with("field", "name"),
        error => error.into(),
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    text::check(name, text::NAME).map_err(|bad| bad.of("name"))
}

fn check_description(description: Option<&str>) -> Result<(), Problem> {
    description.map_or(Ok(()), |text| text::check(text, text::DESCRIPTION).map_err(|bad| bad.of("description")))
}

fn check_hold(seconds: u32) -> Result<u32, Problem> {
    if seconds <= MAX_HOLD_SECONDS {
        return Ok(seconds);
    }
    Err(Problem::invalid("hold_seconds", format_args!("allowed is 0 to {MAX_HOLD_SECONDS}"))
        .with("maximum", MAX_HOLD_SECONDS))
}
