//! Random faults, one after the other, for 30 seconds, or for as many as KEYSTEAD_SOAK_SECONDS says:
//!
//! ```text
//! KEYSTEAD_SOAK_SECONDS=600 cargo test --test main soak -- --nocapture
//! ```
//!
//! KEYSTEAD_SOAK_SEED repeats the faults of an earlier run, as far as the moments at which they strike can be repeated.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    clients::{self, ALL, Log, Work},
    ledger::Ledger,
};
use crate::harness::hsm::{HsmServer, wait_until};

/// A fault: its name, how it begins, how it ends.
type Fault = (&'static str, fn(&HsmServer), fn(&HsmServer));

/// What may strike.
const FAULTS: &[Fault] = &[
    ("link drops", |s| s.fault("break-link --down"), |s| s.fault("restore-link")),
    ("link resets", |s| s.fault("break-link"), |_| {}),
    ("token pulled", |s| s.fault("remove-token"), |s| s.fault("restore-token")),
    ("token pulled, stale when back", |s| s.fault("remove-token --sticky"), |s| s.fault("restore-token")),
    ("token's files away", HsmServer::take_token_away, HsmServer::put_token_back),
    ("sessions lost", |s| s.fault("lose-sessions"), |_| {}),
    ("logged out", |s| s.fault("log-out"), |_| {}),
    (
        "another token",
        |s| {
            s.fault("wrong-token 0000000000000001");
            s.fault("break-link");
        },
        |s| s.fault("pass"),
    ),
    ("hang", |s| s.fault("hang C_Decrypt"), |s| s.fault("release")),
    ("hang of one call", |s| s.fault("hang C_Encrypt count 1"), |s| s.fault("release")),
    ("slow", |s| s.fault("latency * 5ms jitter 4ms"), |s| s.fault("pass")),
    ("flaky", |s| s.fault("random-faults 7 0.03"), |s| s.fault("pass")),
    ("answers lost", |s| s.fault("fail C_Encrypt CKR_DEVICE_ERROR done every 17"), |s| s.fault("pass")),
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn soak_of_random_faults() {
    let seconds = number("KEYSTEAD_SOAK_SECONDS").unwrap_or(30);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = number("KEYSTEAD_SOAK_SEED").unwrap_or(now);
    println!("soak for {seconds} s, KEYSTEAD_SOAK_SEED={seed}");
    let Some(mut server) = HsmServer::start("soak", &[("deadline_ms", "1000"), ("workers", "4")]) else { return };
    let (ledger, log) = (Ledger::default(), Log::default());
    let mut struck = BTreeMap::new();
    thread::scope(|scope| {
        let works = ALL.into_iter().chain([Work::Create, Work::Get, Work::Get]);
        let connections = works.map(|work| (work, server.connect())).collect();
        // Long runs work at a slower pace: it is faults that they want many of, not keys.
        let pause = Duration::from_millis(if seconds > 60 { 20 } else { 5 });
        let clients = clients::start(scope, connections, &ledger, &log, pause);
        wait_until("all work gets done", || ALL.into_iter().all(|work| log.of(work).good >= 20));
        let (start, mut dice) = (Instant::now(), seed);
        let mut roll = |sides: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % sides
        };
        while start.elapsed() < Duration::from_secs(seconds) {
            let place = usize::try_from(roll(FAULTS.len() as u64)).unwrap();
            let (name, begin, end) = FAULTS[place];
            begin(&server);
            thread::park_timeout(Duration::from_millis(50 + roll(1500)));
            end(&server);
            log.mark();
            let over = Instant::now();
            wait_until(&format!("all work gets done after: {name}"), || {
                [Work::Create, Work::Get].into_iter().all(|work| log.of(work).in_a_row >= 10)
            });
            let (times, longest): &mut (u32, Duration) = struck.entry(name).or_default();
            *times += 1;
            *longest = (*longest).max(over.elapsed());
        }
        drop(clients);
    });
    ledger.check(&mut server.connect());
    let lines = server.stop().join("\n");
    assert!(!lines.contains("panicked"), "{lines}");
    for (name, (times, longest)) in &struck {
        println!("{name}: {times} times, whole again within {longest:?}");
    }
    let (live, destroyed) = ledger.counts();
    for work in ALL {
        let answers = log.of(work);
        println!("{work:?}: {} done, {} refused, longest answer {:?}", answers.good, answers.bad, answers.longest);
    }
    println!("{live} live and {destroyed} destroyed keys are as acknowledged");
}
