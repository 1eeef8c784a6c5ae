//! Signing keys.

use aws_lc_rs::signature;
use hal::{HalError, Refusal, RootKeys, SignScheme, SignerId, SignerKind};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

use super::{label, new_root, nobody};

pub(crate) fn signatures_verify_under_the_public_key(hal: &dyn RootKeys) {
    let p256 = hal.generate_signer(&label("p256"), SignerKind::EcdsaP256).expect("a signing key is made");
    let p384 = hal.generate_signer(&label("p384"), SignerKind::EcdsaP384).expect("a signing key is made");
    assert_eq!((p256.public_key.len(), p384.public_key.len()), (65, 97));
    assert_eq!(hal.describe_signer(p384.id).expect("a description"), p384);
    // Enough for an r or s with a leading zero to turn up: one signature in 128 has one.
    for turn in 0..300_u32 {
        let message = turn.to_be_bytes();
        let signature = hal.sign(p256.id, &message, SignScheme::EcdsaP256Sha256).expect("a signature");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &p256.public_key);
        key.verify(&message, &signature).expect("the signature verifies");
        assert!(key.verify(b"another message", &signature).is_err());
    }
    let signature = hal.sign(p384.id, b"message", SignScheme::EcdsaP384Sha384).expect("a signature");
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &p384.public_key);
    key.verify(b"message", &signature).expect("the signature verifies");
}

/// The verifier of a scheme; all of them take a SubjectPublicKeyInfo.
fn verifier(scheme: SignScheme) -> &'static dyn signature::VerificationAlgorithm {
    match scheme {
        SignScheme::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_ASN1,
        SignScheme::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_ASN1,
        SignScheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SignScheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SignScheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SignScheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignScheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SignScheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
    }
}

pub(crate) fn every_kind_of_signing_key_signs_by_each_scheme_that_fits_and_no_other(hal: &dyn RootKeys) {
    for kind in SignerKind::ALL {
        let info = hal.generate_signer(&label(kind.name()), kind).expect("a signing key is made");
        assert_eq!(info.kind, kind);
        assert_eq!(hal.describe_signer(info.id).expect("a description"), info);
        for scheme in SignScheme::ALL {
            let signed = hal.sign(info.id, b"message", scheme);
            if scheme.fits(kind) {
                let signature = signed.expect("a signature");
                for key in [&info.spki(), &info.public_key] {
                    let key = signature::UnparsedPublicKey::new(verifier(scheme), key);
                    key.verify(b"message", &signature).expect("the signature verifies");
                    assert!(key.verify(b"another message", &signature).is_err());
                }
            } else {
                let refused = signed.expect_err("the scheme does not fit");
                assert_eq!(refused, HalError::Refused(Refusal::WrongSignerKind), "{kind} {scheme:?}");
            }
        }
    }
    assert_eq!(hal.list_roots().expect("a list"), [], "a signing key is no root key");
}

pub(crate) fn a_long_and_an_empty_message_are_signed(hal: &dyn RootKeys) {
    let info = hal.generate_signer(&label("rsa"), SignerKind::Rsa2048).expect("a signing key is made");
    for message in [Vec::new(), vec![7; 100_000]] {
        let signature = hal.sign(info.id, &message, SignScheme::RsaPssSha384).expect("a signature");
        assert_eq!(signature.len(), 256);
        let key = signature::UnparsedPublicKey::new(verifier(SignScheme::RsaPssSha384), info.spki());
        key.verify(&message, &signature).expect("the signature verifies");
    }
}

pub(crate) fn a_signing_key_is_found_by_its_label(hal: &dyn RootKeys) {
    assert_eq!(hal.find_signer(&label("one")).expect("an answer"), None);
    let one = hal.generate_signer(&label("one"), SignerKind::EcdsaP256).expect("a signing key is made");
    let other = hal.generate_signer(&label("other"), SignerKind::EcdsaP384).expect("a signing key is made");
    assert_eq!(hal.find_signer(&label("one")).expect("an answer"), Some(one));
    assert_eq!(hal.find_signer(&label("other")).expect("an answer"), Some(other));
    new_root(hal, "root");
    assert_eq!(hal.find_signer(&label("root")).expect("an answer"), None, "a root key does not sign");
    assert_eq!(hal.find_signer(&label("One")).expect("an answer"), None);
}

pub(crate) fn an_unknown_signing_key_is_named(hal: &dyn RootKeys) {
    let nobody = SignerId::from_uuid(*nobody().root.as_uuid());
    let refused = hal.sign(nobody, b"message", SignScheme::EcdsaP256Sha256).expect_err("no such key");
    assert_eq!(refused, HalError::UnknownSigner(nobody));
    assert_eq!(hal.describe_signer(nobody).expect_err("no such key"), HalError::UnknownSigner(nobody));
}
