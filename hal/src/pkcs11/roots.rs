//! Root keys on the token: made, imported, found, described, destroyed.
//!
//! A root key is found by its CKA_ID (a mark of this software, the root key's UUID, its version) and exactly one match is
//! demanded. "Not found" is only believed from a token that is there and logged in, and never leads to a new key.

use std::{sync::Arc, time::Duration};

use cryptoki::{
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    checks,
    recovery::Fault,
    schemes::{self, RootRef},
    self_test::{self, BoundRoot},
    workers::Conn,
};
use crate::{
    HalError, Kcv, KcvMethod, Label, Outage, Refusal, RootKeyId, RootKeyInfo, RootKeyVersion, SecretBytes, SelfCheck,
    TokenSelfTest, WrapScheme,
};

/// Opens every CKA_ID of a root key, to tell it from other applications' keys.
const MARK: &[u8; 4] = b"KSR1";
const KEY_LEN: usize = 32;
/// How long one call that makes a key waits for another.
const MAKING: Duration = Duration::from_secs(30);
const LATE: HalError = HalError::Unavailable(Outage::DeadlinePassed);

/// The root key with its handle, self-tested once per login.
pub(super) fn bound(conn: &Conn, key: RootKeyVersion) -> Result<Arc<BoundRoot>, Fault> {
    // Read once: a value put on record in the middle of this is not the one that the key is held to here, and so the next call
    // binds the key anew.
    let expected = conn.expected.get(key);
    if let Some(bound) = conn.login.roots.read().get(&key)
        && bound.held_to == expected
    {
        return Ok(Arc::clone(bound));
    }
    let handle = find(conn, key)?.ok_or(Fault::Stop(HalError::UnknownRootKey(key)))?;
    demand_expected(conn, key, handle, expected)?;
    let root = root_ref(conn, key, handle);
    let bound = Arc::new(self_test::bind(&conn.session, root, &conn.login.candidates, expected)?);
    conn.login.roots.write().insert(key, Arc::clone(&bound));
    Ok(bound)
}

fn root_ref(conn: &Conn, key: RootKeyVersion, handle: ObjectHandle) -> RootRef {
    RootRef { key, handle, dialect: conn.login.dialect }
}

/// Refuses a key whose check value is not the one on record. Where the token does not compute values of the recorded method
/// nothing is proved; an operator is told, once.
fn demand_expected(conn: &Conn, key: RootKeyVersion, handle: ObjectHandle, expected: Option<Kcv>) -> Result<(), Fault> {
    let Some(expected) = expected else { return Ok(()) };
    let Some(found) = key_check_value_by(&conn.session, handle, expected.method)? else {
        if conn.expected.cannot_prove(key) {
            tracing::warn!(root = %key, token = %conn.login.token.label, %expected, method = ?expected.method, "the token does \
                           not compute check values by the method of the one on record, so the root key is used without \
                           being held to it");
        }
        return Ok(());
    };
    if found != expected {
        tracing::error!(root = %key, %expected, %found, "root key refused: another key has its id");
        return Err(Refusal::KeyReplaced.into());
    }
    Ok(())
}

/// Makes `key`, unless an interrupted attempt made it already.
pub(super) fn generate(conn: &Conn, key: RootKeyVersion, label: &Label) -> Result<RootKeyInfo, Fault> {
    let _making = conn.login.making.try_lock_for(MAKING).ok_or(Fault::Stop(LATE))?;
    if find(conn, key)?.is_some() {
        return describe(conn, key);
    }
    demand_free(conn, key, label)?;
    let mut template = template(key, label);
    template.push(Attribute::ValueLen(KEY_LEN.try_into()?));
    conn.demand_time()?;
    let handle = conn.session.generate_key(&Mechanism::AesKeyGen, &template)?;
    admit(conn, key, handle)
}

/// Takes `material` in as `key`, unless it was taken in before.
pub(super) fn import(
    conn: &Conn,
    key: RootKeyVersion,
    label: &Label,
    material: &SecretBytes,
) -> Result<RootKeyInfo, Fault> {
    let _making = conn.login.making.try_lock_for(MAKING).ok_or(Fault::Stop(LATE))?;
    let present = find(conn, key)?;
    if present.is_none() {
        demand_free(conn, key, label)?;
    }
    let mut template = template(key, label);
    if present.is_some() {
        // A session object only, to compare check values with.
        schemes::set_token(&mut template, false);
    }
    template.push(Attribute::Class(ObjectClass::SECRET_KEY));
    template.push(Attribute::KeyType(KeyType::AES));
    conn.demand_time()?;
    template.push(Attribute::Value(material.expose_secret().to_vec()));
    let created = conn.session.create_object(&template);
    schemes::wipe_values(&mut template);
    let handle = created?;
    let Some(present) = present else { return admit(conn, key, handle) };
    let (given, held) = (check_block(&conn.session, handle), check_block(&conn.session, present));
    conn.session.destroy_object(handle)?;
    if given? == held? { describe(conn, key) } else { Err(Refusal::KeyReplaced.into()) }
}

