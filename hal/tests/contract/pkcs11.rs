//! What only a token can be asked: logins, sessions, schemes, and what happens while it is away.

use std::{fs, path::Path, thread, time::Duration};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hal::{
    HalError, Health, Kcv, KcvMethod, KeyWrapper as _, Outage, Refusal, RootKeyVersion, RootKeys as _, SecretBytes,
    SelfCheck, SignScheme, SignerKind, WrapScheme, WrappedKek,
    pkcs11::{
        Pkcs11Config, Pkcs11Hal,
        probe::{IvMode, ProbeLogin, probe},
    },
};
use pkcs11_fixtures::{PrivateModule, SoftHsm, Token};

use crate::{
    backends::{OnToken, config, config_of, connect, secret, softhsm, software},
    suite::{kek, label, new_key},
};

fn fresh(name: &str) -> Option<(&'static SoftHsm, Token)> {
    let softhsm = SoftHsm::shared()?;
    Some((softhsm, softhsm.token(name)))
}

#[test]
fn gcm_is_preferred_and_blobs_of_the_other_scheme_still_open() {
    let Some((softhsm, token)) = fresh("schemes") else { return };
    let hal = connect(config(softhsm, &token));
    let root = hal.generate_root(&label("root")).expect("a root key");
    assert_eq!(root.scheme, WrapScheme::AesGcm);
    let by_gcm = hal.wrap_kek(root.key(), &kek(7)).expect("a KEK is wrapped");
    assert_eq!((by_gcm.scheme, by_gcm.iv.len(), by_gcm.ciphertext.len()), (WrapScheme::AesGcm, 12, 48));
    let pinned = connect(Pkcs11Config { scheme: Some(WrapScheme::AesKw), ..config(softhsm, &token) });
    let by_kw = pinned.wrap_kek(root.key(), &kek(8)).expect("a KEK is wrapped");
    assert_eq!((by_kw.scheme, by_kw.iv.len(), by_kw.ciphertext.len()), (WrapScheme::AesKw, 0, 40));
    assert_eq!(pinned.unwrap_kek(&by_gcm).expect("it opens").expose_secret(), &[7; 32]);
    assert_eq!(hal.unwrap_kek(&by_kw).expect("it opens").expose_secret(), &[8; 32]);
    assert_eq!(hal.describe_root(root.key()).expect("a description").kcv, root.kcv);
}

#[test]
fn two_gcm_blobs_of_one_kek_share_nothing() {
    let Some(OnToken { hal, .. }) = softhsm(WrapScheme::AesGcm) else { return };
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    let (one, other) = (hal.wrap_kek(root, &kek(7)).expect("a blob"), hal.wrap_kek(root, &kek(7)).expect("a blob"));
    assert_ne!(one.iv, other.iv);
    assert_ne!(one.ciphertext, other.ciphertext);
}

/// By AES-256-GCM of a zero block with a zero IV.
fn gcm_check_value(key: &[u8]) -> Kcv {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key"));
    let mut block = [0; 16];
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let _ = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut block).expect("it is sealed");
    Kcv { method: KcvMethod::GcmZeroBlock, value: [block[0], block[1], block[2]] }
}

