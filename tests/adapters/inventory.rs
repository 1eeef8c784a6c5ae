//! Lists of an adapter's objects: filters, pages, and nothing of what the objects hold.

use keystead::{
    engine::{Filter, Page, Summary, inventory, summary},
    store::{ObjectId, ObjectUse, SeenObject, StoreError},
};
use kmip::{
    attributes::Attribute,
    enums::{CryptographicAlgorithm, ObjectType, RevocationReasonCode, State},
    fields::DateTime,
    tree::Value,
};
use uuid::Uuid;

use crate::harness::{
    ask::*,
    create_aes,
    engine::{START, TestServer},
    name,
};

fn object(id: &str) -> ObjectId {
    ObjectId(Uuid::parse_str(id).unwrap())
}

fn page(server: &TestServer, filter: &Filter, after: Option<ObjectId>, limit: usize) -> Page {
    inventory(&server.store, &[server.alice().peer.adapter], filter, after, limit, server.now()).unwrap()
}

fn found(server: &TestServer, filter: &Filter) -> Vec<String> {
    let page = page(server, filter, None, 100);
    assert_eq!((page.damaged.len(), page.next), (0, None));
    page.objects.iter().map(|summary| summary.id.0.to_string()).collect()
}

fn one(server: &TestServer, id: &str) -> Summary {
    summary(&server.store, object(id), server.now()).unwrap().expect("it is there")
}

#[test]
fn a_summary_says_what_is_public_and_hands_hostile_text_on_as_it_came() {
    let server = TestServer::new();
    let alice = server.alice();
    let hostile = "<script>alert(1)</script>\"; DROP TABLE object; --\u{202e}\u{0}\r\n${jndi:ldap://x}";
    let attributes = [
        name("disk 1"),
        name(hostile),
        custom_text("x-note", hostile),
        custom("x-bytes", Value::bytes(*b"bytes of somebody")),
        custom("x-number", Value::Integer(7)),
    ];
    let id = alice.make(create_aes(256, attributes));
    alice.ask(activate(&id)).unwrap();
    let shown = one(&server, &id);
    assert_eq!((shown.state, shown.object_type), (State::Active, ObjectType::SymmetricKey));
    assert_eq!((shown.algorithm, shown.length_bits), (Some(CryptographicAlgorithm::Aes), Some(256)));
    assert_eq!(shown.names, ["disk 1", hostile]);
    assert_eq!((shown.dates.initial, shown.dates.activation, shown.dates.destroy), (Some(START), Some(START), None));
    assert_eq!((shown.revision, shown.fetched, shown.last_use, shown.held_until), (2, false, None, None));
    assert_eq!(shown.sealed_under, Some((server.root_key().id, 1)));
    let value = |name: &str| shown.attributes.iter().find(|one| one.name == name).map(|one| one.value.as_str());
    assert_eq!(value("x-note"), Some(hostile));
    assert_eq!(value("x-bytes"), Some("(17 bytes)"));
    assert_eq!(value("x-number"), Some("7"));
    assert_eq!(value("Cryptographic Usage Mask"), Some("Encrypt, Decrypt"));
    assert_eq!((value("Digest"), value("State")), (None, None));

    alice.material(&id);
    assert!(one(&server, &id).fetched);
}

#[test]
fn no_summary_has_any_of_the_content() {
    let server = TestServer::new();
    let alice = server.alice();
    let secret = b"correct horse battery staple";
    let key = alice.make(register_aes(&[0x5a; 32], [name("known")]));
    let password = alice.make(register_secret(secret, []));
    for (id, content) in [(&key, &[0x5a; 32][..]), (&password, secret)] {
        let shown = format!("{:?}", one(&server, id)).to_lowercase();
        let digest = ring::digest::digest(&ring::digest::SHA256, content);
        for bytes in [content, digest.as_ref()] {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{bytes:?}");
            assert!(!shown.contains(&hex[..16]) && !shown.contains(list.trim_matches(['[', ']'])), "{shown}");
        }
        assert!(!shown.contains("horse"), "{shown}");
    }
}

#[test]
fn pages_follow_each_other_from_the_newest_to_the_oldest() {
    let server = TestServer::new();
    let alice = server.alice();
    server.bob().create_aes(256);
    assert_eq!(page(&server, &Filter::default(), None, 3), Page::default());
    let mut made: Vec<_> = (0..7).map(|_| alice.create_aes(128)).collect();
    made.reverse();
    for limit in [1, 2, 3, 7, 8] {
        let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = page(&server, &Filter::default(), after, limit);
            assert!(page.objects.len() <= limit);
            seen.extend(page.objects.iter().map(|summary| summary.id.0.to_string()));
            pages += 1;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, made);
        assert_eq!(pages, made.len().div_ceil(limit), "the last page says that it is the last");
    }
}

