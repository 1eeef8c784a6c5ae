//! Objects as lists for administrators: of one adapter or of several, filtered, in pages, newest first, without any content.
//!
//! The index finds them by the rarest condition. What no index knows, such as a part of a name, is looked for in object after
//! object, so many for one page: a page may be short, or empty, and say where to go on.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use kmip::{
    attributes::AttributeKind,
    enums::{ObjectType, State},
};
use uuid::Uuid;

use super::{state::is_destroyed, summary::Summary, terms};
use crate::store::{AdapterId, Candidate, DateRange, ListedObject, Newest, ObjectId, Search, Store, StoreError, Term};

/// Objects looked at for one page. Past it the page ends, however short it is, and says where to go on.
const MOST_LOOKED_AT: usize = 10_000;
/// How long is looked for one page.
const PATIENCE: Duration = Duration::from_millis(150);
/// After how many objects the clock is looked at.
const BETWEEN_LOOKS: usize = 64;

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
    /// With an identifier in this range.
    pub identifier: Option<IdentifierRange>,
    /// With this attribute.
    pub attribute: Option<WantedAttribute>,
    /// Made at this time or later, in seconds since 1970-01-01 UTC.
    pub created_from: Option<i64>,
    /// Made at this time or earlier.
    pub created_to: Option<i64>,
    /// Not fetched at this time or later, as far as is on record.
    pub unused_since: Option<i64>,
    /// Destroyed, with their material held.
    pub held: bool,
}

/// Identifiers that begin with the same digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifierRange {
    first: ObjectId,
    last: ObjectId,
}

/// An attribute that is text, of the client's own (`x-`) or of the specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedAttribute {
    name: String,
    value: String,
    /// What the index has it under; `None` where it does not have it.
    term: Option<Term>,
}

/// A page of objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Newest first.
    pub objects: Vec<Summary>,
    /// Those among them whose rows are damaged: whether they are meant nobody can tell.
    pub damaged: Vec<ObjectId>,
    /// Where the next page begins; `None` after the last. A page that is not full need not be the last. It is an object of one
    /// of the adapters, or where identifiers are searched any identifier: never an object of another adapter.
    pub next: Option<ObjectId>,
}

impl IdentifierRange {
    /// The identifiers that begin with `text`: hexadecimal digits, with hyphens or without, 32 at most. `None` for anything else.
    #[must_use]
    pub fn beginning(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if text.len() > 36 || digits.is_empty() || digits.len() > 32 || !is_hex {
            return None;
        }
        let of = |filler: &str| {
            let rest = filler.repeat(32 - digits.len());
            u128::from_str_radix(&format!("{digits}{rest}"), 16).ok().map(|number| ObjectId(Uuid::from_u128(number)))
        };
        Some(Self { first: of("0")?, last: of("f")? })
    }

    fn has(&self, id: ObjectId) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

impl WantedAttribute {
    /// The attribute `name` with the value `value`; `None` where there is no such attribute, or its value is no text.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Option<Self> {
        let term = terms::text_term(name, value)?;
        Some(Self { name: name.to_owned(), value: value.to_owned(), term })
    }

    /// What the index does not have is looked for in the object.
    fn is_of(&self, summary: &Summary) -> bool {
        self.term.is_some()
            || summary.attributes.iter().any(|shown| shown.name == self.name && shown.value == self.value)
    }
}

/// The next `limit` objects of `adapters` behind `after` that are as `filter` says at the time `now`.
///
/// # Errors
/// The store failed.
pub fn inventory(
    store: &Store,
    adapters: &[AdapterId],
    filter: &Filter,
    after: Option<ObjectId>,
    limit: usize,
    now: i64,
) -> Result<Page, StoreError> {
    let mut reading = Reading::new(filter, limit, after, now);
    if let Some(IdentifierRange { first, last }) = filter.identifier {
        let adapters: HashSet<_> = adapters.iter().copied().collect();
        store.each_identified((first, last), after, |listed| {
            let next = reading.last.map(|last| between(last, listed.id));
            if adapters.contains(&listed.adapter) {
                reading.read(Candidate::Found(listed), next)
            } else {
                reading.read(Candidate::PassedOver(listed.id), next)
            }
        })?;
    } else {
        let until = reading.until;
        let search = |id: &AdapterId| search(store, *id, filter, now, until).map(|search| (*id, search));
        let searches = adapters.iter().map(search).collect::<Result<_, _>>()?;
        let newest = Newest { searches, made: made(filter), after, hurry_from: Some(until) };
        store.each_newest(&newest, |candidate| {
            let next = reading.last;
            reading.read(candidate, next)
        })?;
    }
    Ok(reading.page)
}

