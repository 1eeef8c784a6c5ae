//! Managed objects as administrators see them, and what they may do to them: destroy, and recover while material is held.
//!
//! Key material is out of reach of everything here: the engine hands out summaries, which are made of public metadata.

use uuid::Uuid;

use super::{Service, about, now};
use crate::{
    admin::{
        caller::Caller,
        etag::IfMatch,
        model::{ManagedObject, ObjectAttribute, ObjectDates, ObjectUse, SealedUnder, shown_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
        turns::Turn,
    },
    audit::Subject,
    engine::{self, Dates, Filter, RecoverError, Removal, RemovalError, Summary},
    store::{AdapterId, ObjectId, StoreError},
    text,
};

/// Characters of a name or attribute that are shown.
const SHOWN_CHARS: usize = 4096;

impl Service {
    /// Lists the objects of an adapter, newest first.
    pub(in crate::admin) fn list_objects(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        filter: &Filter,
        window: &Window,
    ) -> Result<Page<ManagedObject>, Problem> {
        let may = (Permission::KmipList, Scope::Adapter(adapter));
        self.act(caller, "object.list", may, about(adapter), |_| {
            self.find_adapter(adapter)?;
            self.objects_of(&[adapter], filter, window)
        })
    }

    /// Lists the objects of all adapters that the caller may see, newest first.
    pub(in crate::admin) fn search_objects(
        &self,
        caller: &Caller,
        filter: &Filter,
        window: &Window,
        turn: Turn,
    ) -> Result<Page<ManagedObject>, Problem> {
        self.list(caller, "object.search", Permission::KmipList, |visible| {
            let _turn = turn?;
            let directory = self.directory()?;
            let adapters = directory.rows.adapters.iter().map(|row| row.id).filter(|id| visible.includes(*id));
            let adapters: Vec<_> = adapters.collect();
            self.objects_of(&adapters, filter, window)
        })
    }

    fn objects_of(
        &self,
        adapters: &[AdapterId],
        filter: &Filter,
        window: &Window,
    ) -> Result<Page<ManagedObject>, Problem> {
        let after = window.after.as_deref().map(|after| {
            let id = Uuid::try_parse(after).map(ObjectId);
            id.map_err(|_| Problem::new(Code::Malformed, "page: not a page of this list").with("field", "page"))
        });
        let found = engine::inventory(&self.store, adapters, filter, after.transpose()?, window.limit, now())?;
        for damaged in &found.damaged {
            tracing::error!(object = %damaged.0, "the stored object is damaged");
        }
        let next_page = found.next.map(|next| window.token(&next.0.to_string()));
        Ok(Page { items: found.objects.into_iter().map(shown).collect(), next_page })
    }

    /// Reads an object.
    pub(in crate::admin) fn read_object(&self, caller: &Caller, id: ObjectId) -> Result<ManagedObject, Problem> {
        self.act_on(caller, "object.read", Permission::KmipRead, id, |summary| Ok(shown(summary)))
    }

    /// Destroys an object that is not in use.
    pub(in crate::admin) fn destroy_object(
        &self,
        caller: &Caller,
        id: ObjectId,
        if_match: &IfMatch,
    ) -> Result<ManagedObject, Problem> {
        self.act_on(caller, "object.destroy", Permission::KmipDelete, id, |summary| {
            let hold_seconds = self.find_adapter(summary.adapter)?.hold_seconds;
            let removal = Removal { object: id, hold_seconds, force: false };
            let is_meant = |revision| if_match.check(revision).is_ok();
            let destroyed = engine::remove(&self.store, removal, is_meant, now()).map_err(|error| match error {
                RemovalError::NotFound => Problem::not_found("object"),
                RemovalError::Changed => Problem::stale(),
                RemovalError::Destroyed => Problem::new(Code::State, "the object is destroyed already"),
                RemovalError::Active => Problem::new(
                    Code::ApprovalNeeded,
                    "the object is Active, so clients may need it: have its client revoke it, or ask for an approval of its \
                     destruction with POST /v1/approvals, which another person decides",
                ),
                RemovalError::Store(error) => error.into(),
            })?;
            Ok(shown(destroyed))
        })
    }

    /// Makes an object whose material is held what it was before it was destroyed.
    pub(in crate::admin) fn recover_object(
        &self,
        caller: &Caller,
        id: ObjectId,
        if_match: &IfMatch,
    ) -> Result<ManagedObject, Problem> {
        self.act_on(caller, "object.recover", Permission::KmipCreate, id, |summary| {
            if_match.check(summary.revision)?;
            engine::recover(&self.store, id, now()).map(shown).map_err(|error| match error {
                RecoverError::Store(StoreError::NotFound) => Problem::not_found("object"),
                RecoverError::Store(error) => error.into(),
                RecoverError::NameTaken => Problem::new(Code::Exists, error.to_string()),
                error => Problem::new(Code::State, error.to_string()),
            })
        })
    }

    /// Does `work` to an object, whose adapter decides whether the caller may. What the caller may not know of is not there.
    pub(super) fn act_on<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        permission: Permission,
        id: ObjectId,
        work: impl FnOnce(Summary) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.record(caller, action, permission, Subject { object: Some(id), ..Subject::default() }, |about| {
            // Whoever may do it to no object at all learns nothing of this one.
            let visible = caller.sees(permission)?;
            let missing = || Problem::not_found("object");
            let summary = engine::summary(&self.store, id, now())?.ok_or_else(missing)?;
            // The objects of a deleted adapter are destroyed, or about to be.
            self.find_adapter(summary.adapter).map_err(|_| missing())?;
            if !visible.includes(summary.adapter) {
                let in_sight = caller.may(Permission::KmipRead, Scope::Adapter(summary.adapter)).is_ok();
                return Err(if in_sight { Problem::forbidden(permission) } else { missing() });
            }
            about.adapter = Some(summary.adapter);
            self.record_beginning(caller, action, about)?;
            work(summary)
        })
    }
}

fn shown(summary: Summary) -> ManagedObject {
    let clean = |text: &String| text::shown(text, SHOWN_CHARS);
    ManagedObject {
        id: summary.id.0,
        adapter: summary.adapter.0,
        object_type: summary.object_type.name().to_owned(),
        state: summary.state.name().to_owned(),
        names: summary.names.iter().map(clean).collect(),
        algorithm: summary.algorithm.map(|algorithm| algorithm.name().to_owned()),
        length_bits: summary.length_bits,
        dates: dates(summary.dates),
        fetched: summary.fetched,
        last_use: summary
            .last_use
            .map(|seen| ObjectUse { at: shown_time(seen.at), certificate: seen.certificate.to_string() }),
        held_until: summary.held_until.map(shown_time),
        sealed_under: summary.sealed_under.map(|(root_key, version)| SealedUnder { root_key, version }),
        attributes: summary
            .attributes
            .iter()
            .map(|attribute| ObjectAttribute {
                name: clean(&attribute.name),
                index: attribute.index,
                value: clean(&attribute.value),
            })
            .collect(),
        revision: summary.revision,
    }
}

fn dates(dates: Dates) -> ObjectDates {
    let shown = |date: Option<i64>| date.map(shown_time);
    ObjectDates {
        initial: shown(dates.initial),
        activation: shown(dates.activation),
        process_start: shown(dates.process_start),
        protect_stop: shown(dates.protect_stop),
        deactivation: shown(dates.deactivation),
        destroy: shown(dates.destroy),
        compromise_occurrence: shown(dates.compromise_occurrence),
        compromise: shown(dates.compromise),
        last_change: shown(dates.last_change),
        original_creation: shown(dates.original_creation),
    }
}
