//! Properties of the TTLV codec over arbitrary trees and arbitrary bytes.

use kmip::{
    tags::Tag,
    tree::{Enumerated, Item, Value},
    ttlv::{Limits, decode, encode, encoded_len},
};
use proptest::prelude::*;
use zeroize::Zeroizing;

/// Any tag that the encoding admits, the named ones more often.
fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![
        3 => proptest::sample::select(Tag::ALL),
        1 => (0x42_0000_u32..0x43_0000).prop_map(Tag),
        1 => (0x54_0000_u32..0x55_0000).prop_map(Tag),
    ]
}

/// Any value but a structure. A Big Integer is a multiple of eight bytes, for that is what is read back.
fn primitive() -> impl Strategy<Value = Value> {
    let big_integer = proptest::collection::vec(any::<[u8; 8]>(), 1..5).prop_map(|words| words.concat());
    prop_oneof![
        any::<i32>().prop_map(Value::Integer),
        any::<i64>().prop_map(Value::LongInteger),
        big_integer.prop_map(|number| Value::BigInteger(Zeroizing::new(number))),
        any::<u32>().prop_map(|code| Value::Enumeration(Enumerated::code(code))),
        any::<bool>().prop_map(Value::Boolean),
        any::<String>().prop_map(Value::text),
        proptest::collection::vec(any::<u8>(), 0..70).prop_map(Value::bytes),
        any::<i64>().prop_map(Value::DateTime),
        any::<u32>().prop_map(Value::Interval),
        any::<i64>().prop_map(Value::DateTimeExtended),
    ]
}

/// Any tree within the default limits.
fn item() -> impl Strategy<Value = Item> {
    let leaf = (tag(), primitive()).prop_map(|(tag, value)| Item::new(tag, value));
    leaf.prop_recursive(6, 60, 6, |inner| {
        (tag(), proptest::collection::vec(inner, 0..6)).prop_map(|(tag, fields)| Item::structure(tag, fields))
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_equal(item in item()) {
        let bytes = encode(&item);
        prop_assert_eq!(bytes.len(), encoded_len(&item));
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(decode(&bytes, &Limits::default()), Ok(item));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_written_otherwise(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(item) = decode(&bytes, &Limits::default()) {
            prop_assert_eq!(&*encode(&item), &bytes);
        }
    }

    #[test]
    fn one_changed_byte_is_refused_or_read_as_what_it_says(
        item in item(),
        place in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encode(&item);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(other) = decode(&bytes, &Limits::default()) {
            prop_assert_eq!(&*encode(&other), &*bytes);
        }
    }

    #[test]
    fn no_message_cut_short_is_read(item in item(), cut in any::<proptest::sample::Index>()) {
        let bytes = encode(&item);
        prop_assert!(decode(&bytes[..cut.index(bytes.len())], &Limits::default()).is_err());
    }

    #[test]
    fn the_item_limit_is_met_exactly(item in item()) {
        fn count(item: &Item) -> usize {
            1 + item.fields().iter().map(count).sum::<usize>()
        }
        let (bytes, items) = (encode(&item), count(&item));
        let (exact, fewer) = (Limits { items, ..Limits::default() }, Limits { items: items - 1, ..Limits::default() });
        prop_assert!(decode(&bytes, &exact).is_ok());
        prop_assert!(decode(&bytes, &fewer).is_err());
    }

    #[test]
    fn an_error_names_its_way_without_the_text_it_met(text in "[a-z]{12,20}") {
        // The text is sound; the fault is in the field after it.
        let fields = vec![Item::new(Tag::Password, Value::text(&*text)), Item::new(Tag::BatchCount, Value::Integer(1))];
        let mut bytes = encode(&Item::structure(Tag::Credential, fields));
        *bytes.last_mut().unwrap() = 1;
        let error = decode(&bytes, &Limits::default()).unwrap_err();
        prop_assert_eq!(error.to_string(), "Credential/BatchCount: padding is not zero");
        let debug = format!("{error:?}");
        prop_assert!(!debug.contains(&text));
    }
}