/// One object, whosever it is.
///
/// # Errors
/// The store failed; `Damaged` where the row cannot be read.
pub fn summary(store: &Store, id: ObjectId, now: i64) -> Result<Option<Summary>, StoreError> {
    let Some(listed) = store.listed_object(id)? else { return Ok(None) };
    Summary::of(listed, now).map(Some).ok_or(StoreError::Damaged)
}

/// A page that is being filled.
struct Reading<'f> {
    filter: &'f Filter,
    lowered: Option<String>,
    limit: usize,
    now: i64,
    until: Instant,
    looked_at: usize,
    /// The last object that was looked at.
    last: Option<ObjectId>,
    page: Page,
}

impl<'f> Reading<'f> {
    fn new(filter: &'f Filter, limit: usize, after: Option<ObjectId>, now: i64) -> Self {
        Self {
            filter,
            lowered: filter.name_contains.as_ref().map(|text| text.to_lowercase()),
            limit,
            now,
            until: Instant::now() + PATIENCE,
            looked_at: 0,
            last: after,
            page: Page::default(),
        }
    }

    /// Looks at an object; where it cannot, the next page begins behind `next`.
    fn read(&mut self, candidate: Candidate, next: Option<ObjectId>) -> ControlFlow<()> {
        let (id, found) = match candidate {
            Candidate::Found(listed) => (listed.id, Some(listed)),
            Candidate::PassedOver(id) => (id, None),
        };
        // What is not meant does not tell whether there is another page.
        let full = found.is_some() && self.page.objects.len() + self.page.damaged.len() >= self.limit;
        let late = self.looked_at > 0 && self.looked_at.is_multiple_of(BETWEEN_LOOKS) && Instant::now() >= self.until;
        if full || late || self.looked_at >= MOST_LOOKED_AT {
            // There is at least this one behind the page.
            self.page.next = next;
            return ControlFlow::Break(());
        }
        self.looked_at += 1;
        self.last = Some(id);
        if let Some(listed) = found.filter(|listed| may_be_meant(listed, self.filter)) {
            match Summary::of(listed, self.now) {
                Some(summary) if is_meant(&summary, self.filter, self.lowered.as_deref()) => {
                    self.page.objects.push(summary);
                }
                Some(_) => {}
                None => self.page.damaged.push(id),
            }
        }
        ControlFlow::Continue(())
    }
}

/// The roundest identifier that is greater than `below` and not greater than `last`: it says no more of either than that it
/// lies between them, so whoever may see neither can have it. Nothing else lies between them.
fn between(last: ObjectId, below: ObjectId) -> ObjectId {
    let (last, below) = (last.0.as_u128(), below.0.as_u128());
    let differing = (last ^ below).checked_ilog2().unwrap_or_default();
    ObjectId(Uuid::from_u128(last >> differing << differing))
}

/// What the index can decide. It knows states as they were stored: where the clock has moved one since, it is not asked.
/// After `until` it is not asked either what the clock has moved.
fn search(store: &Store, adapter: AdapterId, filter: &Filter, now: i64, until: Instant) -> Result<Search, StoreError> {
    let mut search = Search { live: true, destroyed: true, newest_first: true, ..Search::default() };
    if let Some(state) = filter.state {
        search.live = !is_destroyed(state);
        search.destroyed = is_destroyed(state);
        if Instant::now() < until && store.due(adapter, now, 1)?.is_empty() {
            search.terms.push(terms::state_term(state));
        }
    }
    if filter.held {
        search.live = false;
    }
    search.terms.extend(filter.object_type.map(terms::object_type_term));
    search.terms.extend(filter.name.as_deref().map(terms::name_term));
    search.terms.extend(filter.attribute.as_ref().and_then(|wanted| wanted.term));
    Ok(search)
}

