//! Versions of root keys: made, imported, told apart, re-wrapped, destroyed one by one.

use hal::{DestroyConsent, HalError, Kcv, KcvMethod, Refusal, RootKeyVersion, RootKeys, SecretBytes, WrappedKek};

use super::{assert_opens, assert_refused, kek, label, new_key, new_root, nobody};

fn next(key: RootKeyVersion) -> RootKeyVersion {
    key.next().expect("a version")
}

/// A root key of two versions.
fn two_versions(hal: &dyn RootKeys, name: &str) -> (RootKeyVersion, RootKeyVersion) {
    let first = new_root(hal, name);
    let second = hal.generate_version(next(first), &label(name)).expect("the next version").key();
    assert_eq!(second, next(first));
    (first, second)
}

fn wrapped(hal: &dyn RootKeys, under: RootKeyVersion, fill: u8) -> WrappedKek {
    hal.wrap_kek(under, &kek(fill)).expect("a KEK is wrapped")
}

pub(crate) fn a_blob_of_another_version_is_refused(hal: &dyn RootKeys) {
    let root = new_root(hal, "root");
    let second = next(root);
    let moved = WrappedKek { version: second.version, ..wrapped(hal, root, 7) };
    assert_refused(hal, &moved, &HalError::UnknownRootKey(second));
    hal.generate_version(second, &label("root")).expect("the next version");
    assert_refused(hal, &moved, &HalError::Tampered);
    assert_refused(hal, &WrappedKek { version: 0, ..moved }, &HalError::Tampered);
}

pub(crate) fn a_version_is_made_once_however_often_it_is_asked_for(hal: &dyn RootKeys) {
    let (first, second) = two_versions(hal, "root");
    let made = hal.describe_root(second).expect("a description");
    let blob = wrapped(hal, second, 7);
    assert_eq!(hal.generate_version(second, &label("root")).expect("it is there"), made);
    assert_opens(hal, &blob, 7);
    let versions: Vec<_> = hal.list_roots().expect("a list").iter().map(hal::RootKeyInfo::key).collect();
    assert_eq!(versions, [first, second]);
    assert_ne!(hal.describe_root(first).expect("a description").kcv, made.kcv);
    let refused = hal.generate_version(new_key(), &label("root")).expect_err("the label is another root key's");
    assert_eq!(refused, HalError::Refused(Refusal::LabelTaken));
}

pub(crate) fn the_same_material_is_imported_twice_and_other_material_is_not(hal: &dyn RootKeys) {
    let key = new_key();
    let material = |fill| SecretBytes::from(vec![fill; 32]);
    let info = hal.import_root(key, &label("root"), material(1)).expect("a root key");
    assert_eq!(info.key(), key);
    let blob = wrapped(hal, key, 7);
    assert_eq!(hal.import_root(key, &label("root"), material(1)).expect("it is there"), info);
    let refused = hal.import_root(key, &label("root"), material(2)).expect_err("another key");
    assert_eq!(refused, HalError::Refused(Refusal::KeyReplaced));
    assert_eq!(hal.list_roots().expect("a list"), [info]);
    assert_opens(hal, &blob, 7);
    let second = hal.import_root(next(key), &label("root"), material(2)).expect("the next version");
    assert_eq!(second.version, 2);
    assert_opens(hal, &wrapped(hal, second.key(), 8), 8);
}

pub(crate) fn a_root_key_with_another_check_value_than_expected_is_not_used(hal: &dyn RootKeys) {
    let root = new_root(hal, "root");
    let blob = wrapped(hal, root, 7);
    let right = hal.describe_root(root).expect("a description").kcv;
    let [a, b, c] = right.value;
    let replaced = HalError::Refused(Refusal::KeyReplaced);
    hal.expect_root(root, Kcv { value: [a, b, c ^ 1], ..right });
    assert_eq!(hal.wrap_kek(root, &kek(8)).expect_err("another key"), replaced);
    assert_refused(hal, &blob, &replaced);
    assert_eq!(hal.describe_root(root).expect_err("another key"), replaced);
    assert_eq!(hal.rewrap_keks(std::slice::from_ref(&blob), root), [Err(replaced.clone())]);
    let consent = DestroyConsent::approved_for(root);
    assert_eq!(hal.destroy_root(root, consent).expect_err("the consent was for another key"), replaced);
    let report = hal.self_test(root).expect("a report");
    let check = report.tokens[0].checks.iter().find(|check| check.name == "key-check-value").expect("a check");
    assert!(!check.passed && check.detail.contains(&right.to_string()), "{check:?}");
    hal.expect_root(root, right);
    assert_opens(hal, &blob, 7);
    // What is compared is a value of the recorded method, and not the one that a description would show.
    hal.expect_root(root, Kcv { method: KcvMethod::GcmZeroBlock, value: [a, b, c] });
    assert_refused(hal, &blob, &replaced);
    hal.expect_root(root, right);
    // Nothing is expected of other versions.
    let second = hal.generate_version(next(root), &label("root")).expect("the next version").key();
    assert_opens(hal, &wrapped(hal, second, 9), 9);
}

