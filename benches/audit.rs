//! What the audit log costs: an event appended under each policy, from one thread and from many that share a sync; and how fast a
//! log is verified.

#![expect(clippy::unwrap_used, reason = "what fails here fails the measurement")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use keystead::{
    audit::{
        Audit, Event, Options, Outcome, RequestEvent, SyncPolicy,
        verify::{Evidence, verify},
    },
    store::{AdapterId, Fingerprint, ObjectId},
};
use uuid::Uuid;

fn event(operation: &'static str) -> Event {
    Event::Request(RequestEvent {
        adapter: AdapterId(Uuid::nil()),
        certificate: Fingerprint([0xab; 32]),
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40000)),
        operation,
        object: Some(ObjectId(Uuid::nil())),
        outcome: Outcome::Success,
        correlation: Uuid::nil(),
        version: Some((1, 4)),
    })
}

fn open(directory: &tempfile::TempDir, sync: SyncPolicy) -> Audit {
    Audit::open_with(&directory.path().join("audit.jsonl"), Options { sync, ..Options::default() }).unwrap()
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    // On the disk of this folder: what lies in memory syncs at once.
    let folder = || tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    for (name, sync, operation) in [
        ("get/mutations", SyncPolicy::Mutations, "Get"),
        ("get/every", SyncPolicy::Every, "Get"),
        ("create/mutations", SyncPolicy::Mutations, "Create"),
        ("create/interval", SyncPolicy::Interval, "Create"),
    ] {
        let directory = folder();
        let audit = open(&directory, sync);
        let event = event(operation);
        group.bench_function(format!("{name}/1_thread"), |bench| {
            bench.iter(|| audit.append(std::slice::from_ref(&event)).unwrap());
        });
        for threads in [4, 16] {
            group.bench_function(format!("{name}/{threads}_threads"), |bench| {
                bench.iter_custom(|events| shared(&audit, &event, threads, events));
            });
        }
    }
    group.finish();
}

/// The time that `events` events take which so many threads append.
fn shared(audit: &Audit, event: &Event, threads: u64, events: u64) -> Duration {
    let start = Instant::now();
    thread::scope(|scope| {
        for number in 0..threads {
            let mine = events / threads + u64::from(number < events % threads);
            scope.spawn(move || (0..mine).for_each(|_| audit.append(std::slice::from_ref(event)).unwrap()));
        }
    });
    start.elapsed()
}

fn check(c: &mut Criterion) {
    let directory = tempfile::TempDir::new().unwrap();
    let audit = open(&directory, SyncPolicy::Interval);
    let events = vec![event("Get"); 100];
    (0..1000).for_each(|_| audit.append(&events).unwrap());
    let evidence = Evidence::of_folder(directory.path()).unwrap();
    let mut group = c.benchmark_group("verify");
    group.sample_size(10).throughput(Throughput::Elements(100_000));
    group.bench_function("100000_records", |bench| bench.iter(|| assert!(verify(&evidence).unwrap().is_clean())));
    group.finish();
}

criterion_group!(benches, append, check);
criterion_main!(benches);
