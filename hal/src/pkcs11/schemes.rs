//! How a KEK is wrapped by a token: `aes-gcm` (C_Encrypt, C_Decrypt), and `aes-kw` and `aes-kwp` by the mechanism and the calls
//! that the token's [`Dialect`] has for them.
//!
//! Key material that comes out of cryptoki goes into a wiping buffer in the same expression; what goes in is wiped here after
//! the call. No [`Attribute`] is ever formatted: it would print keys.

use cryptoki::{
    error::Error,
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::Session,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    profile::{Call, Dialect, IvMode, KeyWrap},
    recovery::Fault,
    self_test::BoundRoot,
};
use crate::{HalError, Kek, Outage, Refusal, RootKeyVersion, WrapScheme, WrappedKek};

/// Length in bytes of what `aes-gcm` makes of a KEK: the ciphertext and the tag.
const SEALED_LEN: usize = Kek::LEN + 16;

/// A root key on the token.
#[derive(Clone, Copy)]
pub(super) struct RootRef {
    pub(super) key: RootKeyVersion,
    pub(super) handle: ObjectHandle,
    pub(super) dialect: Dialect,
}

/// Wraps; the caller has settled on the scheme.
pub(super) fn wrap(session: &Session, root: RootRef, scheme: WrapScheme, kek: &Kek) -> Result<WrappedKek, Fault> {
    let (iv, ciphertext) = match scheme {
        WrapScheme::AesGcm => gcm_wrap(session, root, kek)?,
        WrapScheme::AesKw | WrapScheme::AesKwp => {
            let way = way(root, scheme).ok_or(Fault::Unsupported)?;
            (Vec::new(), key_wrap(session, root.handle, way, kek)?)
        }
    };
    if ciphertext.len() != scheme.ciphertext_len() {
        tracing::warn!(%scheme, len = ciphertext.len(), "the token returned a wrapped key of the wrong length");
        return Err(Fault::Suspect);
    }
    let RootKeyVersion { root, version } = root.key;
    Ok(WrappedKek { root, version, scheme, iv, ciphertext })
}

/// Opens a blob of one root key and wraps what was in it under another, and sees that the new blob opens to the same.
pub(super) fn rewrap(session: &Session, from: RootRef, old: &WrappedKek, to: &BoundRoot) -> Result<WrappedKek, Fault> {
    let kek = unwrap(session, from, old)?;
    let new = wrap(session, to.root, to.scheme, &kek)?;
    // A new blob that does not open is the token's fault, never the old blob's.
    let reopened = unwrap(session, to.root, &new).map_err(|fault| match fault {
        Fault::BadData => Fault::Suspect,
        other => other,
    })?;
    if reopened.is_same(&kek) { Ok(new) } else { Err(Fault::Suspect) }
}

/// Unwraps a well-formed blob that names this root key.
pub(super) fn unwrap(session: &Session, root: RootRef, wrapped: &WrappedKek) -> Result<Kek, Fault> {
    // A token that keeps an unwrapped key's value to itself answers Ok with nothing in it.
    let plain = open(session, root, wrapped)?.ok_or(Fault::Unsupported)?;
    if plain.len() != Kek::LEN {
        return Err(Fault::BadData);
    }
    let mut bytes = Zeroizing::new([0; Kek::LEN]);
    bytes.copy_from_slice(&plain);
    Ok(Kek::new(bytes))
}

/// Whether a blob opens, without a line in the log: for the self-test's tampered blobs, whose refusal is the right answer.
pub(super) fn opens(session: &Session, root: RootRef, wrapped: &WrappedKek) -> bool {
    matches!(open(session, root, wrapped), Ok(Some(_)))
}

fn open(session: &Session, root: RootRef, wrapped: &WrappedKek) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    match wrapped.scheme {
        WrapScheme::AesGcm => gcm_unwrap(session, root, wrapped).map(Some),
        WrapScheme::AesKw | WrapScheme::AesKwp => match way(root, wrapped.scheme) {
            Some(way) => key_unwrap(session, root, way, &wrapped.ciphertext),
            None => Err(Error::NotSupported),
        },
    }
}

