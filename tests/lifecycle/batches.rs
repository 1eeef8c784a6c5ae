//! Batches: what happens after an item that fails, the ID Placeholder, and the options of the header (KMIP 1.4 §4, §6).

use kmip::{
    attributes::{Attribute, AttributeKind},
    client::{Refusal, RequestBuilder},
    enums::{BatchErrorContinuationOption as Option_, QueryFunction, ResultReason, ResultStatus, State},
    fields::DateTime,
    payloads::*,
    tags::Tag,
    tree::Value,
    version::Version,
};

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User},
    name,
};

const MISSING: &str = "01900000-0000-7000-8000-000000000000";

fn batch() -> RequestBuilder {
    RequestBuilder::new(Version::V1_4)
}

fn failed<T: std::fmt::Debug>(result: &Result<T, Refusal>) -> (ResultStatus, Option<ResultReason>) {
    let refusal = result.as_ref().expect_err("it failed");
    (refusal.status, refusal.reason)
}

const NOT_FOUND: (ResultStatus, Option<ResultReason>) =
    (ResultStatus::OperationFailed, Some(ResultReason::ItemNotFound));
const UNDONE: (ResultStatus, Option<ResultReason>) = (ResultStatus::OperationUndone, None);

fn named(user: &User, text: &str) -> Vec<String> {
    user.find(locate([name(text)]))
}

#[test]
fn stop_answers_up_to_the_item_that_fails_and_keeps_what_was_done() {
    let server = TestServer::new();
    let alice = server.alice();
    for (text, option) in [("said", Some(Option_::Stop)), ("unsaid", None)] {
        let mut request = batch()
            .item(create_aes(128, [name(&format!("{text} before"))]))
            .item(activate(MISSING))
            .item(create_aes(128, [name(&format!("{text} after"))]));
        request.header_mut().batch_error_continuation_option = option;
        let results = alice.send(request);
        assert_eq!(results.len(), 2, "{results:?}");
        assert!(results[0].is_ok());
        assert_eq!(failed(&results[1]), NOT_FOUND);
        assert_eq!(named(&alice, &format!("{text} before")).len(), 1);
        assert_eq!(named(&alice, &format!("{text} after")).len(), 0);
    }
}

#[test]
fn continue_does_every_item_that_can_be_done() {
    let server = TestServer::new();
    let alice = server.alice();
    let request = batch()
        .on_error(Option_::Continue)
        .named_item(b"first", create_aes(128, [name("first")]))
        .named_item(b"second", activate(MISSING))
        .named_item(b"third", create_aes(128, [name("first")]))
        .named_item(b"fourth", create_aes(128, [name("second")]));
    let results = alice.send(request);
    assert_eq!(results.len(), 4);
    assert!(results[0].is_ok() && results[3].is_ok());
    assert_eq!(failed(&results[1]), NOT_FOUND);
    assert!(results[2].is_err(), "the name is taken");
    assert_eq!((named(&alice, "first").len(), named(&alice, "second").len()), (1, 1));
}

#[test]
fn undo_leaves_nothing_of_a_batch_that_fails() {
    let server = TestServer::new();
    let alice = server.alice();
    let old = alice.make(create_aes(128, [name("old"), custom_text("x-note", "before")]));
    let before = alice.attributes(&old, &[]).unwrap();
    let key = alice.material(&old);
    // Get made it no longer fresh; that is no part of the batch.
    let fresh_gone = alice.attributes(&old, &[]).unwrap();
    assert_ne!(before, fresh_gone);
    server.pass(10);
    let request = batch()
        .on_error(Option_::Undo)
        .item(create_aes(128, [name("new")]))
        .item(ActivateRequest { unique_identifier: None })
        .item(modify(&old, custom_text("x-note", "after")))
        .item(modify(&old, name("renamed")))
        .item(destroy(&old))
        .item(locate([name("new")]))
        .item(get(MISSING))
        .item(create_aes(128, [name("never reached")]));
    let results = alice.send(request);
    assert_eq!(results.len(), 7, "the items after the one that failed are not answered");
    assert!(results[..6].iter().all(|result| failed(result) == UNDONE), "{results:?}");
    assert_eq!(failed(&results[6]), NOT_FOUND);
    assert_eq!(alice.attributes(&old, &[]).unwrap(), fresh_gone);
    assert_eq!(alice.material(&old), key, "its material is there again, for it never went");
    assert_eq!(alice.find(locate([])), [old.as_str()], "nothing was made");
    for (text, count) in [("new", 0), ("renamed", 0), ("never reached", 0), ("old", 1)] {
        assert_eq!(named(&alice, text).len(), count, "{text}");
    }
    alice.make(create_aes(128, [name("new")]));
}

