//! NetApp ONTAP: sixteen custom attributes on each key, lists by custom attribute, Destroy when a volume goes.

use kmip::{
    client::RequestBuilder,
    enums::{CryptographicAlgorithm, ObjectType, Operation, ResultReason},
    tags::Tag,
    tree::{Item, Value},
    version::Version,
};

use super::{
    Line, PASSWORD, USER,
    answers::{material, tags, uid_of, uids_of, values},
    message::{Batch, attribute, attribute_name, key_attributes, message, object_type, raw_key, template, uid, unique},
};

const ATTRIBUTES: [&str; 16] = [
    "x-NETAPP-ClusterName",
    "x-NETAPP-ClusterId",
    "x-NETAPP-NodeId",
    "x-NETAPP-VserverId",
    "x-NETAPP-VserverName",
    "x-NETAPP-VolumeId",
    "x-NETAPP-KeyId",
    "x-NETAPP-KeyName",
    "x-NETAPP-KeyType",
    "x-NETAPP-KeyTag",
    "x-NETAPP-KeyStore",
    "x-NETAPP-KeyServer",
    "x-NETAPP-Encryption",
    "x-NETAPP-Product",
    "x-NETAPP-Version",
    "x-NETAPP-Created",
];

fn v1_2(with_credential: bool) -> RequestBuilder {
    let message = message(Version::V1_2);
    if with_credential { message.credential(USER, PASSWORD) } else { message }
}

fn attributes(cluster: &str, node: &str) -> Vec<Item> {
    let value = |name: &str| match name {
        "x-NETAPP-ClusterName" => cluster.to_owned(),
        "x-NETAPP-NodeId" => node.to_owned(),
        other => format!("value of {other}"),
    };
    let custom = ATTRIBUTES.iter().map(|name| attribute(name, Value::text(value(name))));
    key_attributes(CryptographicAlgorithm::Aes, 256, 12).into_iter().chain(custom).collect()
}

fn list(line: &mut Line, criteria: impl IntoIterator<Item = (&'static str, String)>) -> Vec<String> {
    let criteria = criteria.into_iter().map(|(name, value)| attribute(name, Value::text(value)));
    let mut found = uids_of(&line.ask_one(v1_2(false).op(Operation::Locate, criteria)));
    found.sort_unstable();
    found
}

#[test]
fn keys_carry_sixteen_attributes_and_are_listed_by_them() {
    let (cluster, mut line) = (unique("cluster"), Line::open());
    let mut keys = Vec::new();
    for (node, with_credential) in [("node-1", false), ("node-1", true), ("node-2", false)] {
        let payload = [object_type(ObjectType::SymmetricKey), template(attributes(&cluster, node))];
        keys.push(uid_of(&line.ask_one(v1_2(with_credential).op(Operation::Create, payload))));
    }
    let registered = [
        object_type(ObjectType::SymmetricKey),
        template(attributes(&cluster, "node-2")),
        raw_key(&[9; 32], CryptographicAlgorithm::Aes, None),
    ];
    keys.push(uid_of(&line.ask_one(v1_2(false).op(Operation::Register, registered))));

    let names = ATTRIBUTES.map(attribute_name);
    let all = line.ask_one(v1_2(false).op(Operation::GetAttributes, [uid(&keys[3])].into_iter().chain(names)));
    assert_eq!(all.fields().len(), 1 + 16);
    for name in &ATTRIBUTES[4..] {
        assert_eq!(values(&all, name), [&Value::text(format!("value of {name}"))]);
    }

    let sorted = |keys: &[String]| {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys
    };
    let of_cluster = || ("x-NETAPP-ClusterName", cluster.clone());
    let of_node = |node: &str| ("x-NETAPP-NodeId", node.to_owned());
    assert_eq!(list(&mut line, [of_cluster()]), sorted(&keys));
    assert_eq!(list(&mut line, [of_cluster(), of_node("node-1")]), sorted(&keys[..2]));
    assert_eq!(list(&mut line, [of_cluster(), of_node("node-2")]), sorted(&keys[2..]));
    assert_eq!(list(&mut line, [of_cluster(), of_node("node-3")]), Vec::<String>::new());
    assert_eq!(list(&mut line, [of_cluster(), ("x-NETAPP-Unheard", String::new())]), Vec::<String>::new());

    assert_eq!(material(&line.ask_one(v1_2(true).op(Operation::Get, [uid(&keys[3])]))), [9; 32]);
    for key in &keys[..2] {
        let gone = line.ask_one(v1_2(false).op(Operation::Destroy, [uid(key)]));
        assert_eq!(tags(&gone), [Tag::UniqueIdentifier]);
    }
    assert_eq!(list(&mut line, [of_cluster()]), sorted(&keys[2..]));
    let again = line.ask(v1_2(false).op(Operation::Destroy, [uid(&keys[0])]));
    assert_eq!(again[0].refusal(), ResultReason::PermissionDenied);
}