#[test]
fn a_root_key_is_held_to_its_check_value_by_the_method_on_record() {
    let Some(module) = PrivateModule::new("methods") else { return };
    let hal = connect(Pkcs11Config { workers: 1, ..config_of(&module.module_path(), module.token()) });
    let bytes: Vec<u8> = (0..32).collect();
    let imported = hal.import_root(new_key(), &label("root"), SecretBytes::from(bytes.clone())).expect("a root key");
    let root = imported.key();
    let by_ecb = Kcv { method: KcvMethod::EcbZeroBlock, value: [0xf2, 0x90, 0x00] };
    assert_eq!(imported.kcv, by_ecb);
    // Of a key that another method was recorded for, that method's value is computed and shown.
    let by_gcm = gcm_check_value(&bytes);
    hal.expect_root(root, by_gcm);
    assert_eq!(hal.describe_root(root).expect("the right key").kcv, by_gcm);
    let replaced = HalError::Refused(Refusal::KeyReplaced);
    hal.expect_root(root, gcm_check_value(&[9; 32]));
    assert_eq!(hal.describe_root(root).expect_err("another key"), replaced);
    // A token that has neither AES-ECB nor AES-CBC any more cannot tell; it is used, and the log says so.
    let wrong = Kcv { value: [1, 2, 3], ..by_ecb };
    hal.expect_root(root, wrong);
    assert_eq!(hal.wrap_kek(root, &kek(7)).expect_err("another key"), replaced);
    module.control().tell("fail C_EncryptInit CKR_MECHANISM_INVALID count 2").expect("the shim obeys");
    hal.wrap_kek(root, &kek(7)).expect("nothing speaks against the key");
    // A token that fails is no token without the method.
    hal.expect_root(root, by_ecb);
    module.control().tell("fail C_EncryptInit CKR_HOST_MEMORY count 1").expect("the shim obeys");
    let failed = hal.wrap_kek(root, &kek(7)).expect_err("nothing is known of the key");
    assert_eq!(failed, HalError::Unavailable(Outage::Overloaded));
    hal.wrap_kek(root, &kek(7)).expect("the right key");
}

#[test]
fn seals_are_counted_for_each_version_and_only_where_they_are_made() {
    let Some((softhsm, token)) = fresh("seals") else { return };
    let hal = connect(config(softhsm, &token));
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    let counted = |hal: &Pkcs11Hal| hal.token_states()[0].seals.clone();
    assert_eq!(counted(&hal), []);
    let blob = hal.wrap_kek(root, &kek(7)).expect("a blob");
    hal.wrap_kek(root, &kek(7)).expect("a blob");
    hal.unwrap_kek(&blob).expect("it opens");
    assert_eq!(counted(&hal), [(root, 2)]);
    let second = root.next().expect("a version");
    hal.generate_version(second, &label("root")).expect("the next version");
    hal.expect_seals(second, 40);
    hal.rewrap_keks(std::slice::from_ref(&blob), second).pop().expect("an answer").expect("it is re-wrapped");
    assert_eq!(counted(&hal), [(root, 2), (second, 41)]);
    let by_kw = connect(Pkcs11Config { scheme: Some(WrapScheme::AesKw), ..config(softhsm, &token) });
    by_kw.wrap_kek(root, &kek(7)).expect("a blob");
    assert_eq!(counted(&by_kw), [], "the other scheme makes no seal");
}

#[test]
fn a_scheme_that_the_token_does_not_have_is_refused_with_the_reason() {
    let Some((softhsm, token)) = fresh("pin-kwp") else { return };
    let pinned = connect(Pkcs11Config { scheme: Some(WrapScheme::AesKwp), ..config(softhsm, &token) });
    let refused = HalError::Refused(Refusal::NoWorkingScheme);
    assert_eq!(pinned.health(), Health::Down(refused.clone()));
    assert_eq!(pinned.generate_root(&label("root")).expect_err("not supported"), refused);
    let refused = Pkcs11Hal::new(Pkcs11Config { workers: 0, ..config(softhsm, &token) });
    assert_eq!(refused.expect_err("nobody to work"), HalError::Refused(Refusal::Configuration));
    let refused = Pkcs11Hal::new(Pkcs11Config { queue: 0, ..config(softhsm, &token) });
    assert_eq!(refused.expect_err("nowhere to wait"), HalError::Refused(Refusal::Configuration));
}

fn shared_bytes() -> SecretBytes {
    SecretBytes::from((100..132).collect::<Vec<u8>>())
}