/// The range of the date of creation. That date grows with the order of creation, so the store only looks where it can be.
fn made(filter: &Filter) -> Option<DateRange> {
    (filter.created_from.is_some() || filter.created_to.is_some()).then(|| DateRange {
        field: AttributeKind::InitialDate.tag().0,
        from: filter.created_from.unwrap_or(i64::MIN),
        to: filter.created_to.unwrap_or(i64::MAX),
    })
}

/// What the row tells without being read.
fn may_be_meant(listed: &ListedObject, filter: &Filter) -> bool {
    (!filter.held || listed.held_until.is_some())
        && filter.identifier.is_none_or(|range| range.has(listed.id))
        && filter.unused_since.is_none_or(|since| listed.seen.is_none_or(|seen| seen.at < since))
}

fn is_meant(summary: &Summary, filter: &Filter, lowered: Option<&str>) -> bool {
    let made = summary.dates.initial;
    filter.state.is_none_or(|state| summary.state == state)
        && filter.object_type.is_none_or(|kind| summary.object_type == kind)
        && filter.created_from.is_none_or(|from| made.is_some_and(|made| made >= from))
        && filter.created_to.is_none_or(|to| made.is_some_and(|made| made <= to))
        && filter.name.as_ref().is_none_or(|wanted| summary.names.contains(wanted))
        && lowered.is_none_or(|text| summary.names.iter().any(|name| name.to_lowercase().contains(text)))
        && filter.attribute.as_ref().is_none_or(|wanted| wanted.is_of(summary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_begin_with_digits() {
        let id = |text: &str| ObjectId(text.parse().unwrap());
        let range = IdentifierRange::beginning("0190-1").unwrap();
        assert_eq!(range.first, id("01901000-0000-0000-0000-000000000000"));
        assert_eq!(range.last, id("01901fff-ffff-ffff-ffff-ffffffffffff"));
        assert!(range.has(id("01901abc-0000-7000-8000-000000000000")));
        assert!(!range.has(id("01902000-0000-0000-0000-000000000000")));
        let whole = "01901ABC-0000-7000-8000-000000000000";
        let range = IdentifierRange::beginning(whole).unwrap();
        assert_eq!((range.first, range.last), (id(whole), id(whole)));
        for bad in ["", "-", "g", "0190 ", "+1", &"0".repeat(33), &"-".repeat(40), "é"] {
            assert_eq!(IdentifierRange::beginning(bad), None, "{bad}");
        }
    }

    #[test]
    fn between_two_identifiers_is_neither_of_them() {
        let id = |text: &str| ObjectId(text.parse().unwrap());
        let last = id("01901abc-1234-7abc-8123-456789abcdef");
        for (below, expected) in [
            ("01901abc-1233-7fff-bfff-ffffffffffff", "01901abc-1234-0000-0000-000000000000"),
            ("01901abc-1234-7abc-8123-456789abc000", "01901abc-1234-7abc-8123-456789abc800"),
            ("01800000-0000-7000-8000-000000000000", "01900000-0000-0000-0000-000000000000"),
        ] {
            assert_eq!(between(last, id(below)), id(expected));
            assert!(id(below) < id(expected) && id(expected) <= last);
        }
    }

    #[test]
    fn what_is_passed_over_counts_as_looked_at_and_does_not_end_a_page() {
        let filter = Filter::default();
        let id = |number: usize| ObjectId(Uuid::from_u128(u128::MAX - number as u128));
        // The clock may end the page before.
        let mut reading = Reading::new(&filter, 0, None, 0);
        let mut looked = 0;
        while reading.read(Candidate::PassedOver(id(looked)), reading.last).is_continue() {
            looked += 1;
        }
        assert!(looked > 0 && looked <= MOST_LOOKED_AT && looked == reading.looked_at, "{looked}");
        assert_eq!(reading.page.next, Some(id(looked - 1)));
    }

    #[test]
    fn attributes_are_wanted_that_are_text() {
        for good in ["x-Identifier", "y-other", "Contact Information", "Object Group"] {
            assert!(WantedAttribute::new(good, "value").is_some_and(|wanted| wanted.term.is_some()), "{good}");
        }
        // Nearly every object has it, so the index does not.
        assert!(WantedAttribute::new("Object Group", "default").is_some_and(|wanted| wanted.term.is_none()));
        for bad in ["", "identifier", "Name", "State", "Cryptographic Length", "Unique Identifier"] {
            assert_eq!(WantedAttribute::new(bad, "value"), None, "{bad}");
        }
    }
}
