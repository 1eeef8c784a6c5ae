//! Workers that hang, panic or starve, and what their callers are told.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use pkcs11_fixtures::{PrivateModule, SoftHsm, Token, shim::Function};

use super::*;

/// Long enough that a busy machine does not reach it.
const PATIENT: Duration = Duration::from_secs(60);

/// A backend whose callers are impatient, once it has connected.
fn impatient(workers: usize) -> Option<Pkcs11Hal> {
    let softhsm = SoftHsm::shared()?;
    Some(impatient_on(softhsm.module(), softhsm.token("impatient"), workers))
}

fn impatient_on(module: &Path, token: Token, workers: usize) -> Pkcs11Hal {
    let mut hal = Pkcs11Hal::new(Pkcs11Config {
        module: module.to_owned(),
        token_label: token.label,
        token_serial: None,
        pin: SecretBytes::from(token.pin.into_bytes()).into(),
        workers,
        queue: 8,
        deadline: PATIENT,
        scheme: None,
        provider: None,
    })
    .unwrap();
    assert_eq!(hal.health(), Health::Ready);
    hal.deadline = Duration::from_millis(20);
    hal
}

/// Sends `calls` workers into calls that do not return until the sender is dropped, and that nobody waits for any more.
fn hang(hal: &Pkcs11Hal, calls: usize) -> Sender<()> {
    let (release, hung): (Sender<()>, Receiver<()>) = bounded(0);
    let entered = Arc::new(AtomicUsize::new(0));
    while hal.pool.stuck() < calls {
        // On a busy machine a call's deadline may pass before it begins.
        if entered.load(Ordering::SeqCst) < calls {
            let (entered, hung) = (Arc::clone(&entered), hung.clone());
            let late = hal.call(hal.deadline, Kind::Use, move |_| {
                entered.fetch_add(1, Ordering::SeqCst);
                let _ = hung.recv();
                Ok(())
            });
            assert_eq!(late, Err(HalError::Unavailable(Outage::DeadlinePassed)));
        }
        thread::yield_now();
    }
    release
}

fn wait_until_ready(hal: &Pkcs11Hal) {
    while hal.health() != Health::Ready {
        thread::yield_now();
    }
}

#[test]
fn a_hanging_worker_is_replaced_and_the_surplus_one_ends() {
    let Some(hal) = impatient(1) else { return };
    let release = hang(&hal, 1);
    assert_eq!(hal.call(PATIENT, Kind::Use, |_| Ok(7)), Ok(7), "by the worker that replaced it");
    while hal.health() != Health::Degraded(Degradation::WorkersStuck { stuck: 1, workers: 1 }) {
        thread::yield_now();
    }
    assert_eq!(hal.pool.crew.hired(), 2);
    drop(release);
    wait_until_ready(&hal);
    while hal.pool.crew.hired() != 1 {
        thread::yield_now();
    }
    assert_eq!(hal.call(PATIENT, Kind::Use, |_| Ok(8)), Ok(8));
}

#[test]
fn all_workers_hanging_fails_calls_at_once_and_heals() {
    let Some(hal) = impatient(1) else { return };
    let late = HalError::Unavailable(Outage::DeadlinePassed);
    let ran = Arc::new(AtomicUsize::new(0));
    let release = hang(&hal, 2);
    let start = Instant::now();
    for _ in 0..20 {
        let counter = Arc::clone(&ran);
        let refused = hal.call(PATIENT, Kind::Use, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        // Never "overloaded": calls are refused before they queue.
        assert_eq!(refused, Err(late.clone()));
    }
    assert!(start.elapsed() < PATIENT, "refused at once");
    assert_eq!(hal.health(), Health::Down(late.clone()));
    drop(release);
    wait_until_ready(&hal);
    assert_eq!(ran.load(Ordering::SeqCst), 0, "calls that nobody waits for are not made");
}

#[test]
fn dropping_the_backend_does_not_wait_for_a_call_that_hangs() {
    let Some(hal) = impatient(1) else { return };
    let release = hang(&hal, 1);
    let start = Instant::now();
    drop(hal);
    assert!(start.elapsed() < Duration::from_secs(10), "the call would hang for ever");
    drop(release);
}

#[test]
fn a_worker_without_a_session_hands_its_call_on_and_leaves() {
    let Some(hal) = impatient(2) else { return };
    let starved = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&starved);
    let exhausted = HalError::Unavailable(Outage::SessionsExhausted);
    let only_error = exhausted.clone();
    let answer = hal.call(PATIENT, Kind::Use, move |_| match counter.fetch_add(1, Ordering::SeqCst) {
        0 => Err(recovery::Fault::Stop(only_error.clone())),
        _ => Ok(7),
    });
    assert_eq!(answer, Ok(7), "another worker did it");
    assert_eq!(hal.pool.crew.hired(), 1);
    // The last worker stays and tells its callers.
    let refused = hal.call(PATIENT, Kind::Use, {
        let exhausted = exhausted.clone();
        move |_| Err::<(), _>(recovery::Fault::Stop(exhausted.clone()))
    });
    assert_eq!(refused, Err(exhausted));
    hal.pool.crew.regrow();
    assert_eq!(hal.pool.crew.hired(), 2);
}