#[test]
fn a_blob_of_one_backend_opens_on_another_that_imported_the_same_version() {
    let Some(OnToken { hal: token, .. }) = softhsm(WrapScheme::AesKw) else { return };
    let software = software();
    let key = RootKeyVersion { version: 3, ..new_key() };
    let in_software = software.hal.import_root(key, &label("shared"), shared_bytes()).expect("a root key");
    let in_token = token.import_root(key, &label("shared"), shared_bytes()).expect("a root key");
    assert_eq!(in_software.kcv, in_token.kcv);
    assert_eq!(in_token.attributes.never_extractable, Some(false), "an import was outside once");
    let wrapped = software.hal.wrap_kek(key, &kek(7)).expect("a KEK is wrapped");
    assert_eq!(token.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    let wrapped = token.wrap_kek(key, &kek(8)).expect("a KEK is wrapped");
    assert_eq!(software.hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[8; 32]);
    // The version is the blob's own: the same key as another version does not open a blob of AES-GCM.
    let gcm = softhsm(WrapScheme::AesGcm).expect("SoftHSM2 is there").hal;
    gcm.import_root(key, &label("shared"), shared_bytes()).expect("a root key");
    let fourth = key.next().expect("a version");
    gcm.import_root(fourth, &label("shared"), shared_bytes()).expect("a root key");
    let wrapped = gcm.wrap_kek(key, &kek(9)).expect("a KEK is wrapped");
    let moved = WrappedKek { version: fourth.version, ..wrapped.clone() };
    assert_eq!(gcm.unwrap_kek(&moved).expect_err("the version is bound"), HalError::Tampered);
    let other = softhsm(WrapScheme::AesGcm).expect("SoftHSM2 is there").hal;
    assert_eq!(other.unwrap_kek(&wrapped).expect_err("no such key"), HalError::UnknownRootKey(key));
    other.import_root(key, &label("another label"), shared_bytes()).expect("a root key");
    assert_eq!(other.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[9; 32]);
    let in_software = software.hal.unwrap_kek(&wrapped).expect_err("the file knows one scheme");
    assert_eq!(in_software, HalError::Refused(Refusal::SchemeNotSupported));
}

#[test]
fn a_new_process_finds_its_keys_on_the_token() {
    let Some((softhsm, token)) = fresh("again") else { return };
    let hal = connect(config(softhsm, &token));
    let root = hal.generate_root(&label("root")).expect("a root key");
    let signer = hal.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect("a signing key");
    let wrapped = hal.wrap_kek(root.key(), &kek(7)).expect("a KEK is wrapped");
    drop(hal);
    let hal = connect(config(softhsm, &token));
    assert_eq!(hal.list_roots().expect("a list"), [root]);
    assert_eq!(hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    assert_eq!(hal.describe_signer(signer.id).expect("a description"), signer);
}

#[test]
fn a_forced_logout_heals_for_every_kind_of_call() {
    for scheme in [WrapScheme::AesGcm, WrapScheme::AesKw] {
        let Some((softhsm, token)) = fresh("logout") else { return };
        let hal = connect(Pkcs11Config { scheme: Some(scheme), ..config(softhsm, &token) });
        let root = hal.generate_root(&label("root")).expect("a root key").key();
        let signer = hal.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect("a signing key").id;
        let wrapped = hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
        assert!(softhsm.log_out(&token));
        assert_eq!(hal.unwrap_kek(&wrapped).expect("it heals").expose_secret(), &[7; 32]);
        assert!(softhsm.log_out(&token));
        hal.wrap_kek(root, &kek(8)).expect("it heals");
        assert!(softhsm.log_out(&token));
        hal.sign(signer, b"message", SignScheme::EcdsaP256Sha256).expect("it heals");
        assert!(softhsm.log_out(&token));
        assert_eq!(hal.list_roots().expect("it heals").len(), 1);
        assert!(softhsm.log_out(&token));
        hal.generate_root(&label("another")).expect("it heals");
        assert!(softhsm.log_out(&token));
        assert_eq!(hal.health(), Health::Ready);
    }
}

#[test]
fn logouts_under_load_never_blame_a_blob() {
    let Some((softhsm, token)) = fresh("storm") else { return };
    let hal = connect(config(softhsm, &token));
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    let wrapped = hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..500).for_each(|_| opens_or_waits(&hal, &wrapped)))).collect();
        while !callers.iter().all(thread::ScopedJoinHandle::is_finished) {
            softhsm.log_out(&token);
            thread::yield_now();
        }
    });
    // It comes back by itself, at the latest when the back-off is over.
    while hal.health() != Health::Ready {
        thread::yield_now();
    }
    assert_eq!(hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
}

