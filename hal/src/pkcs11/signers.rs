//! Signing keys on the token: ECDSA on P-256 and P-384 by CKM_ECDSA over a digest made here (SoftHSM2 has no
//! CKM_ECDSA_SHA256), RSA by CKM_SHAxxx_RSA_PKCS_PSS and CKM_SHAxxx_RSA_PKCS over the message.

use std::ffi::c_ulong;

use cryptoki::{
    mechanism::{
        Mechanism, MechanismType,
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use ring::{
    digest,
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};
use uuid::Uuid;

use super::{
    recovery::Fault,
    roots::{demand_answers, find_one},
    self_test,
    workers::Conn,
};
use crate::{
    HalError, Label, Refusal, SignScheme, SignerId, SignerInfo, SignerKind,
    der::{self, P256_OID, P384_OID},
};

const MARK: &[u8; 4] = b"KSS1";

/// F4, the only public exponent that is asked for.
const PUBLIC_EXPONENT: [u8; 3] = [1, 0, 1];

/// What the token is given to sign: a digest for ECDSA, the message for RSA.
pub(super) fn input(message: &[u8], scheme: SignScheme) -> Vec<u8> {
    match scheme {
        SignScheme::EcdsaP256Sha256 => digest::digest(&digest::SHA256, message).as_ref().to_vec(),
        SignScheme::EcdsaP384Sha384 => digest::digest(&digest::SHA384, message).as_ref().to_vec(),
        SignScheme::RsaPssSha256
        | SignScheme::RsaPssSha384
        | SignScheme::RsaPssSha512
        | SignScheme::RsaPkcs1Sha256
        | SignScheme::RsaPkcs1Sha384
        | SignScheme::RsaPkcs1Sha512 => message.to_vec(),
    }
}

/// Signs what [`input`] made.
pub(super) fn sign(conn: &Conn, id: SignerId, input: &[u8], scheme: SignScheme) -> Result<Vec<u8>, Fault> {
    let (handle, kind) = private_key(conn, id)?;
    if !scheme.fits(kind) {
        return Err(Refusal::WrongSignerKind.into());
    }
    let signature = conn.session.sign(&mechanism(scheme), handle, input)?;
    let len = signature.len();
    encoded(signature, kind).ok_or_else(|| {
        tracing::warn!(len, %kind, "the token returned a signature of the wrong length");
        Fault::Suspect
    })
}

/// A token's signature as callers want it; `None` where it has not the length that the kind of key makes.
pub(super) fn encoded(signature: Vec<u8>, kind: SignerKind) -> Option<Vec<u8>> {
    let shape = Shape::of(kind);
    if signature.len() != shape.signature_len() {
        return None;
    }
    match shape {
        Shape::Ec { coordinate, .. } => {
            let (r, s) = signature.split_at(coordinate);
            Some(der::sequence(&[&der::unsigned(r), &der::unsigned(s)]))
        }
        Shape::Rsa { .. } => Some(signature),
    }
}

/// Whether a signature verifies under a public key in the form of [`SignerInfo`].
pub(super) fn verifies(public_key: &[u8], message: &[u8], signature: &[u8], scheme: SignScheme) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match scheme {
        SignScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SignScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SignScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SignScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SignScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SignScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SignScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    };
    UnparsedPublicKey::new(algorithm, public_key).verify(message, signature).is_ok()
}

pub(super) fn mechanism(scheme: SignScheme) -> Mechanism<'static> {
    // `hash_alg` is the hash itself: the name of a whole signature mechanism there is refused by SoftHSM2 and NSS.
    let pss = |hash_alg, mgf, salt: c_ulong| PkcsPssParams { hash_alg, mgf, s_len: salt.into() };
    match scheme {
        SignScheme::EcdsaP256Sha256 | SignScheme::EcdsaP384Sha384 => Mechanism::Ecdsa,
        SignScheme::RsaPssSha256 => {
            Mechanism::Sha256RsaPkcsPss(pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32))
        }
        SignScheme::RsaPssSha384 => {
            Mechanism::Sha384RsaPkcsPss(pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48))
        }
        SignScheme::RsaPssSha512 => {
            Mechanism::Sha512RsaPkcsPss(pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64))
        }
        SignScheme::RsaPkcs1Sha256 => Mechanism::Sha256RsaPkcs,
        SignScheme::RsaPkcs1Sha384 => Mechanism::Sha384RsaPkcs,
        SignScheme::RsaPkcs1Sha512 => Mechanism::Sha512RsaPkcs,
    }
}