pub(super) fn describe(conn: &Conn, key: RootKeyVersion) -> Result<RootKeyInfo, Fault> {
    let bound = bound(conn, key)?;
    let label = label(&conn.session, key.root, bound.root.handle)?;
    info(conn, bound.root, label, bound.scheme)
}

/// What the key shows when it is tried; one that is refused is reported too.
pub(super) fn self_test(conn: &Conn, key: RootKeyVersion) -> Result<TokenSelfTest, Fault> {
    let handle = find(conn, key)?.ok_or(Fault::Stop(HalError::UnknownRootKey(key)))?;
    let mut checks = checks::examine(&conn.session, root_ref(conn, key, handle), &conn.login.candidates)?;
    let expected = conn.expected.get(key);
    let kcv = key_check_value(&conn.session, handle, expected)?;
    checks.push(SelfCheck::of_check_value(kcv, expected));
    Ok(TokenSelfTest { token: Some(conn.login.token.clone()), checks })
}

/// Every root key of this software, self-tested or not: a listing must show the bad ones too.
pub(super) fn list(conn: &Conn) -> Result<Vec<RootKeyInfo>, Fault> {
    let Some(&first) = conn.login.candidates.first() else { return Err(Refusal::NoWorkingScheme.into()) };
    let template =
        [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Token(true)];
    let mut infos = Vec::new();
    for handle in conn.session.find_objects(&template)? {
        if let Some(key) = parse_id(&conn.session, handle)? {
            let scheme = conn.login.roots.read().get(&key).map_or(first, |bound| bound.scheme);
            let label = label(&conn.session, key.root, handle)?;
            infos.push(info(conn, root_ref(conn, key, handle), label, scheme)?);
        }
    }
    if infos.is_empty() {
        demand_answers(conn)?;
    }
    infos.sort_by(|a, b| (&a.label, a.key()).cmp(&(&b.label, b.key())));
    Ok(infos)
}

pub(super) fn destroy(conn: &Conn, key: RootKeyVersion) -> Result<(), Fault> {
    let handle = find(conn, key)?.ok_or(Fault::Stop(HalError::UnknownRootKey(key)))?;
    // The consent is for the key on record, not for whatever has its id.
    demand_expected(conn, key, handle, conn.expected.get(key))?;
    conn.demand_time()?;
    conn.login.roots.write().remove(&key);
    conn.session.destroy_object(handle)?;
    // Another worker may have bound the key between the two lines above.
    conn.login.roots.write().remove(&key);
    Ok(())
}

/// At most one object matches, or the token is refused.
pub(super) fn find_one(session: &Session, template: &[Attribute]) -> Result<Option<ObjectHandle>, Fault> {
    match session.find_objects(template)?.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(*one)),
        _ => Err(Refusal::KeyAmbiguous.into()),
    }
}

/// "Found nothing" is also what a logged-out session and a vanished token answer.
pub(super) fn demand_answers(conn: &Conn) -> Result<(), Fault> {
    if !conn.login.is_logged_in(&conn.session)? {
        return Err(Fault::Stale);
    }
    if conn.login.answers(&conn.session) { Ok(()) } else { Err(Fault::Suspect) }
}

fn find(conn: &Conn, key: RootKeyVersion) -> Result<Option<ObjectHandle>, Fault> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Id(key_id(key)),
    ];
    let found = find_one(&conn.session, &template)?;
    if found.is_none() {
        demand_answers(conn)?;
    }
    Ok(found)
}

/// No other root key, and nobody else's key, has the label; other versions of this one do.
fn demand_free(conn: &Conn, key: RootKeyVersion, label: &Label) -> Result<(), Fault> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_str().as_bytes().to_vec()),
    ];
    for handle in conn.session.find_objects(&template)? {
        if parse_id(&conn.session, handle)?.is_none_or(|other| other.root != key.root) {
            return Err(Refusal::LabelTaken.into());
        }
    }
    demand_answers(conn)
}

fn template(key: RootKeyVersion, label: &Label) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::Label(label.as_str().as_bytes().to_vec()),
        Attribute::Id(key_id(key)),
    ]
}

/// Self-tests a key just made and destroys it again where it fails, or where it is not the one key that has its id: another
/// process may have made one at the same time. Once its caller has given up the key is left where it is: another call may
/// have found it and put it on record, and whoever uses it tests it first.
fn admit(conn: &Conn, key: RootKeyVersion, handle: ObjectHandle) -> Result<RootKeyInfo, Fault> {
    // What is in the cache may be the key that had this id before.
    conn.login.roots.write().remove(&key);
    let described = demand_only(conn, key, handle).and_then(|()| describe(conn, key));
    if let Err(fault) = &described {
        conn.login.roots.write().remove(&key);
        if conn.is_in_time() {
            tracing::error!(root = %key, ?fault, "the new root key failed its self-test or is not the only one, and is destroyed");
            conn.session.destroy_object(handle)?;
        } else {
            tracing::error!(root = %key, ?fault, "the new root key was made too late, failed its self-test and is left on the token");
        }
    }
    described
}

