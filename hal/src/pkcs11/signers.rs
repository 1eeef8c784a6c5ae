//! Signing keys on the token: ECDSA on P-256 and P-384, by CKM_ECDSA over a digest made here (SoftHSM2 has no CKM_ECDSA_SHA256).

use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use ring::{
    digest::{self, Digest},
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey},
};

use super::{
    recovery::Fault,
    roots::{demand_answers, find_one},
    self_test,
    workers::Conn,
};
use crate::{HalError, Label, Refusal, SignScheme, SignerId, SignerInfo, SignerKind};

const MARK: &[u8; 4] = b"KSS1";

/// DER of the curves' object identifiers (RFC 5480): 1.2.840.10045.3.1.7 and 1.3.132.0.34.
pub(super) const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const P384_OID: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

pub(super) fn hash(message: &[u8], scheme: SignScheme) -> Digest {
    match scheme {
        SignScheme::EcdsaP256Sha256 => digest::digest(&digest::SHA256, message),
        SignScheme::EcdsaP384Sha384 => digest::digest(&digest::SHA384, message),
    }
}

pub(super) fn sign(conn: &Conn, id: SignerId, digest: &[u8], scheme: SignScheme) -> Result<Vec<u8>, Fault> {
    let (handle, kind) = private_key(conn, id)?;
    if kind != scheme.kind() {
        return Err(Refusal::WrongSignerKind.into());
    }
    let signature = conn.session.sign(&Mechanism::Ecdsa, handle, digest)?;
    if signature.len() != 2 * coordinate_len(kind) {
        tracing::warn!(len = signature.len(), "the token returned an ECDSA signature of the wrong length");
        return Err(Fault::Suspect);
    }
    let (r, s) = signature.split_at(coordinate_len(kind));
    Ok(der(r, s))
}

pub(super) fn generate(conn: &Conn, id: SignerId, label: &Label, kind: SignerKind) -> Result<SignerInfo, Fault> {
    let name = Attribute::Label(label.as_str().as_bytes().to_vec());
    let taken = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true), name.clone()];
    if !conn.session.find_objects(&taken)?.is_empty() {
        return Err(Refusal::LabelTaken.into());
    }
    demand_answers(conn)?;
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(oid(kind).to_vec()),
        name.clone(),
        Attribute::Id(key_id(id)),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        name,
        Attribute::Id(key_id(id)),
    ];
    let (public, private) = conn.session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)?;
    let admitted = admit(conn, id, private);
    if let Err(fault) = &admitted {
        tracing::error!(signer = %id, ?fault, "the new signing key failed its self-test and is destroyed");
        conn.login.signers.write().remove(&id);
        conn.session.destroy_object(private)?;
        conn.session.destroy_object(public)?;
    }
    admitted
}

pub(super) fn describe(conn: &Conn, id: SignerId) -> Result<SignerInfo, Fault> {
    let (_, kind) = private_key(conn, id)?;
    let public = public_key(conn, id)?;
    let mut label = None;
    let mut point = None;
    for attribute in conn.session.get_attributes(public, &[AttributeType::Label, AttributeType::EcPoint])? {
        match attribute {
            Attribute::Label(bytes) => label = Label::new(&String::from_utf8_lossy(&bytes)).ok(),
            Attribute::EcPoint(bytes) => point = uncompressed_point(&bytes, kind).map(<[u8]>::to_vec),
            _ => {}
        }
    }
    let (label, public_key) = label.zip(point).ok_or(Fault::Suspect)?;
    Ok(SignerInfo { id, label, kind, public_key })
}

/// The attributes hold, and a signature verifies under the public key that callers are given.
fn admit(conn: &Conn, id: SignerId, private: ObjectHandle) -> Result<SignerInfo, Fault> {
    let attributes = self_test::attributes(&conn.session, private)?;
    if attributes.sensitive != Some(true) || attributes.extractable != Some(false) {
        return Err(Refusal::KeyNotProtected.into());
    }
    let info = describe(conn, id)?;
    let message = id.as_uuid().as_bytes();
    let scheme = info.kind.scheme();
    let signature = sign(conn, id, hash(message, scheme).as_ref(), scheme)?;
    let algorithm = match info.kind {
        SignerKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        SignerKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
    };
    UnparsedPublicKey::new(algorithm, &info.public_key).verify(message, &signature).map_err(|_| Fault::Suspect)?;
    Ok(info)
}

