use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::codes;

fn read(line: &str) -> Command {
    line.parse().unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn rule(line: &str) -> Rule {
    match read(line) {
        Command::Rule(rule) => rule,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn rules_are_read() {
    let latency = rule("latency * 2ms jitter 500us");
    assert_eq!((latency.scope, latency.function, latency.when), (None, None, When::default()));
    assert_eq!(latency.fault, Fault::Latency { base: Duration::from_millis(2), jitter: Duration::from_micros(500) });
    let fail = rule("token \"my token\"  fail C_Encrypt CKR_DEVICE_ERROR done after 3 every 2 count 5");
    assert_eq!((fail.scope.as_deref(), fail.function), (Some("my token"), Some(Function::C_Encrypt)));
    assert_eq!(fail.fault, Fault::Fail { code: codes::CKR_DEVICE_ERROR, done: true });
    assert_eq!(fail.when, When { after: 3, every: 2, count: Some(5) });
    assert_eq!(rule("fail C_Sign 0x80000001").fault, Fault::Fail { code: Code(0x8000_0001), done: false });
    assert_eq!(rule("fail C_Sign 48").fault, Fault::Fail { code: codes::CKR_DEVICE_ERROR, done: false });
    assert_eq!(rule("hang C_Decrypt 30s").fault, Fault::Hang(Some(Duration::from_secs(30))));
    let hang = rule("hang C_Decrypt count 1");
    assert_eq!((hang.fault, hang.when.count), (Fault::Hang(None), Some(1)));
    assert_eq!(rule("corrupt C_WrapKey").fault, Fault::Corrupt);
}

#[test]
fn commands_are_read() {
    assert_eq!(
        read("token a remove-token --sticky"),
        Command::RemoveToken { scope: Some("a".to_owned()), sticky: true }
    );
    assert_eq!(read("remove-token"), Command::RemoveToken { scope: None, sticky: false });
    assert_eq!(read("break-link --down"), Command::BreakLink { down: true });
    assert_eq!(read("wrong-token 0123"), Command::WrongToken { scope: None, serial: "0123".to_owned() });
    assert_eq!(read("random-faults 42 0.25"), Command::RandomFaults { seed: 42, rate: 0.25 });
    assert_eq!((read("calls"), read("calls reset")), (Command::Calls, Command::ResetCalls));
    assert_eq!(read("token token log-out"), Command::LogOut(Some("token".to_owned())));
}

#[test]
fn what_is_no_command_is_refused_with_the_reason() {
    for (line, why) in [
        ("", "a command is missing"),
        ("explode", "unknown command: explode"),
        ("token a", "a command is missing"),
        ("token a pass", "pass is not about one token"),
        ("token a break-link", "break-link is not about one token"),
        ("fail C_Encrypts CKR_OK", "unknown function: C_Encrypts"),
        ("fail C_Encrypt CKR_NONE", "unknown return code: CKR_NONE"),
        ("fail C_Encrypt", "a CKR_ code is missing"),
        ("fail C_Encrypt CKR_OK after", "a number is missing"),
        ("fail C_Encrypt CKR_OK count -1", "no number: -1"),
        ("fail C_Encrypt CKR_OK twice", "unexpected: twice"),
        ("latency * 2", "no duration (as 30s, 2ms, 500us): 2"),
        ("latency * 99999999999s", "no duration: 99999999999s"),
        ("hang C_Decrypt 30", "unexpected: 30"),
        ("corrupt C_UnwrapKey", "C_UnwrapKey has no output of bytes"),
        ("wrong-token 01234567890123456", "a serial number has at most 16 ASCII characters"),
        ("random-faults 1 1.5", "no probability from 0 to 1: 1.5"),
        ("token \"a remove-token", "a quotation mark is missing"),
        ("release all", "unexpected: all"),
    ] {
        assert_eq!(line.parse::<Command>().expect_err(line).to_string(), why);
    }
}

fn scopes() -> impl Strategy<Value = Scope> {
    proptest::option::of("[ -~é]{0,12}")
}

fn durations() -> impl Strategy<Value = Duration> {
    (any::<u32>(), prop_oneof![Just(1), Just(1_000), Just(1_000_000), Just(1_000_000_000)])
        .prop_map(|(number, unit)| Duration::from_nanos(u64::from(number) * unit))
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (durations(), durations()).prop_map(|(base, jitter)| Fault::Latency { base, jitter }),
        (0_u64..0x200, any::<bool>()).prop_map(|(code, done)| Fault::Fail { code: Code(code), done }),
        proptest::option::of(durations()).prop_map(Fault::Hang),
        Just(Fault::Corrupt),
    ]
}

fn rules() -> impl Strategy<Value = Rule> {
    let functions = proptest::option::of(proptest::sample::select(Function::ALL));
    let whens = (any::<u64>(), 2_u64.., proptest::option::of(any::<u64>())).prop_map(|(after, every, count)| When {
        after,
        every,
        count,
    });
    (scopes(), functions, faults(), whens).prop_map(|(scope, function, fault, when)| {
        let spoils = function.is_none_or(Function::writes_bytes);
        Rule { scope, function: function.filter(|_| fault != Fault::Corrupt || spoils), fault, when }
    })
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        rules().prop_map(Command::Rule),
        scopes().prop_map(Command::LoseSessions),
        scopes().prop_map(Command::LogOut),
        (scopes(), any::<bool>()).prop_map(|(scope, sticky)| Command::RemoveToken { scope, sticky }),
        scopes().prop_map(Command::RestoreToken),
        any::<bool>().prop_map(|down| Command::BreakLink { down }),
        (scopes(), "[ -~]{0,16}").prop_map(|(scope, serial)| Command::WrongToken { scope, serial }),
        scopes().prop_map(Command::WrongPin),
        (any::<u64>(), 0.0..=1.0).prop_map(|(seed, rate)| Command::RandomFaults { seed, rate }),
        proptest::sample::select(vec![
            Command::Release,
            Command::RestoreLink,
            Command::Pass,
            Command::Calls,
            Command::ResetCalls,
        ]),
    ]
}

proptest! {
    #[test]
    fn every_command_reads_back_from_its_text(command in commands()) {
        prop_assert_eq!(read(&command.to_string()), command);
    }
}
