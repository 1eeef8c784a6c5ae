//! What a server says of itself, and a key's whole life: created, found by name, fetched, activated, revoked, destroyed, gone.
//! In the newest 1.x version that both sides speak.

use kmip::{
    attributes::{Attribute, AttributeKind, AttributeName, Attributes, Name},
    enums::{CryptographicAlgorithm, NameType, ObjectType, QueryFunction, ResultReason, State},
    fields::Field as _,
    masks::CryptographicUsageMask,
    payloads::{
        CreateRequest, Criteria, Criterion, GivenAttributes, LocateRequest, QueryRequest, QueryResponse, Response,
    },
    version::Version,
};
use uuid::Uuid;

use super::{
    Made, Trace,
    connect::{CheckError, Target},
    dialogue::{Dialogue, OTHER_ANSWER, Style, key_fingerprint, material, shown_key, shown_versions},
};

const STYLE: Style = Style { with_credential: true, named_items: false };

/// Plays the sequence.
pub(super) fn play(target: &Target, trace: &mut Trace) -> Result<Made, CheckError> {
    // Version 1.1 is the first with Discover Versions.
    let mut dialogue = Dialogue::open(target, trace, "connect", Version::V1_1)?;
    let found = trace.step("which versions of KMIP?", || dialogue.versions(STYLE), |found| shown_versions(found))?;
    let version = found.into_iter().filter(|version| *version < Version::V2_0).max().unwrap_or(Version::V1_0);
    let mut dialogue = Dialogue::open(target, trace, "connect again, to speak the newest 1.x", version)?;
    trace.step("what can the server do?", || query(&mut dialogue), shown_abilities)?;

    let name = format!("keystead-check-{}", Uuid::new_v4());
    let id = trace.step("create an AES-256 key with a name", || create(&mut dialogue, &name), |id| id.clone())?;
    trace.step(
        "find it by its name",
        || locate(&mut dialogue, &name, &id, version),
        |()| "found it alone".to_owned(),
    )?;
    let state = |state: &State| state.name().to_owned();
    trace.step("what state is it in?", || dialogue.state(STYLE, &id, State::PreActive), state)?;
    let key = trace.step("get the key", || fetch(&mut dialogue, &id), |key| shown_key(32, *key))?;
    trace.step("activate it", || dialogue.activate(STYLE, &id), |()| "active".to_owned())?;
    trace.step("what state is it in?", || dialogue.state(STYLE, &id, State::Active), state)?;
    let same = || {
        let again = fetch(&mut dialogue, &id)?;
        if again == key { Ok(()) } else { Err(CheckError::Unexpected("another key than before")) }
    };
    trace.step("get the key: is it the same?", same, |()| "the same".to_owned())?;
    trace.step("revoke it", || dialogue.revoke(STYLE, &id), |()| "deactivated".to_owned())?;
    trace.step("what state is it in?", || dialogue.state(STYLE, &id, State::Deactivated), state)?;
    trace.step("destroy it", || dialogue.destroy(STYLE, &id), |()| "destroyed".to_owned())?;
    let gone = || dialogue.get_refused(&id, &[ResultReason::ItemNotFound, ResultReason::ObjectDestroyed]);
    trace.step("get the key: is it gone?", gone, |reason| format!("refused: {}", reason.name()))?;
    Ok(Made { id, kept: false })
}

fn query(dialogue: &mut Dialogue<'_>) -> Result<QueryResponse, CheckError> {
    let query_function =
        vec![QueryFunction::QueryOperations, QueryFunction::QueryObjects, QueryFunction::QueryServerInformation];
    match dialogue.ask(STYLE, QueryRequest { query_function })? {
        Response::Query(found) => Ok(found),
        _ => Err(OTHER_ANSWER),
    }
}

fn shown_abilities(found: &QueryResponse) -> String {
    let vendor = found.vendor_identification.as_deref().unwrap_or("unnamed");
    // A server's own words must not be able to steer a terminal.
    let vendor: String = vendor.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("{vendor}: {} operations on {} types of object", found.operation.len(), found.object_type.len())
}

fn create(dialogue: &mut Dialogue<'_>, name: &str) -> Result<String, CheckError> {
    let attributes = [
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
        Attribute::CryptographicLength(256),
        Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt),
        Attribute::Name(text_name(name)),
    ];
    let request = CreateRequest {
        object_type: ObjectType::SymmetricKey,
        attributes: GivenAttributes(attributes.into_iter().collect::<Attributes>()),
    };
    match dialogue.ask(STYLE, request)? {
        Response::Create(made) => Ok(made.unique_identifier),
        _ => Err(OTHER_ANSWER),
    }
}

fn locate(dialogue: &mut Dialogue<'_>, name: &str, id: &str, version: Version) -> Result<(), CheckError> {
    let criterion =
        Criterion { name: AttributeName::Standard(AttributeKind::Name), value: text_name(name).into_value(version) };
    let request = LocateRequest {
        maximum_items: None,
        offset_items: None,
        storage_status_mask: None,
        object_group_member: None,
        criteria: Criteria(vec![criterion]),
    };
    match dialogue.ask(STYLE, request)? {
        Response::Locate(found) if found.unique_identifier == [id] => Ok(()),
        Response::Locate(_) => Err(CheckError::Unexpected("not exactly that key was found")),
        _ => Err(OTHER_ANSWER),
    }
}

fn fetch(dialogue: &mut Dialogue<'_>, id: &str) -> Result<[u8; 4], CheckError> {
    let found = dialogue.get(STYLE, id)?;
    match material(&found.object)? {
        key if key.len() == 32 => Ok(key_fingerprint(key)),
        _ => Err(CheckError::Unexpected("the key has not 256 bits")),
    }
}

fn text_name(name: &str) -> Name {
    Name { name_value: name.to_owned(), name_type: NameType::UninterpretedTextString }
}
