use hal::RootKeyId;
use proptest::prelude::*;

use super::*;

/// Shares of the key 00 01 .. 1f, computed by another program from the description in `docs/key-ceremony.md`.
const GOLDEN: [&str; 4] = [
    include_str!("golden/share-1.json"),
    include_str!("golden/share-2.json"),
    include_str!("golden/share-3.json"),
    include_str!("golden/share-4.json"),
];

fn golden(numbers: &[usize]) -> Vec<Share> {
    numbers.iter().map(|number| Share::parse(GOLDEN[number - 1].as_bytes()).unwrap()).collect()
}

fn golden_key() -> [u8; LEN] {
    std::array::from_fn(|place| u8::try_from(place).unwrap())
}

fn hold(threshold: u8, shares: u8) -> Vec<Share> {
    let key = RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4()));
    let quorum = Quorum::new(threshold, shares).unwrap();
    Ceremony::hold(key, Label::new("root").unwrap(), quorum, Timestamp::now()).unwrap().shares
}

/// A share as its custodian might forge it: changed, with a checksum that is right.
fn forged(share: &Share, change: impl FnOnce(&mut Terms, &mut u8, &mut [u8; LEN])) -> Share {
    let (mut terms, mut number, mut value) = (share.terms().clone(), share.number(), Zeroizing::new(*share.value()));
    change(&mut terms, &mut number, &mut value);
    Share::parse(&Share::new(terms, number, value).to_file().unwrap()).unwrap()
}

fn copy(share: &Share) -> Share {
    forged(share, |_, _, _| {})
}

