//! The rotation itself, beside clients, outages, damage and other processes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hal::{DestroyConsent, HalError, Label, RootKeys};
use keystead::{
    audit::Actor,
    root_keys::{self, key},
    rotation::{Ended, Rotator, Stop},
    statement::{self, Claim, RotationProof},
    store::{RootKeyState, RotationRow, StoreError, VersionState},
};
use kmip::enums::{ResultReason, State};
use rusqlite::params;
use uuid::Uuid;

use super::fickle::Fickle;
use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User, logged},
};

fn rotator(server: &TestServer, hal: Arc<dyn RootKeys>) -> Rotator {
    Rotator {
        store: Arc::clone(&server.store),
        hal,
        audit: Arc::clone(&server.audit_log),
        actor: Actor::Server,
        per_second: 0,
    }
}

fn own_rotator(server: &TestServer) -> Rotator {
    rotator(server, Arc::<hal::software::SoftwareHal>::clone(&server.hal))
}

fn rotation(server: &TestServer) -> RotationRow {
    server.store.rotations().unwrap().pop().expect("one has begun")
}

fn rotate(server: &TestServer) -> Ended {
    own_rotator(server).run(&rotation(server), &Stop::default()).unwrap()
}

fn under(server: &TestServer, version: u32) -> u64 {
    server.store.kek_count(server.root_key().id, version).unwrap()
}

/// Polls until `done`.
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// Keys with the bytes that Get returned.
fn keys(user: &User, count: usize) -> HashMap<String, Vec<u8>> {
    (0..count)
        .map(|_| {
            let id = user.create_aes(256);
            let bytes = user.material(&id);
            (id, bytes)
        })
        .collect()
}

fn all_open(user: &User, keys: &HashMap<String, Vec<u8>>) {
    for (id, bytes) in keys {
        assert_eq!(&user.material(id), bytes, "{id}");
    }
}

