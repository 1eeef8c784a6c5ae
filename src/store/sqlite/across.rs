//! Searches in several adapters at once, newest first, for as long as somebody wants more.
//!
//! Each adapter is searched as [`locate`](super::locate) does, by the rarest condition; what is found is merged by the order
//! of creation. What an adapter costs does not follow from how many objects it has. The other conditions are not left to the
//! statement: of two that are frequent and have no object in common it would walk all of one, and nobody could stop it.

use std::{collections::BinaryHeap, ops::ControlFlow, time::Instant};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Sqlite, changes, listing,
    locate::{Plan, Stream},
};
use crate::store::{AdapterId, Candidate, DateRange, ListedObject, Newest, ObjectId, Search, StoreError, Term};

/// A clock may have been set back by so many seconds since an object was made.
const SLACK: i64 = 3600;

const FIRST_DATED: &str =
    "SELECT object FROM dated WHERE adapter = ?1 AND field = ?2 AND destroyed = ?3 AND seconds >= ?4
    ORDER BY seconds, object LIMIT 1";

const LAST_DATED: &str =
    "SELECT object FROM dated WHERE adapter = ?1 AND field = ?2 AND destroyed = ?3 AND seconds <= ?4
    ORDER BY seconds DESC, object DESC LIMIT 1";

const SELECT_IDS: &str = "SELECT seq FROM object WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC";

const COUNT_TERM: &str = "SELECT count(*) FROM term WHERE adapter = ?1 AND term = ?2";

const HAS_TERM: &str = "SELECT 1 FROM term WHERE adapter = ?1 AND term = ?2 AND destroyed = ?3 AND object = ?4";

const SELECT_PLACE: &str = "SELECT seq, adapter FROM object WHERE id = ?1";

const SELECT_ID: &str = "SELECT id FROM object WHERE seq = ?1";

/// What is asked for in all of this, for the test that looks for an index to each.
#[cfg(test)]
pub(super) const QUERIES: [&str; 7] =
    [FIRST_DATED, LAST_DATED, SELECT_IDS, COUNT_TERM, HAS_TERM, SELECT_PLACE, SELECT_ID];

/// How an adapter is searched.
struct Way<'s> {
    plan: Plan<'s>,
    /// Looked up for each candidate.
    others: Vec<Term>,
}

/// The live or the destroyed objects of an adapter, to be walked in order.
#[derive(Clone, Copy)]
struct Walk {
    way: usize,
    adapter: i64,
    destroyed: bool,
    /// The first and last place in the order of creation that are wanted.
    part: (i64, i64),
}

