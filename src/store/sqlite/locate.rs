//! Searches. Their cost follows from how many objects meet the rarest condition, not from how many are stored.
//!
//! One condition drives: its index rows are walked in the order of creation (a range of dates: sorted into it). The other
//! terms are looked up in their index for each candidate, the other ranges in the entries that stand beside the object.
//! Live and destroyed objects are walked apart and merged. All SQL is put together from the fragments below; values are
//! only ever bound.

use std::{iter, mem};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Rows};
use uuid::Uuid;

use super::entries::Entries;
use crate::store::{DateRange, ObjectId, Search, StoreError, Term};

/// Candidates are counted only so far: first cheaply, then, if every condition has at least so many, once more.
const PROBES: [u64; 2] = [128, 1024];

/// So many terms besides the driving one are looked up in the index; further ones (SQLite joins 64 tables at most) are
/// checked beside the object.
const MAX_JOINED: usize = 32;

const DRIVE_ALL: &str = "SELECT d.seq FROM object AS d";
const DRIVE_TERM: &str = "SELECT d.object FROM term AS d";
const DRIVE_RANGE: &str = "SELECT d.object FROM dated AS d";

const WHERE_ALL: &str = " WHERE d.adapter = ?1 AND d.destroyed = ?2 AND d.seq BETWEEN ?6 AND ?7 ORDER BY d.seq";
const WHERE_TERM: &str = " WHERE d.adapter = ?1 AND d.destroyed = ?2 AND d.term = ?3 \
                          AND d.object BETWEEN ?6 AND ?7 ORDER BY d.object";
const WHERE_RANGE: &str = " WHERE d.adapter = ?1 AND d.destroyed = ?2 AND d.field = ?3 AND d.seconds BETWEEN ?4 AND ?5 \
                           AND d.object BETWEEN ?6 AND ?7 ORDER BY d.object";

const PROBE_TERM: &str = "SELECT count(*) FROM (SELECT 1 FROM term AS d \
                          WHERE d.adapter = ?1 AND d.destroyed = ?2 AND d.term = ?3 LIMIT ?8)";
const PROBE_RANGE: &str = "SELECT count(*) FROM (SELECT 1 FROM dated AS d \
                           WHERE d.adapter = ?1 AND d.destroyed = ?2 AND d.field = ?3 \
                           AND d.seconds BETWEEN ?4 AND ?5 LIMIT ?8)";

/// Parameters 1 to 5 are the adapter, the status and the driving condition, 6 and 7 the part of the order that is wanted;
/// joined terms follow.
const FIRST_JOINED: usize = 8;

/// The identifiers that `search` finds, in the order of creation.
pub(super) fn search(connection: &Connection, adapter: i64, search: &Search) -> Result<Vec<ObjectId>, StoreError> {
    let statuses: &[bool] = match (search.live, search.destroyed) {
        (true, true) => &[false, true],
        (true, false) => &[false],
        (false, true) => &[true],
        (false, false) => return Ok(Vec::new()),
    };
    let plan = Plan::choose(connection, adapter, statuses, search)?;
    let sql = plan.sql();
    let mut statements =
        statuses.iter().map(|_| connection.prepare_cached(&sql)).collect::<Result<Vec<_>, rusqlite::Error>>()?;
    let mut streams = Vec::with_capacity(statuses.len());
    for (statement, destroyed) in iter::zip(&mut statements, statuses) {
        plan.bind(statement, adapter, *destroyed, plan.part)?;
        streams.push(Stream::start(statement)?);
    }
    collect(connection, &plan, &mut streams, search)
}

/// Merges the streams, drops what does not meet the remaining conditions, and takes the wanted part.
fn collect(
    connection: &Connection,
    plan: &Plan<'_>,
    streams: &mut [Stream<'_>],
    search: &Search,
) -> Result<Vec<ObjectId>, StoreError> {
    let mut identify = connection.prepare_cached("SELECT id FROM object WHERE seq = ?1")?;
    let mut found = Vec::new();
    let mut passed_over = 0;
    while u64::try_from(found.len()).unwrap_or(u64::MAX) < search.limit {
        let Some(object) = next(streams, search.newest_first)? else { break };
        if !plan.accepts(connection, object)? {
            continue;
        }
        if passed_over < search.offset {
            passed_over += 1;
            continue;
        }
        found.push(ObjectId(Uuid::from_bytes(identify.query_row([object], |row| row.get(0))?)));
    }
    Ok(found)
}

/// The condition whose index rows are walked.
#[derive(Clone, Copy)]
enum Driver {
    All,
    Term(Term),
    Range(DateRange),
}

/// How a search is done.
pub(super) struct Plan<'s> {
    driver: Driver,
    /// Looked up in the index for each candidate.
    joined: Vec<Term>,
    /// Checked beside the object for each candidate.
    terms: Vec<Term>,
    ranges: Vec<&'s DateRange>,
    newest_first: bool,
    /// The first and last place in the order of creation that are wanted.
    part: (i64, i64),
}

