//! How many objects are in which state, also where only the clock has moved them.

use keystead::engine::Census;
use kmip::{
    attributes::Attribute,
    enums::{RevocationReasonCode, State},
    fields::DateTime,
};

use crate::harness::{
    ask::{activate, destroy, revoke},
    create_aes,
    engine::TestServer,
};

#[test]
fn objects_are_counted_by_the_state_they_have_now() {
    let server = TestServer::new();
    let (alice, bob) = (server.alice(), server.bob());
    let census = || Census::of(&server.store, alice.peer.adapter, server.now()).unwrap();
    assert_eq!(census(), Census::default());
    let ids: Vec<_> = (0..6).map(|_| alice.create_aes(256)).collect();
    for id in &ids[1..5] {
        alice.ask(activate(id)).unwrap();
    }
    alice.ask(revoke(&ids[1], RevocationReasonCode::CessationOfOperation)).unwrap();
    alice.ask(revoke(&ids[2], RevocationReasonCode::KeyCompromise)).unwrap();
    alice.ask(destroy(&ids[2])).unwrap();
    bob.ask(activate(&bob.create_aes(128))).unwrap();
    // Active from its date on, and no more from another.
    let dates = [
        Attribute::ActivationDate(DateTime(server.now() + 10)),
        Attribute::DeactivationDate(DateTime(server.now() + 20)),
    ];
    alice.make(create_aes(256, dates));

    let expected = |pre_active, active, deactivated| {
        let states = [
            (State::PreActive, pre_active),
            (State::Active, active),
            (State::Deactivated, deactivated),
            (State::DestroyedCompromised, 1),
        ];
        states.into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    };
    let found = census();
    assert_eq!((found.states.clone(), found.objects), (expected(3, 2, 1), 7));
    assert_eq!(found.count(State::Compromised), 0);
    assert!(found.newest.is_some());
    server.pass(10);
    assert_eq!(census().states, expected(2, 3, 1));
    server.pass(10);
    assert_eq!(census().states, expected(2, 2, 2));
    assert_eq!(census().objects, 7);
}
