//! Sessions, tokens and links that are lost.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    mechanism::Mechanism,
    object::Attribute,
    session::UserType,
    slot::Slot,
};
use pkcs11_fixtures::{
    PrivateModule, SoftHsm, Token,
    shim::{
        control::Control,
        grammar::{Command, Fault, Rule, When},
    },
};

use crate::{code, initialise, key, load, log_in, open, pin, seal, slots};

fn tell(module: &PrivateModule, command: &str) {
    module.control().tell(command).expect("it answers");
}

fn start_again(pkcs11: &Pkcs11) {
    pkcs11.clone().finalize().expect("it ends");
    initialise(pkcs11);
}

#[test]
fn lost_sessions_are_gone_and_new_ones_work() {
    let Some(module) = PrivateModule::new("lost") else { return };
    let pkcs11 = load(&module);
    let session = log_in(&pkcs11, module.token());
    tell(&module, "lose-sessions");
    assert!(matches!(code(session.generate_random_vec(8)), RvError::SessionHandleInvalid));
    // They are closed below too, so that nobody is logged in.
    let again = log_in(&pkcs11, module.token());
    again.generate_random_vec(8).expect("it works");
    assert!(matches!(code(session.generate_random_vec(8)), RvError::SessionHandleInvalid));
    tell(&module, "token another lose-sessions");
    again.generate_random_vec(8).expect("it is of another token");
}

#[test]
fn sessions_are_lost_under_load_without_a_crash() {
    let Some(module) = PrivateModule::new("storm") else { return };
    let pkcs11 = load(&module);
    let anchor = log_in(&pkcs11, module.token());
    drop(anchor);
    let slot = slots(&pkcs11, module.token())[0];
    let start = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut lost = 0;
                    while lost < 20 {
                        let session = pkcs11.open_rw_session(slot).expect("a session opens");
                        while session.generate_random_vec(32).is_ok() {
                            assert!(start.elapsed() < Duration::from_secs(60), "nobody takes this session away");
                        }
                        lost += 1;
                    }
                })
            })
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            tell(&module, "lose-sessions");
        }
    });
    log_in(&pkcs11, module.token()).generate_random_vec(8).expect("it works");
}

/// Seals and opens until told to end, with a new session after every failure. Counts how often it worked.
fn work(pkcs11: &Pkcs11, token: &Token, done: &AtomicUsize, end: &AtomicBool) {
    while !end.load(Ordering::SeqCst) {
        let Some(session) = slots_if_any(pkcs11, token).and_then(|slot| pkcs11.open_rw_session(slot).ok()) else {
            continue;
        };
        // Another worker may be logged in; generating a key tells.
        let _ = session.login(UserType::User, Some(&pin(token)));
        let Ok(key) = session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into())]) else { continue };
        while let Ok(sealed) = seal(&session, key, b"data")
            && let Ok(opened) = open(&session, key, &sealed)
            && !end.load(Ordering::SeqCst)
        {
            assert_eq!(opened, b"data");
            done.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn slots_if_any(pkcs11: &Pkcs11, token: &Token) -> Option<Slot> {
    let slots = pkcs11.get_slots_with_token().ok()?;
    slots.into_iter().find(|slot| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == token.label))
}

#[test]
fn faults_of_every_kind_at_once_give_errors_and_never_a_wrong_answer() {
    let Some(module) = PrivateModule::new("everything") else { return };
    let pkcs11 = load(&module);
    let (done, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    let some_more = || {
        let enough = done.load(Ordering::SeqCst) + 20;
        let start = Instant::now();
        while done.load(Ordering::SeqCst) < enough {
            if start.elapsed() > Duration::from_secs(60) {
                end.store(true, Ordering::SeqCst);
                panic!("nothing works any more");
            }
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| work(&pkcs11, module.token(), &done, &end))));
        for seed in 0..10 {
            tell(&module, &format!("random-faults {seed} 0.02"));
            tell(&module, "latency * 20us jitter 20us");
            for fault in ["lose-sessions", "hang C_Encrypt 1ms count 4", "log-out", "corrupt C_Encrypt every 7"] {
                tell(&module, fault);
                some_more();
            }
            tell(&module, "remove-token");
            tell(&module, "restore-token");
            some_more();
            tell(&module, "pass");
        }
        end.store(true, Ordering::SeqCst);
    });
    let session = log_in(&pkcs11, module.token());
    let key = key(&session);
    assert_eq!(
        seal(&session, key, b"data").and_then(|sealed| open(&session, key, &sealed)).expect("it works"),
        b"data"
    );
}

