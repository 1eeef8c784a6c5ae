//! The attributes that follow from a registered certificate (KMIP 1.4 §3.8 to §3.16).

use kmip::{
    attributes::{
        Attribute, AttributeKind, CertificateIdentifier, CertificateIssuer, CertificateSubject,
        X509CertificateIdentifier, X509CertificateIssuer, X509CertificateSubject,
    },
    enums::{CertificateType, CryptographicAlgorithm, DigitalSignatureAlgorithm},
    objects::Certificate,
    tree::Value,
    version::Version,
};
use x509_parser::{
    objects::oid_registry,
    oid_registry::{self, Oid},
    prelude::{FromDer, GeneralName, X509Certificate},
    public_key::PublicKey,
    x509::X509Name,
};
use zeroize::Zeroizing;

use super::{attribute_set::AttributeSet, error::OpError, material::agree};

/// The parts of a name that have attributes of their own, subject's and issuer's.
const NAME_PARTS: [(Oid<'static>, AttributeKind, AttributeKind); 12] = [
    (oid_registry::OID_X509_COMMON_NAME, AttributeKind::CertificateSubjectCn, AttributeKind::CertificateIssuerCn),
    (oid_registry::OID_X509_ORGANIZATION_NAME, AttributeKind::CertificateSubjectO, AttributeKind::CertificateIssuerO),
    (
        oid_registry::OID_X509_ORGANIZATIONAL_UNIT,
        AttributeKind::CertificateSubjectOu,
        AttributeKind::CertificateIssuerOu,
    ),
    (
        oid_registry::OID_PKCS9_EMAIL_ADDRESS,
        AttributeKind::CertificateSubjectEmail,
        AttributeKind::CertificateIssuerEmail,
    ),
    (oid_registry::OID_X509_COUNTRY_NAME, AttributeKind::CertificateSubjectC, AttributeKind::CertificateIssuerC),
    (
        oid_registry::OID_X509_STATE_OR_PROVINCE_NAME,
        AttributeKind::CertificateSubjectSt,
        AttributeKind::CertificateIssuerSt,
    ),
    (oid_registry::OID_X509_LOCALITY_NAME, AttributeKind::CertificateSubjectL, AttributeKind::CertificateIssuerL),
    (oid_registry::OID_USERID, AttributeKind::CertificateSubjectUid, AttributeKind::CertificateIssuerUid),
    (
        oid_registry::OID_X509_SERIALNUMBER,
        AttributeKind::CertificateSubjectSerialNumber,
        AttributeKind::CertificateIssuerSerialNumber,
    ),
    (oid_registry::OID_X509_TITLE, AttributeKind::CertificateSubjectTitle, AttributeKind::CertificateIssuerTitle),
    (oid_registry::OID_DOMAIN_COMPONENT, AttributeKind::CertificateSubjectDc, AttributeKind::CertificateIssuerDc),
    (
        oid_registry::OID_X509_DN_QUALIFIER,
        AttributeKind::CertificateSubjectDnQualifier,
        AttributeKind::CertificateIssuerDnQualifier,
    ),
];

/// Values of one part of a name that become attributes; a name made to exhaust the server has tens of thousands.
const MAX_NAME_PARTS: usize = 64;

/// Sets the attributes that follow from `certificate`.
///
/// # Errors
/// An X.509 certificate that is none, or an attribute that says otherwise.
pub(super) fn describe(certificate: &Certificate, set: &mut AttributeSet) -> Result<(), OpError> {
    let der = &certificate.certificate_value;
    agree(set, Attribute::CertificateType(certificate.certificate_type))?;
    let length = i32::try_from(der.len()).map_err(|_| OpError::InvalidField("the certificate is too long"))?;
    set.set(Attribute::CertificateLength(length));
    if certificate.certificate_type != CertificateType::X509 {
        let empty = Err(OpError::InvalidField("the certificate value is empty"));
        return if der.is_empty() { empty } else { Ok(()) };
    }
    let (rest, parsed) = X509Certificate::from_der(der)
        .map_err(|_| OpError::InvalidField("the certificate value is no X.509 certificate in DER"))?;
    if !rest.is_empty() {
        return Err(OpError::InvalidField("bytes follow the certificate"));
    }
    describe_x509(&parsed, set)
}

fn describe_x509(parsed: &X509Certificate<'_>, set: &mut AttributeSet) -> Result<(), OpError> {
    let bytes = |raw: &[u8]| Zeroizing::new(raw.to_vec());
    set.set(Attribute::X509CertificateIdentifier(X509CertificateIdentifier {
        issuer_distinguished_name: bytes(parsed.issuer().as_raw()),
        certificate_serial_number: Zeroizing::new(der_integer(parsed.raw_serial())),
    }));
    set.set(Attribute::X509CertificateSubject(X509CertificateSubject {
        subject_distinguished_name: bytes(parsed.subject().as_raw()),
        subject_alternative_name: Vec::new(),
    }));
    set.set(Attribute::X509CertificateIssuer(X509CertificateIssuer {
        issuer_distinguished_name: bytes(parsed.issuer().as_raw()),
        issuer_alternative_name: Vec::new(),
    }));
    set.set(Attribute::CertificateIdentifier(CertificateIdentifier {
        issuer: name_as_text(parsed.issuer()),
        serial_number: Some(parsed.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect()),
    }));
    set.set(Attribute::CertificateSubject(CertificateSubject {
        distinguished_name: name_as_text(parsed.subject()),
        alternative_name: alternative_names(parsed),
    }));
    set.set(Attribute::CertificateIssuer(CertificateIssuer {
        distinguished_name: name_as_text(parsed.issuer()),
        alternative_name: Vec::new(),
    }));
    name_parts(parsed.subject(), |(_, subject, _)| *subject, set);
    name_parts(parsed.issuer(), |(_, _, issuer)| *issuer, set);
    if let Some(algorithm) = signature_algorithm(&parsed.signature_algorithm.algorithm) {
        set.set(Attribute::DigitalSignatureAlgorithm(algorithm));
    }
    if let Some((algorithm, bits)) = public_key(parsed) {
        agree(set, Attribute::CryptographicAlgorithm(algorithm))?;
        agree(set, Attribute::CryptographicLength(bits))?;
    }
    Ok(())
}

/// The whole DER form of a serial number, whose content octets are `content` (at most 20 by RFC 5280).
fn der_integer(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 0x80);
    length.map_or_else(Vec::new, |length| [&[0x02, length], content].concat())
}