impl Sqlite {
    pub(in crate::store) fn each_newest(
        &self,
        newest: &Newest,
        mut visit: impl FnMut(Candidate) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut searches = Vec::with_capacity(newest.searches.len());
            for (adapter, search) in &newest.searches {
                let seq = self.seq_of(&snapshot, *adapter)?;
                searches.extend(seq.map(|seq| (seq, search)));
            }
            let before = match newest.after {
                None => i64::MAX,
                Some(after) => match place_of(&snapshot, after, &searches)? {
                    Some(place) => place,
                    None => return Ok(()),
                },
            };
            walk(&snapshot, &searches, newest, before, |seq, is_found| {
                let candidate = match is_found {
                    true => listing::by_place(&snapshot, seq)?.map(Candidate::Found),
                    false => Some(Candidate::PassedOver(id_of(&snapshot, seq)?)),
                };
                Ok(candidate.map_or(ControlFlow::Continue(()), &mut visit))
            })?;
            Ok(snapshot.finish()?)
        })
    }

    pub(in crate::store) fn each_identified(
        &self,
        (first, last): (ObjectId, ObjectId),
        after: Option<ObjectId>,
        mut visit: impl FnMut(ListedObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let last = after.map_or(last, |after| last.min(ObjectId(Uuid::from_u128(after.0.as_u128().saturating_sub(1)))));
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut select = snapshot.prepare_cached(SELECT_IDS)?;
            let mut rows = select.query(params![first.0.as_bytes(), last.0.as_bytes()])?;
            while let Some(row) = rows.next()? {
                if listing::by_place(&snapshot, row.get(0)?)?.is_some_and(|found| visit(found).is_break()) {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(in crate::store) fn count_term(&self, adapter: AdapterId, term: Term) -> Result<u64, StoreError> {
        self.read_of(adapter, 0, |connection, seq| {
            Ok(connection.prepare_cached(COUNT_TERM)?.query_row(params![seq, term.0], |row| row.get(0))?)
        })
    }

    /// The small number of an adapter; `None` where it is not there.
    fn seq_of(&self, connection: &Connection, adapter: AdapterId) -> Result<Option<i64>, StoreError> {
        let known = self.adapters.read().get(&adapter).copied();
        if known.is_some() {
            return Ok(known);
        }
        let found = changes::adapter_seq(connection, adapter)?;
        if let Some(seq) = found {
            self.adapters.write().insert(adapter, seq);
        }
        Ok(found)
    }
}

/// Shows `visit` the places of the candidates, those made last first, and whether they are what is looked for.
fn walk(
    connection: &Connection,
    searches: &[(i64, &Search)],
    newest: &Newest,
    before: i64,
    mut visit: impl FnMut(i64, bool) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let (ways, walks) = prepare(connection, searches, newest, before)?;
    let mut statements = Vec::with_capacity(walks.len());
    for one in walks {
        let Some(way) = ways.get(one.way) else { continue };
        let mut statement = connection.prepare_cached(&way.plan.sql())?;
        way.plan.bind(&mut statement, one.adapter, one.destroyed, one.part)?;
        statements.push((way, one, statement));
    }
    let (mut streams, mut heads) = (Vec::with_capacity(statements.len()), BinaryHeap::new());
    for (way, one, statement) in &mut statements {
        let stream = Stream::start(statement)?;
        heads.extend(stream.head().map(|head| (head, streams.len())));
        streams.push((way, one, stream));
    }
    while let Some((head, number)) = heads.pop() {
        let Some((way, one, stream)) = streams.get_mut(number) else { continue };
        stream.advance()?;
        heads.extend(stream.head().map(|head| (head, number)));
        let is_found = has_all(connection, one, &way.others, head)? && way.plan.accepts(connection, head)?;
        if visit(head, is_found)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// What has to be walked, and how each adapter is searched.
fn prepare<'s>(
    connection: &Connection,
    searches: &[(i64, &'s Search)],
    newest: &Newest,
    before: i64,
) -> Result<(Vec<Way<'s>>, Vec<Walk>), StoreError> {
    let (mut ways, mut walks) = (Vec::with_capacity(searches.len()), Vec::new());
    for (adapter, search) in searches {
        let statuses = statuses(search);
        // Counting costs as much as looking at some hundred objects, in each adapter.
        let mut plan = match newest.hurry_from {
            Some(late) if Instant::now() >= late => Plan::in_a_hurry(search),
            _ => Plan::choose(connection, *adapter, &statuses, search)?,
        };
        let others = plan.take_joined();
        for destroyed in statuses {
            let part = match &newest.made {
                None => Some((i64::MIN, i64::MAX)),
                Some(range) => part_made(connection, *adapter, destroyed, range)?,
            };
            let Some((first, last)) = part else { continue };
            let part = (first, last.min(before.saturating_sub(1)));
            if part.0 <= part.1 && plan.finds_any(connection, *adapter, destroyed)? {
                walks.push(Walk { way: ways.len(), adapter: *adapter, destroyed, part });
            }
        }
        ways.push(Way { plan, others });
    }
    Ok((ways, walks))
}

/// Whether an object has all of `terms`.
fn has_all(connection: &Connection, walk: &Walk, terms: &[Term], object: i64) -> Result<bool, StoreError> {
    if terms.is_empty() {
        return Ok(true);
    }
    let mut look_up = connection.prepare_cached(HAS_TERM)?;
    for term in terms {
        if !look_up.exists(params![walk.adapter, term.0, walk.destroyed, object])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn statuses(search: &Search) -> Vec<bool> {
    let wanted = [(search.live, false), (search.destroyed, true)];
    wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, destroyed)| destroyed).collect()
}

/// The part of the order of creation in which objects of these dates of creation stand, and perhaps some others.
fn part_made(
    connection: &Connection,
    adapter: i64,
    destroyed: bool,
    range: &DateRange,
) -> Result<Option<(i64, i64)>, StoreError> {
    let place = |sql, seconds: i64| -> Result<Option<i64>, StoreError> {
        let mut select = connection.prepare_cached(sql)?;
        Ok(select.query_row(params![adapter, range.field, destroyed, seconds], |row| row.get(0)).optional()?)
    };
    let first = place(FIRST_DATED, range.from.saturating_sub(SLACK))?;
    let last = place(LAST_DATED, range.to.saturating_add(SLACK))?;
    // Those made at the same second stand in any order.
    Ok(first.zip(last).filter(|(first, last)| first <= last))
}

/// The place of an object of one of the adapters. Of another adapter's object nobody learns even that it is there.
fn place_of(connection: &Connection, object: ObjectId, searches: &[(i64, &Search)]) -> Result<Option<i64>, StoreError> {
    let mut select = connection.prepare_cached(SELECT_PLACE)?;
    let found: Option<(i64, i64)> =
        select.query_row([object.0.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let is_searched = |owner: i64| searches.iter().any(|(adapter, _)| *adapter == owner);
    Ok(found.filter(|(_, owner)| is_searched(*owner)).map(|(place, _)| place))
}

fn id_of(connection: &Connection, seq: i64) -> Result<ObjectId, StoreError> {
    let mut select = connection.prepare_cached(SELECT_ID)?;
    Ok(ObjectId(Uuid::from_bytes(select.query_row([seq], |row| row.get(0))?)))
}
