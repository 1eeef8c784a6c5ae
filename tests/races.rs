//! Many requests at once on the same objects: every outcome is one that some order of the requests, one after another, has.
//!
//! Each request is recorded with the moments of its start and end. What one reports must not contradict what another
//! reported before it began.

use std::sync::{
    Arc, Barrier,
    atomic::{AtomicU64, Ordering},
};

use kmip::{
    attributes::{Attribute, AttributeKind},
    client::{Refusal, RequestBuilder},
    enums::{BatchErrorContinuationOption, ResultReason, ResultStatus, RevocationReasonCode, State},
    payloads::Response,
    tree::Value,
    version::Version,
};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
    name,
};

const THREADS: u64 = 8;

/// Runs `work` on every thread at the same moment and returns what each made of it.
fn at_once<T: Send>(work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(usize::try_from(THREADS).unwrap());
    let run = |number| {
        start.wait();
        work(number)
    };
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn reason(refusal: &Refusal) -> ResultReason {
    let reason = refusal.reason.expect("a refusal has a reason");
    assert_ne!(reason, ResultReason::GeneralFailure, "{refusal:?}");
    reason
}

/// Counts moments.
#[derive(Default)]
struct Moments(AtomicU64);

impl Moments {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn of_thousands_of_activations_one_succeeds() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let outcomes = at_once(|_| (0..400).map(|_| alice.ask(activate(&id))).collect::<Vec<_>>());
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().flatten().partition(Result::is_ok);
    assert_eq!(done.len(), 1);
    assert_eq!(refused.len(), 3199);
    for refusal in refused {
        let refusal = refusal.unwrap_err();
        assert!(matches!(reason(&refusal), ResultReason::WrongKeyLifecycleState | ResultReason::PermissionDenied));
    }
    assert_eq!(alice.state(&id), State::Active);
}

/// Along every path of the state table these grow.
fn rank(state: State) -> u8 {
    match state {
        State::PreActive => 0,
        State::Active => 1,
        State::Deactivated => 2,
        State::Compromised => 3,
        State::Destroyed => 4,
        State::DestroyedCompromised => 5,
    }
}

/// What one request told of the object's state: its rank after the request was from `low` to `high`.
struct Told {
    what: &'static str,
    start: u64,
    end: u64,
    low: u8,
    high: u8,
    done: bool,
}

fn life_cycle_request(user: &User, id: &str, choice: u64) -> (&'static str, u8, u8, bool) {
    let gone = |refusal: &Refusal| reason(refusal) == ResultReason::ItemNotFound;
    match choice {
        0 => match user.ask(activate(id)) {
            Ok(_) => ("activate", 1, 1, true),
            Err(refusal) => {
                reason(&refusal);
                ("activate", 1, 5, false)
            }
        },
        1 => match user.ask(revoke(id, RevocationReasonCode::CessationOfOperation)) {
            Ok(_) => ("deactivate", 2, 2, true),
            Err(refusal) => {
                reason(&refusal);
                ("deactivate", 0, 5, false)
            }
        },
        2 => match user.ask(revoke(id, RevocationReasonCode::KeyCompromise)) {
            // Compromised, or Destroyed Compromised where it was destroyed.
            Ok(_) => ("compromise", 3, 5, true),
            Err(refusal) => {
                reason(&refusal);
                ("compromise", 3, 5, false)
            }
        },
        3 => match user.ask(destroy(id)) {
            Ok(_) => ("destroy", 4, 5, true),
            // One reason for both: it is destroyed already, or active.
            Err(refusal) => {
                reason(&refusal);
                let already = refusal.message.is_some_and(|message| message.contains("already"));
                let (low, high) = if already { (4, 5) } else { (1, 1) };
                ("destroy", low, high, false)
            }
        },
        4 => match user.ask(get(id)) {
            Ok(_) => ("get", 0, 3, true),
            Err(refusal) => {
                assert!(gone(&refusal), "{refusal:?}");
                ("get", 4, 5, false)
            }
        },
        5 => match user.ask(modify(id, custom_text("x-note", "changed"))) {
            Ok(_) => ("modify", 0, 3, true),
            Err(refusal) => {
                reason(&refusal);
                ("modify", 4, 5, false)
            }
        },
        _ => {
            let rank = rank(user.state(id));
            ("read", rank, rank, true)
        }
    }
}

#[test]
fn what_simultaneous_requests_tell_of_a_life_is_the_story_of_one_life() {
    let server = TestServer::new();
    let alice = server.alice();
    let moments = Moments::default();
    for round in 0..40 {
        let id = alice.make(create_aes(128, [custom_text("x-note", "new")]));
        let told = at_once(|thread| {
            let mut numbers = Numbers(0x9e37_79b9 + round * 64 + thread);
            let mut told = Vec::new();
            for step in 0..12 {
                // Early steps leave the object alive for most rounds, so that every state is met.
                let choice = numbers.below(if step < 4 { 2 } else { 8 });
                let start = moments.next();
                let (what, low, high, done) = life_cycle_request(&alice, &id, choice);
                told.push(Told { what, start, end: moments.next(), low, high, done });
            }
            told
        });
        let told: Vec<Told> = told.into_iter().flatten().collect();
        check_story(&told, alice.state(&id));
    }
}

fn check_story(told: &[Told], last: State) {
    for transition in ["activate", "deactivate", "compromise", "destroy"] {
        let count = told.iter().filter(|one| one.what == transition && one.done).count();
        assert!(count <= 1, "{transition} succeeded {count} times");
    }
    for one in told {
        assert!(one.low <= rank(last), "{} told of a later state than the last, {last:?}", one.what);
        for later in told.iter().filter(|later| later.start > one.end) {
            assert!(
                later.high >= one.low,
                "{} began after {} ended and tells of an earlier state",
                later.what,
                one.what
            );
        }
    }
    let done = |what| told.iter().any(|one| one.what == what && one.done);
    let expected = match (done("destroy"), done("compromise")) {
        (true, true) => State::DestroyedCompromised,
        (true, false) => State::Destroyed,
        (false, true) => State::Compromised,
        (false, false) if done("deactivate") => State::Deactivated,
        (false, false) if done("activate") => State::Active,
        (false, false) => State::PreActive,
    };
    assert_eq!(last, expected, "an acknowledged change is lost, or one that was refused was made");
}

#[test]
fn one_of_many_destroys_succeeds_and_nothing_is_seen_alive_after_it() {
    let server = TestServer::new();
    let alice = server.alice();
    for _ in 0..20 {
        let id = alice.create_aes(256);
        let outcomes = at_once(|thread| {
            if thread % 2 == 0 {
                let destroyed = alice.ask(destroy(&id)).is_ok();
                // Whoever destroyed it, it is gone by now.
                assert_eq!(reason(&alice.ask(get(&id)).unwrap_err()), ResultReason::ItemNotFound);
                assert_eq!(alice.state(&id), State::Destroyed);
                return usize::from(destroyed);
            }
            for _ in 0..20 {
                if let Err(refusal) = alice.ask(get(&id)) {
                    assert_eq!(reason(&refusal), ResultReason::ItemNotFound);
                    assert_eq!(alice.state(&id), State::Destroyed);
                }
            }
            0
        });
        assert_eq!(outcomes.into_iter().sum::<usize>(), 1);
    }
}

/// A value that was written, or read where `written` is false.
struct Access {
    value: i64,
    start: u64,
    end: u64,
    written: bool,
}

fn long(value: &Value) -> i64 {
    match value {
        Value::LongInteger(value) => *value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_many_write_at_once_are_read_as_if_written_one_after_another() {
    let server = TestServer::new();
    let alice = server.alice();
    let moments = Moments::default();
    let id = alice.make(create_aes(128, [custom("x-value", Value::LongInteger(-1))]));
    let accesses = at_once(|thread| {
        let mut accesses = Vec::new();
        for step in 0..150 {
            let value = i64::try_from(thread * 1000 + step).unwrap();
            let start = moments.next();
            alice.ask(modify(&id, custom("x-value", Value::LongInteger(value)))).map_err(|r| reason(&r)).unwrap();
            accesses.push(Access { value, start, end: moments.next(), written: true });
            let start = moments.next();
            let value = long(&alice.custom(&id, "x-value")[0].1);
            accesses.push(Access { value, start, end: moments.next(), written: false });
        }
        accesses
    });
    let mut accesses: Vec<Access> = accesses.into_iter().flatten().collect();
    let now = moments.next();
    let last = long(&alice.custom(&id, "x-value")[0].1);
    accesses.push(Access { value: last, start: now, end: now + 1, written: false });
    let writes: Vec<&Access> = accesses.iter().filter(|access| access.written).collect();
    for read in accesses.iter().filter(|access| !access.written) {
        let Some(write) = writes.iter().find(|write| write.value == read.value) else {
            panic!("{} was never written, or the first value was read after it was replaced", read.value);
        };
        assert!(write.start < read.end, "read before it was written");
        let lost = writes.iter().find(|other| write.end < other.start && other.end < read.start);
        assert!(lost.is_none(), "an acknowledged value was lost: the value before it was read");
    }
}

#[test]
fn of_many_values_added_at_once_none_is_lost() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let added = at_once(|thread| {
        let mut added = Vec::new();
        for step in 0..60 {
            let value = i32::try_from(thread * 100 + step).unwrap();
            match alice.ask(add(&id, custom("x-many", Value::Integer(value)))) {
                Ok(Response::AddAttribute(response)) => {
                    added.push((response.attribute.index.unwrap_or(0), Value::Integer(value)));
                }
                other => panic!("{other:?}"),
            }
        }
        added
    });
    let mut added: Vec<(i32, Value)> = added.into_iter().flatten().collect();
    added.sort_by_key(|(index, _)| *index);
    assert!(added.iter().zip(0..).all(|((index, _), expected)| *index == expected), "each has an index of its own");
    let mut stored = alice.custom(&id, "x-many");
    stored.sort_by_key(|(index, _)| *index);
    assert_eq!(stored, added);
}

#[test]
fn a_name_that_many_register_at_once_belongs_to_one() {
    let server = TestServer::new();
    let alice = server.alice();
    let outcomes = at_once(|thread| {
        (0..100)
            .map(|round| {
                let request = register_aes(&[u8::try_from(thread).unwrap(); 16], [name(&format!("name {round}"))]);
                alice.ask(request).map(made).map_err(|refusal| reason(&refusal))
            })
            .collect::<Vec<_>>()
    });
    for round in 0..100 {
        let winners: Vec<&String> = outcomes.iter().filter_map(|thread| thread[round].as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(alice.find(locate([name(&format!("name {round}"))])), [winners[0].as_str()]);
        for refusal in outcomes.iter().filter_map(|thread| thread[round].as_ref().err()) {
            assert!(matches!(refusal, ResultReason::NonUniqueNameAttribute | ResultReason::InvalidField));
        }
    }
    assert_eq!(alice.find(locate([])).len(), 100, "nothing is left of those that were refused");
}

#[test]
fn a_name_that_many_rename_to_at_once_belongs_to_one() {
    let server = TestServer::new();
    let alice = server.alice();
    let ids: Vec<String> = (0..THREADS).map(|n| alice.make(create_aes(128, [name(&format!("first {n}"))]))).collect();
    for round in 0..50 {
        let wanted = format!("wanted {round}");
        let renamed = at_once(|thread| {
            let outcome = alice.ask(modify(&ids[usize::try_from(thread).unwrap()], name(&wanted)));
            outcome.map_err(|refusal| reason(&refusal)).is_ok()
        });
        assert_eq!(renamed.iter().filter(|done| **done).count(), 1);
        let winner = renamed.iter().position(|done| *done).unwrap();
        assert_eq!(alice.find(locate([name(&wanted)])), [ids[winner].as_str()]);
    }
}

fn undo(version: Version) -> RequestBuilder {
    RequestBuilder::new(version).on_error(BatchErrorContinuationOption::Undo)
}

#[test]
fn batches_that_may_be_undone_and_single_items_do_not_lose_each_others_changes() {
    let server = TestServer::new();
    let alice = server.alice();
    let pair = |value| [custom("x-pair", Value::LongInteger(value)), custom("x-single", Value::LongInteger(0))];
    let [a, b] = [(); 2].map(|()| alice.make(create_aes(128, pair(-1))));
    let missing = "01900000-0000-7000-8000-000000000000";
    let counts = at_once(|thread| {
        let mut singles = 0;
        for step in 0..40 {
            let value = i64::try_from(thread * 1000 + step).unwrap();
            let write = |id: &str| modify(id, custom("x-pair", Value::LongInteger(value)));
            match thread % 4 {
                // Both are changed, or none.
                0 | 1 => {
                    let results = alice.send(undo(Version::V1_4).item(write(&a)).item(write(&b)));
                    assert!(results.iter().all(Result::is_ok), "{results:?}");
                }
                // Nothing of this one is ever seen.
                2 => {
                    let never = modify(&a, custom("x-pair", Value::LongInteger(-2)));
                    let results = alice.send(undo(Version::V1_4).item(never).item(activate(missing)));
                    let refusals: Vec<&Refusal> = results.iter().map(|result| result.as_ref().unwrap_err()).collect();
                    assert_eq!(refusals[0].status, ResultStatus::OperationUndone);
                    assert_eq!(reason(refusals[1]), ResultReason::ItemNotFound);
                    assert_ne!(long(&alice.custom(&a, "x-pair")[0].1), -2);
                }
                _ => {
                    for id in [&a, &b] {
                        let added = alice.ask(add(id, custom("x-added", Value::LongInteger(value))));
                        added.map_err(|refusal| reason(&refusal)).unwrap();
                        singles += 1;
                    }
                }
            }
        }
        singles
    });
    let [of_a, of_b] = [&a, &b].map(|id| long(&alice.custom(id, "x-pair")[0].1));
    assert_eq!(of_a, of_b, "a batch was done in part");
    let added = alice.custom(&a, "x-added").len() + alice.custom(&b, "x-added").len();
    assert_eq!(added, counts.into_iter().sum::<usize>());
}

#[test]
fn a_batch_that_may_be_undone_and_a_destroy_are_one_after_the_other() {
    let server = TestServer::new();
    let alice = server.alice();
    let alice = Arc::new(alice);
    for _ in 0..40 {
        let [a, b] = [(); 2].map(|()| alice.create_aes(128));
        let outcomes = at_once(|thread| match thread {
            0..4 => {
                let results = alice.send(undo(Version::V1_4).item(activate(&a)).item(activate(&b)));
                results.iter().for_each(|result| {
                    let refusal = result.as_ref().err();
                    assert_ne!(refusal.and_then(|refusal| refusal.reason), Some(ResultReason::GeneralFailure));
                });
                (u32::from(results.len() == 2 && results.iter().all(Result::is_ok)), 0)
            }
            _ => (0, u32::from(alice.ask(destroy(&b)).map_err(|refusal| reason(&refusal)).is_ok())),
        });
        let batches: u32 = outcomes.iter().map(|(batch, _)| batch).sum();
        let destroys: u32 = outcomes.iter().map(|(_, destroy)| destroy).sum();
        assert_eq!(batches + destroys, 1, "{batches} batches and {destroys} destroys succeeded");
        let states = (alice.state(&a), alice.state(&b));
        let expected = if batches == 1 { (State::Active, State::Active) } else { (State::PreActive, State::Destroyed) };
        assert_eq!(states, expected);
    }
}

#[test]
fn the_first_of_many_gets_makes_a_key_old_and_all_return_the_same() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let fresh = || alice.attributes(&id, &[AttributeKind::Fresh]).unwrap().remove(0).attribute;
    assert_eq!(fresh(), Attribute::Fresh(true));
    let mut keys: Vec<Vec<u8>> = at_once(|_| (0..20).map(|_| alice.material(&id)).collect::<Vec<_>>()).concat();
    keys.dedup();
    assert_eq!(keys.len(), 1);
    assert_eq!(fresh(), Attribute::Fresh(false));
}
