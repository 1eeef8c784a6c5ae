//! The loop over a message's items: the only place that builds response messages and writes audit events (KMIP 1.4 §6, §7).
//!
//! Each item becomes typed on its own and fails alone. A reply leaves only after its events are written.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeSet,
    time::Instant,
};

use kmip::{
    enums::{BatchErrorContinuationOption, Operation, ResultStatus},
    fields::DateTime,
    message::{
        MessageError, ProtocolVersion, RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem,
        ResponseMessage,
    },
    payloads::{Request, Response},
    tags::Tag,
    tree::{Enumerated, Item},
    ttlv,
    version::Version,
};
use tracing::{debug, debug_span, error};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Engine,
    authn::Principal,
    ctx::Ctx,
    error::{Blame, OpError},
    gate::{LARGE_BYTES, Place},
    makings, ops, policy,
    unit::Unit,
};
use crate::{
    audit::{Event, Outcome, RequestEvent},
    net::{PeerIdentity, Reply},
    store::{Change, ObjectId, ObjectUse, StoreError},
};

/// Versions whose messages the engine reads, newest first: what Discover Versions answers.
pub(super) const VERSIONS: [Version; 5] = [Version::V1_4, Version::V1_3, Version::V1_2, Version::V1_1, Version::V1_0];
/// Fewer bytes than any response has: a header, and one item with an operation, a status and a payload.
const MIN_RESPONSE_BYTES: i32 = 128;
/// What an item of a response has beside its payload, in bytes: operation, identifier, status and their structure.
const ITEM_BYTES: usize = 64;
/// How often an Undo batch starts again because another request changed one of its objects.
const UNDO_ATTEMPTS: u32 = 10;

/// What happened to one item.
struct Done {
    item: ResponseItem,
    operation: &'static str,
    object: Option<ObjectId>,
    outcome: Outcome,
}

impl Done {
    /// Whether the client is given an object.
    fn hands_out(&self) -> bool {
        self.operation == Operation::Get.name() && self.outcome == Outcome::Success
    }

    /// Whether there is an object that was not there before.
    fn makes(&self) -> bool {
        self.outcome == Outcome::Success && makings::makes(self.operation)
    }
}

/// One message at work.
struct Message<'a> {
    engine: &'a Engine,
    peer: &'a PeerIdentity,
    version: Version,
    now: i64,
    /// Joins the reply, the audit events and the log lines of this message.
    correlation: Uuid,
    /// The longest response that the client reads, bytes.
    maximum: usize,
    /// The place of a large message, from when it turns out to be one until its reply is made.
    place: &'a OnceCell<Place>,
}

/// Answers one request message.
pub(super) fn answer(engine: &Engine, peer: &PeerIdentity, request: &[u8]) -> Reply {
    let now = engine.parts.clock.now();
    engine.sightings.asked(peer, now);
    let place = OnceCell::new();
    if request.len() > LARGE_BYTES {
        place.get_or_init(|| engine.gate.enter());
    }
    let correlation = Uuid::new_v4();
    let mut message =
        Message { engine, peer, version: Version::V1_0, now, correlation, maximum: usize::MAX, place: &place };
    let tree = match ttlv::decode(request, &engine.parts.limits.decode) {
        Ok(tree) => tree,
        Err(error) => return message.refuse(version_hint(request), &error.into()),
    };
    let hint = RequestMessage::version_of(&tree).and_then(ProtocolVersion::known);
    let request = match RequestMessage::from_item(tree) {
        Ok(request) => request,
        Err(MessageError::Decode(error)) => return message.refuse(hint, &error.into()),
        Err(MessageError::UnknownVersion(_)) => {
            return message.refuse(None, &OpError::InvalidMessage("the protocol version is not supported"));
        }
    };
    if !VERSIONS.contains(&request.version) {
        return message.refuse(None, &OpError::InvalidMessage("the protocol version is not supported"));
    }
    message.version = request.version;
    message.run(request.header, request.items)
}

/// The answer to a frame that is longer than the server reads.
pub(super) fn refuse_too_large(engine: &Engine) -> Reply {
    let version = Version::V1_0;
    let item = failure(
        None,
        None,
        &OpError::InvalidMessage("the request message is longer than this server reads"),
        version,
        Uuid::nil(),
    );
    let header = header(version, engine.parts.clock.now(), 1, None);
    Reply { bytes: encode(header, vec![item], version), close: true }
}

/// The version that the bytes seem to name, where they are too damaged to be read as a tree.
fn version_hint(request: &[u8]) -> Option<Version> {
    // Tag and length of Request Message, Request Header and Protocol Version are eight bytes each, then two Integers.
    let number = |at: usize| request.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
    Version::from_numbers(number(32)?, number(48)?)
}

