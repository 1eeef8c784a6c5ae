//! FortiGate: KMIP 1.0 with a credential, in batches that go on after an error.

use kmip::{
    client::RequestBuilder,
    enums::{BatchErrorContinuationOption, CryptographicAlgorithm, ObjectType, Operation, ResultReason},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line, PASSWORD, USER,
    answers::{material, uid_of, uids_of},
    message::{Batch, key_attributes, message, name, object_type, raw_key, template, uid, unique},
};

/// A message as FortiGate begins one.
fn v1_0() -> RequestBuilder {
    message(Version::V1_0)
        .maximum_response_size(65_536)
        .credential(USER, PASSWORD)
        .on_error(BatchErrorContinuationOption::Continue)
        .in_order(true)
}

/// Two directions of a tunnel, for each a key to encrypt and one to authenticate.
fn register(line: &mut Line, prefix: &str) -> [(String, Vec<u8>); 4] {
    let keys = [
        ("enc-local", CryptographicAlgorithm::Aes, 16_u8),
        ("auth-local", CryptographicAlgorithm::HmacSha1, 20),
        ("enc-remote", CryptographicAlgorithm::Aes, 32),
        ("auth-remote", CryptographicAlgorithm::HmacSha256, 32),
    ];
    keys.map(|(what, algorithm, bytes)| {
        let (key_name, key) = (format!("{prefix}-{what}"), (0..bytes).collect::<Vec<u8>>());
        let usage = if algorithm == CryptographicAlgorithm::Aes { 12 } else { 0x80 | 0x100 };
        let [algorithm_attribute, length, usage] = key_attributes(algorithm, i32::from(bytes) * 8, usage);
        let attributes = [algorithm_attribute, length, usage, name(&key_name)];
        let payload = [object_type(ObjectType::SymmetricKey), template(attributes), raw_key(&key, algorithm, None)];
        line.ask_one(v1_0().named_op(&[1], Operation::Register, payload));
        (key_name, key)
    })
}

fn locate(names: &[String]) -> RequestBuilder {
    names.iter().zip(1_u8..).fold(v1_0(), |message, (key_name, number)| {
        let one = Item::new(Tag::MaximumItems, Value::Integer(1));
        message.named_op(&[number], Operation::Locate, [one, template([name(key_name)])])
    })
}

#[test]
fn finds_four_keys_in_one_batch_and_fetches_them_in_another() {
    let mut line = Line::open();
    let keys = register(&mut line, &unique("fortigate"));
    let answers = line.ask(locate(&keys.each_ref().map(|(name, _)| name.clone())));
    let found: Vec<String> = answers.into_iter().flat_map(|answer| uids_of(&answer.into_payload())).collect();
    assert_eq!(found.len(), 4);
    let get = found
        .iter()
        .zip(1_u8..)
        .fold(v1_0(), |message, (id, number)| message.named_op(&[number], Operation::Get, [uid(id)]));
    let answers = line.ask(get);
    assert_eq!(answers.len(), 4);
    for ((answer, (_, key)), id) in answers.into_iter().zip(keys).zip(found) {
        let payload = answer.into_payload();
        assert_eq!(uid_of(&payload), id);
        assert_eq!(material(&payload), key);
    }
}

#[test]
fn a_key_that_is_not_there_does_not_keep_the_others_back() {
    let mut line = Line::open();
    let keys = register(&mut line, &unique("fortigate"));
    let names = [keys[0].0.clone(), unique("nobody"), keys[1].0.clone(), keys[3].0.clone()];
    let counts = line.ask(locate(&names)).into_iter().map(|answer| uids_of(&answer.into_payload()).len());
    assert_eq!(counts.collect::<Vec<_>>(), [1, 0, 1, 1]);

    let mut ids = line.ask(locate(&names)).into_iter().flat_map(|answer| uids_of(&answer.into_payload()));
    let [first, third] = [ids.next().unwrap(), ids.next().unwrap()];
    let batch = |message: RequestBuilder| {
        [first.clone(), unique("nobody"), third.clone()]
            .iter()
            .zip(1_u8..)
            .fold(message, |message, (id, number)| message.named_op(&[number], Operation::Get, [uid(id)]))
    };
    let answers = line.ask(batch(v1_0()));
    assert_eq!(answers.iter().map(super::answers::Answer::succeeded).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(answers[1].refusal(), ResultReason::ItemNotFound);

    // Without Continue the batch ends at the first error, which is the default.
    let answers = line.ask(batch(message(Version::V1_0).credential(USER, PASSWORD)));
    assert_eq!(answers.iter().map(super::answers::Answer::succeeded).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_key_for_hmac_that_is_shorter_than_it_says_is_refused() {
    let attributes = key_attributes(CryptographicAlgorithm::HmacSha1, 160, 0x80);
    let short = raw_key(&[1; 19], CryptographicAlgorithm::HmacSha1, None);
    let payload = [object_type(ObjectType::SymmetricKey), template(attributes), short];
    let answers = Line::open().ask(v1_0().named_op(&[1], Operation::Register, payload));
    assert_eq!(answers[0].refusal(), ResultReason::InvalidField);
}
