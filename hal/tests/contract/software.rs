//! What only the software backend can be asked: its file.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt as _};

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use hal::{
    HalError, Kcv, KcvMethod, KeyWrapper as _, Refusal, RootKeys as _, SecretBytes, SignScheme, SignerKind,
    software::SoftwareHal,
};

use crate::{
    backends::{PASSPHRASE, Software, secret, software},
    suite::{kek, label, new_key},
};

fn reopen(Software { hal, directory }: Software) -> Software {
    drop(hal);
    let hal = SoftwareHal::open(&directory.path().join("roots"), &secret(PASSPHRASE)).expect("the file opens");
    Software { hal, directory }
}

fn refusal(result: Result<SoftwareHal, HalError>) -> Refusal {
    match result {
        Err(HalError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[test]
fn keys_are_there_after_the_file_is_opened_again() {
    let software = software();
    let made = software.hal.generate_root(&label("made")).expect("a root key");
    let imported =
        software.hal.import_root(new_key(), &label("imported"), SecretBytes::from(vec![9; 32])).expect("a root key");
    let signer = software.hal.generate_signer(&label("signer"), SignerKind::EcdsaP384).expect("a signing key");
    let wrapped = software.hal.wrap_kek(made.key(), &kek(7)).expect("a KEK is wrapped");
    let software = reopen(software);
    assert_eq!(software.hal.list_roots().expect("a list"), [imported, made]);
    assert_eq!(software.hal.describe_signer(signer.id).expect("a description"), signer);
    assert_eq!(software.hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &[7; 32]);
    software.hal.sign(signer.id, b"message", SignScheme::EcdsaP384Sha384).expect("a signature");
}

#[test]
fn the_file_is_for_its_owner_only_and_holds_no_key_in_the_clear() {
    let software = software();
    software.hal.import_root(new_key(), &label("imported"), SecretBytes::from(vec![0xa7; 32])).expect("a root key");
    let path = software.hal.path();
    assert_eq!(fs::metadata(&path).expect("it exists").permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&path).expect("it is readable");
    assert!(!bytes.windows(8).any(|window| window == [0xa7; 8] || window == b"imported"));
    let mut files: Vec<_> = fs::read_dir(software.directory.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .inspect(|path| assert_eq!(fs::metadata(path).expect("it exists").permissions().mode() & 0o777, 0o600))
        .collect();
    files.sort();
    assert_eq!(files, [path.clone(), path.with_extension("lock")], "no temporary file stays");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("the mode is changed");
    assert_eq!(refusal(SoftwareHal::open(&path, &secret(PASSPHRASE))), Refusal::FileMode);
}

#[test]
fn a_wrong_passphrase_a_damaged_file_and_a_missing_one_are_told_apart() {
    let software = software();
    software.hal.generate_root(&label("root")).expect("a root key");
    let path = software.hal.path();
    assert_eq!(refusal(SoftwareHal::open(&path, &secret("another passphrase"))), Refusal::WrongPassphrase);
    let good = fs::read(&path).expect("it is readable");
    for at in [0, 9, 30, 50, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).expect("it is writable");
        assert_eq!(refusal(SoftwareHal::open(&path, &secret(PASSPHRASE))), Refusal::FileCorrupt, "byte {at}");
    }
    for len in [0, 47, good.len() - 1] {
        fs::write(&path, &good[..len]).expect("it is writable");
        assert_eq!(refusal(SoftwareHal::open(&path, &secret(PASSPHRASE))), Refusal::FileCorrupt, "{len} bytes");
    }
    fs::remove_file(&path).expect("it is removed");
    assert_eq!(refusal(SoftwareHal::open(&path, &secret(PASSPHRASE))), Refusal::File(ErrorKind::NotFound));
    assert!(!path.exists(), "opening makes nothing");
}

#[test]
fn an_existing_file_is_never_made_anew() {
    let software = software();
    let refused = SoftwareHal::create(&software.hal.path(), &secret(PASSPHRASE));
    assert_eq!(refusal(refused), Refusal::File(ErrorKind::AlreadyExists));
    software.hal.generate_root(&label("root")).expect("the first owner goes on");
    assert_eq!(reopen(software).hal.list_roots().expect("a list").len(), 1);
}

#[test]
fn a_key_that_cannot_be_saved_is_not_used() {
    let software = software();
    fs::remove_dir_all(software.directory.path()).expect("the directory goes");
    let refused = software.hal.generate_root(&label("root")).expect_err("nowhere to save");
    assert_eq!(refused, HalError::Refused(Refusal::File(ErrorKind::NotFound)));
    assert_eq!(software.hal.list_roots().expect_err("nothing to list"), refused);
    fs::create_dir(software.directory.path()).expect("the directory comes back");
    // A file that is gone is not made anew by a change of what was in it.
    assert_eq!(software.hal.generate_root(&label("root")).expect_err("no file"), refused);
    assert!(!software.hal.path().exists());
}

#[test]
fn what_a_crash_left_beside_the_file_is_in_nobodys_way() {
    let directory = tempfile::tempdir().expect("a directory is made");
    let path = directory.path().join("roots");
    let beside = path.with_extension("new");
    fs::write(&beside, "half of a file").expect("it is written");
    let hal = SoftwareHal::create(&path, &secret(PASSPHRASE)).expect("a file is made");
    fs::write(&beside, "half of a file").expect("it is written");
    hal.generate_root(&label("root")).expect("a root key");
    assert!(!beside.exists());
    let software = reopen(Software { hal, directory });
    assert_eq!(software.hal.list_roots().expect("a list").len(), 1);
}

/// RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK.
const RFC_3394_KEK: &str = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
const RFC_3394_DATA: &str = "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F";
const RFC_3394_WRAPPED: &str = "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn wraps_as_rfc_3394_section_4_6_says() {
    let software = software();
    let root = software
        .hal
        .import_root(new_key(), &label("rfc"), SecretBytes::from(hex(RFC_3394_KEK)))
        .expect("a root key")
        .key();
    let data: [u8; 32] = hex(RFC_3394_DATA).try_into().expect("32 bytes");
    let wrapped = software.hal.wrap_kek(root, &hal::Kek::new(data.into())).expect("a KEK is wrapped");
    assert_eq!(wrapped.ciphertext, hex(RFC_3394_WRAPPED));
    assert_eq!(software.hal.unwrap_kek(&wrapped).expect("it opens").expose_secret(), &data);
}

#[test]
fn refuses_key_data_of_another_length_though_it_unwraps() {
    let software = software();
    let root = software
        .hal
        .import_root(new_key(), &label("rfc"), SecretBytes::from(hex(RFC_3394_KEK)))
        .expect("a root key")
        .key();
    let mut wrapped = software.hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    let mut short = vec![0; 24];
    let key = AesKek::new(&AES_256, &hex(RFC_3394_KEK)).expect("a key");
    key.wrap(&[7; 16], &mut short).expect("16 bytes are wrapped");
    wrapped.ciphertext = short;
    assert_eq!(software.hal.unwrap_kek(&wrapped).expect_err("not a KEK"), HalError::Tampered);
}

#[test]
fn a_root_key_is_held_to_its_check_value_by_the_method_on_record() {
    let software = software();
    let hal = &software.hal;
    let imported = hal.import_root(new_key(), &label("root"), SecretBytes::from(vec![0; 32])).expect("a root key");
    let root = imported.key();
    assert_eq!(imported.kcv, Kcv { method: KcvMethod::EcbZeroBlock, value: [0xdc, 0x95, 0xc0] });
    // Test case 14 of the GCM specification: key, IV and block zero.
    let by_gcm = Kcv { method: KcvMethod::GcmZeroBlock, value: [0xce, 0xa7, 0x40] };
    hal.expect_root(root, by_gcm);
    assert_eq!(hal.describe_root(root).expect("the right key").kcv, by_gcm);
    hal.wrap_kek(root, &kek(7)).expect("a KEK is wrapped");
    hal.expect_root(root, Kcv { value: [0xce, 0xa7, 0x41], ..by_gcm });
    let replaced = HalError::Refused(Refusal::KeyReplaced);
    assert_eq!(hal.describe_root(root).expect_err("another key"), replaced);
    assert_eq!(hal.wrap_kek(root, &kek(7)).expect_err("another key"), replaced);
}
