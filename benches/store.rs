//! How fast the store is: durable inserts by sixteen callers, reads by identifier, searches.
//!
//! `cargo bench --bench store` measures with 1,000 and 100,000 objects; `-- 10000` with that many instead. Each number is
//! one run on a new database in the system's directory for temporary files. Processor time (of callers, writer and system
//! calls together) is given beside the time that passed, for it hardly depends on what else the machine does.

#![expect(clippy::indexing_slicing, reason = "a benchmark may end by a panic")]

use std::{
    error::Error,
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use keystead::store::{
    AdapterId, AdapterRow, Change, DateEntry, DateRange, IndexEntries, ObjectId, ObjectRow, RootKeyRow, RootKeyState,
    SealedRow, Search, Store, StoreError, StoreOptions, Term,
};
use uuid::Uuid;

const CALLERS: usize = 16;

const ROOT: Uuid = Uuid::from_u128(1);

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000, 100_000] } else { sizes };
    sizes.into_iter().try_for_each(measure)
}

fn measure(objects: usize) -> Outcome {
    let directory = tempfile::tempdir()?;
    let store = Store::open(&directory.path().join("keystead.db"), StoreOptions::default())?;
    let adapter = AdapterId(Uuid::now_v7());
    store.insert_root_key(RootKeyRow {
        id: ROOT,
        label: "bench".into(),
        state: RootKeyState::Active,
        current_version: 1,
        created_at: 0,
        changed_at: 0,
        destroyed_at: None,
        destruction: None,
        certificate: None,
        versions: Vec::new(),
    })?;
    store.insert_adapter(AdapterRow {
        id: adapter,
        name: "bench".into(),
        description: None,
        root_key: ROOT,
        credential: None,
        created_at: 0,
        revision: 1,
        changed_at: 0,
        hold_seconds: 0,
    })?;
    let ids: Vec<ObjectId> = (0..objects).map(|_| ObjectId(Uuid::now_v7())).collect();

    let inserting = in_parallel(objects, |n| store.apply(vec![insert(adapter, ids[n], n)]))?;
    report("inserts", objects, objects, inserting);

    let reads = 200_000;
    let reading = in_parallel(reads, |n| store.object(adapter, ids[n * 7919 % objects]).map(drop))?;
    report("reads, 16 callers", objects, reads, reading);

    let alone = Started::now();
    for n in 0..50_000 {
        store.object(adapter, ids[n * 7919 % objects])?;
    }
    report("reads, 1 caller", objects, 50_000, alone.cost());

    let by_name = |n: usize| search(vec![term("name", n % objects), term("algorithm", 0)], Vec::new());
    let searching =
        in_parallel(50_000, |n| store.search(adapter, &by_name(n * 7919)).map(|ids| assert_eq!(ids.len(), 1)))?;
    report("searches by name", objects, 50_000, searching);

    let frequent = search(vec![term("algorithm", 0), term("state", 1), term("type", 0)], Vec::new());
    let searching = in_parallel(2_000, |_| store.search(adapter, &frequent).map(drop))?;
    report("searches, 3 frequent terms, first 100", objects, 2_000, searching);

    let second = i64::try_from(objects / 2)?;
    let dated = search(vec![term("type", 0)], vec![DateRange { field: 1, from: second, to: second + 9 }]);
    let searching = in_parallel(20_000, |_| store.search(adapter, &dated).map(|ids| assert_eq!(ids.len(), 10)))?;
    report("searches, 10 seconds and a term", objects, 20_000, searching);

    let updating = in_parallel(objects.min(50_000), |n| store.apply(vec![activate(adapter, ids[n], n)]))?;
    report("updates of a state", objects, objects.min(50_000), updating);

    let destroying = in_parallel(objects.min(50_000), |n| store.apply(vec![destroy(adapter, ids[n], n)]))?;
    report("destroys", objects, objects.min(50_000), destroying);

    mixed(&store, adapter, &ids, objects)?;
    for entry in fs::read_dir(directory.path())? {
        let entry = entry?;
        println!("{objects:>7} objects: {:?} has {} KiB", entry.file_name(), entry.metadata()?.len() / 1024);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{objects:>7} objects: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no VmHWM"));
    Ok(())
}

/// Reads beside inserts: what a commit costs the readers.
fn mixed(store: &Store, adapter: AdapterId, ids: &[ObjectId], objects: usize) -> Outcome {
    let inserts = 20_000;
    let finished = AtomicUsize::new(0);
    let read = AtomicUsize::new(0);
    let started = Started::now();
    thread::scope(|scope| -> Outcome {
        for reader in 0..4 {
            let (finished, read) = (&finished, &read);
            scope.spawn(move || {
                for n in reader.. {
                    if finished.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                    let row = store.object(adapter, ids[n * 7919 % objects]);
                    read.fetch_add(usize::from(row.is_ok()), Ordering::Relaxed);
                }
            });
        }
        let inserted =
            in_parallel(inserts, |n| store.apply(vec![insert(adapter, ObjectId(Uuid::now_v7()), objects + n)]));
        finished.store(1, Ordering::Relaxed);
        report("inserts beside 4 readers", objects, inserts, inserted?);
        Ok(())
    })?;
    report("reads beside 16 writers", objects, read.into_inner(), started.cost());
    Ok(())
}

/// Does `work` with the numbers up to `count`, by sixteen callers.
fn in_parallel(count: usize, work: impl Fn(usize) -> Result<(), StoreError> + Sync) -> Result<Cost, StoreError> {
    let next = AtomicUsize::new(0);
    let started = Started::now();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= count {
                            return Ok(());
                        }
                        work(n)?;
                    }
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| caller.join().unwrap_or(Err(StoreError::Overloaded)))
    })?;
    Ok(started.cost())
}

