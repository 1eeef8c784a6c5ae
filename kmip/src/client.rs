//! A small client: builds requests, reads responses, over any `Read + Write` (a TLS stream, a test's pipe).
//!
//! It keeps one request in flight, as KMIP clients do. It knows no transport: connecting is its caller's.

use std::io::{Read, Write};

use zeroize::Zeroizing;

use crate::{
    enums::{BatchErrorContinuationOption, Operation, ResultReason, ResultStatus},
    error::DecodeError,
    fields::Field,
    message::{Authentication, Credential, RequestHeader, RequestMessage, ResponseItem, ResponseMessage},
    payloads::{Request, Response},
    tags::Tag,
    tree::{Item, Value},
    ttlv,
    version::Version,
};

/// Longest response that the client reads, bytes.
const MAX_RESPONSE: u32 = 16 << 20;

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed or was closed.
    #[error("the connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// The server's message cannot be read.
    #[error("the response cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The response is longer than the client reads.
    #[error("the response has {0} bytes, more than this client reads")]
    TooLong(u32),
    /// The server answered another number of items, or another operation.
    #[error("the response is not one to this request")]
    Mismatch,
    /// The server refused.
    #[error("{}", describe(.0))]
    Refused(Refusal),
}

/// What the server said when it refused an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Failed, undone or pending.
    pub status: ResultStatus,
    /// Why.
    pub reason: Option<ResultReason>,
    /// Why, in words.
    pub message: Option<String>,
}

fn describe(refusal: &Refusal) -> String {
    let reason = refusal.reason.map_or("no reason given", ResultReason::name);
    match &refusal.message {
        Some(message) => format!("{} ({reason}): {message}", refusal.status.name()),
        None => format!("{} ({reason})", refusal.status.name()),
    }
}

/// A request message to be: header options and items.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    version: Version,
    header: RequestHeader,
    items: Vec<Item>,
}

impl RequestBuilder {
    /// An empty message of `version`.
    pub fn new(version: Version) -> Self {
        let header = RequestHeader {
            protocol_version: version.into(),
            maximum_response_size: None,
            client_correlation_value: None,
            server_correlation_value: None,
            asynchronous_indicator: None,
            attestation_capable_indicator: None,
            attestation_type: Vec::new(),
            authentication: None,
            batch_error_continuation_option: None,
            batch_order_option: None,
            time_stamp: None,
            batch_count: 0,
        };
        Self { version, header, items: Vec::new() }
    }

    /// Adds an item.
    #[must_use]
    pub fn item(self, request: impl Into<Request>) -> Self {
        let request = request.into();
        let (operation, payload) = (request.operation(), request.into_value(self.version));
        self.raw_item(operation, None, payload)
    }

    /// Adds an item with a Unique Batch Item ID.
    #[must_use]
    pub fn named_item(self, id: &[u8], request: impl Into<Request>) -> Self {
        let request = request.into();
        let (operation, payload) = (request.operation(), request.into_value(self.version));
        self.raw_item(operation, Some(id), payload)
    }

    /// Adds an item whose payload is already a tree: for messages that no typed request can say.
    #[must_use]
    pub fn raw_item(mut self, operation: Operation, id: Option<&[u8]>, payload: Value) -> Self {
        let mut fields = vec![Item::new(Tag::Operation, operation.into_value(self.version))];
        if let Some(id) = id {
            fields.push(Item::new(Tag::UniqueBatchItemId, Value::bytes(id)));
        }
        fields.push(Item::new(Tag::RequestPayload, payload));
        self.items.push(Item::structure(Tag::BatchItem, fields));
        self
    }

    /// What the server does after an item that fails.
    #[must_use]
    pub fn on_error(mut self, option: BatchErrorContinuationOption) -> Self {
        self.header.batch_error_continuation_option = Some(option);
        self
    }

    /// Whether items are done in order.
    #[must_use]
    pub fn in_order(mut self, ordered: bool) -> Self {
        self.header.batch_order_option = Some(ordered);
        self
    }

    /// The longest response that may come back, bytes.
    #[must_use]
    pub fn maximum_response_size(mut self, bytes: i32) -> Self {
        self.header.maximum_response_size = Some(bytes);
        self
    }

