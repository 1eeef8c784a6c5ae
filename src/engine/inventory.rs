//! The objects of an adapter as lists for administrators: filtered, in pages, newest first, without any content.

use kmip::{
    attributes::AttributeKind,
    enums::{ObjectType, State},
};

use super::{state::is_destroyed, summary::Summary, terms};
use crate::store::{AdapterId, DateRange, ListedObject, ObjectId, Search, Store, StoreError};

/// Objects read from the store in one step.
const STEP: u64 = 256;
/// Objects looked at for one page. Past it the page ends, however short it is, and says where to go on.
const MOST_LOOKED_AT: u64 = 10_000;

/// Which objects. Conditions are joined by AND; none at all finds every object.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state, by the clock.
    pub state: Option<State>,
    /// Of this type.
    pub object_type: Option<ObjectType>,
    /// With exactly this name.
    pub name: Option<String>,
    /// With this text in one of its names, whatever the case.
    pub name_contains: Option<String>,
    /// Made at this time or later, in seconds since 1970-01-01 UTC.
    pub created_from: Option<i64>,
    /// Made at this time or earlier.
    pub created_to: Option<i64>,
    /// Not fetched at this time or later, as far as is on record.
    pub unused_since: Option<i64>,
    /// Destroyed, with their material held.
    pub held: bool,
}

/// A page of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Newest first.
    pub objects: Vec<Summary>,
    /// Those among them whose rows are damaged: whether they are meant nobody can tell.
    pub damaged: Vec<ObjectId>,
    /// Where the next page begins; `None` after the last. A page that is not full need not be the last.
    pub next: Option<ObjectId>,
}

/// The next `limit` objects of `adapter` behind `after` that are as `filter` says at the time `now`.
///
/// # Errors
/// The store failed.
pub fn inventory(
    store: &Store,
    adapter: AdapterId,
    filter: &Filter,
    after: Option<ObjectId>,
    limit: usize,
    now: i64,
) -> Result<Page, StoreError> {
    let mut search = search(store, adapter, filter, now)?;
    search.after = after;
    let lowered = filter.name_contains.as_ref().map(|text| text.to_lowercase());
    let (mut page, mut looked_at) = (Page::default(), 0);
    loop {
        let step = store.objects_page(adapter, &search)?;
        let whole = u64::try_from(step.len()).is_ok_and(|read| read >= STEP);
        for listed in step {
            let id = listed.id;
            if page.objects.len() + page.damaged.len() >= limit || looked_at >= MOST_LOOKED_AT {
                // There is at least this one behind the page.
                page.next = search.after;
                return Ok(page);
            }
            looked_at += 1;
            search.after = Some(id);
            if !may_be_meant(&listed, filter) {
                continue;
            }
            match Summary::of(listed, now) {
                Some(summary) if is_meant(&summary, filter, lowered.as_deref()) => page.objects.push(summary),
                Some(_) => {}
                None => page.damaged.push(id),
            }
        }
        if !whole {
            return Ok(page);
        }
    }
}

/// One object, whosever it is.
///
/// # Errors
/// The store failed; `Damaged` where the row cannot be read.
pub fn summary(store: &Store, id: ObjectId, now: i64) -> Result<Option<Summary>, StoreError> {
    let Some(listed) = store.listed_object(id)? else { return Ok(None) };
    Summary::of(listed, now).map(Some).ok_or(StoreError::Damaged)
}

/// What the index can decide. It knows states as they were stored: where the clock has moved one since, it is not asked.
fn search(store: &Store, adapter: AdapterId, filter: &Filter, now: i64) -> Result<Search, StoreError> {
    let mut search = Search { live: true, destroyed: true, newest_first: true, limit: STEP, ..Search::default() };
    if let Some(state) = filter.state {
        search.live = !is_destroyed(state);
        search.destroyed = is_destroyed(state);
        if store.due(adapter, now, 1)?.is_empty() {
            search.terms.push(terms::state_term(state));
        }
    }
    if filter.held {
        search.live = false;
    }
    search.terms.extend(filter.object_type.map(terms::object_type_term));
    search.terms.extend(filter.name.as_deref().map(terms::name_term));
    if filter.created_from.is_some() || filter.created_to.is_some() {
        search.ranges.push(DateRange {
            field: AttributeKind::InitialDate.tag().0,
            from: filter.created_from.unwrap_or(i64::MIN),
            to: filter.created_to.unwrap_or(i64::MAX),
        });
    }
    Ok(search)
}

/// What the row tells without being read.
fn may_be_meant(listed: &ListedObject, filter: &Filter) -> bool {
    (!filter.held || listed.held_until.is_some())
        && filter.unused_since.is_none_or(|since| listed.seen.is_none_or(|seen| seen.at < since))
}

fn is_meant(summary: &Summary, filter: &Filter, lowered: Option<&str>) -> bool {
    filter.state.is_none_or(|state| summary.state == state)
        && lowered.is_none_or(|text| summary.names.iter().any(|name| name.to_lowercase().contains(text)))
}