/// What a token must be told, and what it must answer, for a kind of key.
#[derive(Clone, Copy)]
enum Shape {
    Ec { oid: &'static [u8], coordinate: usize },
    Rsa { modulus: u32 },
}

impl Shape {
    /// Lengths are in bytes.
    fn of(kind: SignerKind) -> Self {
        match kind {
            SignerKind::EcdsaP256 => Self::Ec { oid: P256_OID, coordinate: 32 },
            SignerKind::EcdsaP384 => Self::Ec { oid: P384_OID, coordinate: 48 },
            SignerKind::Rsa2048 => Self::Rsa { modulus: 256 },
            SignerKind::Rsa3072 => Self::Rsa { modulus: 384 },
        }
    }

    fn signature_len(self) -> usize {
        match self {
            Self::Ec { coordinate, .. } => 2 * coordinate,
            Self::Rsa { modulus } => modulus as usize,
        }
    }

    fn make(self) -> Mechanism<'static> {
        match self {
            Self::Ec { .. } => Mechanism::EccKeyPairGen,
            Self::Rsa { .. } => Mechanism::RsaPkcsKeyPairGen,
        }
    }

    /// The attributes that say what kind of key pair to make.
    fn asked_for(self) -> Vec<Attribute> {
        match self {
            Self::Ec { oid, .. } => vec![Attribute::EcParams(oid.to_vec())],
            Self::Rsa { modulus } => {
                vec![
                    Attribute::ModulusBits(c_ulong::from(modulus * 8).into()),
                    Attribute::PublicExponent(PUBLIC_EXPONENT.to_vec()),
                ]
            }
        }
    }
}

/// The templates of a pair: what the public half and what the private half are to be.
pub(super) fn templates(kind: SignerKind, token: bool) -> (Mechanism<'static>, Vec<Attribute>, Vec<Attribute>) {
    let shape = Shape::of(kind);
    let mut public = vec![Attribute::Token(token), Attribute::Private(false), Attribute::Verify(true)];
    public.extend(shape.asked_for());
    let mut private = vec![
        Attribute::Token(token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    if let Shape::Rsa { .. } = shape {
        // Left out, tokens let an RSA key decrypt too, and then a signing oracle is a decryption oracle.
        private.extend([Attribute::Decrypt(false), Attribute::Unwrap(false)]);
    }
    (shape.make(), public, private)
}

/// Makes the signing key `id`, unless an attempt whose answer was lost made it already: `id` was chosen before the first.
pub(super) fn generate(conn: &Conn, id: SignerId, label: &Label, kind: SignerKind) -> Result<SignerInfo, Fault> {
    if let Some(private) = find_half(conn, ObjectClass::PRIVATE_KEY, id)? {
        return admit(conn, id, private);
    }
    let name = Attribute::Label(label.as_str().as_bytes().to_vec());
    let taken = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Token(true), name.clone()];
    if !conn.session.find_objects(&taken)?.is_empty() {
        return Err(Refusal::LabelTaken.into());
    }
    demand_answers(conn)?;
    let (mechanism, mut public, mut private) = templates(kind, true);
    for template in [&mut public, &mut private] {
        template.extend([name.clone(), Attribute::Id(key_id(id))]);
    }
    conn.demand_time()?;
    let (_, private) = conn.session.generate_key_pair(&mechanism, &public, &private)?;
    admit(conn, id, private)
}

/// The signing key of a label; keys of other applications do not count.
pub(super) fn find(conn: &Conn, label: &Label) -> Result<Option<SignerInfo>, Fault> {
    let template = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Token(true),
        Attribute::Label(label.as_str().as_bytes().to_vec()),
    ];
    let mut found = None;
    for handle in conn.session.find_objects(&template)? {
        if let Some(id) = parse_id(&conn.session, handle)? {
            if found.is_some() {
                return Err(Refusal::KeyAmbiguous.into());
            }
            found = Some(id);
        }
    }
    match found {
        Some(id) => describe(conn, id).map(Some),
        None => demand_answers(conn).map(|()| None),
    }
}

