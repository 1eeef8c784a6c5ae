//! A server on two tokens that hold the same root key: made by a ceremony, imported into both, and one may go at any time.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use kmip::version::Version;
use pkcs11_fixtures::{SoftHsm, Token};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cli::succeed,
    harness::{
        ask::{get, made, material},
        create_aes, name,
        server::{Server, write_private},
    },
    root_keys::{adapter, hold, refuse, run, shares, versions},
};

/// A data directory that was made on the first of two tokens and then given both.
pub fn site(hsm: &SoftHsm, tokens: &[Token; 2], folder: &TempDir) -> PathBuf {
    let dir = folder.path().join("site");
    let pins = [folder.path().join("pin-a"), folder.path().join("pin-b")];
    for (pin, token) in pins.iter().zip(tokens) {
        write_private(pin, &token.pin);
    }
    let [first, second] = tokens;
    succeed(&format!(
        "init --dir {} --hsm pkcs11 --module {} --token-label {} --pin-file {} --tls-key ecdsa-p256 --adapter local",
        dir.display(),
        hsm.module().display(),
        first.label,
        pins[0].display()
    ));
    let config = dir.join("keystead.toml");
    let text = fs::read_to_string(&config).unwrap();
    let label = format!("token_label = \"{}\"", first.label);
    assert!(text.contains(&label) && text.contains("deadline_ms = 2000"));
    let table = |token: &Token, pin: &Path| format!("{{ token_label = {:?}, pin_file = {pin:?} }}", token.label);
    let both = format!("tokens = [{}, {}]", table(first, &pins[0]), table(second, &pins[1]));
    // The machine that runs the tests may be busy.
    fs::write(&config, text.replace(&label, &both).replace("deadline_ms = 2000", "deadline_ms = 20000")).unwrap();
    dir
}

fn json(dir: &Path, line: &str) -> Value {
    serde_json::from_str(&run(dir, &format!("{line} --json"))).unwrap()
}

#[test]
fn a_root_key_lies_on_both_tokens_and_either_serves_alone_with_no_failed_request() {
    let Some(hsm) = SoftHsm::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let tokens = [hsm.token("one"), hsm.token("two")];
    let dir = site(hsm, &tokens, &folder);

    let probe = json(&dir, "hsm probe");
    assert_eq!(probe["usable"], true, "{probe}");
    let slots = probe["modules"][0]["slots"].as_array().unwrap();
    assert_eq!(slots.iter().filter(|slot| slot["trial"]["usable"] == true).count(), 2);
    let said = refuse(&dir, "root-key create alone");
    assert!(said.contains("ceremony"), "{said}");
    let (files, _) = hold(&folder.path().join("shares"), "shared", 2, 3);
    run(&dir, &format!("root-key import {}", shares(&files[..2])));
    let shared = versions(&dir, "shared").remove(0);
    let serials: Vec<_> = shared["hsm"]["tokens"].as_array().unwrap().iter().map(|token| &token["serial"]).collect();
    assert_eq!(serials, [tokens[0].serial.as_str(), tokens[1].serial.as_str()]);
    let attested = folder.path().join("shared.json");
    run(&dir, &format!("root-key attest shared --out {}", attested.display()));
    let checked = succeed(&format!("root-key verify-attestation {} --json", attested.display()));
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["statement"]["claim"]["copies"].as_array().unwrap().len(), 2, "{checked}");
    adapter(&dir, "vault", "shared");

    let server = Server::serving(&dir, &[]);
    let (stop, done, running) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(4));
    thread::scope(|scope| {
        for client in 0..4 {
            let (server, stop, done, running) = (&server, &stop, &done, &running);
            scope.spawn(move || {
                let _ends = Ends(running);
                let mut connection = server.connect_as("vault", Version::V1_4);
                let mut turn = 0;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let id = made(connection.call(create_aes(256, [name(&format!("{client} {turn}"))])).unwrap());
                    assert_eq!(material(connection.call(get(&id)).unwrap()).len(), 32);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stops = Stops(&stop);
        let calls = |more| {
            let until = done.load(Ordering::Relaxed) + more;
            let begun = Instant::now();
            while done.load(Ordering::Relaxed) < until && running.load(Ordering::Relaxed) == 4 {
                assert!(begun.elapsed() < Duration::from_secs(120), "the clients get nowhere");
                thread::yield_now();
            }
        };
        calls(20);
        for token in &tokens {
            let (here, away) = (hsm.token_directory(token), folder.path().join(&token.serial));
            fs::rename(&here, &away).unwrap();
            server.wait_for("calls go to the others");
            calls(20);
            fs::rename(&away, &here).unwrap();
            server.wait_for("the token serves again");
            calls(20);
        }
    });
    server.stop();
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
