//! The suite. Each function gets a backend that holds no key yet.

mod signers;
mod versions;

use std::thread;

use hal::{
    DestroyConsent, HalError, Health, KcvMethod, Kek, Label, Refusal, RootKeyId, RootKeyVersion, RootKeys, SecretBytes,
    SignerKind, WrapScheme, WrappedKek,
};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use self::{signers::*, versions::*};

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).expect("a good label")
}

pub(crate) fn kek(fill: u8) -> Kek {
    Kek::new(Zeroizing::new([fill; Kek::LEN]))
}

fn new_root(hal: &dyn RootKeys, name: &str) -> RootKeyVersion {
    hal.generate_root(&label(name)).expect("a root key is made").key()
}

/// The first version of a root key that is nowhere yet.
pub(crate) fn new_key() -> RootKeyVersion {
    RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4()))
}

fn nobody() -> RootKeyVersion {
    RootKeyVersion::first(RootKeyId::from_uuid(Uuid::from_bytes([0x5a; 16])))
}

#[track_caller]
fn assert_opens(hal: &dyn RootKeys, wrapped: &WrappedKek, fill: u8) {
    let opened = hal.unwrap_kek(wrapped).expect("the blob opens");
    assert_eq!(opened.expose_secret(), &[fill; Kek::LEN]);
}

#[track_caller]
fn assert_refused(hal: &dyn RootKeys, wrapped: &WrappedKek, why: &HalError) {
    assert_eq!(hal.unwrap_kek(wrapped).expect_err("the blob is refused"), *why);
}

pub(crate) fn a_wrapped_kek_opens_to_the_same_kek(hal: &dyn RootKeys) {
    let root = new_root(hal, "root");
    for fill in [0, 1, 0xff] {
        let wrapped = hal.wrap_kek(root, &kek(fill)).expect("a KEK is wrapped");
        assert_eq!(wrapped.key(), root);
        assert_eq!(Some(wrapped.scheme), hal.capabilities().scheme);
        assert_opens(hal, &wrapped, fill);
    }
}

pub(crate) fn a_blob_survives_storage(hal: &dyn RootKeys) {
    let wrapped = hal.wrap_kek(new_root(hal, "root"), &kek(7)).expect("a KEK is wrapped");
    let stored = wrapped.to_bytes();
    assert!(stored.len() <= 87);
    let read = WrappedKek::from_bytes(&stored).expect("the stored form parses");
    assert_eq!(read, wrapped);
    assert_opens(hal, &read, 7);
}

pub(crate) fn every_flipped_bit_of_a_blob_is_refused(hal: &dyn RootKeys) {
    let wrapped = hal.wrap_kek(new_root(hal, "root"), &kek(7)).expect("a KEK is wrapped");
    let stored = wrapped.to_bytes();
    for bit in 0..stored.len() * 8 {
        let mut flipped = stored.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = match WrappedKek::from_bytes(&flipped) {
            Ok(parsed) => hal.unwrap_kek(&parsed).expect_err("a flipped bit is noticed"),
            Err(error) => error,
        };
        let in_cipher_text = bit / 8 >= stored.len() - wrapped.ciphertext.len() - wrapped.iv.len();
        match refused {
            HalError::Tampered => {}
            HalError::UnknownRootKey(_)
            | HalError::Refused(Refusal::UnknownBlobFormat | Refusal::SchemeNotSupported)
                if !in_cipher_text => {}
            other => panic!("bit {bit}: {other:?}"),
        }
    }
    // The backend is none the worse for it.
    assert_opens(hal, &wrapped, 7);
    assert_eq!(hal.health(), Health::Ready);
}

pub(crate) fn a_truncated_or_padded_blob_is_refused(hal: &dyn RootKeys) {
    let wrapped = hal.wrap_kek(new_root(hal, "root"), &kek(7)).expect("a KEK is wrapped");
    let mut shorter = wrapped.clone();
    shorter.ciphertext.pop();
    assert_refused(hal, &shorter, &HalError::Tampered);
    let mut longer = wrapped.clone();
    longer.ciphertext.push(0);
    assert_refused(hal, &longer, &HalError::Tampered);
    let mut without = wrapped;
    without.ciphertext.clear();
    without.iv.clear();
    assert_refused(hal, &without, &HalError::Tampered);
}

