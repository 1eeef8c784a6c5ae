//! Several tokens as one backend: what the set must do, and what it must refuse, with two SoftHSM2 tokens.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hal::{
    Degradation, DestroyConsent, HalError, Health, KeyWrapper as _, Outage, Refusal, RootKeyInfo, RootKeyVersion,
    RootKeys, SecretBytes, SignScheme, SignerKind, WrapScheme, WrappedKek,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
    tokens::TokenSet,
};
use pkcs11_fixtures::{PrivateModule, SoftHsm, Token};

use crate::{
    backends::{PATIENT, config, config_of, connect, secret},
    suite::{kek, label, new_key},
};

/// A set of two tokens, and each of them alone.
struct Pair {
    softhsm: &'static SoftHsm,
    tokens: [Token; 2],
    alone: [Arc<Pkcs11Hal>; 2],
    set: TokenSet,
}

fn pair(schemes: [Option<WrapScheme>; 2]) -> Option<Pair> {
    let softhsm = SoftHsm::shared()?;
    let tokens = [softhsm.token("one"), softhsm.token("two")];
    let open = |token, scheme| Arc::new(connect(Pkcs11Config { scheme, ..config(softhsm, token) }));
    let alone = [open(&tokens[0], schemes[0]), open(&tokens[1], schemes[1])];
    let members = alone.iter().map(|hal| Arc::clone(hal) as Arc<dyn RootKeys>).collect();
    Some(Pair { softhsm, tokens, alone, set: TokenSet::new(members, PATIENT).expect("two tokens") })
}

impl Pair {
    fn take_away(&self, index: usize) {
        let token = &self.tokens[index];
        let elsewhere = self.softhsm.directory().join(&token.serial);
        // SoftHSM2 may be making a file in it, so that it could not be removed.
        fs::rename(self.softhsm.token_directory(token), elsewhere).expect("the token goes");
    }

    fn imported(&self) -> RootKeyInfo {
        self.set.import_root(new_key(), &label("root"), material(1)).expect("both take the key")
    }

    fn serials(&self) -> Vec<&str> {
        self.tokens.iter().map(|token| token.serial.as_str()).collect()
    }
}

fn material(fill: u8) -> SecretBytes {
    SecretBytes::from(vec![fill; 32])
}

fn serials(info: &RootKeyInfo) -> Vec<&str> {
    info.tokens.iter().map(|token| token.serial.as_str()).collect()
}

