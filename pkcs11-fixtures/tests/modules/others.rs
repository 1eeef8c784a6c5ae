//! The other tokens: kryoptic and NSS.

use cryptoki::{
    context::Pkcs11,
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
};
use pkcs11_fixtures::{Kryoptic, PrivateModule};

use crate::{code, initialise, key, load, log_in, open, seal, slots};

#[test]
fn kryoptic_gives_fresh_tokens_to_everybody_in_the_process() {
    let Some(kryoptic) = Kryoptic::shared() else { return };
    let (one, other) = (kryoptic.token("one"), kryoptic.token("other"));
    assert_ne!((&one.label, &one.serial), (&other.label, &other.serial));
    let pkcs11 = Pkcs11::new(kryoptic.module()).expect("it is loaded");
    for token in [&one, &other] {
        let session = log_in(&pkcs11, token);
        assert!(session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).expect("a search").is_empty());
        let key = key(&session);
        let sealed = seal(&session, key, b"data").expect("it is sealed");
        assert_eq!(open(&session, key, &sealed).expect("it opens"), b"data");
        assert!(kryoptic.log_out(token));
        assert!(!kryoptic.log_out(token));
    }
}

#[test]
fn a_private_kryoptic_sees_its_token_alone_and_fails_on_command() {
    let Some(module) = PrivateModule::kryoptic("private") else { return };
    let pkcs11 = load(&module);
    assert_eq!(pkcs11.get_slots_with_token().expect("slots").len(), 1);
    let session = log_in(&pkcs11, module.token());
    let key = key(&session);
    let sealed = seal(&session, key, b"data").expect("it is sealed");
    for function in ["C_EncryptInit", "C_Encrypt"] {
        module.control().tell(&format!("fail {function} CKR_DEVICE_ERROR count 1")).expect("a fault");
        code(seal(&session, key, b"data"));
        assert_eq!(seal(&session, key, b"data").expect("no operation is left"), sealed);
    }
    drop(session);
    module.control().tell("break-link").expect("a fault");
    pkcs11.clone().finalize().expect("it ends");
    initialise(&pkcs11);
    log_in(&pkcs11, module.token());
}

#[test]
fn nss_lets_a_key_out_that_is_not_extractable() {
    let Some(module) = PrivateModule::nss("nss") else { return };
    let pkcs11 = load(&module);
    assert_eq!(slots(&pkcs11, module.token()).len(), 1);
    let session = log_in(&pkcs11, module.token());
    let template = [
        Attribute::Token(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::ValueLen(32.into()),
        Attribute::Wrap(true),
    ];
    let root = session.generate_key(&Mechanism::AesKeyGen, &template).expect("a key is made");
    session.wrap_key(&Mechanism::AesKeyWrap, root, root).expect("this is what makes it unfit");
}
