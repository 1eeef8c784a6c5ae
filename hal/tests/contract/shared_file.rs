//! Several processes with one file of the software backend: two backends on one file are to each other what processes are,
//! because each opens the file and its lock for itself.

use std::{
    collections::BTreeSet,
    fs,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use hal::{
    DestroyConsent, HalError, Health, KeyWrapper as _, Refusal, RootKeys as _, SecretBytes, SignScheme, SignerKind,
    software::SoftwareHal,
};

use crate::{
    backends::{PASSPHRASE, Software, secret, software},
    suite::{kek, label, new_key},
};

/// A second backend on the file of the first.
fn beside(first: &Software) -> SoftwareHal {
    SoftwareHal::open(&first.hal.path(), &secret(PASSPHRASE)).expect("the file opens")
}

fn poll(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn a_key_made_by_one_is_used_by_the_other() {
    let first = software();
    let second = beside(&first);
    let root = second.generate_root(&label("root")).expect("a root key");
    let wrapped = first.hal.wrap_kek(root.key(), &kek(7)).expect("a KEK is wrapped");
    assert_eq!(second.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    let signer = first.hal.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect("a signing key");
    second.sign(signer.id, b"message", SignScheme::EcdsaP256Sha256).expect("a signature");
    let version = second.generate_version(root.key().next().expect("a version"), &label("root")).expect("a root key");
    // Lists and descriptions are never of an earlier state.
    assert_eq!(first.hal.list_roots().expect("a list"), [root.clone(), version]);
    let imported =
        second.import_root(new_key(), &label("imported"), SecretBytes::from(vec![9; 32])).expect("a root key");
    assert_eq!(first.hal.describe_root(imported.key()).expect("a description"), imported);
    let other = second.generate_signer(&label("other"), SignerKind::EcdsaP256).expect("a signing key");
    assert_eq!(first.hal.find_signer(&label("other")).expect("an answer"), Some(other));
    // The nearest thing: what is in no file.
    let unknown = new_key();
    assert_eq!(first.hal.wrap_kek(unknown, &kek(7)).expect_err("unknown"), HalError::UnknownRootKey(unknown));
}

#[test]
fn a_label_that_the_other_gave_is_taken() {
    let first = software();
    let second = beside(&first);
    first.hal.generate_root(&label("root")).expect("a root key");
    first.hal.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect("a signing key");
    let taken = HalError::Refused(Refusal::LabelTaken);
    assert_eq!(second.generate_root(&label("root")).expect_err("it is taken"), taken);
    assert_eq!(second.generate_signer(&label("signer"), SignerKind::EcdsaP256).expect_err("it is taken"), taken);
}

#[test]
fn of_keys_made_at_once_none_is_lost() {
    const THREADS: usize = 8;
    const EACH: usize = 6;
    let first = software();
    let others = [beside(&first), beside(&first), beside(&first)];
    let backends = [&first.hal, &others[0], &others[1], &others[2]];
    let start = Barrier::new(THREADS);
    let made: BTreeSet<String> = thread::scope(|scope| {
        let work = |thread: usize| {
            let (hal, start) = (backends[thread % backends.len()], &start);
            move || {
                start.wait();
                let make = |number| {
                    let name = format!("root-{thread}-{number}");
                    let root = hal.generate_root(&label(&name)).expect("a root key");
                    hal.generate_signer(&label(&name), SignerKind::EcdsaP256).expect("a signing key");
                    if number % 2 == 0 {
                        return Some(name);
                    }
                    hal.destroy_root(root.key(), DestroyConsent::approved_for(root.key())).expect("it is destroyed");
                    None
                };
                (0..EACH).filter_map(make).collect::<Vec<_>>()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends well")).collect()
    });
    assert_eq!(made.len(), THREADS * EACH / 2);
    let afresh = beside(&first);
    for hal in backends.into_iter().chain([&afresh]) {
        let listed: Vec<_> = hal.list_roots().expect("a list").iter().map(|root| root.label.to_string()).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), made);
        assert_eq!(listed.len(), made.len());
        for thread in 0..THREADS {
            for number in 0..EACH {
                let found = hal.find_signer(&label(&format!("root-{thread}-{number}"))).expect("an answer");
                assert!(found.is_some(), "{thread} {number}");
            }
        }
    }
}

#[test]
fn a_key_destroyed_by_one_stops_in_the_other() {
    let first = software();
    let second = beside(&first);
    let doomed = first.hal.generate_root(&label("doomed")).expect("a root key").key();
    let kept = first.hal.generate_root(&label("kept")).expect("a root key").key();
    let wrapped = [doomed, kept].map(|key| second.wrap_kek(key, &kek(7)).expect("a KEK is wrapped"));
    first.hal.destroy_root(doomed, DestroyConsent::approved_for(doomed)).expect("it is destroyed");
    // Nothing asks the second for anything but the use of keys.
    let mut last = None;
    poll("the key stops", || {
        last = second.unwrap_kek(&wrapped[0]).err();
        last.is_some()
    });
    assert_eq!(last, Some(HalError::UnknownRootKey(doomed)));
    assert_eq!(second.wrap_kek(doomed, &kek(7)).expect_err("it is gone"), HalError::UnknownRootKey(doomed));
    second.unwrap_kek(&wrapped[1]).expect("the other key is there");
    // Nor does a change by the second bring it back.
    second.generate_root(&label("new")).expect("a root key");
    assert_eq!(first.hal.describe_root(doomed).expect_err("it is gone"), HalError::UnknownRootKey(doomed));
}

#[test]
fn a_file_damaged_in_between_is_told_and_nothing_is_written_over_it() {
    let first = software();
    let root = first.hal.generate_root(&label("root")).expect("a root key").key();
    let second = beside(&first);
    let wrapped = second.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    let path = first.hal.path();
    let good = fs::read(&path).expect("it is readable");
    let mut bad = good.clone();
    bad[60] ^= 1;
    fs::write(&path, &bad).expect("it is writable");
    let corrupt = HalError::Refused(Refusal::FileCorrupt);
    for hal in [&first.hal, &second] {
        assert_eq!(hal.generate_root(&label("new")).expect_err("damaged"), corrupt);
        assert_eq!(hal.list_roots().expect_err("damaged"), corrupt);
        assert_eq!(hal.describe_root(root).expect_err("damaged"), corrupt);
        // A key that is not in memory may be in the file.
        assert_eq!(hal.wrap_kek(new_key(), &kek(7)).expect_err("damaged"), corrupt);
        assert_eq!(hal.destroy_root(root, DestroyConsent::approved_for(root)).expect_err("damaged"), corrupt);
        hal.unwrap_kek(&wrapped).expect("what is in memory stays in use");
        assert_eq!(hal.health(), Health::Ready);
    }
    assert_eq!(fs::read(&path).expect("it is readable"), bad);
    fs::write(&path, &good).expect("it is restored");
    second.generate_root(&label("new")).expect("a root key");
    assert_eq!(first.hal.list_roots().expect("a list").len(), 2);
}

#[test]
fn a_file_that_was_made_anew_is_not_taken_for_the_old_one() {
    let first = software();
    let root = first.hal.generate_root(&label("root")).expect("a root key").key();
    let path = first.hal.path();
    let second = beside(&first);
    fs::remove_file(&path).expect("it is removed");
    let other = SoftwareHal::create(&path, &secret(PASSPHRASE)).expect("a file is made");
    let replaced = HalError::Refused(Refusal::FileReplaced);
    assert_eq!(second.list_roots().expect_err("another file"), replaced);
    assert_eq!(second.generate_root(&label("new")).expect_err("another file"), replaced);
    second.wrap_kek(root, &kek(7)).expect("what is in memory stays in use");
    assert_eq!(other.list_roots().expect("a list"), []);
}

#[test]
fn of_those_who_make_one_file_at_once_one_makes_it() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path().join("roots");
    let start = Barrier::new(4);
    let made: Vec<_> = thread::scope(|scope| {
        let create = || {
            start.wait();
            SoftwareHal::create(&path, &secret(PASSPHRASE))
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends well")).collect()
    });
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    let exists = HalError::Refused(Refusal::File(std::io::ErrorKind::AlreadyExists));
    assert!(made.iter().filter_map(|made| made.as_ref().err()).all(|error| *error == exists));
}