#[test]
fn undo_does_a_batch_that_succeeds_and_its_items_see_each_other() {
    let server = TestServer::new();
    let alice = server.alice();
    let old = alice.make(create_aes(128, [name("old")]));
    let request = batch()
        .on_error(Option_::Undo)
        .item(modify(&old, name("moved")))
        .item(create_aes(128, [name("old")]))
        .item(ActivateRequest { unique_identifier: None })
        .item(locate([name("old"), Attribute::State(State::Active)]))
        .item(get(&old));
    let results = alice.send(request);
    let [_, Ok(created), _, Ok(located), Ok(got)] = &results[..] else { panic!("{results:?}") };
    let created = made(created.clone());
    assert_eq!(found(located.clone()), [created.as_str()]);
    assert_eq!(material(got.clone()).len(), 16);
    assert_eq!(alice.state(&created), State::Active);
    assert_eq!((named(&alice, "old"), named(&alice, "moved")), (vec![created], vec![old]));
}

#[test]
fn undo_refuses_a_batch_whose_items_contradict_each_other_at_its_end() {
    let server = TestServer::new();
    let alice = server.alice();
    let request =
        batch().on_error(Option_::Undo).item(create_aes(128, [name("twice")])).item(create_aes(128, [name("twice")]));
    let results = alice.send(request);
    assert_eq!(failed(&results[0]), UNDONE);
    let (status, reason) = failed(&results[1]);
    assert_eq!(status, ResultStatus::OperationFailed);
    assert!(matches!(reason, Some(ResultReason::NonUniqueNameAttribute | ResultReason::InvalidField)));
    assert_eq!(named(&alice, "twice").len(), 0);
}

#[test]
fn a_batch_of_one_that_may_be_undone_fails_as_any_other() {
    let server = TestServer::new();
    let results = server.alice().send(batch().on_error(Option_::Undo).item(activate(MISSING)));
    assert_eq!(results.len(), 1);
    assert_eq!(failed(&results[0]), NOT_FOUND);
}

#[test]
fn the_id_placeholder_holds_what_was_made_or_located_last_and_nothing_else() {
    let server = TestServer::new();
    let alice = server.alice();
    let other = alice.make(create_aes(256, [name("other")]));
    let status = || GetAttributesRequest { unique_identifier: None, attribute_name: Vec::new() };
    let about = |result: &Result<Response, Refusal>| match result {
        Ok(Response::GetAttributes(response)) => response.unique_identifier.clone(),
        other => panic!("{other:?}"),
    };
    // A Get that names another object does not move it (§4: Create, Register, Locate and their like do).
    let results = alice.send(
        batch()
            .item(create_aes(128, [name("new")]))
            .item(get(&other))
            .item(ActivateRequest { unique_identifier: None })
            .item(status())
            .item(locate([name("other")]))
            .item(status()),
    );
    let new = made(results[0].clone().unwrap());
    assert_eq!(about(&results[3]), new);
    assert_eq!((alice.state(&new), alice.state(&other)), (State::Active, State::PreActive));
    assert_eq!(about(&results[5]), other);
    // Locate that finds two, or none, empties it.
    for criteria in [Vec::new(), vec![name("nobody")]] {
        let results = alice.send(batch().item(create_aes(128, [])).item(locate(criteria)).item(status()));
        assert!(results[1].is_ok());
        assert_eq!(failed(&results[2]), NOT_FOUND);
    }
    // So does Check that refuses.
    let check = CheckRequest {
        unique_identifier: None,
        usage_limits_count: None,
        cryptographic_usage_mask: Some(kmip::masks::CryptographicUsageMask::Sign),
        lease_time: None,
    };
    let results = alice.send(batch().item(create_aes(128, [])).item(check).item(get(&other)).item(status()));
    assert!(results[1].is_ok() && results[2].is_ok());
    assert_eq!(failed(&results[3]), NOT_FOUND);
    // And it is empty in the next request, of the same client too.
    assert_eq!(alice.refused(status()), ResultReason::ItemNotFound);
}

#[test]
fn an_item_that_names_an_object_and_fails_leaves_the_id_placeholder_alone() {
    let server = TestServer::new();
    let alice = server.alice();
    let other = alice.create_aes(256);
    let request = batch()
        .on_error(Option_::Continue)
        .item(create_aes(128, []))
        .item(add(&other, Attribute::State(State::Active)))
        .item(DestroyRequest { unique_identifier: None });
    let results = alice.send(request);
    assert!(results[1].is_err());
    let new = made(results[0].clone().unwrap());
    assert_eq!((alice.state(&new), alice.state(&other)), (State::Destroyed, State::PreActive));
}