fn error_of(shares: Vec<Share>) -> String {
    match Recovered::combine(shares) {
        Ok(_) => panic!("the shares give a key"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn shares_of_another_program_give_the_key() {
    for numbers in [[1, 2, 3], [4, 1, 3], [2, 3, 4], [4, 2, 1]] {
        let recovered = Recovered::combine(golden(&numbers)).unwrap();
        assert_eq!(*recovered.key, golden_key());
        assert_eq!(recovered.terms.label.as_str(), "Wurzel \"1\"");
        assert_eq!(recovered.terms.key.version, 2);
        assert_eq!(recovered.kcv(KcvMethod::EcbZeroBlock).unwrap(), recovered.terms.kcv);
    }
}

#[test]
fn the_same_key_and_coefficients_give_the_same_files_as_the_other_program() {
    let Terms { ceremony, key, label, quorum, created_at, .. } = golden(&[1])[0].terms().clone();
    let mut coefficients = [0, 1].into_iter();
    let mut random = |out: &mut [u8]| {
        let first = coefficients.next() == Some(0);
        for (place, byte) in (0_u8..).zip(out) {
            *byte = if first { place.wrapping_mul(7).wrapping_add(1) } else { 255_u8.wrapping_sub(place * 3) };
        }
        Ok(())
    };
    let made = Ceremony::split(&golden_key(), ceremony, key, label, quorum, created_at, &mut random).unwrap();
    let files: Vec<_> = made.shares.iter().map(|share| share.to_file().unwrap()).collect();
    for (file, golden) in files.iter().zip(GOLDEN) {
        assert_eq!(std::str::from_utf8(file).unwrap(), golden);
    }
}

#[test]
fn the_fingerprint_is_what_sha256sum_prints() {
    assert_eq!(Share::fingerprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_choice_of_enough_shares_gives_the_key_and_one_fewer_does_not(
        (threshold, shares) in (2_u8..=16).prop_flat_map(|shares| (2..=shares, Just(shares))),
        order in any::<prop::sample::Index>(),
        shuffle in Just((0..16_usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let all = hold(threshold, shares);
        let more = order.index(usize::from(shares - threshold) + 1);
        let order: Vec<_> = shuffle.into_iter().filter(|place| *place < all.len()).collect();
        let choose = |count: usize| order.iter().take(count).map(|place| copy(&all[*place])).collect::<Vec<_>>();
        let key = Recovered::combine(all.iter().map(copy).collect()).unwrap();
        let found = Recovered::combine(choose(usize::from(threshold) + more)).unwrap();
        prop_assert_eq!(*found.key, *key.key);

        let few = choose(usize::from(threshold) - 1);
        let said = error_of(few.iter().map(copy).collect());
        prop_assert!(said.starts_with(&format!("{} of the {threshold} shares", threshold - 1)), "{}", said);
        // Whoever claims that fewer are enough gets a value that is not the key and that nothing confirms.
        if few.len() >= 2 {
            let lie = |share: &Share| forged(share, |terms, _, _| {
                terms.quorum = Quorum { threshold: threshold - 1, ..terms.quorum };
            });
            prop_assert_ne!(*value_at(few.iter(), 0), *key.key);
            let said = error_of(few.iter().map(lie).collect());
            prop_assert!(said.contains("do not give the key"), "{}", said);
        }
    }

    #[test]
    fn a_file_with_any_byte_changed_is_refused_or_says_the_same(place in 0..GOLDEN[1].len(), to in any::<u8>()) {
        let mut text = GOLDEN[1].as_bytes().to_vec();
        text[place] = to;
        if let Ok(share) = Share::parse(&text) {
            let golden = golden(&[2]);
            prop_assert_eq!(share.terms(), golden[0].terms());
            prop_assert_eq!(share.value(), golden[0].value());
            prop_assert_eq!(share.number(), 2);
        }
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for length in 0..GOLDEN[0].len() - 2 {
        assert!(Share::parse(&GOLDEN[0].as_bytes()[..length]).is_err(), "{length}");
    }
}

#[test]
fn line_ends_of_another_system_do_no_harm() {
    Share::parse(GOLDEN[0].replace('\n', "\r\n").as_bytes()).unwrap();
}

#[test]
fn refuses_a_file_with_more_or_less_or_other_fields() {
    let share = |from: &str, to: &str| {
        assert!(GOLDEN[0].contains(from));
        Share::parse(GOLDEN[0].replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
    };
    assert!(share("share-1\"", "share-2\"").contains("keystead-root-key-share-2"));
    assert!(share("\"version\": 2,", "").contains("it is no share"));
    assert!(share("\"version\": 2,", "\"version\": 2, \"more\": 1,").contains("it is no share"));
    assert!(share("\"version\": 2,", "\"version\": 2, \"version\": 2,").contains("it is no share"));
    assert!(share("\"version\": 2,", "\"version\": 3,").contains("checksum"));
    assert!(share("Wurzel", "Wurzei").contains("checksum"));
    assert!(share("\"threshold\": 3", "\"threshold\": 1").contains("threshold"));
    assert!(share("\"shares\": 4", "\"shares\": 17").contains("threshold"));
}

#[test]
fn refuses_a_number_that_no_share_has() {
    for number in [0, 5] {
        let share = &golden(&[1])[0];
        let file = Share::new(share.terms().clone(), number, Zeroizing::new([1; LEN])).to_file().unwrap();
        assert!(Share::parse(&file).unwrap_err().to_string().contains("number"));
    }
}

#[test]
fn quorums_are_two_of_two_to_sixteen_of_sixteen() {
    for (threshold, shares) in [(2, 2), (2, 16), (16, 16), (3, 5)] {
        Quorum::new(threshold, shares).unwrap();
    }
    for (threshold, shares) in [(1, 1), (1, 5), (0, 0), (3, 2), (2, 17), (17, 17), (2, 1)] {
        assert!(Quorum::new(threshold, shares).is_err(), "{threshold} of {shares}");
    }
}

#[test]
fn shares_of_two_ceremonies_are_refused_by_name() {
    let (ours, theirs) = (hold(2, 3), hold(2, 3));
    let said = error_of(vec![copy(&ours[0]), copy(&theirs[1])]);
    for part in ["share 2", "share 1", &ours[0].terms().ceremony.to_string(), &theirs[0].terms().ceremony.to_string()] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_share_given_twice_counts_once() {
    let said = error_of(golden(&[1, 2, 2]));
    assert!(said.contains("share 2 was given more than once"), "{said}");
    assert!(error_of(Vec::new()).contains("no shares"));
    assert!(error_of(golden(&[1, 4])).contains("2 of the 3 shares"));
}

#[test]
fn a_changed_threshold_or_description_is_refused() {
    let mut shares = golden(&[1, 2, 3]);
    shares[2] = forged(&shares[2], |terms, _, _| terms.quorum = Quorum::new(2, 4).unwrap());
    let said = error_of(shares);
    assert!(said.contains("share 3 says that 2 of 4") && said.contains("share 1 says 3 of 4"), "{said}");

    let mut shares = golden(&[1, 2, 3]);
    shares[1] = forged(&shares[1], |terms, _, _| terms.key.version = 3);
    assert!(error_of(shares).contains("shares 1 and 2"));

    // All of them in the same way: the commitment says that it is another key than the one described.
    let relabel = |share: &Share| forged(share, |terms, _, _| terms.label = Label::new("other").unwrap());
    assert!(error_of(golden(&[1, 2, 3]).iter().map(relabel).collect()).contains("do not give the key"));
    let check = |share: &Share| forged(share, |terms, _, _| terms.kcv.value = [0; 3]);
    assert!(error_of(golden(&[1, 2, 3]).iter().map(check).collect()).contains("do not give the key"));
}

#[test]
fn a_forged_share_is_named_where_the_others_are_enough_to_tell() {
    for forger in 0..4 {
        let mut shares = golden(&[1, 2, 3, 4]);
        shares[forger] = forged(&shares[forger], |_, _, value| value[5] ^= 1);
        let said = error_of(shares);
        assert!(said.contains(&format!("share {} was changed", forger + 1)), "{said}");
    }
    let mut shares = golden(&[1, 2, 3]);
    shares[0] = forged(&shares[0], |_, _, value| value[31] ^= 0x80);
    assert!(error_of(shares).contains("at least one was changed"));
    // A share with another's number does not fit either.
    let mut shares = golden(&[1, 2, 3]);
    shares[2] = forged(&shares[2], |_, number, _| *number = 4);
    assert!(error_of(shares).contains("at least one was changed"));
}

#[test]
fn two_ceremonies_make_two_keys_and_nothing_shows_a_share() {
    let (one, two) = (hold(2, 2), hold(2, 2));
    assert_ne!(one[0].terms().commitment, two[0].terms().commitment);
    assert_ne!(one[0].value(), two[0].value());
    let shown = format!("{:?}", golden(&[1])[0]);
    assert!(shown.ends_with("number: 1, .. }"), "{shown}");
}

#[test]
fn the_buffer_of_a_file_does_not_grow() {
    let longest = Label::new(&"\u{10ffff}".repeat(64)).unwrap();
    let label = Label::new(&"\"".repeat(64)).unwrap();
    for label in [longest, label] {
        let key = RootKeyVersion { version: u32::MAX, ..RootKeyVersion::first(RootKeyId::from_uuid(Uuid::new_v4())) };
        let ceremony = Ceremony::hold(key, label, Quorum::new(16, 16).unwrap(), Timestamp::now()).unwrap();
        let file = ceremony.shares[15].to_file().unwrap();
        assert_eq!(file.capacity(), 2048);
        Share::parse(&file).unwrap();
    }
}

#[test]
fn what_is_wrong_with_the_json_of_a_share_is_told_without_the_share() {
    // A slash may be written with a backslash in JSON. Then the share is no part of the file as it stands.
    let mut escaped_one = false;
    for text in GOLDEN {
        let secret = text.split("\"share\": \"").nth(1).unwrap().split('"').next().unwrap();
        let escaped = text.replace('/', "\\/");
        escaped_one |= escaped != text;
        let number = text.replace(&format!("\"{secret}\""), &format!("[\"{secret}\"]"));
        let unknown = text.replace("\"share\":", &format!("\"{secret}\": 1, \"share\":"));
        for file in [escaped, number, unknown] {
            let Err(error) = Share::parse(file.as_bytes()) else { continue };
            let said = format!("{error} {error:?}");
            for part in [secret, &secret[..12], &secret.replace('/', "\\/")] {
                assert!(!said.contains(part), "the message tells the share");
            }
        }
    }
    assert!(escaped_one, "a share with a slash was tried");
}