impl<'s> Plan<'s> {
    pub(super) fn choose(
        connection: &Connection,
        adapter: i64,
        statuses: &[bool],
        search: &'s Search,
    ) -> Result<Self, StoreError> {
        let mut terms = search.terms.clone();
        terms.sort_unstable();
        terms.dedup();
        // Terms first: of two conditions equally frequent the term is better, for its rows are in order already.
        let conditions: Vec<Driver> = iter::chain(
            terms.iter().map(|term| Driver::Term(*term)),
            search.ranges.iter().map(|range| Driver::Range(*range)),
        )
        .collect();
        let rarest = rarest(connection, adapter, statuses, &conditions)?;
        let driver = conditions.get(rarest).copied().unwrap_or(Driver::All);

        let without_driver = |position: usize| position != rarest;
        let ranges = search.ranges.iter().enumerate();
        let ranges = ranges.filter(|(n, _)| without_driver(n + terms.len())).map(|(_, range)| range).collect();
        let mut joined: Vec<Term> =
            terms.into_iter().enumerate().filter(|(n, _)| without_driver(*n)).map(|(_, term)| term).collect();
        let terms = joined.split_off(joined.len().min(MAX_JOINED));
        let part = part_after(connection, adapter, search)?;
        Ok(Self { driver, joined, terms, ranges, newest_first: search.newest_first, part })
    }

    /// A search that nobody has counted anything for: its first term drives, if it has any.
    pub(super) fn in_a_hurry(search: &'s Search) -> Self {
        let mut terms = search.terms.iter().copied();
        let driver = terms.next().map_or(Driver::All, Driver::Term);
        let (joined, newest_first, part) = (terms.collect(), search.newest_first, (i64::MIN, i64::MAX));
        Self { driver, joined, terms: Vec::new(), ranges: search.ranges.iter().collect(), newest_first, part }
    }

    /// Takes away the terms that the statement would look up, so that it finds every object that meets the driving condition.
    pub(super) fn take_joined(&mut self) -> Vec<Term> {
        mem::take(&mut self.joined)
    }

    pub(super) fn sql(&self) -> String {
        let (from, condition) = match self.driver {
            Driver::All => (DRIVE_ALL, WHERE_ALL),
            Driver::Term(_) => (DRIVE_TERM, WHERE_TERM),
            Driver::Range(_) => (DRIVE_RANGE, WHERE_RANGE),
        };
        let mut sql = String::from(from);
        for parameter in (FIRST_JOINED..).take(self.joined.len()) {
            // CROSS JOIN keeps SQLite from walking this term instead. The key is complete, so at most one row joins.
            sql += &format!(
                " CROSS JOIN term AS t{parameter} ON t{parameter}.adapter = ?1 AND t{parameter}.destroyed = ?2 \
                 AND t{parameter}.term = ?{parameter} AND t{parameter}.object = d.object"
            );
        }
        // The order is the last thing in every condition.
        sql + condition + if self.newest_first { " DESC" } else { "" }
    }

    pub(super) fn bind(
        &self,
        statement: &mut CachedStatement<'_>,
        adapter: i64,
        destroyed: bool,
        (first, last): (i64, i64),
    ) -> Result<(), StoreError> {
        bind_driver(statement, adapter, destroyed, &self.driver)?;
        statement.raw_bind_parameter(6, first)?;
        statement.raw_bind_parameter(7, last)?;
        for (parameter, term) in (FIRST_JOINED..).zip(&self.joined) {
            statement.raw_bind_parameter(parameter, term.0)?;
        }
        Ok(())
    }

    /// Whether any object of the status meets the condition that drives; where nothing drives, perhaps none does.
    pub(super) fn finds_any(&self, connection: &Connection, adapter: i64, destroyed: bool) -> Result<bool, StoreError> {
        match &self.driver {
            Driver::All => Ok(true),
            driver => Ok(frequency(connection, adapter, &[destroyed], driver, 1)? > 0),
        }
    }