#[test]
fn a_response_larger_than_the_client_reads_is_refused_and_one_that_fits_is_not() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let request = |maximum| batch().maximum_response_size(maximum).item(get(&id));
    let whole = alice.exchange(&kmip::ttlv::encode(&batch().item(get(&id)).build()));
    let length = i32::try_from(kmip::ttlv::encoded_len(&whole)).unwrap();
    assert!(alice.send(request(length))[0].is_ok());
    for maximum in [length - 1, 1, 0, -1] {
        let results = alice.send(request(maximum));
        assert_eq!(failed(&results[0]), (ResultStatus::OperationFailed, Some(ResultReason::ResponseTooLarge)));
    }
}

#[test]
fn the_header_answers_the_version_the_time_and_the_clients_correlation() {
    let server = TestServer::new();
    let alice = server.alice();
    server.pass(77);
    for version in [Version::V1_0, Version::V1_2, Version::V1_4] {
        // A time stamp far off is no reason to refuse: the server keeps its own time.
        for stamp in [None, Some(DateTime(0)), Some(DateTime(server.now() + 1_000_000))] {
            let query = QueryRequest { query_function: vec![QueryFunction::QueryOperations] };
            let mut request = RequestBuilder::new(version).item(query);
            request.header_mut().time_stamp = stamp;
            if version == Version::V1_4 {
                request.header_mut().client_correlation_value = Some("the client's own".to_owned());
            }
            let response = alice.exchange(&kmip::ttlv::encode(&request.build()));
            let header = response.field(Tag::ResponseHeader).unwrap();
            let minor = header.field(Tag::ProtocolVersion).and_then(|field| field.field(Tag::ProtocolVersionMinor));
            assert_eq!(minor.unwrap().value, Value::Integer(version.minor()));
            assert_eq!(header.field(Tag::TimeStamp).unwrap().value, Value::DateTime(server.now()));
            let correlation = header.field(Tag::ClientCorrelationValue).map(|field| field.value.clone());
            assert_eq!(correlation, (version == Version::V1_4).then(|| Value::text("the client's own")));
        }
    }
}

#[test]
fn items_are_answered_in_order_whether_or_not_that_is_asked_for() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(128);
    for ordered in [None, Some(true), Some(false)] {
        let mut request = batch();
        request.header_mut().batch_order_option = ordered;
        for n in 0..20 {
            request = request.item(add(&id, custom("x-order", Value::Integer(n))));
        }
        let values: Vec<Attribute> = alice
            .send(request)
            .into_iter()
            .map(|result| match result {
                Ok(Response::AddAttribute(response)) => response.attribute.attribute,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected: Vec<Attribute> = (0..20).map(|n| custom("x-order", Value::Integer(n))).collect();
        assert_eq!(values, expected);
    }
    assert_eq!(alice.attributes(&id, &[AttributeKind::State]).unwrap().len(), 1);
}

#[test]
fn a_creation_or_search_that_fails_leaves_no_earlier_object_to_the_items_behind_it() {
    let server = TestServer::new();
    let alice = server.alice();
    alice.make(create_aes(128, [name("taken")]));
    let spoiled = CreateRequest { object_type: kmip::enums::ObjectType::Certificate, ..create_aes(128, []) };
    let search = LocateRequest { maximum_items: Some(-1), ..locate([]) };
    let failing: [kmip::payloads::Request; 3] =
        [spoiled.into(), create_aes(128, [name("taken")]).into(), search.into()];
    for failing in failing {
        let request = batch()
            .on_error(Option_::Continue)
            .item(create_aes(128, []))
            .item(failing)
            .item(DestroyRequest { unique_identifier: None });
        let results = alice.send(request);
        let kept = made(results[0].clone().unwrap());
        assert!(results[1].is_err());
        assert_eq!(failed(&results[2]), NOT_FOUND);
        assert_eq!(alice.state(&kept), State::PreActive, "the object made before the failure is untouched");
    }
}

#[test]
fn nothing_more_is_done_once_the_response_is_longer_than_the_client_reads() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(128);
    for option in [Option_::Continue, Option_::Undo] {
        let mut request = batch().on_error(option).maximum_response_size(512);
        for _ in 0..4 {
            request = request.item(get(&id));
        }
        let results = alice.send(request.item(create_aes(128, [name(&format!("{option:?}"))])));
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert_eq!(named(&alice, &format!("{option:?}")), Vec::<String>::new(), "no key that nobody was told of");
    }
}
