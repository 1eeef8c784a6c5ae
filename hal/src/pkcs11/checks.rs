//! What one key on the token shows when it is tried: a report, check by check, for operators and attestations.
//!
//! The self-test decides whether a root key is used; this says why, in words, and with the token's own codes.

use cryptoki::{
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeInfo, AttributeType, ObjectHandle},
    session::Session,
};
use zeroize::Zeroizing;

use super::{
    profile::Number,
    recovery::{self, Fault},
    schemes::{self, RootRef},
    self_test,
};
use crate::{Kek, SelfCheck, WrapScheme};

/// Tries everything on one root key. Only a lost login or token is an error: whatever else happens is in the report.
pub(super) fn examine(session: &Session, root: RootRef, schemes: &[WrapScheme]) -> Result<Vec<SelfCheck>, Fault> {
    let mut checks = attributes(session, root.handle)?;
    checks.extend(enforcement(session, root)?);
    for &scheme in schemes {
        checks.push(round_trip(session, root, scheme)?);
    }
    if schemes.is_empty() {
        checks.push(SelfCheck::new("wrap-scheme", false, "no wrap scheme works on this token"));
    }
    Ok(checks)
}

/// The name of the code that a call failed with, as vendors' documents have it.
pub(super) fn code(error: &Error) -> String {
    let name = match error {
        Error::Pkcs11(RvError::VendorDefined(code) | RvError::UnknownErrorCode(code), _) => {
            return format!("CKR {code:#x}");
        }
        Error::Pkcs11(code, _) => format!("{code:?}"),
        other => return other.to_string(),
    };
    let mut text = String::from("CKR");
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// Whether the error is about the connection, so that nothing was learnt about the key.
pub(super) fn or_lost(error: &Error) -> Result<(), Fault> {
    match recovery::sort(error) {
        lost if lost.is_about_connection() => Err(lost),
        _ => Ok(()),
    }
}

fn attributes(session: &Session, key: ObjectHandle) -> Result<Vec<SelfCheck>, Fault> {
    let read = self_test::attributes(session, key)?;
    let said = |name: &str, value: Option<bool>| match value {
        Some(value) => format!("{name} is {value}"),
        None => format!("the token does not report {name}"),
    };
    Ok(vec![
        SelfCheck::new("sensitive", read.sensitive == Some(true), said("CKA_SENSITIVE", read.sensitive)),
        SelfCheck::new("not-extractable", read.extractable == Some(false), said("CKA_EXTRACTABLE", read.extractable)),
    ])
}

/// The ways out of a token. Each must fail, whatever code the token has for it; one that it does not have fails too.
pub(super) fn enforcement(session: &Session, root: RootRef) -> Result<Vec<SelfCheck>, Fault> {
    let key = root.handle;
    let mut checks = vec![value_unreadable(session, key)?];
    let mut ways = vec![
        ("aes-kw".to_owned(), Mechanism::AesKeyWrap),
        ("aes-kw-pad".to_owned(), Mechanism::AesKeyWrapPad),
        ("aes-cbc-pad".to_owned(), Mechanism::AesCbcPad([0; 16])),
    ];
    for number in root.dialect.key_wraps() {
        if let (Number::Vendor(code), Ok(mechanism)) = (number, number.mechanism()) {
            ways.push((format!("mechanism-{code:#x}"), mechanism));
        }
    }
    for (way, mechanism) in ways {
        let wrapped = session.wrap_key(&mechanism, key, key).map(Zeroizing::new);
        let name = format!("not-wrapped-out-by-{way}");
        checks.push(must_fail(&name, "the token wrapped the key by itself and handed it out", wrapped)?);
    }
    let loosened = [Attribute::Token(false), Attribute::Extractable(true)];
    let copied = session.copy_object(key, &loosened);
    if let Ok(copy) = &copied {
        // That there is a copy is what fails the key, whether or not the copy goes; it ends with the session.
        let _ = session.destroy_object(*copy);
    }
    checks.push(must_fail("not-copied-to-extractable", "the token copied the key to one that may leave", copied)?);
    Ok(checks)
}

fn must_fail<T>(name: &str, otherwise: &str, result: Result<T, Error>) -> Result<SelfCheck, Fault> {
    match result {
        Ok(_) => Ok(SelfCheck::new(name, false, otherwise)),
        Err(error) => {
            or_lost(&error)?;
            Ok(SelfCheck::new(name, true, format!("refused with {}", code(&error))))
        }
    }
}

fn value_unreadable(session: &Session, key: ObjectHandle) -> Result<SelfCheck, Fault> {
    let name = "value-unreadable";
    match session.get_attributes(key, &[AttributeType::Value]) {
        Ok(attributes) => match schemes::value_of(attributes) {
            Some(value) if !value.is_empty() => Ok(SelfCheck::new(name, false, "the token handed out CKA_VALUE")),
            _ => Ok(SelfCheck::new(name, true, why_unreadable(session, key))),
        },
        Err(error) => {
            or_lost(&error)?;
            Ok(SelfCheck::new(name, true, format!("refused with {}", code(&error))))
        }
    }
}

/// cryptoki leaves out what it may not read; asked for the length only, it says why.
fn why_unreadable(session: &Session, key: ObjectHandle) -> &'static str {
    match session.get_attribute_info(key, &[AttributeType::Value]).as_deref() {
        Ok([AttributeInfo::Sensitive]) => "refused with CKR_ATTRIBUTE_SENSITIVE",
        _ => "the token does not give CKA_VALUE",
    }
}

/// A random KEK comes back as it was, and a tampered blob does not come back at all.
pub(super) fn round_trip(session: &Session, root: RootRef, scheme: WrapScheme) -> Result<SelfCheck, Fault> {
    let name = format!("wraps-and-unwraps-by-{scheme}");
    let kek = self_test::random_kek()?;
    let (passed, detail) = match tried(session, root, scheme, &kek) {
        Ok(found) => found,
        Err(lost) if lost.is_about_connection() => return Err(lost),
        Err(Fault::Unsupported) if scheme == WrapScheme::AesKwp && root.dialect.kwp.is_none() => {
            (false, "no mechanism for it that this software can name is known for this make of token")
        }
        Err(Fault::Unsupported) => (false, "the token does not offer it, or not for this key"),
        Err(_) => (false, "the token failed; its codes are in the log"),
    };
    Ok(SelfCheck::new(name, passed, detail))
}

fn tried(session: &Session, root: RootRef, scheme: WrapScheme, kek: &Kek) -> Result<(bool, &'static str), Fault> {
    let wrapped = schemes::wrap(session, root, scheme, kek)?;
    let mut tampered = wrapped.clone();
    if let Some(byte) = tampered.ciphertext.first_mut() {
        *byte ^= 1;
    }
    if schemes::opens(session, root, &tampered) {
        return Ok((false, "the token opens a tampered blob"));
    }
    if schemes::unwrap(session, root, &wrapped)?.is_same(kek) {
        Ok((true, "a random key came back the same; a tampered blob was refused"))
    } else {
        Ok((false, "another key came back than the one that was wrapped"))
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn codes_are_named_as_vendors_name_them() {
        let name = |rv| code(&Error::Pkcs11(rv, Function::WrapKey));
        assert_eq!(name(RvError::KeyUnextractable), "CKR_KEY_UNEXTRACTABLE");
        assert_eq!(name(RvError::AttributeReadOnly), "CKR_ATTRIBUTE_READ_ONLY");
        assert_eq!(name(RvError::GeneralError), "CKR_GENERAL_ERROR");
        assert_eq!(name(RvError::UnknownErrorCode(0x35)), "CKR 0x35");
    }
}