    /// Whether a candidate meets what is checked beside the object.
    pub(super) fn accepts(&self, connection: &Connection, object: i64) -> Result<bool, StoreError> {
        if self.terms.is_empty() && self.ranges.is_empty() {
            return Ok(true);
        }
        let mut describe = connection.prepare_cached("SELECT entries FROM object WHERE seq = ?1")?;
        match describe.query_row([object], |row| row.get(0)).map_err(StoreError::from) {
            Ok(entries) => Ok(self.rest_met_by(&entries)),
            // A damaged object is not found by what it no longer says, and keeps nobody from the others.
            Err(StoreError::Damaged) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rest_met_by(&self, entries: &Entries) -> bool {
        self.terms.iter().all(|term| entries.has(term)) && self.ranges.iter().all(|range| entries.date_in(range))
    }
}

/// The part of the order that comes after where the last page ended; nothing comes after an object that is not there.
fn part_after(connection: &Connection, adapter: i64, search: &Search) -> Result<(i64, i64), StoreError> {
    let Some(ObjectId(id)) = search.after else { return Ok((i64::MIN, i64::MAX)) };
    let mut place = connection.prepare_cached("SELECT seq FROM object WHERE id = ?1 AND adapter = ?2")?;
    let place: Option<i64> = place.query_row((id.as_bytes(), adapter), |row| row.get(0)).optional()?;
    Ok(match place {
        Some(place) if search.newest_first => (i64::MIN, place.saturating_sub(1)),
        Some(place) => (place.saturating_add(1), i64::MAX),
        None => (i64::MAX, i64::MIN),
    })
}

/// The position of the condition that the fewest objects meet, as far as counting so far tells.
fn rarest(
    connection: &Connection,
    adapter: i64,
    statuses: &[bool],
    conditions: &[Driver],
) -> Result<usize, StoreError> {
    let mut rarest = 0;
    if conditions.len() < 2 {
        return Ok(rarest);
    }
    for bound in PROBES {
        let mut fewest = bound;
        for (position, condition) in conditions.iter().enumerate() {
            let count = frequency(connection, adapter, statuses, condition, fewest)?;
            if count < fewest {
                (rarest, fewest) = (position, count);
            }
        }
        if fewest < bound {
            break;
        }
    }
    Ok(rarest)
}

/// How many objects meet `condition`, counted up to `bound`.
fn frequency(
    connection: &Connection,
    adapter: i64,
    statuses: &[bool],
    condition: &Driver,
    bound: u64,
) -> Result<u64, StoreError> {
    let sql = if matches!(condition, Driver::Range(_)) { PROBE_RANGE } else { PROBE_TERM };
    let mut probe = connection.prepare_cached(sql)?;
    let mut count = 0;
    for destroyed in statuses {
        bind_driver(&mut probe, adapter, *destroyed, condition)?;
        probe.raw_bind_parameter(FIRST_JOINED, i64::try_from(bound - count).unwrap_or(i64::MAX))?;
        let mut rows = probe.raw_query();
        count += rows.next()?.map_or(Ok(0), |row| row.get::<_, u64>(0))?;
    }
    Ok(count)
}

fn bind_driver(
    statement: &mut CachedStatement<'_>,
    adapter: i64,
    destroyed: bool,
    driver: &Driver,
) -> Result<(), StoreError> {
    statement.raw_bind_parameter(1, adapter)?;
    statement.raw_bind_parameter(2, destroyed)?;
    match driver {
        Driver::All => {}
        Driver::Term(term) => statement.raw_bind_parameter(3, term.0)?,
        Driver::Range(range) => {
            statement.raw_bind_parameter(3, range.field)?;
            statement.raw_bind_parameter(4, range.from)?;
            statement.raw_bind_parameter(5, range.to)?;
        }
    }
    Ok(())
}

/// The candidates of one status, in the order of creation, each once.
pub(super) struct Stream<'s> {
    rows: Rows<'s>,
    head: Option<i64>,
}

impl<'s> Stream<'s> {
    pub(super) fn start(statement: &'s mut CachedStatement<'_>) -> Result<Self, StoreError> {
        let mut stream = Self { rows: statement.raw_query(), head: None };
        stream.advance()?;
        Ok(stream)
    }

    /// The candidate that it is at; `None` at its end.
    pub(super) fn head(&self) -> Option<i64> {
        self.head
    }