pub(crate) fn blobs_are_rewrapped_in_their_order_and_a_bad_one_stops_none(hal: &dyn RootKeys) {
    let (first, second) = two_versions(hal, "root");
    let mut blobs: Vec<_> = (0..6).map(|fill| wrapped(hal, first, fill)).collect();
    blobs[1].ciphertext[5] ^= 1;
    blobs[2].ciphertext.pop();
    blobs[3].root = nobody().root;
    blobs[4].version = 7;
    let moved = hal.rewrap_keks(&blobs, second);
    assert_eq!(moved.len(), blobs.len());
    for good in [0, 5] {
        let new = moved[good].as_ref().expect("it is re-wrapped");
        assert_eq!(new.key(), second);
        assert_opens(hal, new, u8::try_from(good).expect("it is small"));
        assert_opens(hal, &blobs[good], u8::try_from(good).expect("it is small"));
    }
    assert_eq!(moved[1], Err(HalError::Tampered));
    assert_eq!(moved[2], Err(HalError::Tampered));
    assert_eq!(moved[3], Err(HalError::UnknownRootKey(nobody())));
    assert_eq!(moved[4], Err(HalError::UnknownRootKey(RootKeyVersion { version: 7, ..first })));
    // What was re-wrapped before is re-wrapped again: a job that was interrupted may repeat its last batch.
    let again = hal.rewrap_keks(&[moved[0].clone().expect("it was re-wrapped")], second);
    assert_opens(hal, again[0].as_ref().expect("it is re-wrapped"), 0);
    assert_eq!(hal.rewrap_keks(&[], second), []);
    let nowhere = RootKeyVersion { version: 9, ..first };
    assert_eq!(hal.rewrap_keks(&blobs[..1], nowhere), [Err(HalError::UnknownRootKey(nowhere))]);
}

pub(crate) fn a_destroyed_version_leaves_the_other_and_its_blobs(hal: &dyn RootKeys) {
    let (first, second) = two_versions(hal, "root");
    let (old, new) = (wrapped(hal, first, 1), wrapped(hal, second, 2));
    let refused = hal.destroy_root(first, DestroyConsent::approved_for(second)).expect_err("the other was meant");
    assert_eq!(refused, HalError::Refused(Refusal::ConsentMismatch));
    hal.destroy_root(first, DestroyConsent::approved_for(first)).expect("it is destroyed");
    assert_refused(hal, &old, &HalError::UnknownRootKey(first));
    assert_opens(hal, &new, 2);
    let gone = hal.destroy_root(first, DestroyConsent::approved_for(first)).expect_err("it is gone");
    assert_eq!(gone, HalError::UnknownRootKey(first));
    let left: Vec<_> = hal.list_roots().expect("a list").iter().map(hal::RootKeyInfo::key).collect();
    assert_eq!(left, [second]);
}

pub(crate) fn root_keys_are_listed_by_label_id_and_version(hal: &dyn RootKeys) {
    let (b1, b2) = two_versions(hal, "b");
    let (a1, a2) = two_versions(hal, "a");
    let tenth = RootKeyVersion { version: 10, ..a1 };
    hal.generate_version(tenth, &label("a")).expect("a version that skips some");
    let listed: Vec<_> = hal.list_roots().expect("a list").iter().map(hal::RootKeyInfo::key).collect();
    assert_eq!(listed, [a1, a2, tenth, b1, b2]);
}

pub(crate) fn a_self_test_reports_each_check(hal: &dyn RootKeys) {
    let root = new_root(hal, "root");
    let report = hal.self_test(root).expect("a report");
    assert_eq!((report.key, report.tokens.len()), (root, 1));
    let failed: Vec<_> =
        report.tokens[0].checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    let expected: &[&str] = if hal.capabilities().is_hsm { &[] } else { &["held-by-a-token"] };
    assert_eq!(failed, expected, "{report:#?}");
    assert_eq!(report.passed(), hal.capabilities().is_hsm);
    assert!(report.tokens[0].checks.iter().all(|check| !check.detail.is_empty()));
    assert_eq!(hal.self_test(nobody()).expect_err("no such key"), HalError::UnknownRootKey(nobody()));
}
