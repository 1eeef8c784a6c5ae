//! The wrap path: one 32-byte KEK wrapped and unwrapped, by the software backend and by SoftHSM2 with each scheme, from one
//! thread and from two. The figure for two threads is the time of one operation as both together achieve it.

#![expect(clippy::expect_used, reason = "a benchmark that cannot start has nothing to report")]

use std::{
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use hal::{
    Kek, KeyWrapper, Label, RootKeys, SecretBytes, WrapScheme,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
    software::SoftwareHal,
};
use pkcs11_fixtures::SoftHsm;
use zeroize::Zeroizing;

fn wrap_path(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory is made");
    let passphrase = SecretBytes::from(b"benchmark".to_vec());
    let software = SoftwareHal::create(&directory.path().join("roots"), &passphrase).expect("a file is made");
    measure(criterion, "software-aes-kw", &software);
    let Some(softhsm) = SoftHsm::shared() else { return };
    for scheme in [WrapScheme::AesKw, WrapScheme::AesGcm] {
        let token = softhsm.token("bench");
        let hal = Pkcs11Hal::new(Pkcs11Config {
            module: softhsm.module().to_owned(),
            token_label: token.label,
            token_serial: Some(token.serial),
            pin: SecretBytes::from(token.pin.into_bytes()).into(),
            workers: 2,
            queue: 64,
            deadline: Duration::from_secs(10),
            scheme: Some(scheme),
        })
        .expect("the configuration is in range");
        measure(criterion, &format!("softhsm2-{scheme}"), &hal);
    }
}

fn measure(criterion: &mut Criterion, backend: &str, hal: &dyn RootKeys) {
    let root = hal.generate_root(&Label::new("bench").expect("a label")).expect("a root key").key();
    let kek = Kek::new(Zeroizing::new([7; Kek::LEN]));
    let wrapped = hal.wrap_kek(root, &kek).expect("a KEK is wrapped");
    let mut group = criterion.benchmark_group(backend);
    for threads in [1, 2] {
        let wrap = |hal: &dyn KeyWrapper| drop(hal.wrap_kek(root, &kek).expect("a KEK is wrapped"));
        group.bench_function(format!("wrap/{threads}"), |b| {
            b.iter_custom(|count| on_threads(threads, count, hal, &wrap))
        });
        let unwrap = |hal: &dyn KeyWrapper| drop(hal.unwrap_kek(&wrapped).expect("the blob opens"));
        group.bench_function(format!("unwrap/{threads}"), |b| {
            b.iter_custom(|count| on_threads(threads, count, hal, &unwrap))
        });
    }
    group.finish();
}

/// Time for `count` operations, shared among the threads.
fn on_threads(threads: u64, count: u64, hal: &dyn RootKeys, operation: &(dyn Fn(&dyn KeyWrapper) + Sync)) -> Duration {
    let start = Instant::now();
    if threads == 1 {
        (0..count).for_each(|_| operation(hal));
        return start.elapsed();
    }
    thread::scope(|scope| {
        for index in 0..threads {
            let share = count / threads + u64::from(index < count % threads);
            scope.spawn(move || (0..share).for_each(|_| operation(hal)));
        }
    });
    start.elapsed()
}

criterion_group!(benches, wrap_path);
criterion_main!(benches);
