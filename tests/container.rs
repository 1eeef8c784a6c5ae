//! The server as it is installed: in a container with SoftHSM2, where a Docker engine answers.

use kmip::{client::Client, version::Version};
use pkcs11_fixtures::KeysteadContainer;

use crate::harness::{
    ask::{get, made, material},
    create_aes,
    server::{client_config, connect},
};

#[test]
fn a_key_is_created_in_a_container_and_read_back() {
    let Some(server) = KeysteadContainer::start() else { return };
    let open = || {
        let tls = connect(server.address(), client_config(server.client())).expect("the server accepts the connection");
        Client::new(tls, Version::V1_4)
    };
    let id = made(open().call(create_aes(256, [])).expect("a key is created"));
    let read = || material(open().call(get(&id)).expect("it is read"));
    assert_eq!((read().len(), read()), (32, read()));
    open().call(get("another")).expect_err("there is none");
}
