//! What finds an object: the rows it has in the index tables, and the same kept beside the object.
//!
//! The copy beside the object makes an update write only what differs, without an index from objects to terms, and lets a
//! search check an object's dates in one read.

use rusqlite::{
    Connection, ToSql, params,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};

use crate::store::{DateEntry, DateRange, IndexEntries, StoreError, Term};

/// Index entries, sorted and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    terms: Vec<Term>,
    unique: Vec<Term>,
    /// Field and seconds.
    dates: Vec<(u32, i64)>,
}

/// Where an object's entries stand in the index tables.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) adapter: i64,
    pub(super) object: i64,
    pub(super) destroyed: bool,
}

impl From<&IndexEntries> for Entries {
    fn from(entries: &IndexEntries) -> Self {
        Self {
            terms: sorted(entries.terms.clone()),
            unique: sorted(entries.unique.clone()),
            dates: sorted(entries.dates.iter().map(|DateEntry { field, seconds }| (*field, *seconds)).collect()),
        }
    }
}

impl Entries {
    /// Writes the index rows of a new object.
    pub(super) fn insert(&self, connection: &Connection, place: Place) -> Result<(), StoreError> {
        if !place.destroyed {
            claim(connection, place, self.unique.iter())?;
        }
        insert_terms(connection, place, self.terms.iter())?;
        insert_dates(connection, place, self.dates.iter())
    }

    /// Replaces `old` at `was` by these entries at `place`. Both places are the same object's.
    pub(super) fn replace(
        &self,
        connection: &Connection,
        old: &Self,
        was: Place,
        place: Place,
    ) -> Result<(), StoreError> {
        let moved = was.destroyed != place.destroyed;
        let none = Self::default();
        // Where the object moves between live and destroyed, every row has another key and none can stay.
        let (kept_of_old, kept_of_new) = if moved { (&none, &none) } else { (self, old) };
        let held: &[Term] = if was.destroyed { &[] } else { &old.unique };
        let wanted: &[Term] = if place.destroyed { &[] } else { &self.unique };

        release(connection, was, without(held, wanted))?;
        delete_terms(connection, was, without(&old.terms, &kept_of_old.terms))?;
        delete_dates(connection, was, without(&old.dates, &kept_of_old.dates))?;
        claim(connection, place, without(wanted, held))?;
        insert_terms(connection, place, without(&self.terms, &kept_of_new.terms))?;
        insert_dates(connection, place, without(&self.dates, &kept_of_new.dates))
    }

    /// Whether `term` is among the terms.
    pub(super) fn has(&self, term: &Term) -> bool {
        self.terms.binary_search(term).is_ok()
    }

    /// Whether one of the dates falls in `range`.
    pub(super) fn date_in(&self, range: &DateRange) -> bool {
        self.dates.iter().any(|(field, seconds)| *field == range.field && (range.from..=range.to).contains(seconds))
    }

    /// Three counts, then what they count, each number as little-endian bytes.
    fn encode(&self) -> Vec<u8> {
        let counts = [self.terms.len(), self.unique.len(), self.dates.len()];
        let mut bytes = Vec::with_capacity(12 + 16 * (counts[0] + counts[1]) + 12 * counts[2]);
        for count in counts {
            // A count that does not fit could not have been held in memory; it would be refused when it is read.
            bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        for term in self.terms.iter().chain(&self.unique) {
            bytes.extend(term.0);
        }
        for (field, seconds) in &self.dates {
            bytes.extend(field.to_le_bytes());
            bytes.extend(seconds.to_le_bytes());
        }
        bytes
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let (terms, unique, dates) = (take_count(rest)?, take_count(rest)?, take_count(rest)?);
        let entries = Self {
            terms: (0..terms).map(|_| take(rest).map(Term)).collect::<Option<_>>()?,
            unique: (0..unique).map(|_| take(rest).map(Term)).collect::<Option<_>>()?,
            dates: (0..dates).map(|_| take_date(rest)).collect::<Option<_>>()?,
        };
        rest.is_empty().then_some(entries)
    }
}

impl ToSql for Entries {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.encode()))
    }
}

impl FromSql for Entries {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::decode(value.as_blob()?).ok_or(FromSqlError::InvalidType)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_count(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_date(bytes: &mut &[u8]) -> Option<(u32, i64)> {
    Some((u32::from_le_bytes(take(bytes)?), i64::from_le_bytes(take(bytes)?)))
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort_unstable();
    values.dedup();
    values
}

/// The values of `all` that sorted `kept` lacks.
fn without<'a, T: Ord>(all: &'a [T], kept: &'a [T]) -> impl Iterator<Item = &'a T> {
    all.iter().filter(|value| kept.binary_search(value).is_err())
}

fn claim<'a>(connection: &Connection, place: Place, terms: impl Iterator<Item = &'a Term>) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO unique_term (adapter, term, object) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    for term in terms {
        if insert.execute(params![place.adapter, term.0, place.object])? == 0 {
            return Err(StoreError::Duplicate);
        }
    }
    Ok(())
}

fn release<'a>(connection: &Connection, place: Place, terms: impl Iterator<Item = &'a Term>) -> Result<(), StoreError> {
    let mut delete =
        connection.prepare_cached("DELETE FROM unique_term WHERE adapter = ?1 AND term = ?2 AND object = ?3")?;
    for term in terms {
        delete.execute(params![place.adapter, term.0, place.object])?;
    }
    Ok(())
}

fn insert_terms<'a>(
    connection: &Connection,
    place: Place,
    terms: impl Iterator<Item = &'a Term>,
) -> Result<(), StoreError> {
    let mut insert =
        connection.prepare_cached("INSERT INTO term (adapter, term, destroyed, object) VALUES (?1, ?2, ?3, ?4)")?;
    for term in terms {
        insert.execute(params![place.adapter, term.0, place.destroyed, place.object])?;
    }
    Ok(())
}

fn delete_terms<'a>(
    connection: &Connection,
    place: Place,
    terms: impl Iterator<Item = &'a Term>,
) -> Result<(), StoreError> {
    let mut delete = connection
        .prepare_cached("DELETE FROM term WHERE adapter = ?1 AND term = ?2 AND destroyed = ?3 AND object = ?4")?;
    for term in terms {
        delete.execute(params![place.adapter, term.0, place.destroyed, place.object])?;
    }
    Ok(())
}

fn insert_dates<'a>(
    connection: &Connection,
    place: Place,
    dates: impl Iterator<Item = &'a (u32, i64)>,
) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO dated (adapter, field, destroyed, seconds, object) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (field, seconds) in dates {
        insert.execute(params![place.adapter, field, place.destroyed, seconds, place.object])?;
    }
    Ok(())
}

fn delete_dates<'a>(
    connection: &Connection,
    place: Place,
    dates: impl Iterator<Item = &'a (u32, i64)>,
) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM dated WHERE adapter = ?1 AND field = ?2 AND destroyed = ?3 AND seconds = ?4 AND object = ?5",
    )?;
    for (field, seconds) in dates {
        delete.execute(params![place.adapter, field, place.destroyed, seconds, place.object])?;
    }
    Ok(())
}