#[test]
fn states_are_those_of_the_clock_although_nobody_asked_for_the_objects() {
    let server = TestServer::new();
    let alice = server.alice();
    let in_state = |state| found(&server, &Filter { state: Some(state), ..Filter::default() });
    let dates = [Attribute::ActivationDate(DateTime(START + 10)), Attribute::DeactivationDate(DateTime(START + 20))];
    let scheduled = alice.make(create_aes(256, dates));
    let plain = alice.create_aes(256);
    assert_eq!(in_state(State::PreActive), [plain.clone(), scheduled.clone()]);
    server.pass(10);
    assert_eq!(in_state(State::PreActive), std::slice::from_ref(&plain));
    assert_eq!(in_state(State::Active), std::slice::from_ref(&scheduled));
    server.pass(10);
    assert_eq!(in_state(State::Deactivated), std::slice::from_ref(&scheduled));
    alice.ask(destroy(&scheduled)).unwrap();
    assert_eq!(in_state(State::Destroyed), [scheduled]);
    assert_eq!(in_state(State::PreActive), [plain]);
    assert_eq!(in_state(State::DestroyedCompromised), Vec::<String>::new());
}

#[test]
fn each_filter_finds_what_it_says_and_not_what_is_next_to_it() {
    let server = TestServer::new();
    let alice = server.alice();
    let first = alice.make(create_aes(256, [name("Volume A")]));
    server.pass(100);
    let second = alice.make(register_secret(b"a password", [name("volume b")]));
    server.pass(100);
    let third = alice.make(create_aes(128, [name("Volume"), name("spare")]));
    let filters = [
        (Filter { object_type: Some(ObjectType::SecretData), ..Filter::default() }, vec![&second]),
        (Filter { object_type: Some(ObjectType::Certificate), ..Filter::default() }, vec![]),
        (Filter { name: Some("Volume".to_owned()), ..Filter::default() }, vec![&third]),
        (Filter { name: Some("volume".to_owned()), ..Filter::default() }, vec![]),
        (Filter { name_contains: Some("VOLUME".to_owned()), ..Filter::default() }, vec![&third, &second, &first]),
        (Filter { name_contains: Some("lume A".to_owned()), ..Filter::default() }, vec![&first]),
        (Filter { name_contains: Some("%".to_owned()), ..Filter::default() }, vec![]),
        (Filter { created_from: Some(START + 100), ..Filter::default() }, vec![&third, &second]),
        (Filter { created_to: Some(START + 100), ..Filter::default() }, vec![&second, &first]),
        (Filter { created_from: Some(START + 1), created_to: Some(START + 199), ..Filter::default() }, vec![&second]),
        (
            Filter { name: Some("spare".to_owned()), object_type: Some(ObjectType::SecretData), ..Filter::default() },
            vec![],
        ),
    ];
    for (filter, expected) in filters {
        assert_eq!(found(&server, &filter).iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

#[test]
fn unused_are_those_that_nobody_fetched_since() {
    let server = TestServer::new();
    let alice = server.alice();
    let [never, once] = [alice.create_aes(256), alice.create_aes(256)];
    let certificate = alice.peer.certificate;
    let seen = ObjectUse { at: START + 50, certificate };
    server.store.see_objects(vec![SeenObject { object: object(&once), seen }]).unwrap();
    let unused = |since| found(&server, &Filter { unused_since: Some(since), ..Filter::default() });
    assert_eq!(unused(START + 51), [once.clone(), never.clone()]);
    assert_eq!(unused(START + 50), [never]);
    assert_eq!(one(&server, &once).last_use, Some(seen));
}

#[test]
fn a_damaged_object_is_named_and_stands_in_nobodys_way() {
    let server = TestServer::new();
    let alice = server.alice();
    let [good, bad] = [alice.create_aes(256), alice.create_aes(256)];
    let change = "UPDATE object SET metadata = zeroblob(length(metadata)) WHERE id = ?1";
    server.database().execute(change, [object(&bad).0.as_bytes()]).unwrap();
    let page = page(&server, &Filter::default(), None, 10);
    assert_eq!(page.objects.iter().map(|one| one.id).collect::<Vec<_>>(), [object(&good)]);
    assert_eq!(page.damaged, [object(&bad)]);
    assert!(matches!(summary(&server.store, object(&bad), server.now()), Err(StoreError::Damaged)));
    assert_eq!(summary(&server.store, ObjectId(Uuid::now_v7()), server.now()).unwrap(), None);
}

#[test]
fn destroyed_objects_stay_in_the_list_without_a_root_key() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    alice.ask(activate(&id)).unwrap();
    alice.ask(revoke(&id, RevocationReasonCode::KeyCompromise)).unwrap();
    server.pass(5);
    alice.ask(destroy(&id)).unwrap();
    let shown = one(&server, &id);
    assert_eq!((shown.state, shown.dates.destroy), (State::DestroyedCompromised, Some(START + 5)));
    assert_eq!((shown.dates.compromise, shown.sealed_under, shown.held_until), (Some(START), None, None));
    assert_eq!(found(&server, &Filter { held: true, ..Filter::default() }), Vec::<String>::new());
}