fn opens_or_waits(hal: &Pkcs11Hal, wrapped: &WrappedKek) {
    match hal.unwrap_kek(wrapped) {
        Ok(kek) => assert_eq!(kek.expose_secret(), &[7; 32]),
        // Two logouts within one call are more than it mends.
        Err(error) => assert!(matches!(error, HalError::Unavailable(_)), "{error:?}"),
    }
}

#[test]
fn a_wrong_pin_is_final_and_never_tried_again() {
    let Some((softhsm, token)) = fresh("wrong-pin") else { return };
    let wrong = Token { pin: "0000".to_owned(), ..token.clone() };
    let hal = connect(config(softhsm, &wrong));
    let refused = HalError::Refused(Refusal::PinIncorrect);
    assert_eq!(hal.list_roots().expect_err("not logged in"), refused);
    // Were it tried again now, the login of this other backend would let it in.
    let right = connect(config(softhsm, &token));
    assert_eq!(right.health(), Health::Ready);
    assert_eq!(hal.list_roots().expect_err("not logged in"), refused);
    assert_eq!(hal.health(), Health::Down(refused));
    let empty = Token { pin: String::new(), ..softhsm.token("empty-pin") };
    let hal = connect(config(softhsm, &empty));
    assert_eq!(hal.list_roots().expect_err("not logged in"), HalError::Refused(Refusal::PinIncorrect));
}

#[test]
fn a_missing_module_and_an_absent_token_are_unavailable_not_fatal() {
    let Some((softhsm, token)) = fresh("absent") else { return };
    let absent = HalError::Unavailable(Outage::TokenAbsent);
    for wrong in [
        Pkcs11Config { token_label: "no such token".to_owned(), ..config(softhsm, &token) },
        Pkcs11Config { token_serial: Some("0123456789abcdef".to_owned()), ..config(softhsm, &token) },
    ] {
        let hal = connect(wrong);
        assert_eq!(hal.list_roots().expect_err("no token"), absent);
        assert_eq!(hal.health(), Health::Down(absent.clone()));
        assert_eq!(hal.capabilities().token, None);
        assert_eq!(hal.capabilities().scheme, None);
    }
    let module = Path::new("/nowhere/module.so").to_owned();
    let hal = connect(Pkcs11Config { module, ..config(softhsm, &token) });
    let missing = HalError::Unavailable(Outage::ModuleMissing);
    assert_eq!(hal.generate_root(&label("root")).expect_err("no module"), missing);
    assert_eq!(hal.random(&mut [0]).expect_err("no module"), missing);
    // Without a serial number the label is enough.
    let hal = connect(Pkcs11Config { token_serial: None, ..config(softhsm, &token) });
    assert_eq!(hal.health(), Health::Ready);
}

#[test]
fn a_token_that_goes_away_is_unavailable_and_no_blob_is_blamed() {
    let Some((softhsm, token)) = fresh("unplugged") else { return };
    let hal = connect(config(softhsm, &token));
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    let wrapped = hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    fs::remove_dir_all(softhsm.token_directory(&token)).expect("the token goes");
    for _ in 0..3 {
        for failed in [
            hal.unwrap_kek(&wrapped).map(drop),
            hal.wrap_kek(root, &kek(8)).map(drop),
            hal.list_roots().map(drop),
            hal.generate_root(&label("another")).map(drop),
        ] {
            let error = failed.expect_err("the token is gone");
            assert!(matches!(error, HalError::Unavailable(_)), "{error:?}");
        }
    }
    assert!(matches!(hal.health(), Health::Down(HalError::Unavailable(_))));
}

