//! vCenter 8.0.1 with an ESXi host: a key is created, fetched, activated and tagged on two connections, then fetched by the
//! host on a third. KMIP 1.1 throughout.

use kmip::{
    attributes::{Attribute, Attributes, CustomAttribute},
    enums::{CryptographicAlgorithm, ObjectType, ResultReason, State},
    masks::CryptographicUsageMask,
    payloads::{AddAttributeRequest, CreateRequest, GivenAttributes, Request, Response},
    tree::Value,
    version::Version,
};
use uuid::Uuid;

use super::{
    Made, Trace,
    connect::{CheckError, Target},
    dialogue::{Dialogue, OTHER_ANSWER, Style, key_fingerprint, material, shown_key, shown_versions},
};

const PLAIN: Style = Style { with_credential: false, named_items: true };
const WITH_CREDENTIAL: Style = Style { with_credential: true, named_items: true };
/// Identifiers longer than this break vCenter.
const MAX_ID: usize = 127;

/// Plays the sequence.
pub(super) fn play(target: &Target, trace: &mut Trace, keep: bool) -> Result<Made, CheckError> {
    trace.step("probe: connect and close, saying nothing", || target.connect().map(drop), |()| "closed".to_owned())?;
    let mut first = Dialogue::open(target, trace, "vCenter connects", Version::V1_1)?;
    let versions = |found: &Vec<Version>| shown_versions(found);
    trace.step("which versions of KMIP?", || first.versions(Style::default()), versions)?;

    let id = trace.step("create an AES-256 key", || create(&mut first), |id| id.clone())?;
    let made = trace.step("get the key (still Pre-Active)", || fetch(&mut first, &id), |key| shown_key(32, *key))?;
    let mut second = Dialogue::open(target, trace, "vCenter connects a second time", Version::V1_1)?;
    let untagged =
        |names: &'static [&'static str]| move |second: &mut Dialogue<'_>, id: &str| untagged(second, id, names);
    let ask = untagged(&["x-Product_Version"]);
    trace.step("is it tagged with a product version?", || ask(&mut second, &id), |()| "not yet".to_owned())?;
    let state = |state: &State| state.name().to_owned();
    trace.step("what state is it in?", || first.state(WITH_CREDENTIAL, &id, State::PreActive), state)?;
    let ask = untagged(&["x-Vendor", "x-Product"]);
    trace.step("is it tagged with vendor and product?", || ask(&mut second, &id), |()| "not yet".to_owned())?;
    trace.step("activate it", || first.activate(WITH_CREDENTIAL, &id), |()| "active".to_owned())?;

    let product =
        [("x-Product_Version", "8.0.1 build-21560480"), ("x-Vendor", "VMware, Inc."), ("x-Product", "VMware vSphere")];
    trace.step("tag it with the product (batch of 3)", || tag(&mut second, &id, &product), |n| format!("{n} added"))?;
    let ask = untagged(&["x-Identifier", "x-Component", "x-Name"]);
    trace.step("is it tagged with its machine?", || ask(&mut second, &id), |()| "not yet".to_owned())?;
    let machine = Uuid::new_v4().to_string();
    let owner = [("x-Identifier", machine.as_str()), ("x-Component", "Virtual Machine"), ("x-Name", "check-vm")];
    trace.step("tag it with its machine (batch of 3)", || tag(&mut second, &id, &owner), |n| format!("{n} added"))?;

    let mut host = Dialogue::open(target, trace, "an ESXi host powers the machine on", Version::V1_1)?;
    trace.step("which versions of KMIP?", || host.versions(PLAIN), versions)?;
    trace.step("what state is the key in?", || host.state(PLAIN, &id, State::Active), state)?;
    let same = || {
        let key = fetch(&mut host, &id)?;
        if key == made { Ok(key) } else { Err(CheckError::Unexpected("another key than the one created")) }
    };
    trace.step("get the key: is it the same?", same, |key| shown_key(32, *key))?;
    let nobody = Uuid::new_v4().to_string();
    let refused = || host.get_refused(&nobody, &[ResultReason::ItemNotFound]);
    trace.step("get a key that is not there", refused, |reason| format!("refused: {}", reason.name()))?;
    if !keep {
        first.remove(trace, &id)?;
    }
    Ok(Made { id, kept: keep })
}

fn create(dialogue: &mut Dialogue<'_>) -> Result<String, CheckError> {
    let attributes = [
        Attribute::CryptographicAlgorithm(CryptographicAlgorithm::Aes),
        Attribute::CryptographicUsageMask(CryptographicUsageMask::Encrypt | CryptographicUsageMask::Decrypt),
        Attribute::CryptographicLength(256),
    ];
    let request = CreateRequest {
        object_type: ObjectType::SymmetricKey,
        attributes: GivenAttributes(attributes.into_iter().collect::<Attributes>()),
    };
    match dialogue.ask(WITH_CREDENTIAL, request)? {
        Response::Create(made) if made.unique_identifier.is_empty() || made.unique_identifier.len() > MAX_ID => {
            Err(CheckError::Unexpected("an identifier of a length that vCenter does not store"))
        }
        Response::Create(made) => Ok(made.unique_identifier),
        _ => Err(OTHER_ANSWER),
    }
}

fn fetch(dialogue: &mut Dialogue<'_>, id: &str) -> Result<[u8; 4], CheckError> {
    let found = dialogue.get(WITH_CREDENTIAL, id)?;
    match material(&found.object)? {
        key if key.len() == 32 => Ok(key_fingerprint(key)),
        _ => Err(CheckError::Unexpected("the key has not 256 bits")),
    }
}

/// Asks for each attribute, one message for each as vCenter does; none may be there.
fn untagged(dialogue: &mut Dialogue<'_>, id: &str, names: &[&str]) -> Result<(), CheckError> {
    for name in names {
        if !dialogue.attributes(PLAIN, id, &[name])?.is_empty() {
            return Err(CheckError::Unexpected("an attribute that nobody set"));
        }
    }
    Ok(())
}

fn tag(dialogue: &mut Dialogue<'_>, id: &str, tags: &[(&str, &str)]) -> Result<usize, CheckError> {
    let attribute = |(name, value): &(&str, &str)| {
        Attribute::Custom(CustomAttribute { name: (*name).to_owned(), value: Value::text(*value) })
    };
    let request = |tag| {
        Request::from(AddAttributeRequest { unique_identifier: Some(id.to_owned()), attribute: attribute(tag).into() })
    };
    let answers = dialogue.ask_all(PLAIN, tags.iter().map(request).collect())?;
    for (answer, wanted) in answers.iter().zip(tags) {
        match answer {
            Response::AddAttribute(added)
                if added.unique_identifier == id && added.attribute.attribute == attribute(wanted) => {}
            _ => return Err(CheckError::Unexpected("an answer that does not repeat the attribute")),
        }
    }
    Ok(answers.len())
}
