//! How a KEK is wrapped by a token: `aes-gcm` (C_Encrypt, C_Decrypt) and `aes-kw` (C_WrapKey, C_UnwrapKey).
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

use super::{recovery::Fault, self_test::BoundRoot};
use crate::{HalError, Kek, Outage, Refusal, RootKeyVersion, WrapScheme, WrappedKek};

/// Schemes in the order of preference: GCM authenticates its context and makes no session object.
pub(super) const PREFERENCE: [WrapScheme; 2] = [WrapScheme::AesGcm, WrapScheme::AesKw];

const IV_LEN: usize = 12;

/// A root key on the token.
#[derive(Clone, Copy)]
pub(super) struct RootRef {
    pub(super) key: RootKeyVersion,
    pub(super) handle: ObjectHandle,
}

/// Wraps; the caller has settled on the scheme.
pub(super) fn wrap(session: &Session, root: RootRef, scheme: WrapScheme, kek: &Kek) -> Result<WrappedKek, Fault> {
    let (iv, ciphertext) = match scheme {
        WrapScheme::AesGcm => gcm_wrap(session, root, kek)?,
        WrapScheme::AesKw => (Vec::new(), kw_wrap(session, root.handle, kek)?),
        WrapScheme::AesKwp => return Err(Fault::Unsupported),
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
        WrapScheme::AesKw => kw_unwrap(session, root.handle, &wrapped.ciphertext),
        WrapScheme::AesKwp => Ok(None),
    }
}

fn gcm_wrap(session: &Session, root: RootRef, kek: &Kek) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let mut iv = [0; IV_LEN];
    SystemRandom::new().fill(&mut iv).map_err(|_| Fault::Stop(HalError::Unavailable(Outage::DeviceFailed)))?;
    let context = context(root.key, WrapScheme::AesGcm);
    let mechanism = Mechanism::AesGcm(GcmParams::new(&mut iv, &context, 128.into())?);
    let ciphertext = session.encrypt(&mechanism, root.handle, kek.expose_secret())?;
    // Some tokens write an IV of their own into the buffer, so what is stored is what the buffer holds now.
    if iv == [0; IV_LEN] {
        return Err(Refusal::SchemeNotSupported.into());
    }
    Ok((iv.to_vec(), ciphertext))
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

fn kw_wrap(session: &Session, root: ObjectHandle, kek: &Kek) -> Result<Vec<u8>, Fault> {
    let key = session_key(session, kek)?;
    let wrapped = session.wrap_key(&Mechanism::AesKeyWrap, root, key);
    let destroyed = session.destroy_object(key);
    let mut wrapped = wrapped?;
    destroyed?;
    // cryptoki hands back the buffer as long as the token first asked for; NSS asks for more than it fills.
    wrapped.truncate(WrapScheme::AesKw.ciphertext_len());
    Ok(wrapped)
}

fn kw_unwrap(session: &Session, root: ObjectHandle, wrapped: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Sensitive(false),
        Attribute::Extractable(true),
    ];
    let key = session.unwrap_key(&Mechanism::AesKeyWrap, root, wrapped, &template)?;
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
    use uuid::Uuid;

    use super::*;
    use crate::RootKeyId;

    #[test]
    fn the_gcm_context_names_root_version_and_scheme() {
        let root = RootKeyId::from_uuid(Uuid::from_bytes([7; 16]));
        let made = context(RootKeyVersion { root, version: 3 }, WrapScheme::AesGcm);
        assert_eq!(&made[..12], b"keystead kek");
        assert_eq!(made[12..28], [7; 16]);
        assert_eq!(made[28..], [0, 0, 0, 3, 1]);
    }

    #[test]
    fn template_values_are_wiped() {
        let mut template = [Attribute::Token(true), Attribute::Value(vec![1, 2, 3])];
        wipe_values(&mut template);
        let [_, Attribute::Value(value)] = &template else { panic!("the template kept its shape") };
        assert!(value.is_empty());
    }
}
