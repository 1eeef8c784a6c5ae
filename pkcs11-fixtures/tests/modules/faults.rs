//! Faults of single calls.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use cryptoki::{context::Pkcs11, error::RvError, mechanism::Mechanism, session::UserType};
use pkcs11_fixtures::{
    PrivateModule, SoftHsm,
    shim::{Function, control::ControlError, grammar::Command},
    shim_library,
};

use crate::{code, initialise, key, load, log_in, open, pin, seal, slots};

#[test]
fn without_faults_everything_works_and_calls_are_counted() {
    let Some(module) = PrivateModule::new("calm") else { return };
    let session = log_in(&load(&module), module.token());
    let key = key(&session);
    module.control().send(&Command::ResetCalls).expect("it answers");
    let sealed = seal(&session, key, b"data").expect("it is sealed");
    assert_eq!(open(&session, key, &sealed).expect("it opens"), b"data");
    let calls = module.control().calls().expect("counts");
    assert_eq!((calls.get(&Function::C_EncryptInit), calls.get(&Function::C_Encrypt)), (Some(&1), Some(&2)));
    assert_eq!(calls.get(&Function::C_GenerateKey), None);
}

#[test]
fn a_call_fails_as_told_and_leaves_no_operation_behind() {
    let Some(module) = PrivateModule::new("fail") else { return };
    let session = log_in(&load(&module), module.token());
    let key = key(&session);
    let sealed = seal(&session, key, b"data").expect("it is sealed");
    for function in ["C_EncryptInit", "C_Encrypt"] {
        for done in ["", "done"] {
            // Of the two calls of C_Encrypt, one asks for the length.
            for after in [0, 1] {
                let fault = format!("fail {function} CKR_DEVICE_MEMORY {done} after {after} count 1");
                module.control().tell(&fault).expect("a fault");
                let results = [(); 2].map(|()| seal(&session, key, b"data"));
                let failures: Vec<_> = results.into_iter().filter(Result::is_err).map(code).collect();
                assert!(matches!(failures[..], [RvError::DeviceMemory]), "{fault}: {failures:?}");
                assert_eq!(open(&session, key, &sealed).expect("it opens"), b"data");
            }
        }
    }
    module.control().tell("fail C_DigestUpdate CKR_FUNCTION_FAILED count 1").expect("a fault");
    session.digest_init(&Mechanism::Sha256).expect("it starts");
    assert!(matches!(code(session.digest_update(b"data")), RvError::FunctionFailed));
    assert_eq!(session.digest(&Mechanism::Sha256, b"data").expect("no operation is active").len(), 32);
    module.control().tell("fail C_FindObjects CKR_DEVICE_ERROR count 1").expect("a fault");
    assert!(matches!(code(session.find_objects(&[])), RvError::DeviceError));
    session.find_objects(&[]).expect("no search is active");
}

#[test]
fn a_call_that_fails_when_done_has_had_its_effect() {
    let Some(module) = PrivateModule::new("done") else { return };
    let session = log_in(&load(&module), module.token());
    let found = || session.find_objects(&[]).expect("a search").len();
    for (fault, objects) in [("", 0), ("done", 1)] {
        module.control().tell(&format!("fail C_GenerateKey CKR_DEVICE_ERROR {fault} count 1")).expect("a fault");
        let template = [cryptoki::object::Attribute::ValueLen(32.into())];
        assert!(matches!(code(session.generate_key(&Mechanism::AesKeyGen, &template)), RvError::DeviceError));
        assert_eq!(found(), objects);
    }
}

#[test]
fn a_code_that_no_specification_has_is_passed_on() {
    let Some(module) = PrivateModule::new("vendor") else { return };
    let session = log_in(&load(&module), module.token());
    module.control().tell("fail C_GenerateRandom 0x80000042 count 1").expect("a fault");
    assert!(matches!(code(session.generate_random_vec(8)), RvError::VendorDefined(0x8000_0042)));
}

