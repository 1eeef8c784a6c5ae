//! The token goes away in every way it can, and comes back. Each test has a module of its own behind the fault-injecting shim.
//!
//! What must hold: no call blames a blob or gives a wrong answer, none takes longer than its deadline, and within five seconds
//! of the token's return the service is whole, without a restart and without a call that asks for it.

mod sessions;

use std::{
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cryptoki::{context::Pkcs11, session::UserType, types::AuthPin};
use hal::{
    Degradation, HalError, Health, KeyWrapper as _, Outage, Refusal, RootKeyVersion, RootKeys as _, WrapScheme,
    WrappedKek,
    pkcs11::{PinSource, Pkcs11Config, Pkcs11Hal},
};
use pkcs11_fixtures::{
    PrivateModule, SoftHsm, Token,
    shim::{Function, grammar::Command},
};

use crate::{
    backends::{PATIENT, connect, secret},
    suite::{kek, label},
};

/// The promise, from the token's return to the first answer.
const PROMISED: Duration = Duration::from_secs(5);
/// How long a call may take, with what a busy machine adds.
const DEADLINE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(2);

struct Site {
    module: PrivateModule,
    hal: Pkcs11Hal,
    root: RootKeyVersion,
    blob: WrappedKek,
}

fn config(module: &Path, token: &Token) -> Pkcs11Config {
    Pkcs11Config {
        module: module.to_owned(),
        token_label: token.label.clone(),
        token_serial: None,
        pin: secret(&token.pin).into(),
        workers: 2,
        queue: 64,
        deadline: DEADLINE,
        scheme: None,
        provider: None,
    }
}

fn site(name: &str) -> Option<Site> {
    with(PrivateModule::new(name)?, |config| config)
}

fn with(module: PrivateModule, change: impl FnOnce(Pkcs11Config) -> Pkcs11Config) -> Option<Site> {
    let hal = connect(change(config(&module.module_path(), module.token())));
    // A machine that is busy with other tests may take longer than the deadline to connect.
    let begun = Instant::now();
    while hal.health() != Health::Ready {
        assert!(begun.elapsed() < PATIENT, "{:?}", hal.health());
        thread::yield_now();
    }
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    let blob = hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    Some(Site { module, hal, root, blob })
}

impl Site {
    fn tell(&self, command: &str) {
        self.module.control().tell(command).expect("the shim obeys");
    }

    fn calls(&self, function: Function) -> u64 {
        self.module.control().calls().expect("the shim answers").get(&function).copied().unwrap_or(0)
    }

    /// Opens the blob; an answer is the right one, and an error is the token's fault.
    fn opens(&self) -> Result<(), HalError> {
        let start = Instant::now();
        let opened = self.hal.unwrap_kek(&self.blob);
        assert!(start.elapsed() < DEADLINE + SLACK, "{:?}", start.elapsed());
        match opened {
            Ok(kek) => {
                assert_eq!(kek.expose_secret(), &[7; 32]);
                Ok(())
            }
            Err(error) => {
                let by_token = matches!(
                    error,
                    HalError::Unavailable(_)
                        | HalError::Refused(
                            Refusal::PinIncorrect | Refusal::PinLocked | Refusal::PinNotSet | Refusal::TokenReplaced
                        )
                );
                assert!(by_token, "{error:?}");
                Err(error)
            }
        }
    }

    fn is_down(&self) -> bool {
        self.opens().is_err() && matches!(self.hal.health(), Health::Down(_))
    }

    fn wait_until_down(&self) {
        while !self.is_down() {
            thread::yield_now();
        }
    }

    /// Waits, without a call that could help, until it serves again; prints how long that took.
    fn recovers(&self, fault: &str) {
        let returned = Instant::now();
        while self.opens().is_err() {
            assert!(returned.elapsed() < PROMISED, "{fault}: {:?}", self.hal.health());
            thread::sleep(Duration::from_millis(5));
        }
        println!("recovered from {fault} in {:?}", returned.elapsed());
        // A worker that hung may need a moment longer to come back than the one that answered.
        while self.hal.health() != Health::Ready {
            assert!(returned.elapsed() < PROMISED, "{fault}: {:?}", self.hal.health());
            thread::sleep(Duration::from_millis(5));
        }
        let fresh = self.hal.wrap_kek(self.root, &kek(8)).expect("it wraps");
        assert_eq!(self.hal.unwrap_kek(&fresh).expect("it opens").expose_secret(), &[8; 32]);
    }
}

#[test]
fn a_broken_link_heals_by_itself() {
    let Some(site) = site("link") else { return };
    site.tell("break-link");
    let _ = site.opens();
    site.recovers("a link that broke");
    assert!(site.calls(Function::C_Finalize) >= 1, "nothing less helps");
}

#[test]
fn a_link_that_stays_down_is_tried_for_and_found_again() {
    let Some(site) = site("link-down") else { return };
    site.tell("break-link --down");
    site.wait_until_down();
    let start = Instant::now();
    for _ in 0..100 {
        assert!(matches!(site.opens(), Err(HalError::Unavailable(_))));
    }
    assert!(start.elapsed() < DEADLINE, "calls are refused at once");
    // So long that the attempts are as far apart as they get.
    while site.calls(Function::C_Finalize) < 6 {
        thread::sleep(Duration::from_millis(20));
    }
    site.tell("restore-link");
    site.recovers("a link that was down");
}

#[test]
fn a_token_that_was_pulled_serves_again_when_it_is_back() {
    for sticky in ["", " --sticky"] {
        let Some(site) = site("pulled") else { return };
        site.tell(&format!("remove-token{sticky}"));
        site.wait_until_down();
        site.tell("restore-token");
        site.recovers(&format!("a token that was pulled{sticky}"));
    }
}

#[test]
fn a_token_directory_moved_away_and_back_heals() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let Some(site) = site("moved") else { return };
    let directory = softhsm.token_directory(site.module.token());
    let away = directory.with_extension("away");
    // Beside the tokens it would still be one.
    let away = softhsm.directory().join(away.file_name().expect("it has a name"));
    fs::rename(&directory, &away).expect("the token goes");
    site.wait_until_down();
    assert_eq!(site.hal.list_roots().expect_err("no token"), HalError::Unavailable(Outage::TokenAbsent));
    fs::rename(&away, &directory).expect("the token returns");
    site.recovers("a token directory that was away");
}

