//! Messages: headers, batch items, credentials (KMIP 1.4 §6, §7).
//!
//! A request is read in two steps, so that one bad item fails alone: [`RequestMessage`] reads the header and splits the
//! batch, [`RequestItem`] reads one item, and [`crate::payloads::Request`] its payload.

use zeroize::Zeroizing;

use crate::{
    enums::*,
    error::{DecodeError, Fault},
    fields::{DateTime, Field, Fields, Slot, Structure, kmip_struct, wrong_type},
    tags::Tag,
    tree::{Enumerated, Item, Value},
    version::Version,
};

kmip_struct! {
    /// A version by its numbers, which need not be one this crate knows (KMIP 1.4 §6.1).
    #[derive(Copy, Eq)]
    pub struct ProtocolVersion {
        /// Major.
        ProtocolVersionMajor => major: i32, in V1_0..;
        /// Minor.
        ProtocolVersionMinor => minor: i32, in V1_0..;
    }
}

impl From<Version> for ProtocolVersion {
    fn from(version: Version) -> Self {
        Self { major: version.major(), minor: version.minor() }
    }
}

impl ProtocolVersion {
    /// The version, where this crate knows it.
    pub fn known(self) -> Option<Version> {
        Version::from_numbers(self.major, self.minor)
    }
}

kmip_struct! {
    /// What stands before the batch of a request (KMIP 1.4 §7.2).
    pub struct RequestHeader {
        /// The version of the whole message.
        ProtocolVersion => protocol_version: ProtocolVersion, in V1_0..;
        /// The longest response that the client reads, bytes.
        MaximumResponseSize => maximum_response_size: Option<i32>, in V1_0..;
        /// The client's name for the request.
        ClientCorrelationValue => client_correlation_value: Option<String>, in V1_4..;
        /// The server's name for it, in requests of servers.
        ServerCorrelationValue => server_correlation_value: Option<String>, in V1_4..;
        /// Whether the client can wait for a later answer.
        AsynchronousIndicator => asynchronous_indicator: Option<Asynchronous>, in V1_0..;
        /// Whether the client can attest itself.
        AttestationCapableIndicator => attestation_capable_indicator: Option<bool>, in V1_2..;
        /// How.
        AttestationType => attestation_type: Vec<AttestationType>, in V1_2..;
        /// Credentials.
        Authentication => authentication: Option<Authentication>, in V1_0..;
        /// What to do after an item that fails.
        BatchErrorContinuationOption => batch_error_continuation_option: Option<BatchErrorContinuationOption>, in V1_0..;
        /// Whether items are to be done in order.
        BatchOrderOption => batch_order_option: Option<bool>, in V1_0..;
        /// When the client sent it.
        TimeStamp => time_stamp: Option<DateTime>, in V1_0..;
        /// How many items follow.
        BatchCount => batch_count: i32, in V1_0..;
    }
}

/// Whether the client can wait for a later answer: true or false in 1.x, one of a list from 2.0 on (KMIP 1.4 §6.7).
#[derive(Clone, Debug, PartialEq)]
pub enum Asynchronous {
    /// 1.x.
    Flag(bool),
    /// 2.x.
    Choice(Enumerated),
}

impl Field for Asynchronous {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        if version < Version::V2_0 {
            return bool::from_value(value, version).map(Self::Flag);
        }
        Enumerated::from_value(value, version).map(Self::Choice)
    }

    fn into_value(self, _: Version) -> Value {
        match self {
            Self::Flag(flag) => Value::Boolean(flag),
            Self::Choice(choice) => Value::Enumeration(choice),
        }
    }
}

kmip_struct! {
    /// Credentials of a request (KMIP 1.4 §6.6); more than one from 1.2 on.
    pub struct Authentication {
        /// Each credential.
        Credential => credential: Vec<Credential>, in V1_0..;
    }
}

/// A credential (KMIP 1.4 §2.1.2).
#[derive(Clone, PartialEq)]
pub enum Credential {
    /// A user name and a password.
    UsernameAndPassword {
        /// Who.
        username: String,
        /// Their secret.
        password: Option<Zeroizing<String>>,
    },
    /// Any other kind, unread.
    Other(CredentialType),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UsernameAndPassword { .. } => f.write_str("Credential::UsernameAndPassword(..)"),
            Self::Other(kind) => write!(f, "Credential::Other({kind:?})"),
        }
    }
}

impl Field for Credential {
    fn from_value(value: Value, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(value, version)?;
        let kind = fields.take::<CredentialType>(Tag::CredentialType)?;
        let value = fields.take::<Value>(Tag::CredentialValue)?;
        fields.finish()?;
        if kind != CredentialType::UsernameAndPassword {
            return Ok(Self::Other(kind));
        }
        let mut fields = Fields::of(value, version).map_err(|error| error.within(Tag::CredentialValue))?;
        let username = fields.take::<String>(Tag::Username)?;
        let password = fields.take(Tag::Password)?;
        fields.finish().map_err(|error| error.within(Tag::CredentialValue))?;
        Ok(Self::UsernameAndPassword { username, password })
    }

