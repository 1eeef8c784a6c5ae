//! A server over SoftHSM2 is killed again and again while it rotates its root key under load: every key that was acknowledged
//! opens with its old bytes, the proof says that none is left, and the old version can be destroyed.
//!
//! `scripts/rotation.sh` runs it in a release build with as many objects as KEYSTEAD_ROTATION_OBJECTS says, and compares the
//! rate with that of the token alone.

use std::{
    cell::Cell,
    collections::HashMap,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{Mechanism, aead::GcmParams},
    object::Attribute,
    session::UserType,
    slot::Slot,
    types::AuthPin,
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

/// Objects, where the environment says nothing else.
const KEYS: usize = 2_500;
const KILLS: u64 = 5;
const CONNECTIONS: usize = 4;
/// Connections that make the objects and look at them in the end.
const MAKERS: usize = 16;
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
    let deadline = Instant::now() + Duration::from_secs(600);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How fast a rotation is while it is at work: the time from one step to the next counts, a restart does not.
struct Meter<'a> {
    database: &'a Database,
    last: Cell<(Instant, u64)>,
    /// How many were done in how much time.
    at_work: Cell<(u64, Duration)>,
}

impl<'a> Meter<'a> {
    /// Steps that are further apart have a restart between them.
    const STEP: Duration = Duration::from_millis(900);

    fn new(database: &'a Database) -> Self {
        let (_, first, _) = progress(database);
        Self { database, last: Cell::new((Instant::now(), first)), at_work: Cell::default() }
    }

    fn progress(&self) -> (u64, u64, bool) {
        let (total, done, finished) = progress(self.database);
        let ((at, before), now) = (self.last.get(), Instant::now());
        if done != before {
            if now - at < Self::STEP {
                let (count, time) = self.at_work.get();
                self.at_work.set((count + done - before, time + (now - at)));
            }
            self.last.set((now, done));
        }
        (total, done, finished)
    }

    fn per_second(&self) -> f64 {
        let (count, time) = self.at_work.get();
        count as f64 / time.as_secs_f64()
    }
}

/// Wraps and unwraps of a KEK together, each second, that SoftHSM2 does by itself for so many sessions.
fn token_alone(softhsm: &SoftHsm, sessions: usize) -> f64 {
    const EACH: usize = 5_000;
    let token = softhsm.token("raw");
    let pkcs11 = Pkcs11::new(softhsm.module()).unwrap();
    // The process has initialised it before.
    let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let serial = |slot: &Slot| pkcs11.get_token_info(*slot).unwrap().serial_number().to_owned();
    let slot = pkcs11.get_slots_with_token().unwrap().into_iter().find(|slot| serial(slot) == token.serial).unwrap();
    let login = pkcs11.open_rw_session(slot).unwrap();
    login.login(UserType::User, Some(&AuthPin::new(token.pin.clone().into()))).unwrap();
    let template = [Attribute::ValueLen(32.into()), Attribute::Encrypt(true), Attribute::Decrypt(true)];
    let root = login.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..sessions {
            scope.spawn(|| {
                let session = pkcs11.open_rw_session(slot).unwrap();
                for number in 0..EACH as u64 {
                    // The scheme that is best on SoftHSM2, with as many bytes of additional data.
                    let mut iv = [0; 12];
                    iv[..8].copy_from_slice(&number.to_be_bytes());
                    let mut same = iv;
                    let gcm = |iv| Mechanism::AesGcm(GcmParams::new(iv, &[9; 33], 128.into()).unwrap());
                    let wrapped = session.encrypt(&gcm(&mut iv), root, &[7; 32]).unwrap();
                    assert_eq!(session.decrypt(&gcm(&mut same), root, &wrapped).unwrap(), [7; 32]);
                }
            });
        }
    });
    (sessions * EACH) as f64 / start.elapsed().as_secs_f64()
}

/// Does something on each of several connections with its share of `all`.
fn shared_out<T: Sync, R: Send>(server: &Server, all: &[T], work: impl Fn(&mut Connection, &T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let shares: Vec<_> = (0..MAKERS)
            .map(|number| {
                let mut client = server.connect(Version::V1_4);
                let share = all.iter().skip(number).step_by(MAKERS);
                scope.spawn(move || share.map(|one| work(&mut client, one)).collect::<Vec<_>>())
            })
            .collect();
        let done = |share: thread::ScopedJoinHandle<'_, Vec<R>>| {
            share.join().unwrap_or_else(|_| panic!("the server said:\n{}", server.lines().join("\n")))
        };
        shares.into_iter().flat_map(done).collect()
    })
}