fn demand_only(conn: &Conn, key: RootKeyVersion, made: ObjectHandle) -> Result<(), Fault> {
    if find(conn, key)? == Some(made) { Ok(()) } else { Err(Refusal::KeyAmbiguous.into()) }
}

fn info(conn: &Conn, root: RootRef, label: Label, scheme: WrapScheme) -> Result<RootKeyInfo, Fault> {
    Ok(RootKeyInfo {
        id: root.key.root,
        label,
        version: root.key.version,
        attributes: self_test::attributes(&conn.session, root.handle)?,
        kcv: key_check_value(&conn.session, root.handle, conn.expected.get(root.key))?,
        scheme,
        tokens: vec![conn.login.token.clone()],
    })
}

/// By the method of the value on record, where there is one and the token has the method.
fn key_check_value(session: &Session, key: ObjectHandle, on_record: Option<Kcv>) -> Result<Kcv, Fault> {
    if let Some(recorded) = on_record
        && let Some(kcv) = key_check_value_by(session, key, recorded.method)?
    {
        return Ok(kcv);
    }
    let (method, block) = check_block(session, key)?;
    shortened(method, &block)
}

/// `None` where the token does not have the method.
fn key_check_value_by(session: &Session, key: ObjectHandle, method: KcvMethod) -> Result<Option<Kcv>, Fault> {
    check_block_by(session, key, method)?.map(|block| shortened(method, &block)).transpose()
}

fn shortened(method: KcvMethod, block: &[u8]) -> Result<Kcv, Fault> {
    match block {
        [a, b, c, ..] => Ok(Kcv { method, value: [*a, *b, *c] }),
        _ => Err(Fault::Suspect),
    }
}

/// By whichever method the token has.
fn check_block(session: &Session, key: ObjectHandle) -> Result<(KcvMethod, Zeroizing<Vec<u8>>), Fault> {
    for method in [KcvMethod::EcbZeroBlock, KcvMethod::GcmZeroBlock] {
        if let Some(block) = check_block_by(session, key, method)? {
            return Ok((method, block));
        }
    }
    Err(Fault::Unsupported)
}

/// AES of a zero block: see [`KcvMethod`]. The whole block of AES-ECB is the key's GHASH key, so it is wiped.
fn check_block_by(
    session: &Session,
    key: ObjectHandle,
    method: KcvMethod,
) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    let encrypted = |mechanism: &Mechanism| match session.encrypt(mechanism, key, &[0; 16]).map_err(Fault::from) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(Fault::Unsupported | Fault::Stop(HalError::Refused(_))) => Ok(None),
        Err(fault) => Err(fault),
    };
    match method {
        KcvMethod::EcbZeroBlock => match encrypted(&Mechanism::AesEcb)? {
            None => encrypted(&Mechanism::AesCbc([0; 16])),
            found => Ok(found),
        },
        KcvMethod::GcmZeroBlock => {
            let mut iv = [0; 12];
            let found = encrypted(&Mechanism::AesGcm(GcmParams::new(&mut iv, &[], 128.into())?))?;
            // A token that replaces the IV gives a different value every time, which would be no check value.
            Ok(found.filter(|_| iv == [0; 12]))
        }
    }
}

fn label(session: &Session, id: RootKeyId, key: ObjectHandle) -> Result<Label, Fault> {
    let attributes = session.get_attributes(key, &[AttributeType::Label])?;
    let label = attributes.iter().find_map(|attribute| match attribute {
        Attribute::Label(bytes) => Label::new(&String::from_utf8_lossy(bytes)).ok(),
        _ => None,
    });
    // Another tool may have changed it to something that is no label here; the key is no worse for that.
    label.map_or_else(|| Label::new(&id.to_string()).map_err(|_| Fault::Suspect), Ok)
}

fn key_id(key: RootKeyVersion) -> Vec<u8> {
    [MARK.as_slice(), key.root.as_uuid().as_bytes(), &key.version.to_be_bytes()].concat()
}

fn parse_id(session: &Session, key: ObjectHandle) -> Result<Option<RootKeyVersion>, Fault> {
    let attributes = session.get_attributes(key, &[AttributeType::Id])?;
    let parsed = attributes.iter().find_map(|attribute| {
        let Attribute::Id(bytes) = attribute else { return None };
        let (uuid, version) = bytes.strip_prefix(MARK.as_slice())?.split_first_chunk::<16>()?;
        let version = u32::from_be_bytes(<[u8; 4]>::try_from(version).ok()?);
        Some(RootKeyVersion { root: RootKeyId::from_uuid(Uuid::from_bytes(*uuid)), version })
    });
    Ok(parsed)
}