#[test]
fn lost_sessions_and_a_logout_fail_no_call() {
    let Some(site) = site("sessions") else { return };
    for fault in ["lose-sessions", "log-out"] {
        for _ in 0..5 {
            site.tell(fault);
            site.opens().expect("it heals within the call");
            site.tell(fault);
            site.hal.wrap_kek(site.root, &kek(9)).expect("it heals within the call");
            site.tell(fault);
            assert_eq!(site.hal.health(), Health::Ready);
        }
    }
    assert_eq!(site.calls(Function::C_Finalize), 0, "a new login was enough");
}

#[test]
fn a_changed_pin_is_tried_once_and_the_corrected_file_is_taken_up() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let Some(module) = PrivateModule::new("pin") else { return };
    let (file, source) = pin_file(&module.token().pin);
    let Some(site) = with(module, |config| Pkcs11Config { pin: source, ..config }) else { return };
    let old = site.module.token();
    change_pin(softhsm, old, "a new PIN");
    site.tell("break-link");
    site.wait_until_down();
    let refused = HalError::Refused(Refusal::PinIncorrect);
    while site.opens() != Err(refused.clone()) {
        thread::yield_now();
    }
    let tries = site.calls(Function::C_Login);
    file.await_readings(3);
    assert_eq!(site.hal.health(), Health::Down(refused));
    assert_eq!(site.calls(Function::C_Login), tries, "the PIN is never tried again");
    file.write("a new PIN");
    site.recovers("a PIN that was changed");
    assert_eq!(site.calls(Function::C_Login), tries + 1);
}

/// A PIN file, and how often it was read.
#[derive(Clone)]
struct PinFile(Arc<Mutex<(String, usize)>>);

fn pin_file(pin: &str) -> (PinFile, PinSource) {
    let file = PinFile(Arc::new(Mutex::new((pin.to_owned(), 0))));
    let read = file.clone();
    let source = PinSource::new(move || {
        let (pin, readings) = &mut *read.0.lock().expect("no panic");
        *readings += 1;
        Some(secret(pin))
    });
    (file, source)
}

impl PinFile {
    fn write(&self, pin: &str) {
        pin.clone_into(&mut self.0.lock().expect("no panic").0);
    }

