//! What is lost with an adapter is counted by the transaction that deletes it, by the clock.

use keystead::{
    engine::at_most_active,
    store::{Loss, StoreError},
};
use kmip::{attributes::Attribute, enums::RevocationReasonCode, fields::DateTime};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
};

/// Deletes the adapter of `user`, if not more of it is Active than this.
fn delete(server: &TestServer, user: &User, active: u64) -> Result<(), StoreError> {
    let row = server.store.adapter(user.peer.adapter).unwrap().unwrap();
    let loss = Loss { in_state: Some(at_most_active(active)), ..Loss::ANY };
    server.store.delete_adapter(row.id, row.revision, loss, server.now())
}

/// How many are Active, of one that is not deleted because none may be.
fn active(server: &TestServer, user: &User) -> u64 {
    let before = (server.store.trust_generation().unwrap(), server.store.trust().unwrap());
    let Err(StoreError::MoreToLose { in_state, .. }) = delete(server, user, 0) else { panic!("it is deleted") };
    assert_eq!((server.store.trust_generation().unwrap(), server.store.trust().unwrap()), before);
    in_state
}

#[test]
fn keys_that_are_active_by_the_time_of_the_deletion_are_counted_by_it() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let at = |seconds| Attribute::ActivationDate(DateTime(server.now() + seconds));
    let until = |seconds| Attribute::DeactivationDate(DateTime(server.now() + seconds));
    alice.create_aes(256);
    let soon = alice.make(create_aes(256, [at(10), until(1000)]));
    let now = alice.make(create_aes(256, [at(0), until(20)]));
    bob.make(create_aes(256, [at(0)]));
    assert_eq!(active(&server, &alice), 1);
    // Nobody has looked at them since the clock moved them.
    server.pass(15);
    assert_eq!(active(&server, &alice), 2);
    server.pass(10);
    assert_eq!(active(&server, &alice), 1);
    // One that is looked at now counts once.
    alice.material(&soon);
    alice.material(&now);
    assert_eq!(active(&server, &alice), 1);
    let more = alice.create_aes(256);
    alice.ask(activate(&more)).unwrap();
    assert_eq!(active(&server, &alice), 2);
    assert!(matches!(delete(&server, &alice, 1), Err(StoreError::MoreToLose { in_state: 2, .. })));
    alice.ask(revoke(&more, RevocationReasonCode::CessationOfOperation)).unwrap();
    delete(&server, &alice, 1).unwrap();
    assert_eq!(active(&server, &bob), 1, "of others nothing is counted");
}

#[test]
fn held_keys_and_all_keys_are_bounded_as_well() {
    let server = TestServer::new();
    let alice = server.alice();
    let mut row = server.store.adapter(alice.peer.adapter).unwrap().unwrap();
    (row.revision, row.hold_seconds) = (2, 60);
    server.store.update_adapter(row.clone()).unwrap();
    server.trust.refresh_now().unwrap();
    let ids: Vec<_> = (0..3).map(|_| alice.create_aes(256)).collect();
    alice.ask(destroy(&ids[0])).unwrap();
    assert_eq!(server.store.held_count(row.id).unwrap(), 1);
    let delete = |loss| server.store.delete_adapter(row.id, 2, loss, server.now());
    for loss in [Loss { held: 0, ..Loss::ANY }, Loss { objects: 2, ..Loss::ANY }] {
        let refused = delete(loss);
        assert!(matches!(refused, Err(StoreError::MoreToLose { objects: 3, in_state: 0, held: 1 })), "{refused:?}");
    }
    delete(Loss { objects: 3, held: 1, in_state: Some(at_most_active(0)) }).unwrap();
}
