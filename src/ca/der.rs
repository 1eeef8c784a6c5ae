//! Writes X.509 certificates (RFC 5280). Subject and public key go in as DER and come out unchanged.

use std::net::IpAddr;

use jiff::{Timestamp, tz::TimeZone};
use yasna::{DERWriter, DERWriterSeq, Tag, models::ObjectIdentifier};

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const SUBJECT_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

/// How a certificate is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    /// sha256WithRSAEncryption (RFC 8017).
    RsaPkcs1Sha256,
    /// ecdsa-with-SHA256 (RFC 5758).
    EcdsaSha256,
    /// ecdsa-with-SHA384 (RFC 5758).
    EcdsaSha384,
}

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signs certificates, but not those of further authorities.
    Authority,
    /// A TLS server with these names.
    Server(Vec<SubjectAltName>),
    /// A TLS client.
    Client,
}

/// A name under which clients reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAltName {
    /// A host name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Everything in a certificate but its signature.
pub(super) struct Certificate<'a> {
    /// 16 bytes, the first of them not 0 and below 0x80.
    pub(super) serial: [u8; 16],
    /// The algorithm of the signature.
    pub(super) algorithm: SignatureAlgorithm,
    /// The issuer's Name, DER.
    pub(super) issuer: &'a [u8],
    /// Valid from.
    pub(super) not_before: Timestamp,
    /// Valid until.
    pub(super) not_after: Timestamp,
    /// The subject's Name, DER.
    pub(super) subject: &'a [u8],
    /// SubjectPublicKeyInfo, DER.
    pub(super) public_key: &'a [u8],
    /// Whether the public key is RSA, which in TLS 1.2 may also encipher keys.
    pub(super) rsa: bool,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// The subject key identifier.
    pub(super) key_id: [u8; 20],
    /// The issuer's key identifier.
    pub(super) issuer_key_id: [u8; 20],
}

impl Certificate<'_> {
    /// TBSCertificate: the bytes to sign.
    pub(super) fn to_be_signed(&self) -> Vec<u8> {
        sequence(|w| {
            w.next().write_tagged(Tag::context(0), |w| w.write_u8(2));
            w.next().write_bigint_bytes(&self.serial, true);
            self.algorithm.write(w.next());
            w.next().write_der(self.issuer);
            w.next().write_sequence(|w| {
                write_time(w.next(), self.not_before);
                write_time(w.next(), self.not_after);
            });
            w.next().write_der(self.subject);
            w.next().write_der(self.public_key);
            w.next().write_tagged(Tag::context(3), |w| w.write_sequence(|w| self.write_extensions(w)));
        })
    }

    fn write_extensions(&self, w: &mut DERWriterSeq<'_>) {
        let authority = self.purpose == Purpose::Authority;
        write_extension(w, BASIC_CONSTRAINTS, true, |w| {
            w.write_sequence(|w| {
                if authority {
                    w.next().write_bool(true);
                    w.next().write_u8(0);
                }
            });
        });
        // Bits from the left: digitalSignature 0, keyEncipherment 2, keyCertSign 5, cRLSign 6.
        write_extension(w, KEY_USAGE, true, |w| match (authority, self.rsa) {
            (true, _) => w.write_bitvec_bytes(&[0b0000_0110], 7),
            (false, true) => w.write_bitvec_bytes(&[0b1010_0000], 3),
            (false, false) => w.write_bitvec_bytes(&[0b1000_0000], 1),
        });
        let extended = match &self.purpose {
            Purpose::Authority => None,
            Purpose::Server(_) => Some(SERVER_AUTH),
            Purpose::Client => Some(CLIENT_AUTH),
        };
        if let Some(usage) = extended {
            write_extension(w, EXTENDED_KEY_USAGE, false, |w| w.write_sequence(|w| write_oid(w.next(), usage)));
        }
        write_extension(w, SUBJECT_KEY_IDENTIFIER, false, |w| w.write_bytes(&self.key_id));
        write_extension(w, AUTHORITY_KEY_IDENTIFIER, false, |w| {
            w.write_sequence(|w| {
                w.next().write_tagged_implicit(Tag::context(0), |w| w.write_bytes(&self.issuer_key_id));
            });
        });
        if let Purpose::Server(names) = &self.purpose {
            write_extension(w, SUBJECT_ALT_NAME, false, |w| {
                w.write_sequence(|w| names.iter().for_each(|name| name.write(w.next())));
            });
        }
    }
}