pub(crate) fn a_blob_under_another_root_key_is_refused(hal: &dyn RootKeys) {
    let (one, other) = (new_root(hal, "one"), new_root(hal, "other"));
    let wrapped = hal.wrap_kek(one, &kek(7)).expect("a KEK is wrapped");
    assert_refused(hal, &WrappedKek { root: other.root, ..wrapped.clone() }, &HalError::Tampered);
    assert_refused(hal, &WrappedKek { root: nobody().root, ..wrapped.clone() }, &HalError::UnknownRootKey(nobody()));
    assert_opens(hal, &wrapped, 7);
}

pub(crate) fn an_unknown_root_key_is_named(hal: &dyn RootKeys) {
    let unknown = HalError::UnknownRootKey(nobody());
    assert_eq!(hal.wrap_kek(nobody(), &kek(7)).expect_err("nothing to wrap under"), unknown);
    assert_eq!(hal.describe_root(nobody()).expect_err("nothing to describe"), unknown);
    let consent = DestroyConsent::approved_for(nobody());
    assert_eq!(hal.destroy_root(nobody(), consent).expect_err("nothing to destroy"), unknown);
    // Not finding a root key never makes one.
    assert_eq!(hal.list_roots().expect("a list"), []);
}

pub(crate) fn a_root_key_is_listed_and_described_until_it_is_destroyed(hal: &dyn RootKeys) {
    let beta = hal.generate_root(&label("beta")).expect("a root key is made");
    let alpha = hal.generate_root(&label("alpha – ä")).expect("a root key is made");
    assert_eq!(beta.version, 1);
    assert_eq!(beta.label, label("beta"));
    assert_eq!(beta.attributes.local, Some(true));
    assert_eq!(Some(beta.scheme), hal.capabilities().scheme);
    assert_eq!(beta.tokens.first(), hal.capabilities().token.as_ref());
    assert_ne!(alpha.kcv, beta.kcv);
    if hal.capabilities().is_hsm {
        assert_eq!(beta.attributes.sensitive, Some(true));
        assert_eq!(beta.attributes.extractable, Some(false));
        assert_eq!(beta.attributes.always_sensitive, Some(true));
        assert_eq!(beta.attributes.never_extractable, Some(true));
    }
    assert_eq!(hal.list_roots().expect("a list"), [alpha.clone(), beta.clone()]);
    assert_eq!(hal.describe_root(beta.key()).expect("a description"), beta);
    hal.destroy_root(beta.key(), DestroyConsent::approved_for(beta.key())).expect("it is destroyed");
    assert_eq!(hal.list_roots().expect("a list"), [alpha]);
    assert_eq!(hal.describe_root(beta.key()).expect_err("it is gone"), HalError::UnknownRootKey(beta.key()));
}

pub(crate) fn a_destroyed_root_key_takes_its_blobs_with_it(hal: &dyn RootKeys) {
    let root = new_root(hal, "root");
    let wrapped = hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    hal.destroy_root(root, DestroyConsent::approved_for(root)).expect("it is destroyed");
    assert_refused(hal, &wrapped, &HalError::UnknownRootKey(root));
    // The label is free again, and the key under it is another one.
    let reborn = new_root(hal, "root");
    assert_refused(hal, &WrappedKek { root: reborn.root, ..wrapped }, &HalError::Tampered);
}

pub(crate) fn consent_for_another_root_key_destroys_nothing(hal: &dyn RootKeys) {
    let (one, other) = (new_root(hal, "one"), new_root(hal, "other"));
    let refused = hal.destroy_root(one, DestroyConsent::approved_for(other)).expect_err("another root key was meant");
    assert_eq!(refused, HalError::Refused(Refusal::ConsentMismatch));
    assert_eq!(hal.list_roots().expect("a list").len(), 2);
}

pub(crate) fn a_label_is_given_once(hal: &dyn RootKeys) {
    let taken = HalError::Refused(Refusal::LabelTaken);
    new_root(hal, "root");
    assert_eq!(hal.generate_root(&label("root")).expect_err("the label is taken"), taken);
    let key = SecretBytes::from(vec![1; 32]);
    assert_eq!(hal.import_root(new_key(), &label("root"), key).expect_err("the label is taken"), taken);
    new_root(hal, "Root");
    hal.generate_signer(&label("root"), SignerKind::EcdsaP256).expect("signers have labels of their own");
    let refused = hal.generate_signer(&label("root"), SignerKind::EcdsaP256).expect_err("the label is taken");
    assert_eq!(refused, taken);
    assert_eq!(hal.list_roots().expect("a list").len(), 2);
}