fn proof_of(server: &TestServer, row: &RotationRow) -> RotationProof {
    let signer = keystead::proof::signer(&server.store, &*server.hal).unwrap();
    let known = keystead::proof::public_key(&signer).unwrap();
    let verified = statement::verify(row.proof.as_ref().unwrap().as_bytes(), Some(&known)).unwrap();
    match verified.statement.claim {
        Claim::Rotation(proof) => proof,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_comes_under_the_new_version_and_opens_as_before_and_that_is_signed() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let (of_alice, of_bob) = (keys(&alice, 200), keys(&bob, 100));
    assert_eq!(server.new_version(), 2);
    all_open(&alice, &of_alice);
    assert_eq!(rotate(&server), Ended::Finished { damaged: 0 });
    all_open(&alice, &of_alice);
    all_open(&bob, &of_bob);
    assert_eq!((under(&server, 1), under(&server, 2)), (0, 300));
    let row = rotation(&server);
    assert_eq!((row.total, row.done, row.failed), (300, 300, 0));
    let proof = proof_of(&server, &row);
    assert_eq!((proof.root_key, proof.label.as_str()), (server.root_key().id, "root"));
    assert_eq!((proof.from_version, proof.to_version, proof.rewrapped, proof.remaining), (1, 2, 300, 0));
    let rotated = |event: &serde_json::Value| event["operation"] == "root_key.rotation.finish";
    let event = server.audit().into_iter().find(rotated).expect("it is recorded");
    assert_eq!(event["actor"], "server");
    assert_eq!(event["root_key"], server.root_key().id.to_string());
    // There is nothing to do for whoever comes later.
    assert_eq!(own_rotator(&server).run(&row, &Stop::default()).unwrap(), Ended::Gone);
}

#[test]
fn an_old_version_is_destroyed_once_nothing_is_under_it() {
    let server = TestServer::new();
    let alice = server.alice();
    let kept = keys(&alice, 30);
    server.new_version();
    let root = server.root_key().id;
    assert!(matches!(server.store.retire_version(root, 1, 5), Err(StoreError::InUse { keks: 30 })));
    rotate(&server);
    server.store.retire_version(root, 1, server.now()).unwrap();
    assert_eq!(server.root_key().version(1).unwrap().state, VersionState::Retired);
    let old = key(root, 1);
    server.hal.destroy_root(old, DestroyConsent::approved_for(old)).unwrap();
    assert_eq!(server.hal.describe_root(old), Err(HalError::UnknownRootKey(old)));
    server.trust.refresh_now().unwrap();
    all_open(&alice, &kept);
    assert_eq!(keys(&alice, 1).len(), 1);
    // And on it goes.
    server.new_version();
    assert_eq!(rotate(&server), Ended::Finished { damaged: 0 });
    all_open(&alice, &kept);
}

/// What one client was told about its keys.
#[derive(Default)]
struct Model {
    live: HashMap<String, Vec<u8>>,
    destroyed: Vec<String>,
}

/// Creates, fetches and destroys keys until told to stop, and checks every answer against what was answered before.
fn client(user: &User, seed: u64, stop: &AtomicBool) -> Model {
    let mut model = Model::default();
    let mut numbers = seed;
    let mut next = move || {
        numbers = numbers.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(numbers >> 40).unwrap()
    };
    while !stop.load(Ordering::Relaxed) {
        let known: Vec<String> = model.live.keys().take(64).cloned().collect();
        match next() % 10 {
            0..4 => {
                let id = user.create_aes(256);
                let bytes = user.material(&id);
                model.live.insert(id, bytes);
            }
            4..9 if !known.is_empty() => {
                let id = &known[next() % known.len()];
                assert_eq!(user.material(id), model.live[id], "{id}");
            }
            _ if !known.is_empty() => {
                let id = known[next() % known.len()].clone();
                user.ask(destroy(&id)).unwrap();
                model.live.remove(&id);
                assert_eq!(user.refused(get(&id)), ResultReason::ItemNotFound);
                model.destroyed.push(id);
            }
            _ => {}
        }
    }
    model
}

#[test]
fn clients_notice_nothing_while_the_root_key_is_rotated_again_and_again() {
    const CLIENTS: u64 = 6;
    const ROTATIONS: u32 = 6;
    let server = TestServer::new();
    let early = keys(&server.alice(), 150);
    let stop = AtomicBool::new(false);
    let models: Vec<(User, Model)> = thread::scope(|scope| {
        let (server, stop, early) = (&server, &stop, &early);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let user = if number % 2 == 0 { server.alice() } else { server.bob() };
                scope.spawn(move || {
                    let model = client(&user, number + 1, stop);
                    (user, model)
                })
            })
            .collect();
        for number in 0..ROTATIONS {
            let version = server.new_version();
            assert_eq!(version, number + 2);
            assert_eq!(rotate(server), Ended::Finished { damaged: 0 });
            assert_eq!((1..version).map(|old| under(server, old)).sum::<u64>(), 0, "rotation {number} left something");
            all_open(&server.alice(), early);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (user, model) in &models {
        all_open(user, &model.live);
        for id in &model.destroyed {
            assert_eq!(user.state(id), State::Destroyed);
        }
    }
    let (live, gone) = models.iter().fold((0, 0), |(a, b), (_, m)| (a + m.live.len(), b + m.destroyed.len()));
    println!("{live} keys alive and {gone} destroyed during {ROTATIONS} rotations");
}

#[test]
fn damaged_keys_are_named_counted_and_left_and_the_others_are_rotated() {
    let server = TestServer::new();
    let alice = server.alice();
    let mut kept = keys(&alice, 40);
    let mut ids: Vec<String> = kept.keys().cloned().collect();
    ids.sort();
    let damage = |id: &str, set: &str| {
        let sql = format!("UPDATE kek SET {set} WHERE seq = (SELECT material FROM object WHERE id = ?1)");
        let id = Uuid::parse_str(id).unwrap();
        assert_eq!(server.database().execute(&sql, params![id.as_bytes()]).unwrap(), 1);
    };
    // A changed ciphertext, a form that is none, a root key's version that is none, and another object's place in the row.
    let flipped = "wrapped = CAST(substr(wrapped, 1, 40) || x'5a' || substr(wrapped, 42) AS BLOB)";
    damage(&ids[3], flipped);
    damage(&ids[17], "wrapped = CAST(x'07' || substr(wrapped, 2) AS BLOB)");
    damage(&ids[29], "version = x'00000009'");
    server.new_version();
    assert_eq!(rotate(&server), Ended::Finished { damaged: 3 });
    for id in [3, 17, 29].map(|at| ids[at].clone()) {
        kept.remove(&id);
        assert_eq!(alice.refused(get(&id)), ResultReason::GeneralFailure);
        assert_eq!(alice.state(&id), State::PreActive);
    }
    all_open(&alice, &kept);
    let row = rotation(&server);
    assert_eq!((row.total, row.done, row.failed), (40, 37, 3));
    assert_eq!(proof_of(&server, &row).remaining, 3);
    // What cannot be opened keeps its version from being retired, until somebody destroys it.
    let root = server.root_key().id;
    assert!(matches!(server.store.retire_version(root, 1, 5), Err(StoreError::InUse { keks: 2 })));
    for at in [3, 17, 29] {
        alice.ask(destroy(&ids[at])).unwrap();
    }
    server.store.retire_version(root, 1, 5).unwrap();
}

#[test]
fn a_damaged_key_is_reported_with_its_object_and_adapter() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    server.database().execute("UPDATE kek SET wrapped = CAST(x'07' || substr(wrapped, 2) AS BLOB)", []).unwrap();
    server.new_version();
    let (ended, log) = logged(|| rotate(&server));
    assert_eq!(ended, Ended::Finished { damaged: 1 });
    let line = log.lines().find(|line| line.contains("ERROR") && line.contains(&id)).expect("an error line names it");
    assert!(line.contains(&alice.peer.adapter.0.to_string()) && line.contains("damaged"), "{line}");
}

#[test]
fn a_rotation_that_is_stopped_goes_on_where_it_was() {
    let server = TestServer::new();
    let alice = server.alice();
    let kept = keys(&alice, 700);
    server.new_version();
    let mut rounds = 0;
    // Each round is stopped when the HSM has wrapped two hundred.
    loop {
        let hal = Fickle::new(&server.hal, 200);
        let stop = Stop::default();
        let ended = thread::scope(|scope| {
            let (watched, told) = (Arc::clone(&hal), stop.clone());
            let over = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&over);
            scope.spawn(move || {
                while !watched.is_away() && !seen.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                told.stop();
            });
            let ended = rotator(&server, hal.clone()).run(&rotation(&server), &stop).unwrap();
            over.store(true, Ordering::SeqCst);
            ended
        });
        rounds += 1;
        all_open(&alice, &kept);
        match ended {
            Ended::Stopped => assert!(under(&server, 2) >= 200, "what was wrapped is stored"),
            other => {
                assert_eq!(other, Ended::Finished { damaged: 0 });
                break;
            }
        }
        assert!(rounds < 8);
    }
    assert!(rounds > 2, "{rounds}");
    let row = rotation(&server);
    assert_eq!((row.done, row.failed), (700, 0), "nothing was counted twice");
}

