//! Ceph RADOS Gateway (libkmip): KMIP 1.0 on pooled connections, which it closes after five idle seconds.

use kmip::{
    client::RequestBuilder,
    enums::{CryptographicAlgorithm, ObjectType, Operation},
    version::Version,
};

use super::{
    Line, PASSWORD, USER,
    answers::{material, uid_of, uids_of},
    message::{Batch, key_attributes, message, name, object_type, template, uid, unique},
};

fn libkmip(with_credential: bool) -> RequestBuilder {
    let message = message(Version::V1_0).maximum_response_size(8192);
    if with_credential { message.credential(USER, PASSWORD) } else { message }
}

#[test]
fn finds_keys_by_name_on_pooled_connections_with_a_credential_or_without() {
    let mut pool = [Line::open(), Line::open(), Line::open()];
    let names: Vec<String> = (0..3).map(|_| unique("ceph")).collect();
    let mut keys = Vec::new();
    for key_name in &names {
        let [algorithm, length, usage] = key_attributes(CryptographicAlgorithm::Aes, 256, 12);
        let payload = [object_type(ObjectType::SymmetricKey), template([algorithm, length, usage, name(key_name)])];
        keys.push(uid_of(&pool[0].ask_one(libkmip(false).op(Operation::Create, payload))));
    }
    let mut seen = vec![None; keys.len()];
    for round in 0..12 {
        let (line, with_credential) = (&mut pool[round % 3], round % 2 == 0);
        let wanted = (round / 2) % names.len();
        let found = line.ask_one(libkmip(with_credential).op(Operation::Locate, [name(&names[wanted])]));
        assert_eq!(uids_of(&found), [keys[wanted].clone()]);
        let bytes = material(&line.ask_one(libkmip(with_credential).op(Operation::Get, [uid(&keys[wanted])])));
        assert_eq!(*seen[wanted].get_or_insert_with(|| bytes.clone()), bytes);
    }
    assert_eq!(seen.iter().flatten().count(), 3);
}
