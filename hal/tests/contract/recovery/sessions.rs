//! What the loss of one session costs: a new session, and no new login unless the login is gone too. And what a lost answer of
//! a call that makes a key leaves behind.

use hal::SignerKind;

use super::*;

impl Site {
    /// Logins, and sessions opened.
    fn counts(&self) -> (u64, u64) {
        (self.calls(Function::C_Login), self.calls(Function::C_OpenSession))
    }
}

/// A backend with one worker, which has its session.
fn alone(name: &str) -> Option<Site> {
    with(PrivateModule::new(name)?, |config| Pkcs11Config { workers: 1, ..config })
}

#[test]
fn one_lost_session_is_replaced_without_a_login() {
    for code in ["CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED"] {
        let Some(site) = alone("one-session") else { return };
        let (logins, sessions) = site.counts();
        site.tell(&format!("fail C_EncryptInit {code} count 1"));
        site.hal.wrap_kek(site.root, &kek(8)).expect("it heals within the call");
        assert_eq!(site.counts(), (logins, sessions + 1), "{code}");
        site.tell(&format!("fail C_DecryptInit {code} count 1"));
        site.opens().expect("it heals within the call");
        assert_eq!(site.counts(), (logins, sessions + 2), "{code}");
        // A probe of the health is no worse; it opens the known blob first, and then asks its session.
        site.tell(&format!("fail C_DecryptInit {code} count 1"));
        site.tell(&format!("fail C_GetSessionInfo {code} count 1"));
        while site.calls(Function::C_OpenSession) == sessions + 2 {
            assert_eq!(site.hal.health(), Health::Ready);
        }
        assert_eq!(site.counts(), (logins, sessions + 3), "{code}");
        // What makes keys may be repeated too: it searches first.
        site.tell(&format!("fail C_GenerateKey {code} count 1"));
        site.hal.generate_root(&label("second")).expect("it heals within the call");
        assert_eq!(site.counts(), (logins, sessions + 4), "{code}");
        assert_eq!(site.calls(Function::C_Finalize), 0);
    }
}

#[test]
fn a_session_lost_with_the_anchor_or_lost_again_costs_a_login() {
    let gone = "CKR_SESSION_HANDLE_INVALID";
    let Some(site) = alone("anchor") else { return };
    let (logins, _) = site.counts();
    // The anchor says that it is gone, too.
    site.tell(&format!("fail C_DecryptInit {gone} count 1"));
    site.tell(&format!("fail C_GetSessionInfo {gone} count 1"));
    site.opens().expect("it heals within the call");
    assert_eq!(site.counts().0, logins + 1);
    // The new session is lost as well.
    site.tell(&format!("fail C_DecryptInit {gone} count 2"));
    site.opens().expect("it heals within the call");
    assert_eq!(site.counts().0, logins + 2);
    // The token lost every session, and so the login: a session opened now would be logged out.
    site.tell("lose-sessions");
    site.opens().expect("it heals within the call");
    assert_eq!(site.counts().0, logins + 3);
    // The anchor is there, and logged out.
    site.tell("log-out");
    site.tell(&format!("fail C_DecryptInit {gone} count 1"));
    site.opens().expect("it heals within the call");
    assert_eq!(site.counts().0, logins + 4);
}

#[test]
fn every_worker_replaces_its_own_session() {
    let Some(site) = site("each-session") else { return };
    let (logins, _) = site.counts();
    for _ in 0..20 {
        site.tell("fail C_DecryptInit CKR_SESSION_HANDLE_INVALID count 1");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| site.opens().expect("it heals within the call"));
            }
        });
    }
    assert_eq!(site.counts().0, logins);
}

#[test]
fn a_signing_key_whose_answer_was_lost_is_adopted() {
    for code in ["CKR_SESSION_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN"] {
        let Some(site) = site("adopted") else { return };
        site.tell(&format!("fail C_GenerateKeyPair {code} done count 1"));
        let made = site.hal.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect("the key that was made");
        assert_eq!(site.calls(Function::C_GenerateKeyPair), 1, "{code}");
        assert_eq!(site.hal.find_signer(&label("signer")).expect("one key"), Some(made.clone()));
        site.hal.sign(made.id, b"message", made.kind.scheme()).expect("it signs");
        // Another call is another key.
        let taken = site.hal.generate_signer(&label("signer"), SignerKind::EcdsaP256);
        assert_eq!(taken, Err(HalError::Refused(Refusal::LabelTaken)));
        // The same for a root key.
        site.tell(&format!("fail C_GenerateKey {code} done count 1"));
        let calls = site.calls(Function::C_GenerateKey);
        site.hal.generate_root(&label("adopted")).expect("the key that was made");
        assert_eq!(site.calls(Function::C_GenerateKey), calls + 1, "{code}");
    }
}

/// The test is the other library of the process that has initialised the module.
#[test]
fn a_module_that_another_library_initialised_is_left_to_it() {
    let Some(site) = site("not-ours") else { return };
    site.tell("fail C_Initialize CKR_CRYPTOKI_ALREADY_INITIALIZED done count 1");
    site.tell("break-link");
    site.wait_until_down();
    site.recovers("a link that broke, in a module that another library initialised meanwhile");
    let (ends, starts) = (site.calls(Function::C_Finalize), site.calls(Function::C_Initialize));
    site.tell("break-link");
    site.wait_until_down();
    while site.calls(Function::C_Initialize) < starts + 3 {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(site.calls(Function::C_Finalize), ends, "the other library is in there");
    let other = Pkcs11::new(site.module.module_path()).expect("the module is loaded");
    other.finalize().expect("the other library leaves");
    site.recovers("a link that broke, in a module that another library has left");
    site.tell("break-link");
    let _ = site.opens();
    site.recovers("a link that broke, in a module that is ours again");
    assert_eq!(site.calls(Function::C_Finalize), ends + 2);
}
