//! The audit log: one event for each item, in the file before the reply is; without the file no answer but a failure.

use std::os::unix::fs::symlink;

use kmip::{
    client::RequestBuilder,
    enums::{BatchErrorContinuationOption, ResultReason, ResultStatus},
    payloads::{QueryRequest, Request},
    ttlv,
    version::Version,
};
use zeroize::Zeroizing;

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, logged},
    name,
};

const MISSING: &str = "01900000-0000-7000-8000-000000000000";

fn outcome(event: &serde_json::Value) -> (&str, Option<&str>, &str) {
    (event["operation"].as_str().unwrap(), event["object"].as_str(), event["outcome"].as_str().unwrap())
}

#[test]
fn every_item_has_one_event_that_is_written_when_the_reply_comes() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    assert_eq!(server.audit().len(), 1);
    let request = RequestBuilder::new(Version::V1_4)
        .on_error(BatchErrorContinuationOption::Continue)
        .item(create_aes(128, [name("audited")]))
        .item(get(&id))
        .item(get(MISSING))
        .item(create_aes(128, [name("audited")]))
        .item(destroy(&id))
        .item(get(&id))
        .item(locate([name("audited")]));
    let results = alice.send(request);
    let new = made(results[0].clone().unwrap());
    let events = server.audit().split_off(1);
    assert_eq!(
        events.iter().map(outcome).collect::<Vec<_>>(),
        [
            ("Create", Some(new.as_str()), "success"),
            ("Get", Some(id.as_str()), "success"),
            ("Get", None, "ItemNotFound"),
            ("Create", None, "InvalidField"),
            ("Destroy", Some(id.as_str()), "success"),
            ("Get", Some(id.as_str()), "ItemNotFound"),
            ("Locate", Some(new.as_str()), "success"),
        ]
    );
    for event in &events {
        assert_eq!(event["adapter"].as_str(), Some(alice.peer.adapter.0.to_string().as_str()));
        assert_eq!(event["correlation"], events[0]["correlation"], "one request, one correlation");
    }
}

#[test]
fn another_adapters_object_is_not_named_in_the_events_of_who_asked_for_it() {
    let server = TestServer::new();
    let id = server.alice().create_aes(256);
    server.bob().refused(get(&id));
    let event = server.audit().pop().unwrap();
    assert_eq!(outcome(&event), ("Get", None, "ItemNotFound"));
    assert_eq!(event["adapter"].as_str(), Some(server.bob().peer.adapter.0.to_string().as_str()));
}

#[test]
fn items_that_are_undone_are_recorded_as_that() {
    let server = TestServer::new();
    let alice = server.alice();
    let id = alice.create_aes(256);
    let undo = |last: &str| {
        RequestBuilder::new(Version::V1_4)
            .on_error(BatchErrorContinuationOption::Undo)
            .item(activate(&id))
            .item(activate(last))
    };
    let results = alice.send(undo(MISSING));
    assert_eq!(results[0].as_ref().unwrap_err().status, ResultStatus::OperationUndone);
    let events = server.audit().split_off(1);
    assert_eq!(
        events.iter().map(outcome).collect::<Vec<_>>(),
        [("Activate", Some(id.as_str()), "OperationUndone"), ("Activate", None, "ItemNotFound")]
    );
}

#[test]
fn a_request_that_cannot_be_read_is_recorded_too() {
    let server = TestServer::new();
    let alice = server.alice();
    alice.exchange(b"no TTLV at all");
    let event = server.audit().pop().unwrap();
    assert_eq!(outcome(&event), ("Message", None, "InvalidMessage"));
}

#[test]
fn nothing_is_answered_while_the_audit_log_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    symlink("/dev/full", dir.path().join("audit.jsonl")).unwrap();
    let server = TestServer::start(dir, Default::default());
    let alice = server.alice();
    let requests: Vec<Request> = vec![
        create_aes(256, [name("unheard")]).into(),
        get(MISSING).into(),
        locate([]).into(),
        QueryRequest { query_function: vec![kmip::enums::QueryFunction::QueryOperations] }.into(),
    ];
    for request in requests {
        let request = RequestBuilder::new(Version::V1_4).item(request).build();
        let bytes = Zeroizing::new(ttlv::encode(&request).to_vec());
        let (reply, log) = logged(|| keystead::net::Handler::handle(&*alice.engine, &alice.peer, bytes));
        assert!(reply.close, "the connection ends");
        assert!(log.contains("ERROR") && log.contains("audit"), "{log}");
        let tree = ttlv::decode(&reply.bytes, &ttlv::Limits::default()).unwrap();
        let results = kmip::client::read_results(tree, Version::V1_4).unwrap();
        let Err(kmip::client::ClientError::Refused(refusal)) = &results[0] else { panic!("{results:?}") };
        assert_eq!(refusal.reason, Some(ResultReason::GeneralFailure));
    }
    // Nor is a message that cannot even be read.
    let reply = keystead::net::Handler::handle(&*alice.engine, &alice.peer, Zeroizing::new(vec![0; 8]));
    assert!(reply.close);
}