#[test]
fn an_import_puts_the_key_on_all_tokens_and_each_opens_what_another_wrapped() {
    let Some(pair) = pair([None, None]) else { return };
    let info = pair.imported();
    assert_eq!(serials(&info), pair.serials());
    for (from, to) in [(0, 1), (1, 0)] {
        let wrapped = pair.alone[from].wrap_kek(info.key(), &kek(7)).expect("a KEK is wrapped");
        assert_eq!(pair.alone[to].unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
        assert_eq!(pair.set.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    }
    assert_eq!(pair.set.health(), Health::Ready);
    assert_eq!(pair.set.describe_root(info.key()).expect("a description"), info);
    assert_eq!(pair.set.list_roots().expect("a list"), std::slice::from_ref(&info));
    assert_eq!(pair.set.import_root(info.key(), &label("root"), material(1)).expect("it is there"), info);
    let refused = pair.set.import_root(info.key(), &label("root"), material(2)).expect_err("another key");
    assert_eq!(refused, HalError::Refused(Refusal::KeyReplaced));
    let refused = pair.set.import_root(new_key(), &label("root"), material(2)).expect_err("the label is taken");
    assert_eq!(refused, HalError::Refused(Refusal::LabelTaken));
    let capabilities = pair.set.capabilities();
    assert_eq!((capabilities.sessions, capabilities.is_hsm), (4, true));
    let states = pair.set.token_states();
    assert_eq!(states.iter().map(|state| state.serial.clone().expect("a serial")).collect::<Vec<_>>(), pair.serials());
    let report = pair.set.self_test(info.key()).expect("a report");
    assert!(report.passed() && report.tokens.len() == 2, "{report:#?}");
}

#[test]
fn calls_are_spread_over_the_tokens() {
    // The schemes tell which token wrapped.
    let Some(pair) = pair([Some(WrapScheme::AesGcm), Some(WrapScheme::AesKw)]) else { return };
    let root = pair.imported().key();
    let by_gcm = (0..10)
        .map(|_| pair.set.wrap_kek(root, &kek(7)).expect("a KEK is wrapped"))
        .filter(|wrapped| wrapped.scheme == WrapScheme::AesGcm);
    assert_eq!(by_gcm.count(), 5);
}

#[test]
fn a_key_that_only_one_token_could_hold_is_not_made() {
    let Some(pair) = pair([None, None]) else { return };
    let refused = HalError::Refused(Refusal::SeveralTokens);
    assert_eq!(pair.set.generate_root(&label("root")).expect_err("a ceremony is due"), refused);
    assert_eq!(pair.set.generate_version(new_key(), &label("root")).expect_err("a ceremony is due"), refused);
    assert_eq!(pair.set.list_roots().expect("a list"), []);
    let one = TokenSet::new(vec![Arc::clone(&pair.alone[0]) as Arc<dyn RootKeys>], PATIENT).expect("one token");
    one.generate_root(&label("root")).expect("one token may make its own");
    let none = TokenSet::new(Vec::new(), PATIENT).expect_err("no token");
    assert_eq!(none, HalError::Refused(Refusal::Configuration));
}

/// Runs `events` while sixteen threads wrap and unwrap, and none of their calls fails. `events` is given a function that waits
/// until so many more calls were made.
fn under_load(set: &TokenSet, root: RootKeyVersion, events: impl FnOnce(&dyn Fn(usize))) {
    let (stop, done, running) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(16));
    thread::scope(|scope| {
        for thread in 0..16 {
            let (stop, done, running) = (&stop, &done, &running);
            scope.spawn(move || {
                let _ends = Ends(running);
                while !stop.load(Ordering::Relaxed) {
                    let wrapped = set.wrap_kek(root, &kek(thread)).expect("a KEK is wrapped");
                    let opened = set.unwrap_kek(&wrapped).expect("it opens");
                    assert_eq!(opened.expose_secret(), &[thread; 32]);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Threads that failed make no more calls, so that nobody waits for them for ever.
        let _stops = Stops(&stop);
        events(&|more| {
            let until = done.load(Ordering::Relaxed) + more;
            while done.load(Ordering::Relaxed) < until && running.load(Ordering::Relaxed) == 16 {
                thread::yield_now();
            }
        });
    });
}

struct Ends<'a>(&'a AtomicUsize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_until_ready(set: &TokenSet) {
    let begun = Instant::now();
    while set.health() != Health::Ready {
        assert!(begun.elapsed() < PATIENT, "{:?}", set.token_states());
        thread::yield_now();
    }
}

/// Two tokens in two modules, each with faults of its own, under the deadline that a server has.
fn apart() -> Option<([PrivateModule; 2], TokenSet)> {
    let modules = [PrivateModule::new("one")?, PrivateModule::new("two")?];
    let open = |module: &PrivateModule| {
        let config = config_of(&module.module_path(), module.token());
        Arc::new(connect(Pkcs11Config { deadline: SHARE, ..config })) as Arc<dyn RootKeys>
    };
    let set = TokenSet::new(modules.iter().map(open).collect(), 2 * SHARE).expect("two tokens");
    wait_until_ready(&set);
    Some((modules, set))
}

/// One token's part of the deadline; more than the default, because the machine that runs the tests may be busy.
const SHARE: Duration = Duration::from_secs(4);

#[test]
fn a_token_whose_link_drops_under_load_is_used_again_when_it_is_back() {
    let Some((modules, set)) = apart() else { return };
    let root = set.import_root(new_key(), &label("root"), material(1)).expect("both take the key").key();
    let [one, two] = [0, 1].map(|index| modules[index].control());
    under_load(&set, root, |calls| {
        for (gone, other) in [(&one, &two), (&two, &one)] {
            calls(100);
            gone.tell("break-link --down").expect("the shim obeys");
            calls(300);
            assert_eq!(set.health(), Health::Degraded(Degradation::TokensAway { away: 1, tokens: 2 }));
            gone.tell("restore-link").expect("the shim obeys");
            wait_until_ready(&set);
            calls(100);
            // Both serve again: the one that was away now serves alone.
            other.tell("break-link --down").expect("the shim obeys");
            calls(100);
            other.tell("restore-link").expect("the shim obeys");
            wait_until_ready(&set);
        }
    });
}

#[test]
fn a_token_that_hangs_under_load_costs_time_and_no_call() {
    let Some((modules, set)) = apart() else { return };
    let root = set.import_root(new_key(), &label("root"), material(1)).expect("both take the key").key();
    let control = modules[0].control();
    under_load(&set, root, |calls| {
        calls(100);
        control.tell("hang *").expect("the shim obeys");
        calls(300);
        assert_eq!(set.health(), Health::Degraded(Degradation::TokensAway { away: 1, tokens: 2 }));
        control.tell("release").expect("the shim obeys");
        wait_until_ready(&set);
        calls(100);
    });
}

/// A token of a module comes back only when the module is started anew, which interrupts the module's other tokens.
#[test]
fn a_token_of_the_same_module_goes_and_comes_back_under_load() {
    let Some(module) = PrivateModule::new("one") else { return };
    let softhsm = SoftHsm::shared().expect("SoftHSM2 is there");
    let tokens = [module.token().clone(), softhsm.token("two")];
    let open = |token: &Token| {
        let config = config_of(&module.module_path(), token);
        Arc::new(connect(Pkcs11Config { deadline: SHARE, ..config })) as Arc<dyn RootKeys>
    };
    let set = TokenSet::new(tokens.iter().map(open).collect(), 2 * SHARE).expect("two tokens");
    wait_until_ready(&set);
    let root = set.import_root(new_key(), &label("root"), material(1)).expect("both take the key").key();
    let (here, away) = (softhsm.token_directory(&tokens[0]), module.module_path().with_file_name("away"));
    under_load(&set, root, |calls| {
        calls(100);
        fs::rename(&here, &away).expect("the token goes");
        calls(300);
        assert_eq!(set.health(), Health::Degraded(Degradation::TokensAway { away: 1, tokens: 2 }));
        fs::rename(&away, &here).expect("the token comes back");
        wait_until_ready(&set);
        calls(100);
    });
}

#[test]
fn one_token_goes_under_load_and_no_call_fails() {
    let Some(pair) = pair([None, None]) else { return };
    let root = pair.imported().key();
    under_load(&pair.set, root, |calls| {
        calls(200);
        pair.take_away(0);
        calls(1000);
    });
    assert_eq!(pair.set.health(), Health::Degraded(Degradation::TokensAway { away: 1, tokens: 2 }));
    let states = pair.set.token_states();
    assert!(matches!(states[0].health, Health::Down(HalError::Unavailable(_))), "{states:?}");
    assert_eq!(states[1].health, Health::Ready);
    pair.take_away(1);
    let gone = pair.set.wrap_kek(root, &kek(7)).expect_err("both are gone");
    assert!(matches!(gone, HalError::Unavailable(_)), "{gone:?}");
    assert!(matches!(pair.set.health(), Health::Down(HalError::Unavailable(_))));
}

#[test]
fn a_damaged_blob_is_tampered_also_while_a_token_is_away() {
    let Some(pair) = pair([None, None]) else { return };
    let root = pair.imported().key();
    let good = pair.set.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    let mut bad = good.clone();
    bad.ciphertext[5] ^= 1;
    assert_eq!(pair.set.unwrap_kek(&bad).expect_err("it is damaged"), HalError::Tampered);
    bad.ciphertext.pop();
    assert_eq!(pair.set.unwrap_kek(&bad).expect_err("it is cut"), HalError::Tampered);
    assert_eq!(pair.set.health(), Health::Ready, "a bad row is not the tokens' fault");
    let mut bad = good.clone();
    bad.ciphertext[5] ^= 1;
    pair.take_away(1);
    for _ in 0..4 {
        assert_eq!(pair.set.unwrap_kek(&bad).expect_err("it is damaged"), HalError::Tampered);
        pair.set.unwrap_kek(&good).expect("it opens");
    }
    // While a token is away it is not known that no token holds the key.
    let unknown = pair.set.wrap_kek(new_key(), &kek(7)).expect_err("nobody has it");
    assert!(matches!(unknown, HalError::Unavailable(_)), "{unknown:?}");
}

#[test]
fn a_token_that_holds_another_key_under_the_id_is_passed_over() {
    let Some(pair) = pair([None, None]) else { return };
    let key = new_key();
    let right = pair.alone[0].import_root(key, &label("root"), material(1)).expect("a root key");
    pair.alone[1].import_root(key, &label("root"), material(2)).expect("another root key");
    // Nobody has said which is right.
    let disagree = HalError::Refused(Refusal::TokensDisagree);
    assert_eq!(pair.set.wrap_kek(key, &kek(7)).expect_err("which?"), disagree);
    assert_eq!(pair.set.describe_root(key).expect_err("which?"), disagree);
    assert_eq!(pair.set.list_roots().expect("a list").len(), 2, "the listing shows both");
    pair.set.expect_root(key, right.kcv);
    for _ in 0..6 {
        let wrapped = pair.set.wrap_kek(key, &kek(7)).expect("a KEK is wrapped");
        assert_eq!(pair.alone[0].unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
        assert_eq!(pair.set.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    }
    assert_eq!(pair.set.describe_root(key).expect("a description"), right);
    let lacking = Health::Degraded(Degradation::KeysNotEverywhere { without: 1, tokens: 2 });
    assert_eq!(pair.set.health(), lacking);
    let destroyed = pair.set.destroy_root(key, DestroyConsent::approved_for(key));
    assert_eq!(destroyed.expect_err("one token's is another key"), HalError::Refused(Refusal::KeyReplaced));
    // The wrong key goes, the right one comes: the token is used again at once.
    let direct = connect(config(pair.softhsm, &pair.tokens[1]));
    direct.destroy_root(key, DestroyConsent::approved_for(key)).expect("it is destroyed");
    pair.set.import_root(key, &label("root"), material(1)).expect("both hold it now");
    assert_eq!(pair.set.health(), Health::Ready);
    assert_eq!(serials(&pair.set.describe_root(key).expect("a description")), pair.serials());
}

#[test]
fn a_token_without_the_key_is_passed_over_until_the_key_is_imported() {
    let Some(pair) = pair([None, None]) else { return };
    let key = new_key();
    let only = pair.alone[1].import_root(key, &label("root"), material(1)).expect("a root key");
    for _ in 0..4 {
        let wrapped = pair.set.wrap_kek(key, &kek(7)).expect("a KEK is wrapped");
        pair.set.unwrap_kek(&wrapped).expect("it opens");
    }
    assert_eq!(pair.set.describe_root(key).expect("a description"), only);
    let report = pair.set.self_test(key).expect("a report");
    assert!(!report.passed(), "one token failed to show the key");
    assert_eq!(pair.set.health(), Health::Degraded(Degradation::KeysNotEverywhere { without: 1, tokens: 2 }));
    let both = pair.set.import_root(key, &label("root"), material(1)).expect("both hold it now");
    assert_eq!(serials(&both), pair.serials());
    assert_eq!(pair.set.health(), Health::Ready);
    let nobody = new_key();
    assert_eq!(pair.set.wrap_kek(nobody, &kek(7)).expect_err("no such key"), HalError::UnknownRootKey(nobody));
    assert_eq!(pair.set.health(), Health::Ready, "a key that nobody holds is nobody's fault");
}

#[test]
fn what_changes_all_tokens_needs_all_of_them() {
    let Some(pair) = pair([None, None]) else { return };
    let root = pair.imported().key();
    pair.take_away(0);
    let missing = HalError::Unavailable(Outage::TokensMissing { away: 1, tokens: 2 });
    let refused = pair.set.import_root(new_key(), &label("another"), material(2)).expect_err("one is away");
    assert_eq!(refused, missing);
    let refused = pair.set.destroy_root(root, DestroyConsent::approved_for(root)).expect_err("one is away");
    assert_eq!(refused, missing);
    assert_eq!(pair.alone[1].list_roots().expect("a list").len(), 1, "nothing was changed");
    let away = pair.set.find_signer(&label("signer")).expect_err("the one that is away may have it");
    assert!(matches!(away, HalError::Unavailable(_)), "{away:?}");
}

#[test]
fn a_destroyed_key_is_gone_from_all_tokens() {
    let Some(pair) = pair([None, None]) else { return };
    let root = pair.imported().key();
    let refused = pair.set.destroy_root(root, DestroyConsent::approved_for(new_key())).expect_err("another was meant");
    assert_eq!(refused, HalError::Refused(Refusal::ConsentMismatch));
    // An interrupted call has destroyed it on one token already.
    pair.alone[0].destroy_root(root, DestroyConsent::approved_for(root)).expect("it is destroyed");
    pair.set.destroy_root(root, DestroyConsent::approved_for(root)).expect("it is destroyed");
    for hal in &pair.alone {
        assert_eq!(hal.list_roots().expect("a list"), []);
    }
    let gone = pair.set.destroy_root(root, DestroyConsent::approved_for(root)).expect_err("it is gone");
    assert_eq!(gone, HalError::UnknownRootKey(root));
}

#[test]
fn blobs_of_either_token_are_rewrapped_while_one_is_away() {
    let Some(pair) = pair([None, None]) else { return };
    let first = pair.imported().key();
    let second = first.next().expect("a version");
    pair.set.import_root(second, &label("root"), material(2)).expect("both take the key");
    let mut blobs: Vec<WrappedKek> =
        (0..8).map(|fill| pair.set.wrap_kek(first, &kek(fill)).expect("a KEK is wrapped")).collect();
    blobs[3].ciphertext[0] ^= 1;
    pair.take_away(0);
    // Whoever's turn it is.
    for _ in 0..2 {
        let moved = pair.set.rewrap_keks(&blobs, second);
        for (fill, moved) in (0..8).zip(moved) {
            if fill == 3 {
                assert_eq!(moved, Err(HalError::Tampered));
            } else {
                let opened = pair.set.unwrap_kek(&moved.expect("it is re-wrapped")).expect("it opens");
                assert_eq!(opened.expose_secret(), &[fill; 32]);
            }
        }
    }
}

#[test]
fn a_signing_key_is_used_wherever_it_is() {
    let Some(pair) = pair([None, None]) else { return };
    let made = pair.alone[1].generate_signer(&label("second"), SignerKind::EcdsaP256).expect("a signing key");
    assert_eq!(pair.set.find_signer(&label("second")).expect("an answer"), Some(made.clone()));
    for _ in 0..4 {
        pair.set.sign(made.id, b"message", SignScheme::EcdsaP256Sha256).expect("a signature");
    }
    assert_eq!(pair.set.describe_signer(made.id).expect("a description"), made);
    let taken = pair.set.generate_signer(&label("second"), SignerKind::Rsa2048).expect_err("the label is taken");
    assert_eq!(taken, HalError::Refused(Refusal::LabelTaken));
    let first = pair.set.generate_signer(&label("first"), SignerKind::EcdsaP384).expect("a signing key");
    assert_eq!(pair.alone[0].describe_signer(first.id).expect("it is on the first token"), first);
    assert_eq!(pair.set.find_signer(&label("nobody")).expect("an answer"), None);
    pair.take_away(0);
    pair.set.sign(made.id, b"message", SignScheme::EcdsaP256Sha256).expect("its token is there");
    let away = pair.set.sign(first.id, b"message", SignScheme::EcdsaP384Sha384).expect_err("its token is away");
    assert!(matches!(away, HalError::Unavailable(_)), "{away:?}");
    let mut bytes = [0; 16];
    pair.set.random(&mut bytes).expect("one token is enough");
    assert_ne!(bytes, [0; 16]);
}

#[test]
fn a_wrong_pin_of_one_token_does_not_stop_the_other() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let (good, bad) = (softhsm.token("good"), softhsm.token("bad"));
    let wrong = connect(Pkcs11Config { pin: secret("0000").into(), ..config(softhsm, &bad) });
    let right = connect(config(softhsm, &good));
    let root = right.generate_root(&label("root")).expect("a root key").key();
    let set = TokenSet::new(vec![Arc::new(wrong), Arc::new(right)], PATIENT).expect("two tokens");
    for _ in 0..4 {
        set.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    }
    assert_eq!(set.health(), Health::Degraded(Degradation::TokensAway { away: 1, tokens: 2 }));
    let nobody = RootKeyVersion { version: 9, ..root };
    let refused = set.wrap_kek(nobody, &kek(7)).expect_err("an operator must see to the other token first");
    assert_eq!(refused, HalError::Refused(Refusal::PinIncorrect));
}