/// How the token does `scheme`, where it does.
fn way(root: RootRef, scheme: WrapScheme) -> Option<KeyWrap> {
    match scheme {
        WrapScheme::AesGcm => None,
        WrapScheme::AesKw => root.dialect.kw,
        WrapScheme::AesKwp => root.dialect.kwp,
    }
}

fn gcm_wrap(session: &Session, root: RootRef, kek: &Kek) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut iv = match root.dialect.iv {
        IvMode::Caller12 => {
            let mut iv = vec![0; 12];
            SystemRandom::new().fill(&mut iv).map_err(|_| Fault::Stop(HalError::Unavailable(Outage::DeviceFailed)))?;
            iv
        }
        IvMode::TokenWritesIv12 => vec![0; 12],
        IvMode::TokenAppends16 => vec![0; 16],
    };
    let context = context(root.key, WrapScheme::AesGcm);
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, &context, 128.into())?);
    let sealed = session.encrypt(&mechanism, root.handle, kek.expose_secret())?;
    settle_iv(root.dialect.iv, iv, sealed)
}

/// The IV that a seal was made with, and the sealed bytes: `buffer` is what the IV's buffer holds after the call. A seal whose IV
/// cannot be told, or is all zeros because the token did not make one, is not used.
fn settle_iv(mode: IvMode, buffer: Vec<u8>, mut sealed: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let iv = match mode {
        // Some tokens write an IV of their own into the caller's buffer, so what is stored is what it holds now.
        IvMode::Caller12 | IvMode::TokenWritesIv12 => buffer,
        IvMode::TokenAppends16 if sealed.len() == SEALED_LEN + 16 => sealed.split_off(SEALED_LEN),
        IvMode::TokenAppends16 => return Err(Refusal::SchemeNotSupported.into()),
    };
    if iv.iter().all(|byte| *byte == 0) {
        return Err(Refusal::SchemeNotSupported.into());
    }
    Ok((iv, sealed))
}

fn gcm_unwrap(session: &Session, root: RootRef, wrapped: &WrappedKek) -> Result<Zeroizing<Vec<u8>>, Error> {
    let context = context(wrapped.key(), wrapped.scheme);
    let mut iv = wrapped.iv.clone();
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, &context, 128.into())?);
    Ok(Zeroizing::new(session.decrypt(&mechanism, root.handle, &wrapped.ciphertext)?))
}

/// The additional data of `aes-gcm`: which root key, version and scheme. Never changes, or no blob opens any more.
fn context(key: RootKeyVersion, scheme: WrapScheme) -> [u8; 33] {
    let mut context = [0; 33];
    let fields = b"keystead kek"
        .iter()
        .chain(key.root.as_uuid().as_bytes())
        .copied()
        .chain(key.version.to_be_bytes())
        .chain([scheme.code()]);
    for (place, byte) in context.iter_mut().zip(fields) {
        *place = byte;
    }
    context
}

fn key_wrap(session: &Session, root: ObjectHandle, way: KeyWrap, kek: &Kek) -> Result<Vec<u8>, Fault> {
    let mechanism = way.mechanism.mechanism()?;
    if way.call == Call::Encrypt {
        return Ok(session.encrypt(&mechanism, root, kek.expose_secret())?);
    }
    let key = session_key(session, kek)?;
    let wrapped = session.wrap_key(&mechanism, root, key);
    let destroyed = session.destroy_object(key);
    let mut wrapped = wrapped?;
    destroyed?;
    // cryptoki hands back the buffer as long as the token first asked for; NSS asks for more than it fills. Both schemes make
    // the same length of a KEK.
    wrapped.truncate(WrapScheme::AesKw.ciphertext_len());
    Ok(wrapped)
}