#[test]
fn an_hsm_that_goes_away_only_makes_a_rotation_wait() {
    let server = TestServer::new();
    let alice = server.alice();
    let kept = keys(&alice, 300);
    server.new_version();
    let hal = Fickle::new(&server.hal, 100);
    let ended = thread::scope(|scope| {
        let away = hal.clone();
        let (job, row) = (rotator(&server, hal.clone()), rotation(&server));
        let job = scope.spawn(move || job.run(&row, &Stop::default()).unwrap());
        wait_until("it goes away", || away.is_away());
        let so_far = away.rewrapped();
        assert!((100..300).contains(&so_far));
        assert_eq!(rotation(&server).finished_at, None);
        away.comes_back();
        job.join().unwrap()
    });
    assert_eq!(ended, Ended::Finished { damaged: 0 });
    all_open(&alice, &kept);
    assert_eq!(rotation(&server).failed, 0, "an outage damages nothing");
}

#[test]
fn a_suspended_root_key_makes_a_rotation_wait_and_a_destroyed_one_ends_it() {
    let server = TestServer::new();
    let alice = server.alice();
    keys(&alice, 20);
    let root = server.root_key().id;
    for last in [RootKeyState::Active, RootKeyState::Destroyed] {
        server.new_version();
        server.store.set_root_key_state(root, RootKeyState::Suspended, 5).unwrap();
        let ended = thread::scope(|scope| {
            let job = scope.spawn(|| rotate(&server));
            assert_eq!(rotation(&server).done, 0);
            match last {
                RootKeyState::Destroyed => server.store.shred(root, 6, "{}".into()).unwrap(),
                state => server.store.set_root_key_state(root, state, 6).unwrap(),
            }
            job.join().unwrap()
        });
        let expected = if last == RootKeyState::Active { Ended::Finished { damaged: 0 } } else { Ended::Gone };
        assert_eq!(ended, expected);
    }
}