    /// Waits until it was read so often again: an attempt to log in would have followed all but the last.
    fn await_readings(&self, count: usize) {
        let readings = || self.0.lock().expect("no panic").1;
        let enough = readings() + count;
        while readings() < enough {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn change_pin(softhsm: &SoftHsm, token: &Token, new: &str) {
    let pkcs11 = Pkcs11::new(softhsm.module()).expect("the module is loaded");
    let slots = pkcs11.get_slots_with_token().expect("slots");
    let is_it = |slot: &_| pkcs11.get_token_info(*slot).is_ok_and(|info| info.label() == token.label);
    let slot = slots.into_iter().find(is_it).expect("the token is there");
    let session = pkcs11.open_rw_session(slot).expect("a session");
    let pin = AuthPin::new(token.pin.clone().into());
    session.login(UserType::User, Some(&pin)).expect("the old PIN still holds");
    session.set_pin(&pin, &AuthPin::new(new.into())).expect("the PIN is changed");
}

#[test]
fn an_expired_pin_is_left_alone_until_the_source_changes() {
    let Some(module) = PrivateModule::new("locked") else { return };
    let (file, source) = pin_file(&module.token().pin);
    let Some(site) = with(module, |config| Pkcs11Config { pin: source, ..config }) else { return };
    site.tell("fail C_Login CKR_PIN_EXPIRED");
    site.tell("log-out");
    let refused = HalError::Refused(Refusal::PinNotSet);
    assert_eq!(site.opens(), Err(refused.clone()));
    let tries = site.calls(Function::C_Login);
    file.await_readings(2);
    assert_eq!(site.opens(), Err(refused));
    assert_eq!(site.calls(Function::C_Login), tries);
    site.tell("pass");
    let right = site.module.token().pin.clone();
    file.write("another");
    while site.opens() != Err(HalError::Refused(Refusal::PinIncorrect)) {
        thread::yield_now();
    }
    // The right PIN was refused once, so it is not tried again: an operator has to set another one, or restart.
    file.write(&right);
    file.await_readings(3);
    assert_eq!(site.calls(Function::C_Login), tries + 1);
}

#[test]
fn a_locked_pin_is_not_tried_again_on_a_token_that_does_not_show_the_lock() {
    let Some(module) = PrivateModule::new("locked") else { return };
    let (file, source) = pin_file(&module.token().pin);
    let Some(site) = with(module, |config| Pkcs11Config { pin: source, ..config }) else { return };
    site.tell("fail C_Login CKR_PIN_LOCKED");
    site.tell("log-out");
    let refused = HalError::Refused(Refusal::PinLocked);
    assert_eq!(site.opens(), Err(refused.clone()));
    let tries = site.calls(Function::C_Login);
    file.await_readings(3);
    assert_eq!(site.opens(), Err(refused));
    assert_eq!(site.calls(Function::C_Login), tries, "the token counts tries of a locked PIN too");
}

#[test]
fn another_token_of_the_same_label_is_refused_and_the_right_one_taken_back() {
    let Some(site) = site("replaced") else { return };
    site.tell("wrong-token 00000000000000ff");
    site.tell("break-link");
    site.wait_until_down();
    while site.opens() != Err(HalError::Refused(Refusal::TokenReplaced)) {
        thread::yield_now();
    }
    let (tries, looks) = (site.calls(Function::C_Login), site.calls(Function::C_Finalize));
    while site.calls(Function::C_Finalize) < looks + 2 {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(site.hal.health(), Health::Down(HalError::Refused(Refusal::TokenReplaced)));
    assert_eq!(site.calls(Function::C_Login), tries, "no PIN is sent to a stranger");
    site.tell("pass");
    site.recovers("another token in its place");
}

#[test]
fn a_hanging_call_costs_its_caller_the_deadline_and_nobody_else_anything() {
    let Some(module) = PrivateModule::new("hang") else { return };
    let short = Duration::from_millis(300);
    let Some(site) = with(module, |config| Pkcs11Config { deadline: short, ..config }) else { return };
    site.tell("hang C_Decrypt count 1");
    let start = Instant::now();
    let late = HalError::Unavailable(Outage::DeadlinePassed);
    assert_eq!(site.opens(), Err(late.clone()));
    assert!(start.elapsed() >= short && start.elapsed() < short + SLACK, "{:?}", start.elapsed());
    for _ in 0..20 {
        site.opens().expect("the other worker serves");
    }
    assert_eq!(site.hal.health(), Health::Degraded(Degradation::WorkersStuck { stuck: 1, workers: 2 }));
    // Two workers and two that replace them.
    site.tell("hang C_Decrypt");
    let began = Instant::now();
    loop {
        let start = Instant::now();
        if site.opens() == Err(late.clone()) && start.elapsed() < short / 2 {
            break;
        }
        assert!(began.elapsed() < short * 20, "once all are stuck, calls fail at once");
    }
    assert_eq!(site.hal.health(), Health::Down(late));
    site.tell("release");
    site.recovers("a module that hung");
}

#[test]
fn dropping_the_backend_returns_while_the_module_hangs() {
    let Some(module) = PrivateModule::new("hang-drop") else { return };
    let short = Duration::from_millis(200);
    let Some(site) = with(module, |config| Pkcs11Config { deadline: short, ..config }) else { return };
    site.tell("hang *");
    assert_eq!(site.opens(), Err(HalError::Unavailable(Outage::DeadlinePassed)));
    let start = Instant::now();
    let Site { module, hal, .. } = site;
    drop(hal);
    assert!(start.elapsed() < SLACK, "{:?}", start.elapsed());
    module.control().tell("release").expect("the shim obeys");
}

#[test]
fn a_module_that_hangs_at_the_start_holds_nobody_up() {
    let hang = "hang C_Initialize".parse::<Command>().expect("a command");
    let Some(module) = PrivateModule::with_faults("hang-start", &[hang]) else { return };
    let start = Instant::now();
    let short = Duration::from_millis(300);
    let hal = connect(Pkcs11Config { deadline: short, ..config(&module.module_path(), module.token()) });
    assert_eq!(hal.health(), Health::Down(HalError::Unavailable(Outage::DeadlinePassed)));
    assert!(start.elapsed() < short + SLACK);
    module.control().tell("release").expect("the shim obeys");
    let returned = Instant::now();
    while hal.health() != Health::Ready {
        assert!(returned.elapsed() < PROMISED);
        thread::sleep(Duration::from_millis(5));
    }
    println!("recovered from a module that hung at the start in {:?}", returned.elapsed());
}

#[test]
fn a_token_away_at_the_start_is_taken_up_when_it_comes() {
    let Some(module) = PrivateModule::with_faults("late", &[Command::BreakLink { down: true }]) else { return };
    let hal = connect(config(&module.module_path(), module.token()));
    assert!(matches!(hal.health(), Health::Down(HalError::Unavailable(_))), "{:?}", hal.health());
    assert_eq!(hal.capabilities().scheme, None);
    module.control().tell("restore-link").expect("the shim obeys");
    becomes_ready(&hal, "a start without the token");
    assert_eq!(hal.capabilities().token.as_ref().map(|token| &token.label), Some(&module.token().label));
    let root = hal.generate_root(&label("root")).expect("a root key").key();
    hal.wrap_kek(root, &kek(7)).expect("it wraps");
}

#[test]
fn a_module_missing_at_the_start_is_loaded_when_it_is_installed() {
    let Some(module) = PrivateModule::new("uninstalled") else { return };
    let path = module.module_path();
    let away = path.with_extension("away");
    fs::rename(&path, &away).expect("the module goes");
    let hal = connect(config(&path, module.token()));
    assert_eq!(hal.health(), Health::Down(HalError::Unavailable(Outage::ModuleMissing)));
    fs::rename(&away, &path).expect("the module comes");
    becomes_ready(&hal, "a start without the module");
}

fn becomes_ready(hal: &Pkcs11Hal, fault: &str) {
    let returned = Instant::now();
    while hal.health() != Health::Ready {
        assert!(returned.elapsed() < PROMISED, "{fault}: {:?}", hal.health());
        thread::sleep(Duration::from_millis(5));
    }
    println!("recovered from {fault} in {:?}", returned.elapsed());
}

#[test]
fn a_healthy_token_of_the_same_module_fails_no_call_while_another_is_away() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let neighbour = softhsm.token("neighbour");
    let Some(site) = site("patient") else { return };
    let healthy = connect(config(&site.module.module_path(), &neighbour));
    let root = healthy.generate_root(&label("root")).expect("a root key").key();
    let blob = healthy.wrap_kek(root, &kek(5)).expect("a KEK is wrapped");
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let (mut calls, mut longest) = (0, Duration::ZERO);
                    while !ends.load(Ordering::Relaxed) {
                        let start = Instant::now();
                        let opened = healthy.unwrap_kek(&blob).expect("the other token's outage is not this one's");
                        assert_eq!(opened.expose_secret(), &[5; 32]);
                        longest = longest.max(start.elapsed());
                        calls += 1;
                    }
                    (calls, longest)
                })
            })
            .collect();
        site.tell(&format!("token {} remove-token --sticky", site.module.token().label));
        site.wait_until_down();
        while site.calls(Function::C_Finalize) < 4 {
            thread::sleep(Duration::from_millis(20));
        }
        site.tell(&format!("token {} restore-token", site.module.token().label));
        site.recovers("a token that was away beside a healthy one");
        ends.store(true, Ordering::Relaxed);
        for caller in callers {
            let (calls, longest) = caller.join().expect("no call failed");
            println!("the healthy token answered {calls} calls meanwhile, the slowest in {longest:?}");
        }
    });
}