fn key_unwrap(
    session: &Session,
    root: RootRef,
    way: KeyWrap,
    wrapped: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let mechanism = way.mechanism.mechanism()?;
    if way.call == Call::Encrypt {
        return session.decrypt(&mechanism, root.handle, wrapped).map(|plain| Some(Zeroizing::new(plain)));
    }
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    if root.dialect.value_len {
        template.push(Attribute::ValueLen(Kek::LEN.try_into()?));
    }
    let key = session.unwrap_key(&mechanism, root.handle, wrapped, &template)?;
    let attributes = session.get_attributes(key, &[AttributeType::Value]).map(value_of);
    session.destroy_object(key)?;
    attributes
}

/// A session key with the KEK's bytes, for C_WrapKey. The caller destroys it.
fn session_key(session: &Session, kek: &Kek) -> Result<ObjectHandle, Fault> {
    let mut template = [
        Attribute::Value(kek.expose_secret().to_vec()),
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let created = session.create_object(&template);
    wipe_values(&mut template);
    Ok(created?)
}

/// The first CKA_VALUE in a list, moved into a wiping buffer.
pub(super) fn value_of(attributes: Vec<Attribute>) -> Option<Zeroizing<Vec<u8>>> {
    attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::Value(value) => Some(Zeroizing::new(value)),
        _ => None,
    })
}

/// Makes a template's key a token object or a session object.
pub(super) fn set_token(template: &mut [Attribute], token: bool) {
    for attribute in template {
        if let Attribute::Token(value) = attribute {
            *value = token;
        }
    }
}

