//! A server over SoftHSM2 is killed again and again while it rotates its root key under load: every key that was acknowledged
//! opens with its old bytes, the proof says that none is left, and the old version can be destroyed.

use std::{
    collections::HashMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use keystead::statement::{self, Claim};
use kmip::{client::ClientError, payloads::Response, version::Version};
use pkcs11_fixtures::SoftHsm;
use rusqlite::{Connection as Database, OpenFlags};

use crate::{
    cli::{keystead, succeed},
    harness::{
        ask::*,
        server::{Connection, Server},
    },
};

const KEYS: usize = 2_500;
const KILLS: u64 = 5;
const CONNECTIONS: usize = 4;
const LABEL: &str = "keystead-root";

/// What clients were told: identifiers with the bytes that were registered.
type Acknowledged = HashMap<String, Vec<u8>>;

fn bytes_of(number: u64) -> Vec<u8> {
    [number, !number, number.rotate_left(13), 0x5a5a].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The answer; `None` where the server is gone. It never refuses.
fn answered(result: Result<Response, ClientError>) -> Option<Response> {
    if let Err(ClientError::Refused(refusal)) = &result {
        panic!("{refusal:?}");
    }
    result.ok()
}

fn register(client: &mut Connection, number: u64) -> Option<(String, Vec<u8>)> {
    let bytes = bytes_of(number);
    answered(client.call(register_aes(&bytes, []))).map(|response| (made(response), bytes))
}

/// Registers, fetches and destroys until the server is gone; what is alive then, as far as was acknowledged.
fn load(mut client: Connection, known: &Acknowledged, seed: u64) -> Acknowledged {
    let mut alive = Acknowledged::new();
    let mut old = known.iter().cycle();
    for number in 0.. {
        let Some((id, bytes)) = register(&mut client, seed << 32 | number) else { break };
        if number % 4 == 0 {
            // Destroyed or not, whoever was not told does not count on it.
            let Some(_) = answered(client.call(destroy(&id))) else { break };
        } else {
            alive.insert(id, bytes);
        }
        let Some((id, bytes)) = old.next() else { break };
        let Some(response) = answered(client.call(get(id))) else { break };
        assert_eq!(&material(response), bytes, "{id}");
    }
    alive
}

/// The last rotation: how many there were, how many are done, whether it is finished.
fn progress(database: &Database) -> (u64, u64, bool) {
    let sql = "SELECT total, done, finished_at IS NOT NULL FROM rotation ORDER BY seq DESC LIMIT 1";
    database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

fn poll(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

fn server(dir: &Path) -> Server {
    Server::start_in(dir, &["--hsm", "softhsm"])
}

#[test]
fn a_server_killed_five_times_while_it_rotates_loses_no_key() {
    if SoftHsm::shared().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut running = server(dir);
    let mut known = Acknowledged::new();
    thread::scope(|scope| {
        let makers: Vec<_> = (0..CONNECTIONS)
            .map(|maker| {
                let mut client = running.connect(Version::V1_4);
                let numbers = (0..KEYS).skip(maker).step_by(CONNECTIONS);
                scope.spawn(move || {
                    numbers.map(|number| register(&mut client, number as u64).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        makers.into_iter().for_each(|maker| known.extend(maker.join().unwrap()));
    });

    let config = format!("--config {}", dir.join("keystead.toml").display());
    let said = keystead(&format!("root-key rotate {LABEL} {config}"));
    assert!(said.stderr.contains("The running server brings them under it"), "{}{}", said.stdout, said.stderr);
    let database = Database::open_with_flags(dir.join("keystead.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let mut killed_on_the_way = 0;
    for round in 1..=KILLS {
        let loaders: Vec<Connection> = (0..CONNECTIONS).map(|_| running.connect(Version::V1_4)).collect();
        let new: Vec<Acknowledged> = thread::scope(|scope| {
            let known = &known;
            let loads: Vec<_> = (1..)
                .zip(loaders)
                .map(|(number, client)| scope.spawn(move || load(client, known, round * 10 + number)))
                .collect();
            poll("the rotation goes on", || {
                let (total, done, finished) = progress(&database);
                finished || done >= total * round / (KILLS + 1)
            });
            killed_on_the_way += u32::from(!progress(&database).2);
            let process = running.pid().to_string();
            assert!(std::process::Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
            loads.into_iter().map(|load| load.join().unwrap()).collect()
        });
        drop(running.kill());
        new.into_iter().for_each(|new| known.extend(new));
        running = server(dir);
    }
    assert!(killed_on_the_way >= 3, "the rotation was over before it could be killed: {killed_on_the_way}");
    poll("the rotation is finished", || progress(&database).2);
    drop(database);

    let proof = dir.join("proof.json");
    succeed(&format!("root-key describe {LABEL} --proof {} {config}", proof.display()));
    let verified = statement::verify(&std::fs::read(&proof).unwrap(), None).unwrap();
    let Claim::Rotation(proof) = verified.statement.claim else { panic!("{verified:?}") };
    assert_eq!((proof.from_version, proof.to_version, proof.remaining), (1, 2, 0));
    // What was destroyed before its turn had nothing left to wrap again.
    let total = u64::try_from(KEYS).unwrap();
    assert!(proof.rewrapped <= total && proof.rewrapped > 0, "{proof:?}");

    // Without the old version everything still opens.
    succeed(&format!("root-key retire {LABEL} --version 1 --yes {config}"));
    running.stop();
    let running = server(dir);
    let mut client = running.connect(Version::V1_4);
    for (id, bytes) in &known {
        assert_eq!(&material(client.call(get(id)).unwrap()), bytes, "{id}");
    }
    println!("{} keys open after {killed_on_the_way} kills on the way; {} re-wrapped", known.len(), proof.rewrapped);
}