pub(super) fn describe(conn: &Conn, id: SignerId) -> Result<SignerInfo, Fault> {
    let (_, kind) = private_key(conn, id)?;
    let public = public_key(conn, id)?;
    let label = conn.session.get_attributes(public, &[AttributeType::Label])?.into_iter().find_map(|attribute| {
        let Attribute::Label(bytes) = attribute else { return None };
        Label::new(&String::from_utf8_lossy(&bytes)).ok()
    });
    let (_, public_key) =
        read_public(&conn.session, public)?.filter(|(read, _)| *read == kind).ok_or(Fault::Suspect)?;
    Ok(SignerInfo { id, label: label.ok_or(Fault::Suspect)?, kind, public_key })
}

/// Tests a key just made, and destroys it again where it fails. Once its caller has given up it is left where it is: another
/// call may have found it and put it on record, and whoever uses it demands that it is protected.
fn admit(conn: &Conn, id: SignerId, private: ObjectHandle) -> Result<SignerInfo, Fault> {
    let tested = test(conn, id);
    if let Err(fault) = &tested {
        conn.login.signers.write().remove(&id);
        if conn.is_in_time() {
            tracing::error!(signer = %id, ?fault, "the new signing key failed its self-test and is destroyed");
            let public = find_half(conn, ObjectClass::PUBLIC_KEY, id)?;
            conn.session.destroy_object(private)?;
            public.map_or(Ok(()), |public| conn.session.destroy_object(public))?;
        } else {
            tracing::error!(signer = %id, ?fault, "the new signing key was made too late, failed its self-test and is left on \
                            the token");
        }
    }
    tested
}

/// A signature verifies under the public key that callers are given.
fn test(conn: &Conn, id: SignerId) -> Result<SignerInfo, Fault> {
    let info = describe(conn, id)?;
    let message = id.as_uuid().as_bytes();
    let scheme = info.kind.scheme();
    let signature = sign(conn, id, &input(message, scheme), scheme)?;
    if verifies(&info.public_key, message, &signature, scheme) { Ok(info) } else { Err(Fault::Suspect) }
}

/// The private half and its kind. One that could be read or taken out of the token is refused.
fn private_key(conn: &Conn, id: SignerId) -> Result<(ObjectHandle, SignerKind), Fault> {
    if let Some(&known) = conn.login.signers.read().get(&id) {
        return Ok(known);
    }
    let Some(handle) = find_half(conn, ObjectClass::PRIVATE_KEY, id)? else {
        demand_answers(conn)?;
        return Err(Fault::Stop(HalError::UnknownSigner(id)));
    };
    let attributes = self_test::attributes(&conn.session, handle)?;
    if attributes.sensitive != Some(true) || attributes.extractable != Some(false) {
        return Err(Refusal::KeyNotProtected.into());
    }
    // Not every token keeps the curve on the private half.
    let (kind, _) = read_public(&conn.session, public_key(conn, id)?)?.ok_or(Refusal::WrongSignerKind)?;
    conn.login.signers.write().insert(id, (handle, kind));
    Ok((handle, kind))
}

fn public_key(conn: &Conn, id: SignerId) -> Result<ObjectHandle, Fault> {
    find_half(conn, ObjectClass::PUBLIC_KEY, id)?.ok_or(Fault::Stop(HalError::UnknownSigner(id)))
}

fn find_half(conn: &Conn, class: ObjectClass, id: SignerId) -> Result<Option<ObjectHandle>, Fault> {
    find_one(&conn.session, &[Attribute::Class(class), Attribute::Token(true), Attribute::Id(key_id(id))])
}