/// Wipes every CKA_VALUE of a template after its call.
pub(super) fn wipe_values(template: &mut [Attribute]) {
    for attribute in template {
        if let Attribute::Value(value) = attribute {
            value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
    use cryptoki::{context::Pkcs11, session::UserType, types::AuthPin};
    use pkcs11_fixtures::SoftHsm;
    use uuid::Uuid;

    use super::*;
    use crate::{RootKeyId, pkcs11::profile::Number};

    #[test]
    fn the_gcm_context_names_root_version_and_scheme() {
        let root = RootKeyId::from_uuid(Uuid::from_bytes([7; 16]));
        let made = context(RootKeyVersion { root, version: 3 }, WrapScheme::AesGcm);
        assert_eq!(&made[..12], b"keystead kek");
        assert_eq!(made[12..28], [7; 16]);
        assert_eq!(made[28..], [0, 0, 0, 3, 1]);
    }

    const SEALED: [u8; SEALED_LEN] = [5; SEALED_LEN];

    fn settled(mode: IvMode, buffer: &[u8], sealed: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        settle_iv(mode, buffer.to_vec(), sealed.to_vec()).ok()
    }

    #[test]
    fn the_iv_is_taken_from_where_the_token_left_it() {
        let written = Some((vec![1; 12], SEALED.to_vec()));
        assert_eq!(settled(IvMode::Caller12, &[1; 12], &SEALED), written);
        assert_eq!(settled(IvMode::TokenWritesIv12, &[1; 12], &SEALED), written);
        let appended = [SEALED.as_slice(), &[9; 16]].concat();
        assert_eq!(settled(IvMode::TokenAppends16, &[0; 16], &appended), Some((vec![9; 16], SEALED.to_vec())));
    }

    #[test]
    fn a_seal_without_an_iv_of_the_tokens_is_refused() {
        assert_eq!(settled(IvMode::TokenWritesIv12, &[0; 12], &SEALED), None);
        assert_eq!(settled(IvMode::Caller12, &[0; 12], &SEALED), None);
        assert_eq!(settled(IvMode::TokenAppends16, &[0; 16], &SEALED), None, "nothing was appended");
        assert_eq!(settled(IvMode::TokenAppends16, &[0; 16], &[&SEALED[..], &[0; 16]].concat()), None);
        assert_eq!(settled(IvMode::TokenAppends16, &[0; 16], &[&SEALED[..], &[9; 12]].concat()), None);
    }

    /// A session key on SoftHSM2, as a token that is spoken to in `dialect`.
    fn on_softhsm(test: impl FnOnce(&Session, RootRef, &dyn Fn(RootRef, WrapScheme) -> Result<WrappedKek, Fault>)) {
        let Some(softhsm) = SoftHsm::shared() else { return };
        let token = softhsm.token("schemes");
        let module = Pkcs11::new(softhsm.module()).unwrap();
        let (slot, _) = super::super::token::find(&module, &token.label, None).unwrap();
        let session = module.open_rw_session(slot).unwrap();
        session.login(UserType::User, Some(&AuthPin::new(token.pin.into()))).unwrap();
        let mut template = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Value(vec![3; 32]),
        ];
        let uses = [Attribute::Encrypt(true), Attribute::Decrypt(true), Attribute::Wrap(true), Attribute::Unwrap(true)];
        template.extend(uses);
        let handle = session.create_object(&template).unwrap();
        let dialect = Dialect { iv: IvMode::Caller12, kw: None, kwp: None, value_len: false };
        let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::from_bytes([7; 16])));
        let root = RootRef { key, handle, dialect };
        let kek = Kek::new(Zeroizing::new([7; 32]));
        test(&session, root, &|root, scheme| wrap(&session, root, scheme, &kek));
    }

    #[test]
    fn kwp_is_rfc_5649_where_a_dialect_has_a_mechanism_for_it() {
        on_softhsm(|session, root, wrap| {
            assert!(matches!(wrap(root, WrapScheme::AesKwp), Err(Fault::Unsupported)), "no mechanism, no scheme");
            let way = KeyWrap { mechanism: Number::AesKeyWrapPad, call: Call::WrapKey };
            let root = RootRef { dialect: Dialect { kwp: Some(way), ..root.dialect }, ..root };
            let wrapped = wrap(root, WrapScheme::AesKwp).unwrap();
            assert_eq!((wrapped.iv.len(), wrapped.ciphertext.len()), (0, 40));
            assert_eq!(unwrap(session, root, &wrapped).unwrap().expose_secret(), &[7; 32]);
            let software = AesKek::new(&AES_256, &[3; 32]).unwrap();
            let mut plain = [0; 40];
            assert_eq!(software.unwrap_with_padding(&wrapped.ciphertext, &mut plain).unwrap(), [7; 32]);
            let mut tampered = wrapped;
            tampered.ciphertext[0] ^= 1;
            assert!(!opens(session, root, &tampered));
        });
    }

    #[test]
    fn a_token_that_takes_the_callers_iv_fails_the_modes_of_those_that_make_their_own() {
        on_softhsm(|session, root, wrap| {
            for iv in [IvMode::TokenWritesIv12, IvMode::TokenAppends16] {
                let root = RootRef { dialect: Dialect { iv, ..root.dialect }, ..root };
                let refused = wrap(root, WrapScheme::AesGcm);
                let expected = HalError::Refused(Refusal::SchemeNotSupported);
                assert!(matches!(refused, Err(Fault::Stop(error)) if error == expected), "{iv:?}");
            }
            // What a token in FIPS mode made with an IV of 16 bytes opens whatever this one's own mode is.
            let (mut iv, context) = (vec![9; 16], context(root.key, WrapScheme::AesGcm));
            let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, &context, 128.into()).unwrap());
            let ciphertext = session.encrypt(&mechanism, root.handle, &[7; 32]).unwrap();
            let wrapped = WrappedKek { iv, ciphertext, ..wrap(root, WrapScheme::AesGcm).unwrap() };
            assert_eq!(unwrap(session, root, &wrapped).unwrap().expose_secret(), &[7; 32]);
        });
    }

    #[test]
    fn template_values_are_wiped() {
        let mut template = [Attribute::Token(true), Attribute::Value(vec![1, 2, 3])];
        wipe_values(&mut template);
        let [_, Attribute::Value(value)] = &template else { panic!("the template kept its shape") };
        assert!(value.is_empty());
    }
}