/// A name as RFC 4514 writes it: most specific part first.
fn name_as_text(name: &X509Name<'_>) -> String {
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let kind = x509_parser::objects::oid2abbrev(attribute.attr_type(), oid_registry())
            .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
        let value: String = attribute.as_str().unwrap_or("?").chars().flat_map(escaped).collect();
        format!("{kind}={value}")
    };
    let mut parts: Vec<String> =
        name.iter_rdn().map(|rdn| rdn.iter().map(part).collect::<Vec<_>>().join("+")).collect();
    parts.reverse();
    parts.join(",")
}

/// The characters that RFC 4514 asks to be escaped.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let special = matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
    special.then_some('\\').into_iter().chain(std::iter::once(character))
}

fn name_parts(
    name: &X509Name<'_>,
    attribute: impl Fn(&(Oid<'static>, AttributeKind, AttributeKind)) -> AttributeKind,
    set: &mut AttributeSet,
) {
    for row in &NAME_PARTS {
        for found in name.iter_by_oid(&row.0).take(MAX_NAME_PARTS) {
            let text = found.as_str().ok().map(Value::text);
            let read = text.and_then(|text| attribute(row).read(text, Version::V1_4).ok());
            // A second value of a part that has only one is in the whole name all the same.
            let _: Option<Result<i32, OpError>> = read.map(|attribute| set.add(attribute, None));
        }
    }
}

fn alternative_names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let as_text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(as_text).collect()
}

fn signature_algorithm(oid: &Oid<'_>) -> Option<DigitalSignatureAlgorithm> {
    use DigitalSignatureAlgorithm as D;
    let table = [
        (oid_registry::OID_PKCS1_SHA1WITHRSA, D::Sha1WithRsaEncryption),
        (oid_registry::OID_PKCS1_SHA224WITHRSA, D::Sha224WithRsaEncryption),
        (oid_registry::OID_PKCS1_SHA256WITHRSA, D::Sha256WithRsaEncryption),
        (oid_registry::OID_PKCS1_SHA384WITHRSA, D::Sha384WithRsaEncryption),
        (oid_registry::OID_PKCS1_SHA512WITHRSA, D::Sha512WithRsaEncryption),
        (oid_registry::OID_PKCS1_RSASSAPSS, D::RsassaPss),
        (oid_registry::OID_SIG_ECDSA_WITH_SHA256, D::EcdsaWithSha256),
        (oid_registry::OID_SIG_ECDSA_WITH_SHA384, D::EcdsaWithSha384),
        (oid_registry::OID_SIG_ECDSA_WITH_SHA512, D::EcdsaWithSha512),
    ];
    table.into_iter().find(|(known, _)| known == oid).map(|(_, algorithm)| algorithm)
}

fn public_key(parsed: &X509Certificate<'_>) -> Option<(CryptographicAlgorithm, i32)> {
    let (algorithm, bits) = match parsed.public_key().parsed().ok()? {
        PublicKey::RSA(key) => (CryptographicAlgorithm::Rsa, key.key_size()),
        // The parser counts whole bytes of P-521.
        PublicKey::EC(point) if point.key_size() == 528 => (CryptographicAlgorithm::Ecdsa, 521),
        PublicKey::EC(point) => (CryptographicAlgorithm::Ecdsa, point.key_size()),
        PublicKey::DSA(_) => return None,
        _ => return None,
    };
    i32::try_from(bits).ok().map(|bits| (algorithm, bits))
}