/// The kind of a public key and the key in the form of [`SignerInfo`]; `None` where it is of no kind that is used here.
pub(super) fn read_public(session: &Session, key: ObjectHandle) -> Result<Option<(SignerKind, Vec<u8>)>, Fault> {
    let [mut curve, mut point, mut modulus, mut exponent] = [const { Vec::new() }; 4];
    let mut key_type = None;
    for attribute in session.get_attributes(key, &[AttributeType::KeyType])? {
        if let Attribute::KeyType(read) = attribute {
            key_type = Some(read);
        }
    }
    // Some tokens refuse a question for attributes that the type does not have, rather than leave them out.
    let wanted: &[AttributeType] = match key_type {
        Some(KeyType::EC) => &[AttributeType::EcParams, AttributeType::EcPoint],
        Some(KeyType::RSA) => &[AttributeType::Modulus, AttributeType::PublicExponent],
        _ => return Ok(None),
    };
    for attribute in session.get_attributes(key, wanted)? {
        match attribute {
            Attribute::EcParams(bytes) => curve = bytes,
            Attribute::EcPoint(bytes) => point = bytes,
            Attribute::Modulus(bytes) => modulus = bytes,
            Attribute::PublicExponent(bytes) => exponent = bytes,
            _ => {}
        }
    }
    if key_type == Some(KeyType::RSA) {
        let encoded = || der::sequence(&[&der::unsigned(&modulus), &der::unsigned(&exponent)]);
        return Ok(rsa_kind(&modulus).map(|kind| (kind, encoded())));
    }
    let kind = [SignerKind::EcdsaP256, SignerKind::EcdsaP384].into_iter().find_map(|kind| match Shape::of(kind) {
        Shape::Ec { oid, coordinate } if oid == curve => Some((kind, coordinate)),
        _ => None,
    });
    Ok(kind.and_then(|(kind, coordinate)| Some((kind, uncompressed_point(&point, coordinate)?.to_vec()))))
}

/// By the length of its modulus.
fn rsa_kind(modulus: &[u8]) -> Option<SignerKind> {
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let digits = modulus.get(zeros..).filter(|digits| digits.first().is_some_and(|first| first & 0x80 != 0))?;
    match digits.len() {
        256 => Some(SignerKind::Rsa2048),
        384 => Some(SignerKind::Rsa3072),
        _ => None,
    }
}

/// CKA_EC_POINT is a DER OCTET STRING around the point; older tokens leave the wrapping out.
fn uncompressed_point(bytes: &[u8], coordinate: usize) -> Option<&[u8]> {
    let len = 1 + 2 * coordinate;
    let point = if bytes.len() == len { bytes } else { bytes.strip_prefix(&[0x04, u8::try_from(len).ok()?])? };
    (point.len() == len && point.first() == Some(&0x04)).then_some(point)
}

fn parse_id(session: &Session, key: ObjectHandle) -> Result<Option<SignerId>, Fault> {
    let attributes = session.get_attributes(key, &[AttributeType::Id])?;
    Ok(attributes.iter().find_map(|attribute| {
        let Attribute::Id(bytes) = attribute else { return None };
        let uuid = <[u8; 16]>::try_from(bytes.strip_prefix(MARK.as_slice())?).ok()?;
        Some(SignerId::from_uuid(Uuid::from_bytes(uuid)))
    }))
}

fn key_id(id: SignerId) -> Vec<u8> {
    [MARK.as_slice(), id.as_uuid().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_point_with_and_without_its_wrapping_and_refuses_any_other() {
        let mut raw = vec![0x04; 65];
        let wrapped = [&[0x04, 65], raw.as_slice()].concat();
        assert_eq!(uncompressed_point(&raw, 32), Some(raw.as_slice()));
        assert_eq!(uncompressed_point(&wrapped, 32), Some(raw.as_slice()));
        assert_eq!(uncompressed_point(&wrapped, 48), None);
        raw[0] = 0x02;
        assert_eq!(uncompressed_point(&raw, 32), None);
        assert_eq!(uncompressed_point(&[], 32), None);
    }

    #[test]
    fn a_modulus_is_known_by_its_length_with_or_without_leading_zeros() {
        assert_eq!(rsa_kind(&[0x80; 256]), Some(SignerKind::Rsa2048));
        assert_eq!(rsa_kind(&[&[0][..], &[0xff; 384]].concat()), Some(SignerKind::Rsa3072));
        assert_eq!(rsa_kind(&[0x80; 128]), None);
        assert_eq!(rsa_kind(&[0x7f; 256]), None, "2047 bits");
    }
}
