//! Each fault of a token against Create, Get and Destroy at work, and a root key being rotated.
//!
//! The server's HSM deadline is one second. Whatever the fault, no answer takes much longer, no wrong answer is given, nothing
//! acknowledged is lost, and all is well again by itself when the fault is over; how long that took is printed.

use std::{
    fs::rename,
    thread,
    time::{Duration, Instant},
};

use kmip::attributes::Attribute;

use super::{
    clients::{self, ALL, Log, Work},
    ledger::{GROUP, Ledger},
};
use crate::harness::{
    ask::made,
    create_aes,
    hsm::{HsmServer, wait_until},
    server::{Connection, write_private},
};

/// One kind of fault.
struct Fault {
    name: &'static str,
    begin: fn(&HsmServer),
    end: fn(&HsmServer),
    /// Whether clients notice; if not, the server mends it within the request.
    seen: bool,
    /// What the operator reads in the log.
    log: &'static [&'static str],
}

fn run(fault: &Fault) {
    // At this rate the rotation of what is there takes longer than the fault.
    let settings = [("deadline_ms", "1000"), ("workers", "4"), ("rotation_per_second", "50")];
    let Some(mut server) = HsmServer::start(fault.name, &settings) else { return };
    let (ledger, log) = (Ledger::default(), Log::default());
    let mut outage = None;
    thread::scope(|scope| {
        let connections = ALL.into_iter().chain([Work::Get]).map(|work| (work, server.connect())).collect();
        let clients = clients::start(scope, connections, &ledger, &log, Duration::from_millis(2));
        wait_until("all work gets done", || ALL.into_iter().all(|work| log.of(work).good >= 20));
        assert!(server.is_ready());

        make_some(&mut server.connect(), &ledger);
        server.admin("root-key rotate keystead-root");
        let refused_before = refused(&log);
        assert_eq!(refused_before, 0, "nothing is refused while all is well");
        log.mark();
        (fault.begin)(&server);
        if fault.seen {
            wait_until("clients notice", || [Work::Create, Work::Get].into_iter().all(|work| log.of(work).bad >= 1));
            wait_until("it is not ready", || !server.is_ready());
            // Destroy does not need the token.
            let destroyed = log.of(Work::Destroy).good;
            wait_until("Destroy goes on", || log.of(Work::Destroy).good >= destroyed + 5 || ledger.counts().0 < 20);
        } else {
            wait_until("work goes on", || {
                [Work::Create, Work::Get].into_iter().all(|work| log.of(work).in_a_row >= 50)
            });
        }
        log.mark();
        let over = Instant::now();
        (fault.end)(&server);
        wait_until("all work gets done again", || {
            [Work::Create, Work::Get].into_iter().all(|work| log.of(work).in_a_row >= 20)
        });
        wait_until("it is ready again", || server.is_ready());
        let back = [Work::Create, Work::Get].into_iter().filter_map(|work| log.of(work).since).max();
        outage = back.map(|back| back.saturating_duration_since(over));
        let rotation = || server.admin("root-key describe keystead-root");
        wait_until("the rotation finishes", || rotation().contains("finished"));
        assert!(rotation().contains(", 0 damaged"), "{}", rotation());
        drop(clients);
    });
    ledger.check(&mut server.connect());
    let lines = server.stop().join("\n");
    for part in fault.log {
        assert!(lines.contains(part), "no line tells the operator {part:?}:\n{lines}");
    }
    assert!(!lines.contains("panicked"), "{lines}");
    report(fault, &log, &ledger, outage.unwrap_or_default(), refused(&log));
}

/// Enough for a rotation that is still at work when the fault begins.
fn make_some(client: &mut Connection, ledger: &Ledger) {
    for _ in 0..100 {
        let response = client.call(create_aes(256, [Attribute::ObjectGroup(GROUP.to_owned())])).unwrap();
        ledger.made(made(response));
    }
}

fn refused(log: &Log) -> usize {
    ALL.into_iter().map(|work| log.of(work).bad).sum()
}

fn report(fault: &Fault, log: &Log, ledger: &Ledger, whole_after: Duration, refused: usize) {
    let (live, destroyed) = ledger.counts();
    let longest = ALL.into_iter().map(|work| log.of(work).longest).max().unwrap_or_default();
    println!(
        "{}: whole {whole_after:?} after the fault was over; {live} live and {destroyed} destroyed keys are as acknowledged; \
         {refused} requests refused; longest answer {longest:?}",
        fault.name,
    );
    if !fault.seen {
        assert_eq!(refused, 0, "the server mends this within the request");
    }
}

#[test]
fn link_drops_and_comes_back() {
    run(&Fault {
        name: "link-drop",
        begin: |server| server.fault("break-link --down"),
        end: |server| server.fault("restore-link"),
        seen: true,
        log: &["token"],
    });
}

#[test]
fn token_process_is_killed_and_started_again() {
    // As p11-kit has it: all calls fail, in every session, until the module is initialised anew, which works at once.
    run(&Fault {
        name: "token-process",
        begin: |server| server.fault("break-link --down"),
        end: |server| {
            server.fault("restore-link");
            server.fault("break-link");
        },
        seen: true,
        log: &["token"],
    });
}

#[test]
fn token_directory_is_moved_away_and_back() {
    run(&Fault {
        name: "directory-away",
        begin: HsmServer::take_token_away,
        end: HsmServer::put_token_back,
        seen: true,
        log: &["token"],
    });
}

#[test]
fn token_is_pulled_and_put_back() {
    run(&Fault {
        name: "token-pulled",
        begin: |server| server.fault("remove-token --sticky"),
        end: |server| server.fault("restore-token"),
        seen: true,
        log: &["token"],
    });
}

#[test]
fn sessions_are_lost() {
    run(&Fault {
        name: "sessions-lost",
        begin: |server| server.fault("lose-sessions"),
        end: |_| {},
        seen: false,
        log: &[],
    });
}

#[test]
fn somebody_else_logs_the_process_out() {
    run(&Fault { name: "logged-out", begin: |server| server.fault("log-out"), end: |_| {}, seen: false, log: &[] });
}

#[test]
fn the_pin_changes_and_the_pin_file_follows() {
    run(&Fault {
        name: "pin-changed",
        begin: |server| {
            let new = server.change_pin();
            write_private(&server.dir().join("new-pin"), &new);
            // SoftHSM2 reads the new PIN when it is initialised.
            server.fault("break-link");
            server.server().wait_for("PIN");
        },
        end: |server| rename(server.dir().join("new-pin"), server.pin_file()).unwrap(),
        seen: true,
        log: &["token"],
    });
}

#[test]
fn another_token_with_the_same_label_is_refused() {
    run(&Fault {
        name: "another-token",
        begin: |server| {
            server.fault("wrong-token 0000000000000001");
            server.fault("break-link");
            server.server().wait_for("serial");
        },
        end: |server| server.fault("pass"),
        seen: true,
        log: &["token"],
    });
}

#[test]
fn the_module_hangs() {
    run(&Fault {
        name: "hang",
        begin: |server| server.fault("hang * 30s"),
        end: |server| server.fault("release"),
        seen: true,
        log: &["deadline"],
    });
}

#[test]
fn a_flaky_token_answers_with_errors() {
    run(&Fault {
        name: "flaky",
        begin: |server| {
            server.fault("fail C_Encrypt CKR_DEVICE_ERROR every 13");
            server.fault("fail C_Decrypt CKR_GENERAL_ERROR every 11");
        },
        end: |server| server.fault("pass"),
        seen: false,
        log: &[],
    });
}
