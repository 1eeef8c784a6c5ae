//! Searches, against small sets by hand and against a plain model with many.

use proptest::prelude::*;

use super::*;
use crate::store::DateRange;

fn range(field: u32, from: i64, to: i64) -> DateRange {
    DateRange { field, from, to }
}

fn ids(rows: &[&ObjectRow]) -> Vec<ObjectId> {
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn no_condition_finds_every_object_of_the_adapter_oldest_first() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let rows = [fixture.insert(terms(&[3])), fixture.insert(terms(&[1])), fixture.insert(IndexEntries::default())];
    assert_eq!(fixture.search(&live(&[])), rows.each_ref().map(|row| row.id));
    assert_eq!(fixture.store.search(other, &live(&[])).unwrap(), []);
    assert_eq!(fixture.store.search(AdapterId(Uuid::new_v4()), &live(&[])).unwrap(), []);
}

#[test]
fn terms_are_joined_by_and() {
    let fixture = Fixture::new();
    let both = fixture.insert(terms(&[1, 2]));
    let one = fixture.insert(terms(&[1]));
    assert_eq!(fixture.search(&live(&[1])), ids(&[&both, &one]));
    assert_eq!(fixture.search(&live(&[1, 2])), [both.id]);
    assert_eq!(fixture.search(&live(&[2, 2, 1, 1])), [both.id]);
    assert_eq!(fixture.search(&live(&[1, 2, 3])), []);
}

#[test]
fn terms_of_other_adapters_do_not_count() {
    let fixture = Fixture::new();
    let other = add_adapter(&fixture.store, "other");
    let row = fixture.insert(terms(&[1]));
    fixture.store.apply(vec![Change::Insert { row: new_row(other), index: terms(&[1, 2]) }]).unwrap();
    assert_eq!(fixture.search(&live(&[1])), [row.id]);
    assert_eq!(fixture.search(&live(&[1, 2])), []);
}

#[test]
fn more_terms_than_sqlite_joins_tables_are_all_checked() {
    let fixture = Fixture::new();
    let all: Vec<u64> = (0..200).collect();
    let row = fixture.insert(terms(&all));
    for missing in [0, 100, 199] {
        let rest: Vec<u64> = all.iter().copied().filter(|value| *value != missing).collect();
        fixture.insert(terms(&rest));
    }
    assert_eq!(fixture.search(&live(&all)), [row.id]);
}

#[test]
fn ranges_include_both_ends() {
    let fixture = Fixture::new();
    let row = fixture.insert(dated(1, &[10]));
    let found = |ranges| fixture.search(&Search { ranges, ..live(&[]) });
    for hit in [range(1, 10, 10), range(1, i64::MIN, 10), range(1, 10, i64::MAX), range(1, 9, 11)] {
        assert_eq!(found(vec![hit]), [row.id], "{hit:?}");
    }
    for miss in [range(1, 11, 20), range(1, 0, 9), range(1, 11, 9), range(2, 10, 10)] {
        assert_eq!(found(vec![miss]), [], "{miss:?}");
    }
}

#[test]
fn an_object_with_several_dates_in_a_range_is_found_once_and_in_order() {
    let fixture = Fixture::new();
    let first = fixture.insert(dated(1, &[30, 10, 20, 20]));
    let second = fixture.insert(dated(1, &[5]));
    let search = Search { ranges: vec![range(1, 0, 100)], ..live(&[]) };
    assert_eq!(fixture.search(&search), ids(&[&first, &second]));
    assert_eq!(fixture.search(&Search { offset: 1, ..search }), [second.id]);
}

#[test]
fn ranges_and_terms_are_joined_by_and() {
    let fixture = Fixture::new();
    let with = |values, seconds| IndexEntries { terms: terms(values).terms, ..dated(1, seconds) };
    let hit = fixture.insert(with(&[1], &[10]));
    fixture.insert(with(&[2], &[10]));
    fixture.insert(with(&[1], &[11]));
    assert_eq!(fixture.search(&Search { ranges: vec![range(1, 9, 10)], ..live(&[1]) }), [hit.id]);
    let apart = vec![range(1, 10, 10), range(1, 11, 11)];
    assert_eq!(fixture.search(&Search { ranges: apart, ..live(&[1]) }), []);
}