fn private_key(conn: &Conn, id: SignerId) -> Result<(ObjectHandle, SignerKind), Fault> {
    if let Some(&known) = conn.login.signers.read().get(&id) {
        return Ok(known);
    }
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::Token(true),
        Attribute::Id(key_id(id)),
    ];
    let Some(handle) = find_one(&conn.session, &template)? else {
        demand_answers(conn)?;
        return Err(Fault::Stop(HalError::UnknownSigner(id)));
    };
    // Not every token keeps the curve on the private half.
    let known = (handle, kind_of(&conn.session, public_key(conn, id)?)?);
    conn.login.signers.write().insert(id, known);
    Ok(known)
}

fn public_key(conn: &Conn, id: SignerId) -> Result<ObjectHandle, Fault> {
    let template = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::Token(true),
        Attribute::Id(key_id(id)),
    ];
    find_one(&conn.session, &template)?.ok_or(Fault::Stop(HalError::UnknownSigner(id)))
}

fn kind_of(session: &Session, public: ObjectHandle) -> Result<SignerKind, Fault> {
    let attributes = session.get_attributes(public, &[AttributeType::EcParams])?;
    let curve = attributes.iter().find_map(|attribute| match attribute {
        Attribute::EcParams(bytes) => Some(bytes.as_slice()),
        _ => None,
    });
    [SignerKind::EcdsaP256, SignerKind::EcdsaP384]
        .into_iter()
        .find(|kind| curve == Some(oid(*kind)))
        .ok_or(Refusal::WrongSignerKind.into())
}

fn oid(kind: SignerKind) -> &'static [u8] {
    match kind {
        SignerKind::EcdsaP256 => P256_OID,
        SignerKind::EcdsaP384 => P384_OID,
    }
}

/// Length in bytes of a coordinate, and of each half of a raw signature.
fn coordinate_len(kind: SignerKind) -> usize {
    match kind {
        SignerKind::EcdsaP256 => 32,
        SignerKind::EcdsaP384 => 48,
    }
}

/// CKA_EC_POINT is a DER OCTET STRING around the point; older tokens leave the wrapping out.
fn uncompressed_point(bytes: &[u8], kind: SignerKind) -> Option<&[u8]> {
    let len = 1 + 2 * coordinate_len(kind);
    let point = if bytes.len() == len { bytes } else { bytes.strip_prefix(&[0x04, u8::try_from(len).ok()?])? };
    (point.len() == len && point.first() == Some(&0x04)).then_some(point)
}

/// SEQUENCE of two minimal INTEGERs (RFC 3279 section 2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(r.len() + s.len() + 6);
    integer(r, &mut body);
    integer(s, &mut body);
    let mut out = Vec::with_capacity(body.len() + 2);
    out.push(0x30);
    push_len(body.len(), &mut out);
    out.extend_from_slice(&body);
    out
}

fn integer(bytes: &[u8], out: &mut Vec<u8>) {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    // A set top bit would make it negative, and zero has one digit.
    let pad = digits.first().is_none_or(|first| first & 0x80 != 0);
    out.push(0x02);
    push_len(digits.len() + usize::from(pad), out);
    if pad {
        out.push(0);
    }
    out.extend_from_slice(digits);
}

/// Two P-384 integers make at most 102 bytes, so the short form of the length always does.
fn push_len(len: usize, out: &mut Vec<u8>) {
    out.push(u8::try_from(len).unwrap_or(u8::MAX));
}

fn key_id(id: SignerId) -> Vec<u8> {
    [MARK.as_slice(), id.as_uuid().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_integers_are_minimal_and_positive() {
        assert_eq!(der(&[0, 0, 1], &[0x80, 0, 0]), [0x30, 9, 2, 1, 1, 2, 4, 0, 0x80, 0, 0]);
        assert_eq!(der(&[0, 0x80], &[0, 0x7f]), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0x7f]);
        assert_eq!(der(&[0, 0], &[0, 0]), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn takes_a_point_with_and_without_its_wrapping_and_refuses_any_other() {
        let mut raw = vec![0x04; 65];
        let wrapped = [&[0x04, 65], raw.as_slice()].concat();
        assert_eq!(uncompressed_point(&raw, SignerKind::EcdsaP256), Some(raw.as_slice()));
        assert_eq!(uncompressed_point(&wrapped, SignerKind::EcdsaP256), Some(raw.as_slice()));
        assert_eq!(uncompressed_point(&wrapped, SignerKind::EcdsaP384), None);
        raw[0] = 0x02;
        assert_eq!(uncompressed_point(&raw, SignerKind::EcdsaP256), None);
        assert_eq!(uncompressed_point(&[], SignerKind::EcdsaP256), None);
    }
}
