use super::*;

const CALL: Function = Function::C_Encrypt;

fn set(faults: &mut Faults, lines: &[&str]) {
    lines.iter().for_each(|line| faults.set(&line.parse().expect("a command")));
}

fn with(lines: &[&str]) -> Faults {
    let mut faults = Faults::default();
    set(&mut faults, lines);
    faults
}

fn on(label: &str) -> Subject {
    Subject { session: Some(1), on_token: true, label: Some(label.to_owned()) }
}

fn verdict(faults: &mut Faults, function: Function, subject: &Subject) -> Verdict {
    faults.verdict(function, subject, &mut Chance(1))
}

/// Which of the next calls fail, as a row of 0 and 1.
fn pattern(faults: &mut Faults, calls: usize) -> String {
    (0..calls).map(|_| if verdict(faults, CALL, &on("a")).fail.is_some() { '1' } else { '0' }).collect()
}

fn answer(faults: &Faults, function: Function, subject: &Subject) -> Option<Code> {
    faults.state(function, subject).map(Code)
}

#[test]
fn a_rule_hits_the_calls_that_it_is_for() {
    for (when, hits) in [
        ("", "11111111"),
        ("count 2", "11000000"),
        ("after 3", "00011111"),
        ("after 2 count 1", "00100000"),
        ("every 3", "00100100"),
        ("after 1 every 2 count 2", "00101000"),
        ("count 0", "00000000"),
    ] {
        let mut faults = with(&[&format!("fail C_Encrypt CKR_DEVICE_ERROR {when}")]);
        assert_eq!(pattern(&mut faults, 8), hits, "{when}");
        assert_eq!(faults.any(), !when.contains("count"), "{when}");
    }
}

#[test]
fn a_rule_is_for_one_function_and_one_token_if_it_says_so() {
    let mut faults = with(&["token a fail C_Encrypt CKR_DEVICE_ERROR"]);
    assert!(faults.scoped());
    assert!(verdict(&mut faults, CALL, &on("a")).fail.is_some());
    assert_eq!(verdict(&mut faults, CALL, &on("b")), Verdict::default());
    assert_eq!(verdict(&mut faults, Function::C_Decrypt, &on("a")), Verdict::default());
    let unknown = Subject { session: Some(1), on_token: true, label: None };
    assert_eq!(verdict(&mut faults, CALL, &unknown), Verdict::default());
    let mut faults = with(&["fail * CKR_DEVICE_ERROR"]);
    assert!(!faults.scoped());
    assert!(verdict(&mut faults, Function::C_Finalize, &Subject::default()).fail.is_some());
    assert_eq!(verdict(&mut faults, Function::C_GetFunctionList, &Subject::default()), Verdict::default());
}

#[test]
fn a_rule_of_the_same_kind_replaces_the_one_before() {
    let mut faults = with(&["latency * 2ms", "latency * 5ms", "latency C_Encrypt 1ms"]);
    assert_eq!(verdict(&mut faults, CALL, &on("a")).delay, Duration::from_millis(6));
    set(&mut faults, &["pass"]);
    assert!(!faults.any());
}

#[test]
fn jitter_stays_within_its_bounds_and_is_not_always_the_same() {
    let mut chance = Chance(7);
    let (base, jitter) = (Duration::from_millis(2), Duration::from_micros(500));
    let times: HashSet<_> = (0..1000).map(|_| chance.around(base, jitter)).collect();
    assert!(times.len() > 900);
    assert!(times.iter().all(|time| (base - jitter..=base + jitter).contains(time)));
    assert!(times.iter().any(|time| *time < base) && times.iter().any(|time| *time > base));
    assert_eq!(chance.around(base, Duration::ZERO), base);
    assert!(chance.around(Duration::ZERO, jitter) <= jitter);
}

#[test]
fn a_broken_link_heals_by_initialising_again() {
    let mut faults = with(&["break-link"]);
    for function in [CALL, Function::C_GetSlotList, Function::C_OpenSession] {
        assert_eq!(answer(&faults, function, &on("a")), Some(codes::CKR_DEVICE_ERROR));
    }
    assert_eq!(answer(&faults, Function::C_Finalize, &Subject::default()), None);
    set(&mut faults, &["restore-link"]);
    assert_eq!(answer(&faults, CALL, &on("a")), Some(codes::CKR_DEVICE_ERROR), "it takes a new start");
    faults.initialised();
    assert!(!faults.any());
}