impl Message<'_> {
    /// The whole message fails: a header, and one item without an operation (KMIP 1.4 §11.1).
    fn refuse(mut self, version: Option<Version>, error: &OpError) -> Reply {
        self.version = version.filter(|version| VERSIONS.contains(version)).unwrap_or(Version::V1_4);
        debug!(peer = %self.peer.address, correlation = %self.correlation, %error, "request refused as a whole");
        let done = self.failed(None, None, "Message", None, error);
        self.reply(None, None, vec![done])
    }

    fn run(mut self, header: RequestHeader, items: Vec<Item>) -> Reply {
        if items.len() > self.engine.parts.limits.batch_items {
            let version = Some(self.version);
            return self
                .refuse(version, &OpError::InvalidMessage("the batch has more items than this server processes"));
        }
        let maximum = header.maximum_response_size;
        self.maximum = maximum.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        let client_correlation = header.client_correlation_value.clone();
        let done = match self.admit(&header) {
            Ok(principal) => self.run_items(&header, items, principal),
            Err(error) => items
                .iter()
                .map(|item| {
                    let (operation, id) = RequestItem::outline(item);
                    let name =
                        operation.as_ref().and_then(Operation::from_enumerated).map_or("Unknown", Operation::name);
                    self.failed(operation, id, name, None, &error)
                })
                .collect(),
        };
        self.reply(maximum, client_correlation, done)
    }

    /// Whether the message as a whole may be processed, and for whom.
    fn admit(&self, header: &RequestHeader) -> Result<Principal, OpError> {
        // No answer is so short: whatever were done would be done unseen.
        if header.maximum_response_size.is_some_and(|maximum| maximum < MIN_RESPONSE_BYTES) {
            return Err(OpError::ResponseTooLarge);
        }
        let trust = self.engine.parts.trust.current();
        self.engine.credentials.authenticate(&trust, self.peer.adapter, header.authentication.as_ref())
    }

    fn run_items(&self, header: &RequestHeader, items: Vec<Item>, principal: Principal) -> Vec<Done> {
        let option = header.batch_error_continuation_option.unwrap_or(BatchErrorContinuationOption::Stop);
        if option == BatchErrorContinuationOption::Undo && items.len() > 1 {
            return self.run_undo(&items, principal);
        }
        let mut ctx = self.ctx(principal);
        let (mut done, mut bytes) = (Vec::with_capacity(items.len()), 0);
        for item in items {
            let one = self.run_item(&mut ctx, item, &mut bytes);
            let failed = one.item.result_status != ResultStatus::Success;
            done.push(one);
            if failed && option == BatchErrorContinuationOption::Stop {
                break;
            }
        }
        done
    }

    /// All items or none: their changes are held back and become one transaction.
    fn run_undo(&self, items: &[Item], principal: Principal) -> Vec<Done> {
        // Once others were first, they are kept away from the objects that the batch changes.
        let mut contended = BTreeSet::new();
        for _ in 0..UNDO_ATTEMPTS {
            if !contended.is_empty() {
                // Under the locks that follow there is no waiting for a place, should an object be large.
                self.place.get_or_init(|| self.engine.gate.enter());
            }
            let _queue = self.engine.lock_stripes(&contended);
            let mut ctx = self.ctx(principal);
            ctx.unit = Some(RefCell::new(Unit::default()));
            let (mut done, mut bytes) = (Vec::with_capacity(items.len()), 0);
            for item in items {
                let one = self.run_item(&mut ctx, item.clone(), &mut bytes);
                let failed = one.item.result_status != ResultStatus::Success;
                done.push(one);
                if failed {
                    let failed = done.len() - 1;
                    return done
                        .into_iter()
                        .enumerate()
                        .map(|(at, one)| if at < failed { undone(one) } else { one })
                        .collect();
                }
            }
            let unit = ctx.unit.take().map(RefCell::into_inner).unwrap_or_default();
            let touched: Vec<ObjectId> = unit.ids().collect();
            let changes = unit.into_changes();
            if bytes > self.maximum {
                return self.last_fails(done, &OpError::ResponseTooLarge);
            }
            let creating = changes.iter().any(|change| matches!(change, Change::Insert { .. }));
            let error = match if changes.is_empty() { Ok(()) } else { self.engine.parts.store.apply(changes) } {
                Ok(()) => return done,
                Err(StoreError::Conflict) => {
                    contended.extend(touched);
                    continue;
                }
                // New material was sealed under a version of the root key that is not the current one any more.
                Err(StoreError::StaleRootKey) => match self.engine.refresh_trust() {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(StoreError::Duplicate) => OpError::NameTaken { creating },
                Err(error) => error.into(),
            };
            return self.last_fails(done, &error);
        }
        let done = items.iter().map(|item| {
            let (operation, id) = RequestItem::outline(item);
            let name = name_of(operation.as_ref());
            self.failed(operation, id, name, None, &OpError::Store(StoreError::Conflict))
        });
        done.collect()
    }

    /// The transaction failed after every item had succeeded: the last one carries the reason.
    fn last_fails(&self, done: Vec<Done>, error: &OpError) -> Vec<Done> {
        let last = done.len().saturating_sub(1);
        let fail = |(at, one): (usize, Done)| {
            if at < last {
                return undone(one);
            }
            self.failed(one.item.operation, one.item.unique_batch_item_id, one.operation, one.object, error)
        };
        done.into_iter().enumerate().map(fail).collect()
    }

    fn ctx(&self, principal: Principal) -> Ctx<'_> {
        Ctx {
            engine: self.engine,
            principal,
            operation: Operation::Query,
            version: self.version,
            now: self.now,
            placeholder: Cell::new(None),
            subject: Cell::new(None),
            unit: None,
            place: self.place,
        }
    }

    /// `bytes` counts what the response has in it already.
    fn run_item(&self, ctx: &mut Ctx<'_>, item: Item, bytes: &mut usize) -> Done {
        let (code, id) = RequestItem::outline(&item);
        let name = name_of(code.as_ref());
        // An item that is to make or find an object and fails must not leave an earlier one to those that follow.
        let places = [Operation::Create, Operation::Register, Operation::Locate];
        if code.as_ref().and_then(Operation::from_enumerated).is_some_and(|operation| places.contains(&operation)) {
            ctx.placeholder.set(None);
        }
        let item = match RequestItem::from_item(item, self.version) {
            Ok(item) => item,
            Err(error) => return self.failed(code, id, name, None, &error.into()),
        };
        let _span =
            debug_span!("item", principal = %self.peer.adapter.0, operation = name, version = %self.version).entered();
        let started = Instant::now();
        ctx.subject.set(None);
        // Asked before the item is performed: past what the client reads or the server holds, nothing more is done.
        let limit = self.engine.parts.limits.held_bytes;
        let room = *bytes < limit.min(self.maximum);
        let held_back = ctx.unit.as_ref().map_or(0, |unit| unit.borrow().bytes());
        if *bytes > LARGE_BYTES || held_back > LARGE_BYTES {
            self.place.get_or_init(|| self.engine.gate.enter());
        }
        let result = if !room {
            Err(OpError::ResponseTooLarge)
        } else if held_back >= limit {
            Err(OpError::InvalidMessage("the batch changes more at once than this server can undo"))
        } else {
            self.perform(ctx, item)
        };
        let object = ctx.subject.get();
        let outcome = result.as_ref().map_or_else(|error| error.reason(self.version).name(), |_| "success");
        let took = started.elapsed();
        self.engine.metrics.record(name, outcome, took);
        debug!(
            object_id = object.map(|id| tracing::field::display(id.0)),
            outcome,
            latency_us = took.as_micros(),
            "item done"
        );
        match result {
            Ok(response) => {
                let payload = Item::new(Tag::ResponsePayload, response.into_value(self.version));
                *bytes += ITEM_BYTES + ttlv::encoded_len(&payload);
                let item = ResponseItem {
                    operation: code,
                    unique_batch_item_id: id,
                    result_status: ResultStatus::Success,
                    result_reason: None,
                    result_message: None,
                    payload: Some(payload.value),
                };
                Done { item, operation: name, object, outcome: Outcome::Success }
            }
            Err(error) => self.failed(code, id, name, object, &error),
        }
    }

    fn perform(&self, ctx: &mut Ctx<'_>, item: RequestItem) -> Result<Response, OpError> {
        if item.message_extension.iter().any(|extension| extension.criticality_indicator) {
            return Err(OpError::FeatureNotSupported("a critical message extension is not known"));
        }
        let operation = item.operation.ok_or(OpError::OperationNotSupported)?;
        ctx.operation = operation;
        policy::decide(&ctx.principal, operation, None)?;
        let request =
            Request::from_value(operation, item.payload, self.version)?.ok_or(OpError::OperationNotSupported)?;
        ops::dispatch(ctx, request)
    }

    fn failed(
        &self,
        operation: Option<Enumerated>,
        id: Option<Zeroizing<Vec<u8>>>,
        name: &'static str,
        object: Option<ObjectId>,
        error: &OpError,
    ) -> Done {
        if error.blame() == Blame::Server {
            error!(
                adapter = %self.peer.adapter.0, operation = name, object_id = object.map(|id| tracing::field::display(id.0)),
                correlation = %self.correlation, %error, "operation failed on the server's side"
            );
        }
        let outcome = Outcome::Failed(error.reason(self.version).name());
        let item = failure(operation, id, error, self.version, self.correlation);
        Done { item, operation: name, object, outcome }
    }

    /// Writes the events, then gives the reply away. Without a record there is no answer but that one.
    fn reply(&self, maximum: Option<i32>, client_correlation: Option<String>, done: Vec<Done>) -> Reply {
        let events: Vec<Event> = done.iter().map(|one| Event::Request(self.event(one))).collect();
        let fetched: Vec<ObjectId> = done.iter().filter(|one| one.hands_out()).filter_map(|one| one.object).collect();
        let made: Vec<ObjectId> = done.iter().filter(|one| one.makes()).filter_map(|one| one.object).collect();
        let mut items: Vec<ResponseItem> = done.into_iter().map(|one| one.item).collect();
        let mut close = false;
        if let Err(audit) = self.engine.parts.audit.append(&events) {
            error!(correlation = %self.correlation, error = %audit, "the audit log cannot be written: nothing is answered until it can");
            let error = OpError::Audit(audit);
            items = items.into_iter().map(|item| self.replace(item, &error)).collect();
            close = true;
        }
        for object in made.into_iter().filter(|_| !close) {
            self.engine.makings.note(self.peer.adapter, self.peer.certificate, object, self.now);
        }
        let count = items.len();
        let header_of = || header(self.version, self.now, count, client_correlation.clone());
        let outlines: Vec<_> =
            items.iter().map(|item| (item.operation.clone(), item.unique_batch_item_id.clone())).collect();
        let bytes = encode(header_of(), items, self.version);
        let fits = maximum.is_none_or(|maximum| usize::try_from(maximum).is_ok_and(|maximum| bytes.len() <= maximum));
        if fits {
            let seen = ObjectUse { at: self.now, certificate: self.peer.certificate };
            let fetched = fetched.into_iter().filter(|_| !close);
            fetched.for_each(|object| self.engine.sightings.fetched(object, seen));
            return Reply { bytes, close };
        }
        let too_large =
            |(operation, id)| failure(operation, id, &OpError::ResponseTooLarge, self.version, self.correlation);
        let items = outlines.into_iter().map(too_large).collect();
        Reply { bytes: encode(header_of(), items, self.version), close }
    }

    fn replace(&self, item: ResponseItem, error: &OpError) -> ResponseItem {
        failure(item.operation, item.unique_batch_item_id, error, self.version, self.correlation)
    }

    fn event(&self, done: &Done) -> RequestEvent {
        RequestEvent {
            adapter: self.peer.adapter,
            certificate: self.peer.certificate,
            peer: self.peer.address,
            operation: done.operation,
            object: done.object,
            outcome: done.outcome,
            correlation: self.correlation,
            version: Some((self.version.major(), self.version.minor())),
        }
    }
}