#[test]
fn a_job_that_panics_fails_at_once_and_its_worker_goes_on_with_a_new_session() {
    let Some((module, hal)) = behind_the_shim("panics") else { return };
    assert_eq!(hal.call(PATIENT, Kind::Use, |_| Ok(6)), Ok(6));
    let sessions = calls(&module, Function::C_OpenSession);
    let start = Instant::now();
    let failed = hal.call(PATIENT, Kind::Use, |_| -> Result<(), recovery::Fault> { panic!("meant by the test") });
    assert_eq!(failed, Err(HalError::Unavailable(Outage::DeviceFailed)));
    assert!(start.elapsed() < PATIENT / 2, "{:?}", start.elapsed());
    assert_eq!(hal.call(PATIENT, Kind::Use, |_| Ok(7)), Ok(7));
    assert_eq!((hal.pool.stuck(), hal.pool.crew.hired()), (0, 1), "by the same worker");
    assert_eq!(calls(&module, Function::C_OpenSession), sessions + 1);
    assert_eq!(hal.health(), Health::Ready);
}

/// A backend with one worker whose administrators are impatient, on a module of its own.
fn behind_the_shim(name: &str) -> Option<(PrivateModule, Pkcs11Hal)> {
    let module = PrivateModule::new(name)?;
    let hal = impatient_on(&module.module_path(), module.token().clone(), 1);
    Some((module, hal))
}

fn calls(module: &PrivateModule, function: Function) -> u64 {
    module.control().calls().unwrap().get(&function).copied().unwrap_or(0)
}

/// Has `op` hang in its search past its deadline, lets it go on, and waits for its end.
fn search_too_long<T: fmt::Debug + PartialEq>(
    module: &PrivateModule,
    hal: &mut Pkcs11Hal,
    op: impl Fn(&Pkcs11Hal) -> Result<T, HalError>,
) {
    hal.admin_deadline = Duration::from_millis(100);
    module.control().tell("hang C_FindObjects").unwrap();
    // On a busy machine the deadline may pass before the search begins.
    while hal.pool.stuck() == 0 {
        assert_eq!(op(hal), Err(HalError::Unavailable(Outage::DeadlinePassed)));
    }
    module.control().tell("release").unwrap();
    hal.deadline = PATIENT;
    hal.admin_deadline = PATIENT;
    wait_until_ready(hal);
}

#[test]
fn a_key_whose_destruction_came_too_late_is_still_there() {
    let Some((module, mut hal)) = behind_the_shim("late-end") else { return };
    let root = hal.generate_root(&Label::new("root").unwrap()).unwrap();
    let key = root.key();
    let before = calls(&module, Function::C_DestroyObject);
    search_too_long(&module, &mut hal, |hal| hal.destroy_root(key, DestroyConsent::approved_for(key)));
    assert_eq!(calls(&module, Function::C_DestroyObject), before);
    assert_eq!(hal.describe_root(key).unwrap(), root);
    hal.destroy_root(key, DestroyConsent::approved_for(key)).unwrap();
    assert_eq!(hal.list_roots().unwrap(), []);
}

#[test]
fn no_key_is_made_or_imported_too_late() {
    let Some((module, mut hal)) = behind_the_shim("late-birth") else { return };
    let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4()));
    let label = Label::new("late").unwrap();
    let made = || {
        let all = [Function::C_GenerateKey, Function::C_GenerateKeyPair, Function::C_CreateObject];
        all.map(|function| calls(&module, function))
    };
    let before = made();
    search_too_long(&module, &mut hal, |hal| hal.generate_version(key, &label));
    search_too_long(&module, &mut hal, |hal| hal.import_root(key, &label, SecretBytes::from(vec![1; 32])));
    search_too_long(&module, &mut hal, |hal| hal.generate_signer(&label, SignerKind::EcdsaP256));
    assert_eq!(made(), before);
    assert_eq!((hal.list_roots(), hal.find_signer(&label)), (Ok(Vec::new()), Ok(None)));
    hal.generate_version(key, &label).unwrap();
    hal.generate_signer(&label, SignerKind::EcdsaP256).unwrap();
}
