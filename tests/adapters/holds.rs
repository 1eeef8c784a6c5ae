//! Destroy under a hold period: out of reach at once, erased when it ends, given back before on an operator's word.

use std::sync::Arc;

use keystead::{
    engine::{Clock, Eraser, Filter, RecoverError, inventory, recover, summary},
    store::{AdapterId, Loss, ObjectId},
};
use kmip::{
    attributes::AttributeKind,
    client::RequestBuilder,
    enums::{BatchErrorContinuationOption, ResultReason, RevocationReasonCode, State},
    payloads::Request,
    version::Version,
};
use uuid::Uuid;

use crate::harness::{
    ask::*,
    create_aes,
    engine::{START, TestServer, User},
    name,
};

const DAY: i64 = 86_400;

fn object(id: &str) -> ObjectId {
    ObjectId(Uuid::parse_str(id).unwrap())
}

fn set_hold(server: &TestServer, adapter: AdapterId, seconds: u32) {
    let mut row = server.store.adapter(adapter).unwrap().unwrap();
    row.revision += 1;
    row.hold_seconds = seconds;
    server.store.update_adapter(row).unwrap();
    server.trust.refresh_now().unwrap();
}

fn holding() -> TestServer {
    let server = TestServer::new();
    set_hold(&server, server.alice().peer.adapter, 86_400);
    server
}

/// Erases what is due and says how many objects' material that was. A new job each time, as after a restart.
fn erase(server: &TestServer) -> u64 {
    let (store, audit) = (Arc::clone(&server.store), Arc::clone(&server.audit_log));
    Eraser { store, audit, clock: Clock::Manual(server.clock()) }.run_due().unwrap()
}

fn held_until(server: &TestServer, id: &str) -> Option<i64> {
    summary(&server.store, object(id), server.now()).unwrap().unwrap().held_until
}

/// What clients read of a destroyed object.
const DESTROYED: &str = "the object is destroyed";

fn refusal(user: &User, request: impl Into<Request>) -> String {
    user.ask(request).expect_err("it is refused").message.expect("it says why")
}

