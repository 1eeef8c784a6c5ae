//! A MongoDB driver (libmongocrypt, plain mode): a 96-byte secret is registered, activated and fetched, each on a connection
//! of its own. KMIP 1.0.

use kmip::{
    attributes::{Attribute, Attributes},
    enums::{KeyFormatType, SecretDataType},
    masks::CryptographicUsageMask,
    objects::{KeyBlock, KeyValue, Object, SecretData},
    payloads::{GivenAttributes, RegisterRequest, Response},
    tree::Value,
    version::Version,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::{
    Made, Trace,
    connect::{CheckError, Target},
    dialogue::{Dialogue, OTHER_ANSWER, Style, key_fingerprint, material, shown_key},
};

const STYLE: Style = Style { with_credential: true, named_items: false };
/// Length of a client master key in bytes.
const SECRET_BYTES: usize = 96;

/// Plays the sequence.
pub(super) fn play(target: &Target, trace: &mut Trace, keep: bool) -> Result<Made, CheckError> {
    let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
    SystemRandom::new().fill(&mut secret).map_err(|_| CheckError::NoRandomness)?;
    let sent = key_fingerprint(&secret);
    let open = |trace: &mut Trace| Dialogue::open(target, trace, "the driver connects", Version::V1_0);

    let mut dialogue = open(trace)?;
    let id = trace.step("register a secret", || register(&mut dialogue, secret), |id| id.clone())?;
    let mut dialogue = open(trace)?;
    trace.step("activate it", || dialogue.activate(STYLE, &id), |()| "active".to_owned())?;
    let mut dialogue = open(trace)?;
    let fetch = || {
        let found = dialogue.get(STYLE, &id)?;
        let fingerprint = key_fingerprint(material(&found.object)?);
        if fingerprint == sent {
            Ok(fingerprint)
        } else {
            Err(CheckError::Unexpected("another secret than the one sent"))
        }
    };
    trace.step("get it: is it the same?", fetch, |found| shown_key(SECRET_BYTES, *found))?;
    if !keep {
        dialogue.remove(trace, &id)?;
    }
    Ok(Made { id, kept: keep })
}

fn register(dialogue: &mut Dialogue<'_>, secret: Zeroizing<Vec<u8>>) -> Result<String, CheckError> {
    let mask = Attribute::CryptographicUsageMask(CryptographicUsageMask::empty());
    let request = RegisterRequest {
        object_type: kmip::enums::ObjectType::SecretData,
        attributes: GivenAttributes([mask].into_iter().collect::<Attributes>()),
        object: Object::SecretData(SecretData {
            secret_data_type: SecretDataType::Seed,
            key_block: KeyBlock {
                key_format_type: KeyFormatType::Opaque,
                key_compression_type: None,
                key_value: Some(KeyValue::Plain { material: Value::ByteString(secret), attributes: Vec::new() }),
                cryptographic_algorithm: None,
                cryptographic_length: None,
                key_wrapping_data: None,
            },
        }),
    };
    match dialogue.ask(STYLE, request)? {
        Response::Register(made) => Ok(made.unique_identifier),
        _ => Err(OTHER_ANSWER),
    }
}
