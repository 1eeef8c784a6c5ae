//! One KMIP connection of a check: asks, and holds the answer against the rules that clients rely on.

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName},
    client::{Client, ClientError, Refusal, RequestBuilder},
    enums::{Operation, ResultReason, ResultStatus, RevocationReasonCode, State},
    message::{ResponseItem, ResponseMessage},
    objects::{KeyValue, Object},
    payloads::{
        ActivateRequest, DestroyRequest, DiscoverVersionsRequest, GetAttributesRequest, GetRequest, GetResponse,
        Request, Response, RevokeRequest,
    },
    tree::Value,
    version::Version,
};
use ring::digest;

use super::{
    Trace,
    connect::{CheckError, Connection, Target},
};

/// A connection that speaks one version of KMIP.
pub(super) struct Dialogue<'a> {
    client: Client<Connection>,
    target: &'a Target,
    version: Version,
}

/// How a message is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Style {
    /// Gives the KMIP credential along, where there is one.
    pub(super) with_credential: bool,
    /// Names each item as vCenter does: `QLKC`, then a number that counts from 1.
    pub(super) named_items: bool,
}

impl<'a> Dialogue<'a> {
    /// Connects, as one step of `trace`.
    pub(super) fn open(
        target: &'a Target,
        trace: &mut Trace,
        what: &str,
        version: Version,
    ) -> Result<Self, CheckError> {
        let connection = trace.step(what, || target.connect(), |connection| connection.agreed.clone())?;
        Ok(Self::over(connection, target, version))
    }

    /// A dialogue on an open connection.
    pub(super) fn over(connection: Connection, target: &'a Target, version: Version) -> Self {
        Self { client: Client::new(connection, version), target, version }
    }

    /// Asks for one thing.
    pub(super) fn ask(&mut self, style: Style, request: impl Into<Request>) -> Result<Response, CheckError> {
        let mut responses = self.ask_all(style, vec![request.into()])?;
        responses.pop().ok_or(CheckError::Unexpected("no item in the answer"))
    }

    /// Asks for several things in one batch. All must succeed.
    pub(super) fn ask_all(&mut self, style: Style, requests: Vec<Request>) -> Result<Vec<Response>, CheckError> {
        let mut message = RequestBuilder::new(self.version);
        let mut asked = Vec::new();
        for (request, number) in requests.into_iter().zip(1_u8..) {
            let operation = request.operation();
            let id = [b'Q', b'L', b'K', b'C', number, 0, 0, 0];
            message = if style.named_items { message.named_item(&id, request) } else { message.item(request) };
            asked.push((operation, style.named_items.then_some(id)));
        }
        if let Some((user, password)) = self.target.credential.as_ref().filter(|_| style.with_credential) {
            message = message.credential(user, password);
        }
        let answer = ResponseMessage::from_item(self.client.exchange(&message.build())?, self.version)
            .map_err(|error| CheckError::Client(ClientError::Decode(error)))?;
        if answer.header.protocol_version.known() != Some(self.version) {
            return Err(CheckError::Unexpected("the answer is in another version of KMIP than the request"));
        }
        // A message that cannot be worked on at all is answered by one item, whatever was asked.
        if answer.items.len() != asked.len()
            && answer.items.iter().all(|item| item.result_status == ResultStatus::Success)
        {
            return Err(CheckError::Unexpected("the answer has another number of items than the request"));
        }
        answer.items.into_iter().zip(asked).map(|(item, (operation, id))| self.read(item, operation, id)).collect()
    }

    fn read(&self, item: ResponseItem, asked: Operation, id: Option<[u8; 8]>) -> Result<Response, CheckError> {
        if item.result_status != ResultStatus::Success {
            let (status, reason, message) = (item.result_status, item.result_reason, item.result_message);
            return Err(CheckError::Client(ClientError::Refused(Refusal { status, reason, message })));
        }
        if item.unique_batch_item_id.as_ref().map(|id| id.as_slice()) != id.as_ref().map(<[u8; 8]>::as_slice) {
            return Err(CheckError::Unexpected("the answer's Unique Batch Item ID is not the request's"));
        }
        let payload = item.payload.unwrap_or_else(|| Value::Structure(Vec::new()));
        Response::from_value(asked, payload, self.version)
            .map_err(|error| CheckError::Client(ClientError::Decode(error)))?
            .ok_or(CheckError::Unexpected("an answer to another operation"))
    }

    /// The versions that the server speaks, in words.
    pub(super) fn versions(&mut self, style: Style) -> Result<Vec<Version>, CheckError> {
        let request = DiscoverVersionsRequest { protocol_version: Vec::new() };
        let Response::DiscoverVersions(found) = self.ask(style, request)? else { return Err(OTHER_ANSWER) };
        Ok(found.protocol_version.iter().filter_map(|version| version.known()).collect())
    }

