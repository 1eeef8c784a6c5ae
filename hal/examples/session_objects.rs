//! Shows that wrapping and unwrapping leaves no session object on a token, and no memory behind.
//!
//! ```sh
//! cargo run --release -p hal --example session_objects            # 100000 of each
//! cargo run --release -p hal --example session_objects -- 1000000
//! ```
//!
//! On SoftHSM2 and, where `scripts/kryoptic.sh` has built it, on kryoptic: for each wrap scheme that works, threads wrap and
//! unwrap, every tenth time a damaged blob too; then the objects of the process's sessions are counted and compared with
//! before. It fails where one was left.

#![allow(clippy::expect_used, clippy::panic, reason = "a demonstration fails by panicking")]

use std::{env, fs, path::Path, process::ExitCode, thread, time::Duration};

use hal::{
    HalError, Kek, KeyWrapper as _, Label, Refusal, RootKeyVersion, RootKeys as _, SecretBytes, WrapScheme,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
};
use pkcs11_fixtures::{Kryoptic, SoftHsm, Token};
use zeroize::Zeroizing;

const THREADS: usize = 4;
const SCHEMES: [WrapScheme; 3] = [WrapScheme::AesGcm, WrapScheme::AesKw, WrapScheme::AesKwp];

fn main() -> ExitCode {
    let count = env::args().nth(1).map_or(100_000, |count| count.parse().expect("a number of wraps"));
    let mut left_in_all = 0;
    if let Some(softhsm) = SoftHsm::shared() {
        let objects = |token: &Token| softhsm.session_objects(token);
        left_in_all += on("SoftHSM2", softhsm.module(), &|| softhsm.token("leaks"), &objects, count);
    }
    if let Some(kryoptic) = Kryoptic::shared() {
        let objects = |token: &Token| kryoptic.session_objects(token);
        left_in_all += on("kryoptic", kryoptic.module(), &|| kryoptic.token("leaks"), &objects, count);
    }
    if left_in_all == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries each scheme on a token of its own; returns how many objects were left.
fn on(name: &str, module: &Path, token: &dyn Fn() -> Token, objects: &dyn Fn(&Token) -> usize, count: usize) -> usize {
    let mut left_in_all = 0;
    for scheme in SCHEMES {
        let token = token();
        let Some(hal) = open(module, &token, scheme) else {
            println!("{name} {scheme}: not offered");
            continue;
        };
        let label = Label::new("leaks").expect("a label");
        let root = match hal.generate_root(&label) {
            Ok(root) => root.key(),
            Err(HalError::Refused(Refusal::NoWorkingScheme)) => {
                println!("{name} {scheme}: not offered");
                continue;
            }
            Err(error) => panic!("{name} {scheme}: {error}"),
        };
        let (before, memory) = (objects(&token), resident_kib());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let hal = &hal;
                scope
                    .spawn(move || wrap_and_unwrap(hal, root, count / THREADS + usize::from(thread < count % THREADS)));
            }
        });
        let left = objects(&token).saturating_sub(before);
        let grown = resident_kib().saturating_sub(memory);
        println!("{name} {scheme}: {count} wraps and unwraps left {left} session objects, and {grown} KiB of memory");
        left_in_all += left;
    }
    left_in_all
}

fn open(module: &Path, token: &Token, scheme: WrapScheme) -> Option<Pkcs11Hal> {
    Pkcs11Hal::new(Pkcs11Config {
        module: module.to_owned(),
        token_label: token.label.clone(),
        token_serial: Some(token.serial.clone()),
        pin: SecretBytes::from(token.pin.clone().into_bytes()).into(),
        workers: THREADS,
        queue: 64,
        deadline: Duration::from_secs(60),
        scheme: Some(scheme),
        provider: None,
    })
    .ok()
}

fn wrap_and_unwrap(hal: &Pkcs11Hal, root: RootKeyVersion, count: usize) {
    let kek = Kek::new(Zeroizing::new([7; Kek::LEN]));
    for turn in 0..count {
        let mut wrapped = hal.wrap_kek(root, &kek).expect("a KEK is wrapped");
        assert!(hal.unwrap_kek(&wrapped).expect("it opens").is_same(&kek), "another KEK came back");
        if turn % 10 == 0 {
            wrapped.ciphertext.iter_mut().take(1).for_each(|byte| *byte ^= 1);
            assert_eq!(hal.unwrap_kek(&wrapped).expect_err("it is damaged"), HalError::Tampered);
        }
    }
}

/// What the process has in memory, where the system says so.
fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