fn report(what: &str, objects: usize, count: usize, cost: Cost) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let (wall, cpu) = (each(cost.wall), each(cost.cpu));
    println!("{objects:>7} objects: {what}: {:.0}/s, {wall:.1} µs each, processor {cpu:.1} µs each", 1e6 / wall);
}

/// Time that passed, and time that processors worked for this process.
struct Cost {
    wall: Duration,
    cpu: Duration,
}

struct Started {
    wall: Instant,
    cpu: Duration,
}

impl Started {
    fn now() -> Self {
        Self { wall: Instant::now(), cpu: processor_time() }
    }

    fn cost(&self) -> Cost {
        Cost { wall: self.wall.elapsed(), cpu: processor_time().saturating_sub(self.cpu) }
    }
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

fn term(kind: &str, value: usize) -> Term {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{kind} {value}").as_bytes());
    let mut term = [0; 16];
    term.copy_from_slice(&digest.as_ref()[..16]);
    Term(term)
}

/// Ten terms: three of the object alone, one of a hundred objects, six of nearly all.
fn index(n: usize, state: usize) -> IndexEntries {
    let name = term("name", n);
    IndexEntries {
        terms: vec![
            name,
            term("digest", n),
            term("contact", n),
            term("group", n / 100),
            term("state", state),
            term("type", 0),
            term("algorithm", 0),
            term("length", n % 2),
            term("mask", n % 3),
            term("storage", 0),
        ],
        unique: vec![name],
        dates: (1..4).map(|field| DateEntry { field, seconds: n as i64 }).collect(),
    }
}

fn row(adapter: AdapterId, id: ObjectId, revision: u64) -> ObjectRow {
    ObjectRow {
        id,
        adapter,
        object_type: 2,
        revision,
        metadata: vec![0x5a; 500],
        sealed: Some(SealedRow { root: ROOT, version: 1, wrapped_kek: vec![0x96; 63], body: vec![0xa5; 114] }),
        destroyed: false,
        due_at: None,
    }
}

fn insert(adapter: AdapterId, id: ObjectId, n: usize) -> Change {
    Change::Insert { row: row(adapter, id, 1), index: index(n, 1) }
}

fn activate(adapter: AdapterId, id: ObjectId, n: usize) -> Change {
    Change::Update { row: row(adapter, id, 2), index: Some(index(n, 2)) }
}

fn destroy(adapter: AdapterId, id: ObjectId, n: usize) -> Change {
    let row = ObjectRow { sealed: None, destroyed: true, ..row(adapter, id, 3) };
    Change::Update { row, index: Some(index(n, 5)) }
}

fn search(terms: Vec<Term>, ranges: Vec<DateRange>) -> Search {
    Search { terms, ranges, live: true, destroyed: false, newest_first: false, after: None, offset: 0, limit: 100 }
}