    /// Moves on to the next other candidate: an object with two dates of one field stands twice in a range.
    pub(super) fn advance(&mut self) -> Result<(), StoreError> {
        let last = self.head;
        while self.head == last {
            self.head = self.rows.next()?.map(|row| row.get(0)).transpose()?;
            if self.head.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Takes the oldest candidate of all streams, or the newest.
fn next(streams: &mut [Stream<'_>], newest_first: bool) -> Result<Option<i64>, StoreError> {
    let waiting = streams.iter_mut().filter(|stream| stream.head.is_some());
    let first =
        if newest_first { waiting.max_by_key(|stream| stream.head) } else { waiting.min_by_key(|stream| stream.head) };
    let Some(stream) = first else { return Ok(None) };
    let head = stream.head;
    stream.advance()?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::super::tests::root_row;
    use super::*;
    use crate::store::{
        AdapterId, AdapterRow, Change, DateEntry, IndexEntries, ObjectRow, Store, StoreOptions, sqlite::schema,
    };

    /// A search for live objects, as they are in the store of the test below.
    fn search(terms: &[Term], ranges: &[DateRange]) -> Search {
        Search { terms: terms.to_vec(), ranges: ranges.to_vec(), live: true, limit: 1000, ..Search::default() }
    }

    /// What SQLite does for the search, a line for each step.
    fn steps(connection: &Connection, search: &Search) -> (Driver, String) {
        let plan = Plan::choose(connection, 1, &[false], search).unwrap();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", plan.sql())).unwrap();
        let lines: Vec<String> = explain.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().unwrap();
        (plan.driver, lines.join("\n"))
    }

    #[test]
    fn every_search_walks_an_index_and_the_rarest_condition_drives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystead.db");
        let store = Store::open(&path, StoreOptions::default()).unwrap();
        let adapter = AdapterId(Uuid::now_v7());
        store.insert_root_key(root_row(Uuid::nil(), "root")).unwrap();
        store
            .insert_adapter(AdapterRow {
                id: adapter,
                name: "demo".into(),
                description: None,
                root_key: Uuid::nil(),
                credential: None,
                created_at: 0,
                revision: 1,
                changed_at: 0,
                hold_seconds: 0,
            })
            .unwrap();
        let common = Term([1; 16]);
        let tenth = Term([0; 16]);
        let own = |n: u128| Term((n + 1000).to_be_bytes());
        let changes = (0..10_000).map(|n| Change::Insert {
            row: ObjectRow {
                id: ObjectId(Uuid::now_v7()),
                adapter,
                object_type: 2,
                revision: 1,
                metadata: Vec::new(),
                sealed: None,
                destroyed: false,
                due_at: None,
            },
            index: IndexEntries {
                terms: iter::chain([common, own(n)], (n % 10 == 0).then_some(tenth)).collect(),
                unique: Vec::new(),
                dates: vec![DateEntry { field: 1, seconds: i64::try_from(n).unwrap() }],
            },
        });
        store.apply(changes.collect()).unwrap();

        let connection = schema::open_reader(&path).unwrap();
        let seconds = |from, to| DateRange { field: 1, from, to };
        let rare = own(5000);
        let cases = [
            (search(&[common, rare], &[]), "term", 1),
            (search(&[common, tenth], &[]), "tenth", 1000),
            (search(&[common], &[seconds(17, 19)]), "range", 3),
            (search(&[tenth], &[seconds(0, 5000)]), "tenth", 501),
            (search(&[common, tenth, rare], &[seconds(5000, 5000)]), "term", 1),
            (search(&[common], &[]), "common", 1000),
            (search(&[], &[seconds(17, 19)]), "range", 3),
            (search(&[], &[]), "all", 1000),
        ];
        for (search, expected, hits) in cases {
            let (driver, steps) = steps(&connection, &search);
            let drives = match driver {
                Driver::All => "all",
                Driver::Range(_) => "range",
                Driver::Term(term) if term == common => "common",
                Driver::Term(term) if term == tenth => "tenth",
                Driver::Term(_) => "term",
            };
            assert_eq!(drives, expected, "{search:?}");
            assert!(!steps.contains("SCAN"), "{steps}");
            // Only a range has to be sorted into the order of creation.
            assert_eq!(steps.contains("TEMP B-TREE"), drives == "range", "{steps}");
            assert_eq!(super::search(&connection, 1, &search).unwrap().len(), hits, "{search:?}");
        }
    }

    #[test]
    fn a_term_is_joined_by_its_whole_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keystead.db");
        let _store = Store::open(&path, StoreOptions::default()).unwrap();
        let connection = schema::open_reader(&path).unwrap();
        let (_, steps) = steps(&connection, &search(&[Term([1; 16]), Term([2; 16])], &[]));
        assert!(steps.contains("(adapter=? AND term=? AND destroyed=? AND object>? AND object<?)"), "{steps}");
        assert!(
            steps.contains("SEARCH t8 USING PRIMARY KEY (adapter=? AND term=? AND destroyed=? AND object=?)"),
            "{steps}"
        );
    }
}
