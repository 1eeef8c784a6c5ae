//! Just enough DER (X.690) to write public keys (RFC 5280, RFC 5480, RFC 8017) and ECDSA signatures (RFC 3279).

use crate::SignerKind;

/// The curves' object identifiers (RFC 5480 section 2.1.1.1): 1.2.840.10045.3.1.7 and 1.3.132.0.34.
pub(crate) const P256_OID: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(crate) const P384_OID: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// id-ecPublicKey (RFC 5480 section 2.1.1): 1.2.840.10045.2.1.
const EC_PUBLIC_KEY_OID: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// rsaEncryption (RFC 8017 appendix A.1): 1.2.840.113549.1.1.1.
const RSA_ENCRYPTION_OID: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const NULL: &[u8] = &[0x05, 0x00];

/// A SubjectPublicKeyInfo (RFC 5280 section 4.1) around a public key in the form of [`SignerInfo`](crate::SignerInfo).
pub(crate) fn spki(kind: SignerKind, public_key: &[u8]) -> Vec<u8> {
    let algorithm = match kind {
        SignerKind::EcdsaP256 => sequence(&[EC_PUBLIC_KEY_OID, P256_OID]),
        SignerKind::EcdsaP384 => sequence(&[EC_PUBLIC_KEY_OID, P384_OID]),
        SignerKind::Rsa2048 | SignerKind::Rsa3072 => sequence(&[RSA_ENCRYPTION_OID, NULL]),
    };
    // No bit of the last byte is unused.
    let key = tagged(0x03, &[&[0], public_key]);
    sequence(&[&algorithm, &key])
}

/// A SEQUENCE of encoded parts.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}

/// A minimal INTEGER of an unsigned big-endian number.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    // A set top bit would make it negative, and zero has one digit.
    let pad: &[u8] = if digits.first().is_none_or(|first| first & 0x80 != 0) { &[0] } else { &[] };
    tagged(0x02, &[pad, digits])
}

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(len + 4);
    out.push(tag);
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = len.to_be_bytes();
            let digits: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            out.extend_from_slice(&digits);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_positive() {
        assert_eq!(unsigned(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(unsigned(&[0x80, 0, 0]), [2, 4, 0, 0x80, 0, 0]);
        assert_eq!(unsigned(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(unsigned(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0, 0]), [2, 1, 0]);
    }

    #[test]
    fn lengths_take_the_short_form_where_it_does_and_the_least_bytes_elsewhere() {
        assert_eq!(tagged(0x30, &[&[7; 127]])[..3], [0x30, 127, 7]);
        assert_eq!(tagged(0x30, &[&[7; 128]])[..4], [0x30, 0x81, 128, 7]);
        assert_eq!(tagged(0x30, &[&[7; 255], &[7]])[..5], [0x30, 0x82, 1, 0, 7]);
    }

    #[test]
    fn a_p256_key_is_wrapped_as_rfc_5480_says() {
        let made = spki(SignerKind::EcdsaP256, &[0x04; 65]);
        let head = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        assert_eq!(made[..13], head);
        assert_eq!(made[13..23], *P256_OID);
        assert_eq!(made[23..26], [0x03, 0x42, 0x00]);
        assert_eq!(made[26..], [0x04; 65]);
    }
}