#[test]
fn a_logout_behind_the_back_is_one_for_every_session() {
    let Some(module) = PrivateModule::new("logout") else { return };
    let pkcs11 = load(&module);
    let session = log_in(&pkcs11, module.token());
    let label = &module.token().label;
    tell(&module, "token another log-out");
    assert!(matches!(code(session.login(UserType::User, Some(&pin(module.token())))), RvError::UserAlreadyLoggedIn));
    tell(&module, &format!("token {label} log-out"));
    session.login(UserType::User, Some(&pin(module.token()))).expect("nobody was logged in");
}

#[test]
fn a_removed_token_is_missed_and_can_be_put_back() {
    let Some(module) = PrivateModule::new("removed") else { return };
    let softhsm = SoftHsm::shared().expect("it was there");
    let other = softhsm.token("stays");
    let pkcs11 = load(&module);
    let (session, stays) = (log_in(&pkcs11, module.token()), log_in(&pkcs11, &other));
    let slot = slots(&pkcs11, module.token())[0];
    let label = &module.token().label;
    tell(&module, &format!("token {label} remove-token"));
    assert!(slots(&pkcs11, module.token()).is_empty());
    assert_eq!(slots(&pkcs11, &other).len(), 1);
    assert!(pkcs11.get_all_slots().expect("slots").contains(&slot));
    assert!(!pkcs11.get_slot_info(slot).expect("it is described").token_present());
    assert!(matches!(code(pkcs11.get_token_info(slot)), RvError::TokenNotPresent));
    assert!(matches!(code(pkcs11.open_rw_session(slot)), RvError::TokenNotPresent));
    assert!(matches!(code(session.generate_random_vec(8)), RvError::DeviceRemoved));
    stays.generate_random_vec(8).expect("it is of another token");
    tell(&module, &format!("token {label} restore-token"));
    assert!(matches!(code(session.generate_random_vec(8)), RvError::SessionHandleInvalid));
    log_in(&pkcs11, module.token()).generate_random_vec(8).expect("it is back");
}

#[test]
fn a_sticky_removal_takes_a_new_start() {
    let Some(module) = PrivateModule::new("sticky") else { return };
    let pkcs11 = load(&module);
    drop(log_in(&pkcs11, module.token()));
    tell(&module, "remove-token --sticky");
    assert!(slots(&pkcs11, module.token()).is_empty());
    tell(&module, "restore-token");
    assert!(slots(&pkcs11, module.token()).is_empty());
    start_again(&pkcs11);
    log_in(&pkcs11, module.token());
}

#[test]
fn a_broken_link_takes_a_new_start() {
    let Some(module) = PrivateModule::new("link") else { return };
    let pkcs11 = load(&module);
    let session = log_in(&pkcs11, module.token());
    tell(&module, "break-link");
    assert!(matches!(code(session.generate_random_vec(8)), RvError::DeviceError));
    assert!(matches!(code(pkcs11.get_slots_with_token()), RvError::DeviceError));
    start_again(&pkcs11);
    assert!(matches!(code(session.generate_random_vec(8)), RvError::SessionHandleInvalid));
    log_in(&pkcs11, module.token()).generate_random_vec(8).expect("it is back");
}

#[test]
fn a_link_that_is_down_stays_down_over_a_new_start() {
    let Some(module) = PrivateModule::new("down") else { return };
    let pkcs11 = load(&module);
    let session = log_in(&pkcs11, module.token());
    let key = key(&session);
    let sealed = seal(&session, key, b"data").expect("it is sealed");
    open(&session, key, &sealed).expect("it opens");
    tell(&module, "break-link --down");
    start_again(&pkcs11);
    assert!(pkcs11.get_all_slots().expect("a list").is_empty());
    tell(&module, "restore-link");
    assert!(pkcs11.get_all_slots().expect("a list").is_empty());
    start_again(&pkcs11);
    log_in(&pkcs11, module.token());
}

#[test]
fn faults_can_be_there_from_the_start() {
    let fails = Rule {
        scope: None,
        function: None,
        fault: Fault::Fail { code: pkcs11_fixtures::shim::codes::CKR_HOST_MEMORY, done: false },
        when: When { count: Some(1), ..When::default() },
    };
    let Some(module) = PrivateModule::with_faults("from-start", &[Command::Rule(fails)]) else { return };
    let pkcs11 = Pkcs11::new(module.module_path()).expect("it loads");
    let flags = cryptoki::context::CInitializeFlags::OS_LOCKING_OK;
    let error = pkcs11.initialize(cryptoki::context::CInitializeArgs::new(flags)).expect_err("told so");
    assert!(matches!(error, Error::Pkcs11(RvError::HostMemory, _)), "{error}");
    initialise(&pkcs11);
}

#[test]
fn a_socket_that_a_killed_process_left_is_taken_over() {
    let Some(module) = PrivateModule::new("stale") else { return };
    let path = module.control().path().to_owned();
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists());
    let _pkcs11 = load(&module);
    Control::at(path).calls().expect("it listens");
}