fn server(dir: &Path) -> Server {
    Server::start_in(dir, &["--hsm", "softhsm"])
}

#[test]
fn a_server_killed_five_times_while_it_rotates_loses_no_key() {
    let Some(softhsm) = SoftHsm::shared() else { return };
    let objects = std::env::var("KEYSTEAD_ROTATION_OBJECTS").ok().map(|text| text.parse::<u64>().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let mut running = server(dir);
    let numbers: Vec<u64> = (0..objects.unwrap_or(KEYS as u64)).collect();
    let start = Instant::now();
    let mut known: Acknowledged =
        shared_out(&running, &numbers, |client, number| register(client, *number).unwrap()).into_iter().collect();
    println!("{} objects made in {:.1} s", known.len(), start.elapsed().as_secs_f64());

    let config = format!("--config {}", dir.join("keystead.toml").display());
    let said = keystead(&format!("root-key rotate {LABEL} {config}"));
    assert!(said.stderr.contains("The running server brings them under it"), "{}{}", said.stdout, said.stderr);
    let database = Database::open_with_flags(dir.join("keystead.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let meter = Meter::new(&database);
    let (start, mut killed_on_the_way) = (Instant::now(), 0);
    for round in 1..=KILLS {
        let loaders: Vec<Connection> = (0..CONNECTIONS).map(|_| running.connect(Version::V1_4)).collect();
        let new: Vec<Acknowledged> = thread::scope(|scope| {
            let known = &known;
            let loads: Vec<_> = (1..)
                .zip(loaders)
                .map(|(number, client)| scope.spawn(move || load(client, known, round * 10 + number)))
                .collect();
            poll("the rotation goes on", || {
                let (total, done, finished) = meter.progress();
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
    poll("the rotation is finished", || meter.progress().2);
    println!("rotated in {:.1} s, kills and restarts included", start.elapsed().as_secs_f64());
    let rate = meter.per_second();
    drop(database);

    let proof = dir.join("proof.json");
    succeed(&format!("root-key describe {LABEL} --proof {} {config}", proof.display()));
    let verified = statement::verify(&std::fs::read(&proof).unwrap(), None).unwrap();
    let Claim::Rotation(proof) = verified.statement.claim else { panic!("{verified:?}") };
    assert_eq!((proof.from_version, proof.to_version, proof.remaining), (1, 2, 0));
    // What was destroyed before its turn had nothing left to wrap again.
    assert!((1..=numbers.len() as u64).contains(&proof.rewrapped), "{proof:?}");

    // Without the old version everything still opens.
    succeed(&format!("root-key retire {LABEL} --version 1 --yes {config}"));
    running.stop();
    let running = server(dir);
    let known: Vec<_> = known.into_iter().collect();
    shared_out(&running, &known, |client, (id, bytes)| {
        assert_eq!(&material(client.call(get(id)).unwrap()), bytes, "{id}");
    });
    println!("{} keys open after {killed_on_the_way} kills on the way; {} re-wrapped", known.len(), proof.rewrapped);
    if objects.is_some() {
        // A rotation unwraps, wraps, and unwraps once more to see that it can.
        let alone = [1, 2, 3].map(|sessions| token_alone(softhsm, sessions)).into_iter().fold(0.0, f64::max);
        let calm = calm_rate(dir, &config);
        for (rate, how) in [(rate, "under load"), (calm, "without load")] {
            println!(
                "{rate:.0} KEKs re-wrapped each second {how}; the token alone wraps and unwraps {alone:.0} each second ({:.0} %)",
                100.0 * rate / alone
            );
        }
    }
}

/// KEKs re-wrapped each second while the server has nothing else to do.
fn calm_rate(dir: &Path, config: &str) -> f64 {
    let database = Database::open_with_flags(dir.join("keystead.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    succeed(&format!("root-key rotate {LABEL} {config}"));
    let meter = Meter::new(&database);
    poll("the rotation is finished", || meter.progress().2);
    meter.per_second()
}