#[test]
fn a_full_queue_and_a_passed_deadline_are_unavailable_and_nobody_hangs() {
    let Some((softhsm, token)) = fresh("busy") else { return };
    let calm = connect(config(softhsm, &token));
    let root = calm.generate_root(&label("root")).expect("a root key").key();
    let wrapped = calm.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    let hal = connect(Pkcs11Config { workers: 1, queue: 1, ..config(softhsm, &token) });
    let overloaded = HalError::Unavailable(Outage::Overloaded);
    let refused = thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (0..50).filter(|_| refused_with(&hal, &wrapped, &overloaded)).count()))
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("no caller panics")).sum::<usize>()
    });
    assert!(refused > 0, "sixteen callers fill a queue of one");
    assert_eq!(hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    // No token answers within a nanosecond.
    let hasty = connect(Pkcs11Config { deadline: Duration::from_nanos(1), ..config(softhsm, &token) });
    let late = hasty.unwrap_kek(&wrapped).expect_err("too late");
    assert!(matches!(late, HalError::Unavailable(Outage::DeadlinePassed)), "{late:?}");
}

fn refused_with(hal: &Pkcs11Hal, wrapped: &WrappedKek, expected: &HalError) -> bool {
    match hal.unwrap_kek(wrapped) {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error, *expected);
            true
        }
    }
}

#[test]
fn debug_output_of_the_backend_holds_no_pin() {
    let Some((softhsm, token)) = fresh("debug") else { return };
    let config = config(softhsm, &token);
    assert!(!format!("{config:?}").contains(&token.pin));
    let hal = connect(config);
    assert!(!format!("{hal:?}").contains(&token.pin));
}

#[test]
fn a_probe_reports_what_works_and_leaves_nothing_behind() {
    let Some((softhsm, token)) = fresh("probe") else { return };
    let pin = secret(&token.pin);
    let login = |label| ProbeLogin { token_label: label, token_serial: None, pin: &pin, scheme: None, provider: None };
    let report = probe(softhsm.module(), &[login(&token.label)]).expect("a report");
    assert!(report.untried.is_empty());
    let is_it = |slot: &&hal::pkcs11::probe::SlotReport| slot.trial.is_some();
    let slot = report.slots.iter().find(is_it).expect("the token was tried");
    let trial = slot.trial.as_ref().expect("the token was tried");
    assert_eq!(slot.token.as_ref().expect("a token").serial, token.serial);
    assert_eq!(trial.schemes, [WrapScheme::AesGcm, WrapScheme::AesKw]);
    assert!(trial.usable && trial.keeps_keys_inside, "{trial:#?}");
    assert_eq!(trial.profile, "softhsm2");
    assert_eq!((trial.scheme, trial.iv), (Some(WrapScheme::AesGcm), Some(IvMode::Caller12)));
    assert_eq!((trial.sessions.opened, trial.objects_left), (trial.sessions.tried, 0));
    let failed = |checks: &[SelfCheck]| checks.iter().filter(|check| !check.passed).cloned().collect::<Vec<_>>();
    assert_eq!(failed(&trial.enforcement), []);
    assert!(matches!(failed(&trial.mechanisms).as_slice(), [kwp] if kwp.name == "wraps-and-unwraps-by-aes-kwp"));
    let refused =
        |name: &str| trial.enforcement.iter().find(|check| check.name == name).expect("a check").detail.clone();
    assert_eq!(refused("not-wrapped-out-by-aes-kw"), "refused with CKR_KEY_UNEXTRACTABLE");
    assert_eq!(refused("value-unreadable"), "refused with CKR_ATTRIBUTE_SENSITIVE");
    assert_eq!(refused("not-copied-to-extractable"), "refused with CKR_ATTRIBUTE_READ_ONLY");
    assert!(slot.mechanisms.iter().any(|mechanism| mechanism.uses.contains(&"encrypt")));
    assert_eq!(connect(config(softhsm, &token)).list_roots().expect("a list"), []);
    let without = probe(softhsm.module(), &[]).expect("a report");
    assert!(without.slots.iter().all(|slot| slot.trial.is_none()));
    let pinned = ProbeLogin { scheme: Some(WrapScheme::AesKwp), ..login(&token.label) };
    let report = probe(softhsm.module(), &[login("no such token"), pinned]).expect("a report");
    assert_eq!(report.untried[0].error, HalError::Unavailable(Outage::TokenAbsent));
    let trial = report.slots.iter().find_map(|slot| slot.trial.as_ref()).expect("the other token was tried");
    assert!(!trial.usable && trial.scheme.is_none(), "{trial:#?}");
    assert!(trial.why[0].contains("aes-kwp"), "{:?}", trial.why);
    let nowhere = probe(Path::new("/nowhere/module.so"), &[]).expect_err("no module");
    assert_eq!(nowhere, HalError::Unavailable(Outage::ModuleMissing));
}