    fn into_value(self, version: Version) -> Value {
        let (kind, fields) = match self {
            Self::UsernameAndPassword { username, password } => {
                let mut fields = vec![Item::new(Tag::Username, Value::text(username))];
                password.put(Tag::Password, &mut fields, version);
                (CredentialType::UsernameAndPassword, fields)
            }
            Self::Other(kind) => (kind, Vec::new()),
        };
        Value::Structure(vec![
            Item::new(Tag::CredentialType, kind.into_value(version)),
            Item::structure(Tag::CredentialValue, fields),
        ])
    }
}

/// A request whose header is read and whose items are not.
#[derive(Debug)]
pub struct RequestMessage {
    /// The header.
    pub header: RequestHeader,
    /// The items as they came.
    pub items: Vec<Item>,
    /// The version of the header.
    pub version: Version,
}

/// Why a message cannot be answered item by item.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is not a request that this crate can read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Its version is not one that this crate knows.
    #[error("protocol version {}.{} is not supported", .0.major, .0.minor)]
    UnknownVersion(ProtocolVersion),
}

impl RequestMessage {
    /// The version that the header of `message` names, where it can be found at all: what an error is to be answered in.
    pub fn version_of(message: &Item) -> Option<ProtocolVersion> {
        let header = message.field(Tag::RequestHeader)?.field(Tag::ProtocolVersion)?;
        ProtocolVersion::from_value(header.value.clone(), Version::V1_0).ok()
    }

    /// Reads the header of `message` and splits its batch.
    ///
    /// # Errors
    /// It is no request message, its version is unknown, its header is wrong, or the batch has not as many items as the header says.
    pub fn from_item(message: Item) -> Result<Self, MessageError> {
        if message.tag != Tag::RequestMessage {
            return Err(DecodeError::at(Tag::RequestMessage, Fault::MissingField).into());
        }
        let numbers = Self::version_of(&message).ok_or_else(|| {
            DecodeError::new(Fault::MissingField).within(Tag::ProtocolVersion).within(Tag::RequestHeader)
        })?;
        let version = numbers.known().ok_or(MessageError::UnknownVersion(numbers))?;
        let mut fields = Fields::of(message.value, version)?;
        let header = fields.take::<RequestHeader>(Tag::RequestHeader)?;
        let items: Vec<Item> = fields.take_all(|tag| tag == Tag::BatchItem).collect();
        fields.finish()?;
        if i32::try_from(items.len()) != Ok(header.batch_count) || items.is_empty() {
            return Err(DecodeError::at(Tag::BatchCount, Fault::WrongCount).within(Tag::RequestHeader).into());
        }
        Ok(Self { header, items, version })
    }

    /// The message as a tree.
    pub fn into_item(self) -> Item {
        let header = Item::new(Tag::RequestHeader, self.header.into_value(self.version));
        Item::structure(Tag::RequestMessage, std::iter::once(header).chain(self.items).collect())
    }
}

/// One item of a request, its payload unread (KMIP 1.4 §7.2).
#[derive(Debug)]
pub struct RequestItem {
    /// The operation's code; `None` for one that no version defines.
    pub operation: Option<Operation>,
    /// The operation as the request wrote it, to be echoed.
    pub operation_code: Enumerated,
    /// The client's name for the item.
    pub unique_batch_item_id: Option<Zeroizing<Vec<u8>>>,
    /// What the operation is given.
    pub payload: Value,
    /// Vendors' additions.
    pub message_extension: Vec<MessageExtension>,
}

kmip_struct! {
    /// A vendor's addition to an item (KMIP 1.4 §6.16).
    pub struct MessageExtension {
        /// Whose.
        VendorIdentification => vendor_identification: String, in V1_0..;
        /// Whether a receiver that does not know it must refuse.
        CriticalityIndicator => criticality_indicator: bool, in V1_0..;
        /// Anything.
        VendorExtension => vendor_extension: Structure, in V1_0..;
    }
}

impl RequestItem {
    /// What can be told of an item that cannot be read: enough to answer it.
    pub fn outline(item: &Item) -> (Option<Enumerated>, Option<Zeroizing<Vec<u8>>>) {
        let operation = item.field(Tag::Operation).and_then(|field| match &field.value {
            Value::Enumeration(code) => Some(code.clone()),
            _ => None,
        });
        let id = item.field(Tag::UniqueBatchItemId).and_then(|field| match &field.value {
            Value::ByteString(id) => Some(id.clone()),
            _ => None,
        });
        (operation, id)
    }

