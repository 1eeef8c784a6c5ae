//! The server is killed under load while commands run beside it: what anybody was told is in the log, and the chain is whole.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc::channel,
};

use kmip::version::Version;

use super::{objects, records, whole};
use crate::{
    cli::{keystead, succeed},
    harness::{
        ask::*,
        create_aes,
        engine::memory_dir,
        server::{Connection, Server},
    },
};

const ROUNDS: usize = 12;
const CONNECTIONS: usize = 4;

/// What was acknowledged: operation and object.
type Acknowledged = Mutex<Vec<(&'static str, String)>>;

/// Makes, reads and destroys keys until the server is gone.
fn work(mut client: Connection, known: &Acknowledged, acknowledged: impl Fn()) {
    loop {
        let Ok(response) = client.call(create_aes(256, [])) else { return };
        let id = made(response);
        known.lock().unwrap().push(("Create", id.clone()));
        acknowledged();
        for (operation, answer) in
            [("Get", client.call(get(&id)).is_ok()), ("Destroy", client.call(destroy(&id)).is_ok())]
        {
            if !answer {
                return;
            }
            known.lock().unwrap().push((operation, id.clone()));
        }
    }
}

#[test]
fn no_acknowledged_action_is_missing_when_the_server_is_killed() {
    let dir = memory_dir();
    let config = dir.path().join("keystead.toml");
    let mut all = Vec::new();
    let mut adapters = 0;
    for round in 0..ROUNDS {
        let server = Server::start_in(dir.path(), &[]);
        let known = Acknowledged::default();
        let is_over = AtomicBool::new(false);
        let (sender, receiver) = channel();
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| server.connect(Version::V1_4)).collect();
        std::thread::scope(|scope| {
            for client in clients {
                let (known, sender) = (&known, sender.clone());
                scope.spawn(move || {
                    work(client, known, || {
                        let _ = sender.send(());
                    })
                });
            }
            let commands = scope.spawn(|| {
                let mut made = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let line = format!("adapter create round-{round}-{made} --config {}", config.display());
                    made += usize::from(keystead(&line).code == 0);
                }
                made
            });
            (0..10 + round * 7).for_each(|_| receiver.recv().unwrap());
            server.kill();
            is_over.store(true, Ordering::SeqCst);
            adapters += commands.join().unwrap();
        });
        all.extend(known.into_inner().unwrap());
        // The next writer accounts for what the kill may have torn.
        succeed(&format!("adapter create after-{round} --config {}", config.display()));
        adapters += 1;
        whole(dir.path());
    }
    let records = records(dir.path());
    for operation in ["Create", "Get", "Destroy"] {
        let found = objects(&records, operation);
        for (_, id) in all.iter().filter(|(done, _)| *done == operation) {
            assert!(found.contains(id), "{operation} of {id} was acknowledged and is not in the log");
        }
    }
    let made = records.iter().filter(|record| record.operation == "adapter.create" && record.outcome == "success");
    assert!(made.count() >= adapters);
    let report = whole(dir.path());
    println!(
        "{ROUNDS} kills: {} actions of clients and {adapters} of commands acknowledged, all of them among {} records; {} torn lines",
        all.len(),
        report.records,
        report.notes.len()
    );
}