#[test]
fn live_and_destroyed_objects_are_found_as_asked_for() {
    let fixture = Fixture::new();
    let rows = [0, 1, 2, 3].map(|n| fixture.insert(terms(&[1, n])));
    fixture.update(&destroyed(&rows[0]), None).unwrap();
    fixture.update(&destroyed(&rows[2]), Some(terms(&[1]))).unwrap();
    for values in [&[1][..], &[]] {
        let search = |live_ones, destroyed| fixture.search(&Search { live: live_ones, destroyed, ..live(values) });
        assert_eq!(search(true, false), ids(&[&rows[1], &rows[3]]));
        assert_eq!(search(false, true), ids(&[&rows[0], &rows[2]]));
        assert_eq!(search(true, true), ids(&rows.each_ref()));
        assert_eq!(search(false, false), []);
    }
    let page = Search { destroyed: true, offset: 1, limit: 2, ..live(&[1]) };
    assert_eq!(fixture.search(&page), ids(&[&rows[1], &rows[2]]));
}

#[test]
fn offset_and_limit_cut_a_page_out_of_a_stable_order() {
    let fixture = Fixture::new();
    let rows: Vec<ObjectId> = (0..20).map(|_| fixture.insert(terms(&[1])).id).collect();
    for values in [&[1][..], &[]] {
        let page = |offset, limit| fixture.search(&Search { offset, limit, ..live(values) });
        assert_eq!(page(0, 20), rows);
        assert_eq!(page(5, 3), rows[5..8]);
        assert_eq!(page(19, 5), rows[19..]);
        assert_eq!(page(20, 5), []);
        assert_eq!(page(0, 0), []);
        assert_eq!(page(u64::MAX, u64::MAX), []);
        assert_eq!(page(1, u64::MAX), rows[1..]);
    }
}

/// What the model knows of one object.
#[derive(Clone, Debug)]
struct Sample {
    terms: Vec<u64>,
    dates: Vec<(u32, i64)>,
    destroyed: bool,
}

impl Sample {
    fn index(&self) -> IndexEntries {
        let dates = self.dates.iter().map(|(field, seconds)| DateEntry { field: *field, seconds: *seconds }).collect();
        IndexEntries { dates, ..terms(&self.terms) }
    }

    fn meets(&self, search: &Search) -> bool {
        let has = |wanted: &Term| self.terms.iter().any(|value| term(*value) == *wanted);
        let falls_in = |range: &DateRange| {
            self.dates.iter().any(|(field, at)| *field == range.field && (range.from..=range.to).contains(at))
        };
        let status = if self.destroyed { search.destroyed } else { search.live };
        status && search.terms.iter().all(has) && search.ranges.iter().all(falls_in)
    }
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample =
        (prop::collection::vec(0..6_u64, 0..6), prop::collection::vec((0..2_u32, 0..10_i64), 0..4), any::<bool>());
    prop::collection::vec(sample.prop_map(|(terms, dates, destroyed)| Sample { terms, dates, destroyed }), 0..40)
}

fn searches() -> impl Strategy<Value = Search> {
    let ranges = prop::collection::vec((0..2_u32, 0..10_i64, 0..10_i64), 0..3);
    (prop::collection::vec(0..6_u64, 0..4), ranges, any::<(bool, bool, bool)>(), 0..10_u64, 0..20_u64).prop_map(
        |(terms, ranges, (live, destroyed, newest_first), offset, limit)| Search {
            terms: terms.into_iter().map(term).collect(),
            ranges: ranges.into_iter().map(|(field, from, to)| range(field, from, to)).collect(),
            live,
            destroyed,
            newest_first,
            after: None,
            offset,
            limit,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_search_finds_what_a_plain_filter_finds(
        before in samples(),
        after in samples(),
        searches in prop::collection::vec(searches(), 20),
    ) {
        let fixture = Fixture::new();
        let mut samples = before;
        let rows: Vec<ObjectRow> = samples.iter().map(|sample| {
            let row = ObjectRow { destroyed: sample.destroyed, ..new_row(fixture.adapter) };
            fixture.store.apply(vec![Change::Insert { row: row.clone(), index: sample.index() }]).unwrap();
            row
        }).collect();
        // Some objects change to something else altogether.
        for ((row, sample), changed) in rows.iter().zip(&mut samples).zip(after) {
            *sample = changed;
            fixture.update(&ObjectRow { destroyed: sample.destroyed, ..next(row) }, Some(sample.index())).unwrap();
        }
        for search in searches {
            let mut met: Vec<ObjectId> =
                rows.iter().zip(&samples).filter(|(_, sample)| sample.meets(&search)).map(|(row, _)| row.id).collect();
            if search.newest_first {
                met.reverse();
            }
            let expected: Vec<ObjectId> = met.into_iter()
                .skip(usize::try_from(search.offset).unwrap())
                .take(usize::try_from(search.limit).unwrap())
                .collect();
            prop_assert_eq!(fixture.search(&search), expected, "{:?}", search);
        }
    }
}