/// How many objects have sealed material left in the database.
fn sealed(server: &TestServer) -> i64 {
    let sql = "SELECT count(*) FROM material WHERE sealed <> zeroblob(length(sealed))";
    server.database().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn erasures(server: &TestServer, id: &str) -> usize {
    let log = server.audit();
    let is_it = |line: &&serde_json::Value| line["operation"] == "object.erase" && line["object"] == id;
    let (begun, ended): (Vec<_>, Vec<_>) = log.iter().filter(is_it).partition(|line| line["outcome"] == "begun");
    assert_eq!(begun.len(), ended.len());
    assert!(begun.iter().zip(&ended).all(|(begun, ended)| begun["correlation"] == ended["correlation"]));
    ended.len()
}

#[test]
fn a_held_key_is_out_of_reach_at_once_and_erased_when_the_period_ends() {
    let server = holding();
    let alice = server.alice();
    let [id, other] = [alice.make(create_aes(256, [name("disk")])), alice.create_aes(256)];
    alice.ask(destroy(&id)).unwrap();
    // To clients it is destroyed like any other.
    assert_eq!(refusal(&alice, get(&id)), DESTROYED);
    assert_eq!(alice.state(&id), State::Destroyed);
    assert_eq!(refusal(&alice, destroy(&id)), "the object is destroyed already");
    assert!(!alice.find(locate([])).contains(&id));
    assert!(alice.attributes(&id, &[AttributeKind::DestroyDate]).unwrap().len() == 1);
    assert_eq!((held_until(&server, &id), held_until(&server, &other)), (Some(START + DAY), None));
    let filter = Filter { held: true, ..Filter::default() };
    let page = inventory(&server.store, &[alice.peer.adapter], &filter, None, 10, server.now()).unwrap();
    assert_eq!(page.objects.iter().map(|one| one.id).collect::<Vec<_>>(), [object(&id)]);

    server.pass(DAY - 1);
    assert_eq!((erase(&server), sealed(&server)), (0, 2));
    server.pass(1);
    assert_eq!((erase(&server), sealed(&server)), (1, 1));
    assert_eq!((held_until(&server, &id), erasures(&server, &id)), (None, 1));
    assert_eq!(erase(&server), 0);
    assert_eq!(refusal(&alice, get(&id)), DESTROYED);
    assert!(matches!(recover(&server.store, object(&id), server.now()), Err(RecoverError::NotHeld)));
    assert_eq!(alice.material(&other).len(), 32);
}

#[test]
fn without_a_hold_period_nothing_is_held() {
    let server = holding();
    let bob = server.bob();
    let id = bob.create_aes(256);
    bob.ask(destroy(&id)).unwrap();
    assert_eq!((held_until(&server, &id), sealed(&server)), (None, 0));
    assert!(matches!(recover(&server.store, object(&id), server.now()), Err(RecoverError::NotHeld)));
    let live = bob.create_aes(256);
    assert!(matches!(recover(&server.store, object(&live), server.now()), Err(RecoverError::NotHeld)));
    assert!(matches!(recover(&server.store, ObjectId(Uuid::now_v7()), server.now()), Err(RecoverError::NotHeld)));
}

#[test]
fn a_recovered_key_is_what_it_was() {
    let server = holding();
    let alice = server.alice();
    let id = alice.make(create_aes(256, [name("disk"), custom_text("x-note", "mine")]));
    alice.ask(activate(&id)).unwrap();
    let bytes = alice.material(&id);
    alice.ask(revoke(&id, RevocationReasonCode::CessationOfOperation)).unwrap();
    let before = alice.attributes(&id, &[]).unwrap();
    server.pass(10);
    alice.ask(destroy(&id)).unwrap();
    server.pass(DAY - 1);
    let recovered = recover(&server.store, object(&id), server.now()).unwrap();
    assert_eq!((recovered.state, recovered.held_until, recovered.dates.destroy), (State::Deactivated, None, None));
    assert_eq!(alice.attributes(&id, &[]).unwrap(), before);
    assert_eq!(alice.material(&id), bytes);
    assert_eq!(alice.find(locate([name("disk")])), std::slice::from_ref(&id));
    server.pass(DAY);
    assert_eq!(erase(&server), 0);
    // It can be destroyed, and held, again.
    alice.ask(destroy(&id)).unwrap();
    assert_eq!(held_until(&server, &id), Some(server.now() + DAY));
}

#[test]
fn after_the_period_nothing_comes_back_also_before_the_job_was_there() {
    let server = holding();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.ask(destroy(&id)).unwrap();
    server.pass(DAY);
    assert!(matches!(recover(&server.store, object(&id), server.now()), Err(RecoverError::Ended)));
    assert_eq!(refusal(&alice, get(&id)), DESTROYED);
}

#[test]
fn a_key_reported_compromised_since_or_whose_name_is_taken_stays_destroyed() {
    let server = holding();
    let alice = server.alice();
    let [compromised, named] = [alice.create_aes(256), alice.make(create_aes(256, [name("disk")]))];
    for id in [&compromised, &named] {
        alice.ask(destroy(id)).unwrap();
    }
    alice.ask(revoke(&compromised, RevocationReasonCode::KeyCompromise)).unwrap();
    assert!(matches!(recover(&server.store, object(&compromised), server.now()), Err(RecoverError::Compromised)));
    assert_eq!(alice.state(&compromised), State::DestroyedCompromised);
    let successor = alice.make(create_aes(256, [name("disk")]));
    assert!(matches!(recover(&server.store, object(&named), server.now()), Err(RecoverError::NameTaken)));
    alice.ask(delete(&successor, kmip::attributes::AttributeName::Standard(AttributeKind::Name), 0)).unwrap();
    recover(&server.store, object(&named), server.now()).unwrap();
    // The compromised one is erased in its time nevertheless.
    server.pass(DAY);
    assert_eq!(erase(&server), 1);
}

#[test]
fn a_destroyed_root_key_takes_held_keys_with_it() {
    let server = holding();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.ask(destroy(&id)).unwrap();
    server.store.shred(server.root_key().id, server.now(), "{}".to_owned()).unwrap();
    assert!(matches!(recover(&server.store, object(&id), server.now()), Err(RecoverError::RootKeyDestroyed)));
    server.pass(DAY);
    assert_eq!((erase(&server), sealed(&server)), (1, 0));
}

#[test]
fn another_policy_is_for_later_destroys() {
    let server = holding();
    let alice = server.alice();
    let [first, second, third] = [alice.create_aes(256), alice.create_aes(256), alice.create_aes(256)];
    alice.ask(destroy(&first)).unwrap();
    set_hold(&server, alice.peer.adapter, 0);
    alice.ask(destroy(&second)).unwrap();
    set_hold(&server, alice.peer.adapter, 10);
    alice.ask(destroy(&third)).unwrap();
    let until = [&first, &second, &third].map(|id| held_until(&server, id));
    assert_eq!(until, [Some(START + DAY), None, Some(START + 10)]);
    assert_eq!(sealed(&server), 2);
    server.pass(10);
    assert_eq!(erase(&server), 1);
    assert_eq!(held_until(&server, &first), Some(START + DAY));
}

#[test]
fn a_batch_done_whole_holds_what_it_destroys_as_it_was_before_the_batch() {
    let server = holding();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.ask(activate(&id)).unwrap();
    let bytes = alice.material(&id);
    let batch = RequestBuilder::new(Version::V1_4)
        .on_error(BatchErrorContinuationOption::Undo)
        .item(revoke(&id, RevocationReasonCode::CessationOfOperation))
        .item(destroy(&id));
    assert!(alice.send(batch).iter().all(Result::is_ok));
    assert_eq!((held_until(&server, &id), sealed(&server)), (Some(START + DAY), 1));
    assert_eq!(recover(&server.store, object(&id), server.now()).unwrap().state, State::Active);
    assert_eq!(alice.material(&id), bytes);
}

#[test]
fn a_rotation_brings_held_keys_along() {
    let server = holding();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let bytes = alice.material(&id);
    alice.ask(destroy(&id)).unwrap();
    let next = server.new_version();
    server.rotate();
    assert_eq!(server.store.kek_count(server.root_key().id, next - 1).unwrap(), 0);
    recover(&server.store, object(&id), server.now()).unwrap();
    assert_eq!(alice.material(&id), bytes);
}

#[test]
fn a_deleted_adapter_leaves_nothing_and_every_object_of_it_is_on_record() {
    let server = holding();
    let (alice, bob) = (server.alice(), server.bob());
    let ids: Vec<_> = (0..300).map(|_| alice.create_aes(128)).collect();
    alice.ask(destroy(&ids[0])).unwrap();
    let others = bob.create_aes(128);
    let adapter = server.store.adapter(alice.peer.adapter).unwrap().unwrap();
    server.store.delete_adapter(adapter.id, adapter.revision, Loss::ANY, server.now()).unwrap();
    server.trust.refresh_now().unwrap();
    // Its clients are nobody at once, also on connections that are being cut.
    assert_eq!(alice.refused(get(&ids[1])), ResultReason::AuthenticationNotSuccessful);
    assert_eq!((erase(&server), sealed(&server)), (300, 1));
    assert!(ids.iter().all(|id| erasures(&server, id) == 1));
    let emptied = server.audit().into_iter().filter(|line| line["operation"] == "adapter.erase");
    assert_eq!(emptied.map(|line| line["outcome"].clone()).collect::<Vec<_>>(), ["begun", "success"]);
    assert_eq!((erase(&server), server.store.deleted_adapters().unwrap().len()), (0, 0));
    assert_eq!(bob.material(&others).len(), 16);
}