    /// The key of `id`; the answer must be that object.
    pub(super) fn get(&mut self, style: Style, id: &str) -> Result<GetResponse, CheckError> {
        let request = GetRequest {
            unique_identifier: Some(id.to_owned()),
            key_format_type: None,
            key_wrap_type: None,
            key_compression_type: None,
            key_wrapping_specification: None,
        };
        match self.ask(style, request)? {
            Response::Get(found) if found.unique_identifier == id => Ok(found),
            _ => Err(OTHER_ANSWER),
        }
    }

    /// The named attributes of `id`, of which the answer holds those that are there.
    pub(super) fn attributes(&mut self, style: Style, id: &str, names: &[&str]) -> Result<Vec<Attribute>, CheckError> {
        let request = GetAttributesRequest {
            unique_identifier: Some(id.to_owned()),
            attribute_name: names.iter().map(|name| AttributeName::parse((*name).to_owned(), self.version)).collect(),
        };
        match self.ask(style, request)? {
            Response::GetAttributes(found) if found.unique_identifier == id => {
                Ok(found.attributes.0.into_iter().map(|instance| instance.attribute).collect())
            }
            _ => Err(OTHER_ANSWER),
        }
    }

    /// The state of `id`, which must be `expected`.
    pub(super) fn state(&mut self, style: Style, id: &str, expected: State) -> Result<State, CheckError> {
        match self.attributes(style, id, &[AttributeKind::State.name()])?.as_slice() {
            [Attribute::State(state)] if *state == expected => Ok(*state),
            [Attribute::State(_)] => Err(CheckError::Unexpected("the key is in another state")),
            _ => Err(CheckError::Unexpected("the answer has no State")),
        }
    }

    /// Activates `id`.
    pub(super) fn activate(&mut self, style: Style, id: &str) -> Result<(), CheckError> {
        self.ask(style, ActivateRequest { unique_identifier: Some(id.to_owned()) }).map(drop)
    }

    /// Revokes `id` for no particular reason, which deactivates it.
    pub(super) fn revoke(&mut self, style: Style, id: &str) -> Result<(), CheckError> {
        let request = RevokeRequest {
            unique_identifier: Some(id.to_owned()),
            revocation_reason: kmip::attributes::RevocationReason {
                code: RevocationReasonCode::Unspecified,
                message: None,
            },
            compromise_occurrence_date: None,
        };
        self.ask(style, request).map(drop)
    }

    /// Destroys `id`.
    pub(super) fn destroy(&mut self, style: Style, id: &str) -> Result<(), CheckError> {
        self.ask(style, DestroyRequest { unique_identifier: Some(id.to_owned()) }).map(drop)
    }

    /// Asks for the key `id`, which the server must refuse for one of `reasons`.
    pub(super) fn get_refused(&mut self, id: &str, reasons: &[ResultReason]) -> Result<ResultReason, CheckError> {
        match self.get(Style::default(), id) {
            Err(CheckError::Client(ClientError::Refused(Refusal { reason: Some(reason), .. })))
                if reasons.contains(&reason) =>
            {
                Ok(reason)
            }
            Err(CheckError::Client(ClientError::Refused(_))) => {
                Err(CheckError::Unexpected("refused, but for another reason"))
            }
            Err(error) => Err(error),
            Ok(_) => Err(CheckError::Unexpected("the server returned a key that should not be there")),
        }
    }

    /// Takes a key that a check made out of use: revoked, then destroyed.
    pub(super) fn remove(&mut self, trace: &mut Trace, id: &str) -> Result<(), CheckError> {
        let style = Style { with_credential: true, ..Style::default() };
        trace.step("clean up: revoke the key", || self.revoke(style, id), |()| "deactivated".to_owned())?;
        trace.step("clean up: destroy the key", || self.destroy(style, id), |()| "destroyed".to_owned())
    }
}

/// The answer is not one to the question.
pub(super) const OTHER_ANSWER: CheckError = CheckError::Unexpected("an answer to another question");

/// Versions as people read them.
pub(super) fn shown_versions(versions: &[Version]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The material of an object in the clear, in a format of plain bytes.
pub(super) fn material(object: &Object) -> Result<&[u8], CheckError> {
    match object.key_block().and_then(|block| block.key_value.as_ref()) {
        Some(KeyValue::Plain { material: Value::ByteString(bytes), .. }) => Ok(bytes),
        _ => Err(CheckError::Unexpected("the answer has no plain key material")),
    }
}

/// The first four bytes of the SHA-256 of key material: enough to compare, useless to guess from.
pub(super) fn key_fingerprint(material: &[u8]) -> [u8; 4] {
    digest::digest(&digest::SHA256, material).as_ref().first_chunk().copied().unwrap_or_default()
}

/// A key's fingerprint as the trace shows it.
pub(super) fn shown_key(material_bytes: usize, fingerprint: [u8; 4]) -> String {
    let [a, b, c, d] = fingerprint;
    format!("{material_bytes} bytes, fingerprint {a:02x}{b:02x}{c:02x}{d:02x}")
}
