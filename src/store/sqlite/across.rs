//! Searches in several adapters at once, newest first, for as long as somebody wants more.
//!
//! Each adapter is searched as [`locate`](super::locate) does, by the rarest condition; what is found is merged by the order
//! of creation. What an adapter costs does not follow from how many objects it has.

use std::{collections::BinaryHeap, ops::ControlFlow};

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{
    Sqlite, changes, listing,
    locate::{Plan, Stream},
};
use crate::store::{AdapterId, DateRange, ListedObject, Newest, ObjectId, Search, StoreError, Term};

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

/// What is asked for in all of this, for the test that looks for an index to each.
#[cfg(test)]
pub(super) const QUERIES: [&str; 4] = [FIRST_DATED, LAST_DATED, SELECT_IDS, COUNT_TERM];

/// The live or the destroyed objects of an adapter, to be walked in order.
struct Walk {
    plan: usize,
    adapter: i64,
    destroyed: bool,
    /// The first and last place in the order of creation that are wanted.
    part: (i64, i64),
}

impl Sqlite {
    pub(in crate::store) fn each_newest(
        &self,
        newest: &Newest,
        mut visit: impl FnMut(ListedObject) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.readers.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let before = match newest.after {
                None => i64::MAX,
                Some(after) => match place_of(&snapshot, after)? {
                    Some(place) => place,
                    None => return Ok(()),
                },
            };
            let mut searches = Vec::with_capacity(newest.searches.len());
            for (adapter, search) in &newest.searches {
                let seq = self.seq_of(&snapshot, *adapter)?;
                searches.extend(seq.map(|seq| (seq, search)));
            }
            walk(&snapshot, &searches, newest.made.as_ref(), before, |seq| {
                Ok(listing::by_place(&snapshot, seq)?.map_or(ControlFlow::Continue(()), &mut visit))
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

/// Shows `visit` the places of the objects that are found, those made last first.
fn walk(
    connection: &Connection,
    searches: &[(i64, &Search)],
    made: Option<&DateRange>,
    before: i64,
    mut visit: impl FnMut(i64) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let (mut plans, mut walks) = (Vec::with_capacity(searches.len()), Vec::new());
    for (adapter, search) in searches {
        let statuses = statuses(search);
        let plan = Plan::choose(connection, *adapter, &statuses, search)?;
        for destroyed in statuses {
            let part = match made {
                None => Some((i64::MIN, i64::MAX)),
                Some(range) => part_made(connection, *adapter, destroyed, range)?,
            };
            let Some((first, last)) = part else { continue };
            let part = (first, last.min(before.saturating_sub(1)));
            if part.0 <= part.1 && plan.finds_any(connection, *adapter, destroyed)? {
                walks.push(Walk { plan: plans.len(), adapter: *adapter, destroyed, part });
            }
        }
        plans.push(plan);
    }
    let mut statements = Vec::with_capacity(walks.len());
    for one in &walks {
        let Some(plan) = plans.get(one.plan) else { continue };
        let mut statement = connection.prepare_cached(&plan.sql())?;
        plan.bind(&mut statement, one.adapter, one.destroyed, one.part)?;
        statements.push((plan, statement));
    }
    let (mut streams, mut heads) = (Vec::with_capacity(statements.len()), BinaryHeap::new());
    for (plan, statement) in &mut statements {
        let stream = Stream::start(statement)?;
        heads.extend(stream.head().map(|head| (head, streams.len())));
        streams.push((plan, stream));
    }
    while let Some((head, number)) = heads.pop() {
        let Some((plan, stream)) = streams.get_mut(number) else { continue };
        stream.advance()?;
        heads.extend(stream.head().map(|head| (head, number)));
        if plan.accepts(connection, head)? && visit(head)?.is_break() {
            break;
        }
    }
    Ok(())
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

fn place_of(connection: &Connection, object: ObjectId) -> Result<Option<i64>, StoreError> {
    let mut select = connection.prepare_cached("SELECT seq FROM object WHERE id = ?1")?;
    Ok(select.query_row([object.0.as_bytes()], |row| row.get(0)).optional()?)
}