#[test]
fn a_dead_token_never_reads_as_a_tampered_blob() {
    for code in ["CKR_SESSION_HANDLE_INVALID", "CKR_DEVICE_ERROR", "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED"] {
        let Some(site) = site("dead") else { return };
        // Everything but what the recovery starts from fails, and answers as SoftHSM2 does for a damaged blob.
        for function in ["C_Decrypt", "C_Encrypt", "C_DecryptInit", "C_EncryptInit", "C_GenerateKey"] {
            site.tell(&format!("fail {function} {code}"));
        }
        for _ in 0..20 {
            assert!(matches!(site.opens(), Err(HalError::Unavailable(_))), "{code}");
        }
        site.tell("pass");
        site.recovers(code);
        // In the middle of an outage that starts between a failure and the probe after it.
        site.tell(&format!("fail C_Decrypt {code} after 1 count 7"));
        for _ in 0..20 {
            let _ = site.opens();
        }
        site.tell("pass");
        site.recovers(code);
    }
}

#[test]
fn a_damaged_blob_never_costs_the_connection() {
    let Some(site) = site("damaged") else { return };
    let mut damaged = site.blob.clone();
    damaged.ciphertext[3] ^= 1;
    let logins = site.calls(Function::C_Login);
    for _ in 0..50 {
        assert_eq!(site.hal.unwrap_kek(&damaged).expect_err("damaged"), HalError::Tampered);
        site.opens().expect("the others are well");
    }
    assert_eq!(site.hal.health(), Health::Ready);
    assert_eq!((site.calls(Function::C_Login), site.calls(Function::C_Finalize)), (logins, 0));
}