/// NSS calls its keys unextractable, wraps them out by themselves and copies them to extractable ones.
#[test]
fn a_token_that_lets_root_keys_out_is_refused_and_the_reason_is_shown() {
    let Some(module) = PrivateModule::nss("nss") else { return };
    let path = module.module_path();
    let hal = connect(config_of(&path, module.token()));
    let refused = hal.generate_root(&label("root")).expect_err("the token lets keys out");
    assert_eq!(refused, HalError::Refused(Refusal::TokenNotEnforcing));
    assert!(refused.to_string().contains("does not enforce that a root key stays inside"), "{refused}");
    let import = hal.import_root(new_key(), &label("root"), shared_bytes()).expect_err("the token lets keys out");
    assert_eq!(import, refused);
    assert_eq!(hal.list_roots().expect("a list"), [], "the keys that were refused are gone");
    drop(hal);
    let pin = secret(&module.token().pin);
    let login =
        ProbeLogin { token_label: &module.token().label, token_serial: None, pin: &pin, scheme: None, provider: None };
    let report = probe(&path, &[login]).expect("a report");
    let trial = report.slots.iter().find_map(|slot| slot.trial.as_ref()).expect("the token was tried");
    assert!(!trial.usable && !trial.keeps_keys_inside, "{trial:#?}");
    for way in ["not-wrapped-out-by-aes-kw", "not-copied-to-extractable"] {
        assert!(trial.why.iter().any(|why| why.contains(way)), "{way}: {:?}", trial.why);
    }
    assert_eq!(trial.objects_left, 0);
}

/// `cargo run --release -p hal --example session_objects` does the same a hundred thousand times.
#[test]
fn no_session_object_is_left_behind() {
    let Some((softhsm, token)) = fresh("leaks") else { return };
    for scheme in [WrapScheme::AesGcm, WrapScheme::AesKw] {
        let hal = connect(Pkcs11Config { scheme: Some(scheme), ..config(softhsm, &token) });
        let root = hal.generate_root(&label(scheme.name())).expect("a root key").key();
        let second = root.next().expect("a version");
        hal.import_root(second, &label(scheme.name()), shared_bytes()).expect("the next version");
        hal.import_root(second, &label(scheme.name()), shared_bytes()).expect("it is there");
        hal.self_test(root).expect("a report");
        let before = softhsm.session_objects(&token);
        for fill in 0..100 {
            let mut wrapped = hal.wrap_kek(root, &kek(fill)).expect("a KEK is wrapped");
            hal.unwrap_kek(&wrapped).expect("it opens");
            hal.rewrap_keks(std::slice::from_ref(&wrapped), second)
                .pop()
                .expect("an answer")
                .expect("it is re-wrapped");
            wrapped.ciphertext[fill as usize % 40] ^= 1;
            assert_eq!(hal.unwrap_kek(&wrapped).expect_err("it is damaged"), HalError::Tampered);
        }
        assert_eq!((before, softhsm.session_objects(&token)), (0, 0), "{scheme}");
    }
}