#[test]
fn a_suspended_root_key_does_not_keep_others_from_being_rotated() {
    let server = TestServer::new();
    let first = server.root_key().id;
    server.new_version();
    server.store.set_root_key_state(first, RootKeyState::Suspended, 5).unwrap();
    let other = server.hal.generate_root(&Label::new("other").unwrap()).unwrap();
    server.store.insert_root_key(root_keys::new_row(&other, 5)).unwrap();
    let next = other.key().next().unwrap();
    let info = server.hal.generate_version(next, &other.label).unwrap();
    server.store.add_version(*next.root.as_uuid(), root_keys::version_row(&info, 6)).unwrap();
    let finished = || {
        let rotations = server.store.rotations().unwrap();
        rotations.iter().map(|row| (row.root == first, row.finished_at.is_some())).collect::<Vec<_>>()
    };
    own_rotator(&server).run_pending(&Stop::default()).unwrap();
    assert_eq!(finished(), [(true, false), (false, true)]);
    // And it has its turn once it is resumed.
    server.store.set_root_key_state(first, RootKeyState::Active, 7).unwrap();
    own_rotator(&server).run_pending(&Stop::default()).unwrap();
    assert_eq!(finished(), [(true, true), (false, true)]);
}

#[test]
fn two_processes_on_one_rotation_do_it_once() {
    let server = TestServer::new();
    let alice = server.alice();
    let kept = keys(&alice, 500);
    server.new_version();
    let ends = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let ended = rotate(&server);
                ends.lock().unwrap().push(ended);
            });
        }
    });
    let ends = ends.into_inner().unwrap();
    assert_eq!(ends.iter().filter(|ended| **ended == Ended::Finished { damaged: 0 }).count(), 1, "{ends:?}");
    assert!(ends.iter().all(|ended| matches!(ended, Ended::Finished { .. } | Ended::Gone)), "{ends:?}");
    assert_eq!(rotation(&server).done, 500);
    all_open(&alice, &kept);
}

#[test]
fn a_cursor_that_is_ahead_of_what_was_done_leaves_nothing_behind() {
    let server = TestServer::new();
    let alice = server.alice();
    let kept = keys(&alice, 50);
    server.new_version();
    // As if somebody had put a part of an older backup back.
    server.database().execute("UPDATE rotation SET cursor = 40", []).unwrap();
    assert_eq!(rotate(&server), Ended::Finished { damaged: 0 });
    assert_eq!(under(&server, 1), 0);
    all_open(&alice, &kept);
}

#[test]
fn a_rotation_may_be_slowed_down() {
    let server = TestServer::new();
    let alice = server.alice();
    (0..64).for_each(|_| drop(alice.make(create_aes(128, []))));
    server.new_version();
    let slow = Rotator { per_second: 200, ..own_rotator(&server) };
    let start = Instant::now();
    assert_eq!(slow.run(&rotation(&server), &Stop::default()).unwrap(), Ended::Finished { damaged: 0 });
    // Four calls of sixteen: the first goes at once.
    assert!(start.elapsed() >= Duration::from_millis(240), "{:?}", start.elapsed());
}