/// AES-256 of a block of zeros under the key 00 01 .. 1f begins f2 90 00.
pub(crate) fn an_imported_root_key_has_the_check_value_of_its_bytes(hal: &dyn RootKeys) {
    let info = hal
        .import_root(new_key(), &label("imported"), SecretBytes::from((0..32).collect::<Vec<u8>>()))
        .expect("a root key");
    assert_eq!(info.kcv.method, KcvMethod::EcbZeroBlock);
    assert_eq!(info.kcv.to_string(), "f29000");
    assert_eq!(info.attributes.local, Some(false));
    let wrapped = hal.wrap_kek(info.key(), &kek(7)).expect("a KEK is wrapped");
    assert_opens(hal, &wrapped, 7);
}

pub(crate) fn a_root_key_of_the_wrong_length_is_refused(hal: &dyn RootKeys) {
    for len in [0, 16, 31, 33] {
        let refused = hal
            .import_root(new_key(), &label("short"), SecretBytes::from(vec![1; len]))
            .expect_err("not an AES-256 key");
        assert_eq!(refused, HalError::Refused(Refusal::KeyLength));
    }
    assert_eq!(hal.list_roots().expect("a list"), []);
}

pub(crate) fn random_bytes_differ(hal: &dyn RootKeys) {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    hal.random(&mut one).expect("random bytes");
    hal.random(&mut other).expect("random bytes");
    assert_ne!(one, other);
    assert_ne!(one, [0; 32]);
    hal.random(&mut []).expect("none is no error");
}

pub(crate) fn sixteen_threads_work_at_the_same_time(hal: &dyn RootKeys) {
    let (one, other) = (new_root(hal, "one"), new_root(hal, "other"));
    thread::scope(|scope| {
        for thread in 0..16_u8 {
            scope.spawn(move || {
                for turn in 0..25_u8 {
                    let fill = thread.wrapping_mul(16).wrapping_add(turn);
                    let root = if turn % 2 == 0 { one } else { other };
                    let wrapped = hal.wrap_kek(root, &kek(fill)).expect("a KEK is wrapped");
                    assert_opens(hal, &wrapped, fill);
                    let mut tampered = wrapped;
                    tampered.ciphertext[3] ^= 0x10;
                    assert_refused(hal, &tampered, &HalError::Tampered);
                }
            });
        }
    });
}

pub(crate) fn debug_output_holds_no_secret(hal: &dyn RootKeys) {
    assert_eq!(format!("{:?}", kek(0x41)), "Kek(..)");
    assert_eq!(format!("{:?}", SecretBytes::from(b"AAAA".to_vec())), "SecretBytes(..)");
    let wrapped = hal.wrap_kek(new_root(hal, "root"), &kek(0x41)).expect("a KEK is wrapped");
    let opened = hal.unwrap_kek(&wrapped);
    assert_eq!(format!("{opened:?}"), "Ok(Kek(..))");
}

pub(crate) fn a_working_backend_is_ready_and_says_what_it_is(hal: &dyn RootKeys) {
    assert_eq!(hal.health(), Health::Ready);
    let states = hal.token_states();
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].health, Health::Ready);
    assert_eq!(states[0].stuck, 0);
    let capabilities = hal.capabilities();
    assert_eq!(states[0].scheme, capabilities.scheme);
    assert_eq!(states[0].serial, capabilities.token.as_ref().map(|token| token.serial.clone()));
    assert!(capabilities.schemes.contains(&capabilities.scheme.expect("a scheme was chosen")));
    if capabilities.is_hsm {
        assert_eq!(capabilities.backend, "pkcs11");
        assert_eq!(capabilities.schemes[..2], [WrapScheme::AesGcm, WrapScheme::AesKw]);
        let token = capabilities.token.as_ref().expect("a token");
        assert!(!token.model.is_empty() && !token.serial.is_empty(), "{token:?}");
        assert_eq!(capabilities.sessions, 2);
    } else {
        assert_eq!(capabilities.backend, "software");
        assert_eq!(capabilities.token, None);
    }
    new_root(hal, "root");
    assert_eq!(hal.health(), Health::Ready);
}