#[test]
fn latency_delays_every_call() {
    let Some(module) = PrivateModule::new("slow") else { return };
    let session = log_in(&load(&module), module.token());
    let take = || {
        let start = Instant::now();
        (0..10).for_each(|_| drop(session.generate_random_vec(8).expect("it works")));
        start.elapsed()
    };
    module.control().tell("latency * 5ms jitter 1ms").expect("a fault");
    assert!(take() >= Duration::from_millis(40));
    module.control().tell("latency * 0s").expect("no delay");
    module.control().tell("latency C_Encrypt 1s").expect("of another function");
    assert!(take() < Duration::from_millis(40));
}

#[test]
fn a_hang_lasts_its_time_or_until_released_and_stops_nobody_else() {
    let Some(module) = PrivateModule::new("hang") else { return };
    let pkcs11 = load(&module);
    let (session, other) = (log_in(&pkcs11, module.token()), {
        let slot = slots(&pkcs11, module.token())[0];
        pkcs11.open_rw_session(slot).expect("a session opens")
    });
    let control = module.control();
    control.tell("hang C_GenerateRandom 50ms count 1").expect("a fault");
    let start = Instant::now();
    session.generate_random_vec(8).expect("it goes on");
    assert!(start.elapsed() >= Duration::from_millis(50));
    control.send(&Command::ResetCalls).expect("it answers");
    control.tell("hang C_GenerateRandom").expect("a fault");
    let session = thread::scope(|scope| {
        let hanging = scope.spawn(move || (session.generate_random_vec(8).map(|random| random.len()), session));
        while !control.calls().expect("counts").contains_key(&Function::C_GenerateRandom) {
            thread::yield_now();
        }
        other.find_objects(&[]).expect("others work");
        assert!(!hanging.is_finished());
        control.tell("release").expect("it is released");
        let (length, session) = hanging.join().expect("no panic");
        assert_eq!(length.expect("it goes on"), 8);
        session
    });
    session.generate_random_vec(8).expect("no more hanging");
}

#[test]
fn a_call_that_hung_over_a_new_start_never_reaches_the_module() {
    let Some(module) = PrivateModule::new("over") else { return };
    let pkcs11 = load(&module);
    let session = log_in(&pkcs11, module.token());
    let control = module.control();
    control.send(&Command::ResetCalls).expect("it answers");
    control.tell("hang C_GenerateRandom").expect("a fault");
    thread::scope(|scope| {
        let hanging = scope.spawn(move || {
            let failed = code(session.generate_random_vec(8));
            // SoftHSM2 gives the same handles out after a new start: dropped now, it would close the new session.
            std::mem::forget(session);
            failed
        });
        while !control.calls().expect("counts").contains_key(&Function::C_GenerateRandom) {
            thread::yield_now();
        }
        pkcs11.clone().finalize().expect("it ends");
        initialise(&pkcs11);
        let new = log_in(&pkcs11, module.token());
        control.pass().expect("it answers");
        assert!(matches!(hanging.join().expect("no panic"), RvError::SessionHandleInvalid));
        new.generate_random_vec(8).expect("it works");
    });
}

#[test]
fn corruption_flips_one_bit_of_the_output() {
    let Some(module) = PrivateModule::new("corrupt") else { return };
    let session = log_in(&load(&module), module.token());
    let key = key(&session);
    let right = seal(&session, key, b"data").expect("it is sealed");
    // The first of the two calls asks for the length, and has no output.
    module.control().tell("corrupt C_Encrypt count 2").expect("a fault");
    let wrong = seal(&session, key, b"data").expect("it is sealed");
    let differing: u32 = right.iter().zip(&wrong).map(|(one, other)| (one ^ other).count_ones()).sum();
    assert_eq!((right.len(), differing), (wrong.len(), 1));
    open(&session, key, &wrong).expect_err("it is not authentic");
    assert_eq!(seal(&session, key, b"data").expect("it is sealed"), right);
}