#[test]
fn a_token_with_few_sessions_gets_few_workers_and_fails_no_call() {
    let Some(module) = PrivateModule::with_faults("few", &[few_sessions()]) else { return };
    let Some(site) = with(module, |config| Pkcs11Config { workers: 8, ..config }) else { return };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| site.opens().expect("a worker with a session does it")));
        }
    });
    assert_eq!(site.hal.health(), Health::Ready);
}

/// The anchor's session and two more.
fn few_sessions() -> Command {
    "fail C_OpenSession CKR_SESSION_COUNT after 3".parse().expect("a command")
}

#[test]
fn kryoptic_wraps_by_both_schemes_and_recovers_too() {
    for scheme in [WrapScheme::AesGcm, WrapScheme::AesKw] {
        let Some(module) = PrivateModule::kryoptic("second") else { return };
        let Some(site) = with(module, |config| Pkcs11Config { scheme: Some(scheme), ..config }) else { return };
        assert_eq!((site.blob.scheme, site.hal.capabilities().scheme), (scheme, Some(scheme)));
        let mut damaged = site.blob.clone();
        damaged.ciphertext[3] ^= 1;
        assert_eq!(site.hal.unwrap_kek(&damaged).expect_err("damaged"), HalError::Tampered);
        for fault in ["lose-sessions", "log-out"] {
            site.tell(fault);
            site.opens().expect("it heals within the call");
        }
        site.tell("break-link");
        let _ = site.opens();
        site.recovers(&format!("a link to kryoptic that broke ({scheme})"));
        site.tell("remove-token --sticky");
        site.wait_until_down();
        site.tell("restore-token");
        site.recovers(&format!("a kryoptic token that was pulled ({scheme})"));
    }
}