    /// Sends a user name and password along.
    #[must_use]
    pub fn credential(mut self, username: &str, password: &str) -> Self {
        let password = Some(Zeroizing::new(password.to_owned()));
        let credential = Credential::UsernameAndPassword { username: username.to_owned(), password };
        self.header.authentication = Some(Authentication { credential: vec![credential] });
        self
    }

    /// The header, for what has no method of its own.
    pub fn header_mut(&mut self) -> &mut RequestHeader {
        &mut self.header
    }

    /// The message as a tree.
    pub fn build(mut self) -> Item {
        self.header.batch_count = i32::try_from(self.items.len()).unwrap_or(i32::MAX);
        RequestMessage { header: self.header, items: self.items, version: self.version }.into_item()
    }
}

/// One connection to a server.
pub struct Client<S> {
    stream: S,
    version: Version,
    credential: Option<(String, Zeroizing<String>)>,
}

impl<S: Read + Write> Client<S> {
    /// A client that speaks `version` over `stream`.
    pub fn new(stream: S, version: Version) -> Self {
        Self { stream, version, credential: None }
    }

    /// Sends this user name and password with every message from now on.
    pub fn set_credential(&mut self, username: &str, password: Zeroizing<String>) {
        self.credential = Some((username.to_owned(), password));
    }

    /// The stream.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// The connection failed, or the server refused.
    pub fn call(&mut self, request: impl Into<Request>) -> Result<Response, ClientError> {
        let mut results = self.send(RequestBuilder::new(self.version).item(request))?;
        results.pop().ok_or(ClientError::Mismatch)?
    }

    /// Sends a batch and returns what became of each item that the server answered.
    ///
    /// # Errors
    /// The connection failed, or the response is not one to this request.
    pub fn send(&mut self, mut request: RequestBuilder) -> Result<Vec<Result<Response, ClientError>>, ClientError> {
        if let (Some((username, password)), None) = (&self.credential, &request.header.authentication) {
            request = request.credential(username, password);
        }
        let version = request.version;
        let response = self.exchange(&request.build())?;
        read_results(response, version)
    }

    /// Sends a message tree and reads the tree that comes back.
    ///
    /// # Errors
    /// The connection failed, or what came back is no TTLV.
    pub fn exchange(&mut self, message: &Item) -> Result<Item, ClientError> {
        let bytes = ttlv::encode(message);
        self.exchange_bytes(&bytes)
    }

    /// Sends bytes and reads the tree that comes back.
    ///
    /// # Errors
    /// The connection failed, or what came back is no TTLV.
    pub fn exchange_bytes(&mut self, message: &[u8]) -> Result<Item, ClientError> {
        self.stream.write_all(message)?;
        self.stream.flush()?;
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let length = ttlv::frame_len(&header, Tag::ResponseMessage)?;
        if length > MAX_RESPONSE {
            return Err(ClientError::TooLong(length));
        }
        let mut frame = Zeroizing::new(vec![0; usize::try_from(length).map_err(|_| ClientError::TooLong(length))?]);
        let (start, rest) = frame.split_at_mut(header.len());
        start.copy_from_slice(&header);
        self.stream.read_exact(rest)?;
        Ok(ttlv::decode(&frame, &ttlv::Limits { bytes: MAX_RESPONSE as usize, ..ttlv::Limits::default() })?)
    }
}

/// The results of a response, item by item.
///
/// # Errors
/// It is no response of `version`.
pub fn read_results(response: Item, version: Version) -> Result<Vec<Result<Response, ClientError>>, ClientError> {
    let message = ResponseMessage::from_item(response, version)?;
    Ok(message.items.into_iter().map(|item| read_result(item, version)).collect())
}

fn read_result(item: ResponseItem, version: Version) -> Result<Response, ClientError> {
    if item.result_status != ResultStatus::Success {
        let ResponseItem { result_status: status, result_reason: reason, result_message: message, .. } = item;
        return Err(ClientError::Refused(Refusal { status, reason, message }));
    }
    let operation = item.operation.as_ref().and_then(Operation::from_enumerated).ok_or(ClientError::Mismatch)?;
    let payload = item.payload.unwrap_or_else(|| Value::Structure(Vec::new()));
    Response::from_value(operation, payload, version)?.ok_or(ClientError::Mismatch)
}