#[test]
fn a_wrong_pin_and_another_serial_number_are_reported() {
    let Some(module) = PrivateModule::new("wrong") else { return };
    let pkcs11 = load(&module);
    let slot = slots(&pkcs11, module.token())[0];
    let session = pkcs11.open_rw_session(slot).expect("a session opens");
    let label = &module.token().label;
    module.control().tell(&format!("token {label} wrong-pin")).expect("a fault");
    module.control().tell(&format!("token {label} wrong-token 4711")).expect("a fault");
    module.control().tell("token another wrong-token 4712").expect("a fault");
    let login = || session.login(UserType::User, Some(&pin(module.token())));
    assert!(matches!(code(login()), RvError::PinIncorrect));
    let info = pkcs11.get_token_info(slot).expect("it is described");
    assert_eq!((info.label(), info.serial_number()), (label.as_str(), "4711"));
    module.control().pass().expect("it answers");
    login().expect("the PIN is right");
    assert_eq!(pkcs11.get_token_info(slot).expect("it is described").serial_number(), module.token().serial);
}

#[test]
fn random_faults_come_and_go() {
    let Some(module) = PrivateModule::new("random") else { return };
    let session = log_in(&load(&module), module.token());
    let key = key(&session);
    module.control().tell("random-faults 3 0.2").expect("a fault");
    let sealed: Vec<_> = (0..200).filter_map(|_| seal(&session, key, b"data").ok()).collect();
    assert!((50..150).contains(&sealed.len()), "{} of 200 work, 0.8³ of them should", sealed.len());
    module.control().pass().expect("it answers");
    assert!(sealed.iter().all(|sealed| open(&session, key, sealed).expect("it opens") == b"data"));
}

#[test]
fn the_shim_says_what_it_does_not_understand() {
    let Some(module) = PrivateModule::new("refused") else { return };
    let _pkcs11 = load(&module);
    let error = module.control().tell("explode").expect_err("no command");
    assert!(matches!(error, ControlError::Syntax(_)), "{error}");
    let mut raw = std::os::unix::net::UnixStream::connect(module.control().path()).expect("it listens");
    std::io::Write::write_all(&mut raw, b"explode\ncalls reset\n").expect("it reads");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(raw)).take(2).map(|line| line.expect("a line"));
    assert_eq!(lines.collect::<Vec<_>>(), ["error unknown command: explode", "ok"]);
}

#[test]
fn commands_can_come_from_a_file() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let token = softhsm.token("file");
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::copy(shim_library(), at("shim.so")).expect("a copy");
    fs::copy(softhsm.module(), at("module.so")).expect("a copy");
    let settings = format!("module = {}\ncontrol = {}\n", at("module.so").display(), at("faults").display());
    fs::write(at("shim.so.conf"), settings).expect("settings");
    fs::write(at("faults"), "# nothing yet\n").expect("a file");
    let pkcs11 = Pkcs11::new(at("shim.so")).expect("it loads");
    initialise(&pkcs11);
    let session = log_in(&pkcs11, &token);
    session.generate_random_vec(8).expect("it works");
    fs::write(at("faults"), "# now\nfail C_GenerateRandom CKR_DEVICE_ERROR\nnonsense\n").expect("a file");
    assert!(matches!(code(session.generate_random_vec(8)), RvError::DeviceError));
    assert!(matches!(code(session.generate_random_vec(8)), RvError::DeviceError), "until it changes again");
    fs::write(at("faults"), "").expect("a file");
    session.generate_random_vec(8).expect("it works");
}

#[test]
fn a_shim_without_a_module_does_not_load() {
    let dir = tempfile::tempdir().expect("a directory");
    let shim = dir.path().join("shim.so");
    fs::copy(shim_library(), &shim).expect("a copy");
    for settings in [
        format!("module = {}\n", shim.display()),
        "module = /nowhere/module.so\n".to_owned(),
        "module = /nowhere/module.so\nnonsense\n".to_owned(),
        String::new(),
    ] {
        fs::write(dir.path().join("shim.so.conf"), settings).expect("settings");
        assert!(matches!(code(Pkcs11::new(&shim)), RvError::GeneralError));
    }
}