#[test]
fn a_link_that_is_down_leaves_no_slots_until_it_is_restored_and_initialised_again() {
    let mut faults = with(&["break-link --down"]);
    faults.initialised();
    assert!(faults.no_slots());
    assert_eq!(answer(&faults, CALL, &on("a")), Some(codes::CKR_SESSION_HANDLE_INVALID));
    let slot = Subject { session: None, on_token: true, label: None };
    assert_eq!(answer(&faults, Function::C_OpenSession, &slot), Some(codes::CKR_SLOT_ID_INVALID));
    set(&mut faults, &["restore-link"]);
    assert!(faults.no_slots());
    faults.initialised();
    assert!(!faults.any());
}

#[test]
fn a_removed_token_is_away_until_it_is_restored() {
    let mut faults = with(&["token a remove-token"]);
    let slot = |label: &str| Subject { session: None, ..on(label) };
    assert_eq!(answer(&faults, CALL, &on("a")), Some(codes::CKR_DEVICE_REMOVED));
    assert_eq!(answer(&faults, Function::C_OpenSession, &slot("a")), Some(codes::CKR_TOKEN_NOT_PRESENT));
    assert_eq!(answer(&faults, Function::C_GetSlotInfo, &slot("a")), None);
    assert_eq!(answer(&faults, CALL, &on("b")), None);
    assert!(faults.is_removed(Some("a")) && !faults.is_removed(Some("b")) && !faults.is_removed(None));
    set(&mut faults, &["token b restore-token"]);
    assert!(faults.any());
    set(&mut faults, &["token a restore-token"]);
    assert!(!faults.any());
}

#[test]
fn a_sticky_removal_lasts_until_the_token_is_back_and_the_module_starts_again() {
    let mut faults = with(&["remove-token --sticky"]);
    faults.initialised();
    assert!(faults.is_removed(None), "it is still out");
    set(&mut faults, &["restore-token"]);
    assert!(faults.is_removed(None), "the module has not noticed");
    faults.initialised();
    assert!(!faults.any());
}

#[test]
fn lost_sessions_are_invalid_until_their_handles_are_given_out_again() {
    let mut faults = Faults::default();
    assert_eq!(faults.lose([1, 2]), [1, 2]);
    assert_eq!(faults.lose([2, 3]), [3]);
    assert_eq!(answer(&faults, CALL, &on("a")), Some(codes::CKR_SESSION_HANDLE_INVALID));
    faults.found(1);
    assert_eq!(answer(&faults, CALL, &on("a")), None);
    faults.initialised();
    assert!(!faults.any());
}

#[test]
fn a_wrong_pin_and_a_wrong_serial_number_are_of_their_token() {
    let mut faults = with(&["token a wrong-pin", "token a wrong-token 77", "token b wrong-token 88"]);
    let fail = verdict(&mut faults, Function::C_Login, &on("a")).fail.expect("refused");
    assert_eq!(Code(fail.code), codes::CKR_PIN_INCORRECT);
    assert_eq!(verdict(&mut faults, Function::C_Login, &on("b")).fail, None);
    assert_eq!(verdict(&mut faults, CALL, &on("a")).fail, None);
    assert_eq!(
        (faults.serial(Some("a")), faults.serial(Some("b")), faults.serial(None)),
        (Some("77"), Some("88"), None)
    );
}

#[test]
fn a_release_forgets_hangs_and_nothing_else() {
    let mut faults = with(&["hang C_Encrypt", "fail C_Encrypt CKR_DEVICE_ERROR"]);
    assert_eq!(verdict(&mut faults, CALL, &on("a")).hang, Some(Hang(None)));
    set(&mut faults, &["release"]);
    let after = verdict(&mut faults, CALL, &on("a"));
    assert_eq!((after.hang, after.fail.is_some()), (None, true));
}

#[test]
fn random_faults_follow_their_seed_and_their_rate() {
    let row = |seed: u64| pattern(&mut with(&[&format!("random-faults {seed} 0.25")]), 4000);
    assert_eq!(row(1), row(1));
    assert_ne!(row(1), row(2));
    let hits = row(1).matches('1').count();
    assert!((900..1100).contains(&hits), "{hits}");
    assert!(!with(&["random-faults 1 0"]).any());
    let mut faults = with(&["random-faults 1 1"]);
    let seen: HashSet<_> = (0..500).filter_map(|_| verdict(&mut faults, CALL, &on("a")).fail).collect();
    assert_eq!(seen.len(), TRANSIENT.len() * 2, "every code, with and without the call below");
    for spared in [Function::C_Initialize, Function::C_Finalize, Function::C_CloseSession] {
        assert_eq!(verdict(&mut faults, spared, &on("a")).fail, None);
    }
}
