//! Bad input, played in this process: every entry of a catalogue gets its KMIP reason and changes nothing; mutated messages
//! never panic the engine and always get an answer.

mod costs;
mod listed;
mod mutations;
mod systematic;
pub mod valid;

use std::panic::{AssertUnwindSafe, catch_unwind};

use kmip::{
    enums::{ResultReason, ResultStatus},
    message::{ResponseItem, ResponseMessage},
    payloads::DiscoverVersionsRequest,
    tree::Item,
    version::Version,
};

use self::valid::Base;
use crate::harness::engine::{TestServer, User};

/// How a bad message is to be answered.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// As a whole: one item without an operation, for this reason.
    Message(ResultReason),
    /// In its last item, which names its operation where that can be read.
    Item(ResultReason),
}

/// One bad message.
pub struct Entry {
    pub name: String,
    pub bytes: Vec<u8>,
    /// The version in which it is to be answered.
    pub version: Version,
    pub expect: Expect,
}

/// Plays an entry; says what is wrong with the answer.
fn play(server: &TestServer, user: &User, entry: &Entry) -> Result<(), String> {
    let before = server.store.count(user.peer.adapter).unwrap();
    let reply = catch_unwind(AssertUnwindSafe(|| user.exchange(&entry.bytes))).map_err(|_| "a panic".to_owned())?;
    check(reply, entry)?;
    let after = server.store.count(user.peer.adapter).unwrap();
    if before != after {
        return Err(format!("objects were made or destroyed: {before:?}, {after:?}"));
    }
    let request = DiscoverVersionsRequest { protocol_version: Vec::new() };
    user.ask(request).map(drop).map_err(|refusal| format!("the next request is refused: {refusal:?}"))
}

fn check(reply: Item, entry: &Entry) -> Result<(), String> {
    let message = ResponseMessage::from_item(reply, entry.version).map_err(|error| format!("no response: {error}"))?;
    let version = message.header.protocol_version.known();
    if version != Some(entry.version) {
        return Err(format!("answered in {version:?}"));
    }
    if usize::try_from(message.header.batch_count) != Ok(message.items.len()) {
        return Err("the batch count is wrong".to_owned());
    }
    let Some(ResponseItem { operation, result_status, result_reason, result_message, payload, .. }) =
        message.items.last()
    else {
        return Err("no item".to_owned());
    };
    let (reason, as_a_whole) = match entry.expect {
        Expect::Message(reason) => (reason, true),
        Expect::Item(reason) => (reason, false),
    };
    if *result_status != ResultStatus::OperationFailed || *result_reason != Some(reason) || payload.is_some() {
        return Err(format!("{result_status:?}, {result_reason:?}, {result_message:?} instead of {reason:?}"));
    }
    match (as_a_whole, operation) {
        (true, Some(_)) => Err("an item refused, not the message".to_owned()),
        (true, None) if message.items.len() != 1 => Err("more than one item".to_owned()),
        _ => Ok(()),
    }
}

/// Plays all entries on one server, whose valid messages still work afterwards.
fn play_all(entries: &[Entry], server: &TestServer, bases: &[Base]) {
    let alice = server.alice();
    let mut wrong = Vec::new();
    for entry in entries {
        if let Err(what) = play(server, &alice, entry) {
            wrong.push(format!("{}: {what}", entry.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), entries.len(), wrong.join("\n"));
    for base in bases {
        valid::succeeds(&alice, base);
    }
}

#[test]
fn every_way_to_spoil_a_valid_message_has_its_reason_and_changes_nothing() {
    let server = TestServer::new();
    let bases = valid::bases(&server.alice());
    let entries = systematic::entries(&bases);
    println!("{} messages made by spoiling {} valid ones", entries.len(), bases.len());
    assert!(entries.len() >= 500);
    play_all(&entries, &server, &bases);
}

#[test]
fn every_listed_bad_message_has_its_reason_and_changes_nothing() {
    let server = TestServer::new();
    let alice = server.alice();
    let bases = valid::bases(&alice);
    let entries = listed::entries(&alice);
    println!("{} listed messages", entries.len());
    play_all(&entries, &server, &bases);
}
