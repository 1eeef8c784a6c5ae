//! Commands on the root keys of the software backend beside a server, and beside each other: its file is changed by several
//! processes, and none loses or misses anything.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use kmip::{client::ClientError, version::Version};

use super::{adapter, run, versions};
use crate::harness::{
    ask::{get, made, material},
    create_aes,
    hsm::wait_until,
    server::{Connection, Server},
};

const ROOT: &str = "keystead-root";

fn create(client: &mut Connection) -> String {
    made(client.call(create_aes(256, [])).unwrap())
}

#[test]
fn a_root_key_is_rotated_and_others_are_made_beside_a_server_that_never_stops_creating() {
    let server = Server::configured(&[]);
    let dir = server.dir();
    let over = AtomicBool::new(false);
    let ids: Vec<String> = thread::scope(|scope| {
        let clients = [server.connect(Version::V1_4), server.connect(Version::V1_2)];
        let over = &over;
        let load = |mut client: Connection| {
            move || {
                let mut ids = Vec::new();
                while !over.load(Ordering::Acquire) {
                    ids.push(create(&mut client));
                }
                // Once more, when nothing changes any longer.
                ids.push(create(&mut client));
                ids
            }
        };
        let loads = clients.map(|client| scope.spawn(load(client)));
        for _ in 0..2 {
            run(dir, &format!("root-key rotate {ROOT} --wait"));
        }
        run(dir, "root-key create second");
        over.store(true, Ordering::Release);
        loads.into_iter().flat_map(|load| load.join().unwrap()).collect()
    });
    assert_eq!(versions(dir, ROOT).len(), 3);
    // A root key that was made beside the server serves an adapter that was, too.
    adapter(dir, "new", "second");
    let mut connected = None;
    wait_until("the server knows the adapter", || {
        let mut client = server.connect_as("new", Version::V1_4);
        let answer = client.call(create_aes(256, []));
        assert!(!matches!(answer, Err(ClientError::Refused(_))), "{answer:?}");
        connected = answer.ok();
        connected.is_some()
    });

    let mut client = server.connect(Version::V1_4);
    let before: Vec<_> = ids.iter().map(|id| material(client.call(get(id)).unwrap())).collect();
    for version in [1, 2] {
        run(dir, &format!("root-key retire {ROOT} --version {version} --yes"));
    }
    let after: Vec<_> = ids.iter().map(|id| material(client.call(get(id)).unwrap())).collect();
    assert!(before == after && before.len() >= 4);
    create(&mut client);
    let said = server.stop();
    assert!(!said.iter().any(|line| line.contains("ERROR")), "{}", said.join("\n"));
}

#[test]
fn of_root_keys_that_commands_make_at_once_none_is_lost() {
    let server = Server::configured(&[]);
    let dir = server.dir();
    let labels: Vec<String> = (0..6).map(|number| format!("root-{number}")).collect();
    thread::scope(|scope| {
        for label in &labels {
            scope.spawn(move || run(dir, &format!("root-key create {label}")));
        }
    });
    for label in &labels {
        let versions = versions(dir, label);
        assert!(versions.len() == 1 && versions[0]["hsm"]["error"].is_null(), "{versions:?}");
    }
}