    /// Reads one item.
    ///
    /// # Errors
    /// It lacks an operation or payload, or has what an item does not have.
    pub fn from_item(item: Item, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(item.value, version)?;
        let operation_code = match fields.take::<Value>(Tag::Operation)? {
            Value::Enumeration(code) => code,
            other => return Err(wrong_type("Enumeration", &other).within(Tag::Operation)),
        };
        let unique_batch_item_id = fields.take(Tag::UniqueBatchItemId)?;
        let payload = fields.take::<Value>(Tag::RequestPayload)?;
        let message_extension = fields.take(Tag::MessageExtension)?;
        fields.finish()?;
        let operation = Operation::from_value(Value::Enumeration(operation_code.clone()), version).ok();
        Ok(Self { operation, operation_code, unique_batch_item_id, payload, message_extension })
    }
}

kmip_struct! {
    /// What stands before the batch of a response; clients read its first three fields by position (KMIP 1.4 §7.2).
    pub struct ResponseHeader {
        /// The request's version.
        ProtocolVersion => protocol_version: ProtocolVersion, in V1_0..;
        /// The server's time.
        TimeStamp => time_stamp: DateTime, in V1_0..;
        /// The client's name for the request.
        ClientCorrelationValue => client_correlation_value: Option<String>, in V1_4..;
        /// The server's name for it.
        ServerCorrelationValue => server_correlation_value: Option<String>, in V1_4..;
        /// How many items follow.
        BatchCount => batch_count: i32, in V1_0..;
    }
}

/// One item of a response (KMIP 1.4 §7.2).
#[derive(Debug)]
pub struct ResponseItem {
    /// The request's operation, as it wrote it.
    pub operation: Option<Enumerated>,
    /// The request's name for the item.
    pub unique_batch_item_id: Option<Zeroizing<Vec<u8>>>,
    /// How it went.
    pub result_status: ResultStatus,
    /// Why it failed.
    pub result_reason: Option<ResultReason>,
    /// The same for people.
    pub result_message: Option<String>,
    /// What the operation gives back.
    pub payload: Option<Value>,
}

impl ResponseItem {
    /// The item as a message of `version` carries it.
    pub fn into_item(self, version: Version) -> Item {
        let mut fields = Vec::with_capacity(6);
        if let Some(operation) = self.operation {
            fields.push(Item::new(Tag::Operation, Value::Enumeration(operation)));
        }
        self.unique_batch_item_id.put(Tag::UniqueBatchItemId, &mut fields, version);
        self.result_status.put(Tag::ResultStatus, &mut fields, version);
        self.result_reason.put(Tag::ResultReason, &mut fields, version);
        self.result_message.put(Tag::ResultMessage, &mut fields, version);
        self.payload.put(Tag::ResponsePayload, &mut fields, version);
        Item::structure(Tag::BatchItem, fields)
    }

    /// Reads one item.
    ///
    /// # Errors
    /// It lacks a status, or has what an item does not have.
    pub fn from_item(item: Item, version: Version) -> Result<Self, DecodeError> {
        let mut fields = Fields::of(item.value, version)?;
        let operation = fields.take::<Option<Value>>(Tag::Operation)?.map(crate::fields::enumerated).transpose()?;
        let read = Self {
            operation,
            unique_batch_item_id: fields.take(Tag::UniqueBatchItemId)?,
            result_status: fields.take::<ResultStatus>(Tag::ResultStatus)?,
            result_reason: fields.take(Tag::ResultReason)?,
            result_message: fields.take(Tag::ResultMessage)?,
            payload: fields.take(Tag::ResponsePayload)?,
        };
        let _extensions: Vec<MessageExtension> = fields.take(Tag::MessageExtension)?;
        fields.finish()?;
        Ok(read)
    }
}

/// A response.
#[derive(Debug)]
pub struct ResponseMessage {
    /// The header.
    pub header: ResponseHeader,
    /// The items.
    pub items: Vec<ResponseItem>,
}

impl ResponseMessage {
    /// The message as a tree, in `version`.
    pub fn into_item(self, version: Version) -> Item {
        let mut fields = Vec::with_capacity(1 + self.items.len());
        fields.push(Item::new(Tag::ResponseHeader, self.header.into_value(version)));
        fields.extend(self.items.into_iter().map(|item| item.into_item(version)));
        Item::structure(Tag::ResponseMessage, fields)
    }

    /// Reads a whole response, all items in `version`.
    ///
    /// # Errors
    /// It is no response of this version.
    pub fn from_item(message: Item, version: Version) -> Result<Self, DecodeError> {
        if message.tag != Tag::ResponseMessage {
            return Err(DecodeError::new(Fault::UnexpectedField).within(message.tag));
        }
        let mut fields = Fields::of(message.value, version)?;
        let header = fields.take::<ResponseHeader>(Tag::ResponseHeader)?;
        let items = fields
            .take_all(|tag| tag == Tag::BatchItem)
            .map(|item| ResponseItem::from_item(item, version))
            .collect::<Result<_, _>>()?;
        fields.finish()?;
        Ok(Self { header, items })
    }
}