impl SignatureAlgorithm {
    /// The certificate made of `to_be_signed` and its signature.
    pub(super) fn join(self, to_be_signed: &[u8], signature: &[u8]) -> Vec<u8> {
        sequence(|w| {
            w.next().write_der(to_be_signed);
            self.write(w.next());
            w.next().write_bitvec_bytes(signature, signature.len() * 8);
        })
    }

    fn write(self, w: DERWriter<'_>) {
        w.write_sequence(|w| match self {
            SignatureAlgorithm::RsaPkcs1Sha256 => {
                write_oid(w.next(), &[1, 2, 840, 113_549, 1, 1, 11]);
                w.next().write_null();
            }
            SignatureAlgorithm::EcdsaSha256 => write_oid(w.next(), &[1, 2, 840, 10045, 4, 3, 2]),
            SignatureAlgorithm::EcdsaSha384 => write_oid(w.next(), &[1, 2, 840, 10045, 4, 3, 3]),
        });
    }
}

impl SubjectAltName {
    fn write(&self, w: DERWriter<'_>) {
        match self {
            SubjectAltName::Dns(name) => w.write_tagged_implicit(Tag::context(2), |w| w.write_ia5_string(name)),
            SubjectAltName::Ip(IpAddr::V4(ip)) => {
                w.write_tagged_implicit(Tag::context(7), |w| w.write_bytes(&ip.octets()));
            }
            SubjectAltName::Ip(IpAddr::V6(ip)) => {
                w.write_tagged_implicit(Tag::context(7), |w| w.write_bytes(&ip.octets()));
            }
        }
    }
}

/// CertificationRequestInfo (RFC 2986) that wishes for nothing: the bytes to sign.
pub(super) fn request_info(subject: &[u8], public_key: &[u8]) -> Vec<u8> {
    sequence(|w| {
        w.next().write_u8(0);
        w.next().write_der(subject);
        w.next().write_der(public_key);
        w.next().write_tagged_implicit(Tag::context(0), |w| w.write_set(|_| {}));
    })
}

/// The Name with `common_name` under the organisation Keystead, DER.
pub(super) fn name(common_name: &str) -> Vec<u8> {
    sequence(|w| {
        for (attribute, value) in [(ORGANIZATION, "Keystead"), (COMMON_NAME, common_name)] {
            w.next().write_set_of(|w| {
                w.next().write_sequence(|w| {
                    write_oid(w.next(), attribute);
                    w.next().write_utf8_string(value);
                });
            });
        }
    })
}

/// A SEQUENCE of what `parts` writes, DER.
pub(super) fn sequence(parts: impl FnOnce(&mut DERWriterSeq<'_>)) -> Vec<u8> {
    yasna::construct_der(|w| w.write_sequence(parts))
}

fn write_extension(w: &mut DERWriterSeq<'_>, oid: &[u64], critical: bool, value: impl FnOnce(DERWriter<'_>)) {
    w.next().write_sequence(|w| {
        write_oid(w.next(), oid);
        if critical {
            w.next().write_bool(true);
        }
        w.next().write_bytes(&yasna::construct_der(value));
    });
}

fn write_oid(w: DERWriter<'_>, oid: &[u64]) {
    w.write_oid(&ObjectIdentifier::from_slice(oid));
}

/// Years to 2049 as UTCTime, later ones as GeneralizedTime (RFC 5280 section 4.1.2.5). Both are visible ASCII with a tag.
fn write_time(w: DERWriter<'_>, time: Timestamp) {
    let time = time.to_zoned(TimeZone::UTC);
    let (tag, format) = if time.year() < 2050 { (23, "%y%m%d%H%M%SZ") } else { (24, "%Y%m%d%H%M%SZ") };
    let text = time.strftime(format).to_string();
    w.write_tagged_implicit(Tag { tag_class: yasna::TagClass::Universal, tag_number: tag }, |w| {
        w.write_bytes(text.as_bytes());
    });
}