/// The operation's name in the specification, for the record.
fn name_of(code: Option<&Enumerated>) -> &'static str {
    code.and_then(Operation::from_enumerated).map_or("Unknown", Operation::name)
}

/// An item of an Undo batch that had succeeded before another failed.
fn undone(done: Done) -> Done {
    let item = ResponseItem { result_status: ResultStatus::OperationUndone, payload: None, ..done.item };
    Done { item, outcome: Outcome::Failed(ResultStatus::OperationUndone.name()), ..done }
}

fn failure(
    operation: Option<Enumerated>,
    unique_batch_item_id: Option<Zeroizing<Vec<u8>>>,
    error: &OpError,
    version: Version,
    correlation: Uuid,
) -> ResponseItem {
    ResponseItem {
        operation,
        unique_batch_item_id,
        result_status: ResultStatus::OperationFailed,
        result_reason: Some(error.reason(version)),
        result_message: Some(error.client_message(correlation)),
        payload: None,
    }
}

fn header(version: Version, now: i64, count: usize, client_correlation_value: Option<String>) -> ResponseHeader {
    ResponseHeader {
        protocol_version: version.into(),
        time_stamp: DateTime(now),
        client_correlation_value,
        server_correlation_value: None,
        batch_count: i32::try_from(count).unwrap_or(i32::MAX),
    }
}

fn encode(header: ResponseHeader, items: Vec<ResponseItem>, version: Version) -> Zeroizing<Vec<u8>> {
    ttlv::encode(&ResponseMessage { header, items }.into_item(version))
}
