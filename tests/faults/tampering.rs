//! Someone, or a failing disk, changes rows of the database behind the server's back. The object is refused, operators read
//! which one, and the server goes on.

use hal::Health;
use kmip::{
    attributes::{Attribute, AttributeKind},
    enums::{ResultReason, RevocationReasonCode, State},
    fields::DateTime,
    masks::StorageStatusMask,
    payloads::{LocateRequest, Request},
    tree::Value,
};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::harness::{
    ask::*,
    create_aes,
    engine::{TestServer, User, logged},
    name,
};

fn key(id: &str) -> [u8; 16] {
    *Uuid::parse_str(id).unwrap().as_bytes()
}

/// Bytes of a KEK's row: version, then length, wrapped KEK and padding.
const KEK: usize = 4 + 88;

/// What the database holds of an object's sealed content: its KEK's row, then the body.
fn sealed(database: &Connection, id: &str) -> Vec<u8> {
    let sql = "SELECT k.version, k.wrapped, m.sealed FROM object AS o JOIN material AS m ON m.seq = o.material
               JOIN kek AS k ON k.seq = o.material WHERE o.id = ?1";
    let parts = database.query_row(sql, [key(id)], |row| {
        Ok([row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?])
    });
    parts.unwrap().concat()
}

fn set_sealed(database: &Connection, id: &str, sealed: &[u8]) {
    let (kek, body) = sealed.split_at(KEK);
    let sql = "UPDATE material SET sealed = ?2 WHERE seq = (SELECT material FROM object WHERE id = ?1)";
    assert_eq!(database.execute(sql, params![key(id), body]).unwrap(), 1);
    let sql = "UPDATE kek SET version = ?2, wrapped = ?3 WHERE seq = (SELECT material FROM object WHERE id = ?1)";
    assert_eq!(database.execute(sql, params![key(id), &kek[..4], &kek[4..]]).unwrap(), 1);
}

fn column(database: &Connection, id: &str, column: &str) -> Vec<u8> {
    let sql = format!("SELECT {column} FROM object WHERE id = ?1");
    database.query_row(&sql, [key(id)], |row| row.get(0)).unwrap()
}

fn set_column(database: &Connection, id: &str, column: &str, value: impl rusqlite::ToSql) {
    let sql = format!("UPDATE object SET {column} = ?2 WHERE id = ?1");
    assert_eq!(database.execute(&sql, params![key(id), value]).unwrap(), 1);
}

/// The request is refused as the server's own failure, and operators read the object's name.
fn refused(user: &User, id: &str, request: impl Into<Request>, how: &str) {
    let request = request.into();
    let operation = request.operation().name();
    let (reason, log) = logged(|| user.refused(request));
    assert_eq!(reason, ResultReason::GeneralFailure, "{operation}, {how}");
    let told = log.lines().any(|line| line.contains("ERROR") && line.contains(id));
    assert!(told, "{operation}, {how}: no error line names the object:\n{log}");
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

/// An object to damage, beside one that nobody touches.
struct Scene {
    server: TestServer,
    alice: User,
    database: Connection,
    victim: String,
    bystander: String,
    bystanders_key: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let server = TestServer::new();
        let alice = server.alice();
        let victim = alice.make(create_aes(256, [name("victim"), custom_text("x-note", "same")]));
        let bystander = alice.make(create_aes(256, [name("bystander"), custom_text("x-note", "same")]));
        let bystanders_key = alice.material(&bystander);
        alice.material(&victim);
        let database = server.database();
        Self { server, alice, database, victim, bystander, bystanders_key }
    }

    /// Everybody else is served as before.
    fn others_are_served(&self, how: &str) {
        assert_eq!(self.alice.material(&self.bystander), self.bystanders_key, "{how}");
        assert!(self.alice.find(locate([])).contains(&self.bystander), "{how}");
        assert!(self.alice.find(locate([custom_text("x-note", "same")])).contains(&self.bystander), "{how}");
        let looking = locate([Attribute::Sensitive(false), name("bystander")]);
        assert_eq!(self.alice.find(looking), [self.bystander.as_str()], "{how}");
        assert_eq!(self.server.hsm_health(), Health::Ready, "{how}");
    }
}

#[test]
fn a_sealed_key_with_any_bit_changed_does_not_open() {
    let scene = Scene::new();
    let good = sealed(&scene.database, &scene.victim);
    // Version, length, wrapped KEK (its format, scheme, root key, version, IV, ciphertext), padding, nonce, body and tag.
    for at in 0..good.len() {
        set_sealed(&scene.database, &scene.victim, &flipped(&good, at));
        refused(&scene.alice, &scene.victim, get(&scene.victim), &format!("byte {at} of {}", good.len()));
    }
    scene.others_are_served("every byte was changed once");
    assert_eq!(scene.alice.state(&scene.victim), State::PreActive, "its attributes need no key");
    set_sealed(&scene.database, &scene.victim, &good);
    assert_eq!(scene.alice.material(&scene.victim).len(), 32);
    println!("{} bytes changed", good.len());
}

#[test]
fn a_sealed_key_that_is_cut_or_lengthened_does_not_open() {
    let scene = Scene::new();
    let good = sealed(&scene.database, &scene.victim);
    for length in KEK..good.len() {
        set_sealed(&scene.database, &scene.victim, &good[..length]);
        refused(&scene.alice, &scene.victim, get(&scene.victim), &format!("{length} bytes"));
    }
    // The wrapped KEK has its length before it, and zeros behind it.
    let wrapped = usize::from(good[4]);
    for length in (0..=87).filter(|length| *length != wrapped) {
        let mut cut = good.clone();
        cut[4] = u8::try_from(length).unwrap();
        cut[5..KEK].iter_mut().skip(length).for_each(|byte| *byte = 0);
        set_sealed(&scene.database, &scene.victim, &cut);
        refused(&scene.alice, &scene.victim, get(&scene.victim), &format!("a wrapped KEK of {length} bytes"));
    }
    let zeros = vec![0; good.len()];
    for other in [[good.as_slice(), &[0]].concat(), zeros, vec![0xff; 1 << 16]] {
        set_sealed(&scene.database, &scene.victim, &other);
        refused(&scene.alice, &scene.victim, get(&scene.victim), &format!("{} bytes", other.len()));
    }
    set_column(&scene.database, &scene.victim, "material", Option::<i64>::None);
    refused(&scene.alice, &scene.victim, get(&scene.victim), "no material at all");
    scene.others_are_served("cut");
}

#[test]
fn sealed_keys_that_change_places_do_not_open() {
    let scene = Scene::new();
    let second = scene.alice.create_aes(256);
    let bob = scene.server.bob();
    let bobs = bob.create_aes(256);
    let [of_victim, of_second, of_bobs] = [&scene.victim, &second, &bobs].map(|id| sealed(&scene.database, id));
    set_sealed(&scene.database, &scene.victim, &of_second);
    set_sealed(&scene.database, &second, &of_victim);
    for id in [&scene.victim, &second] {
        refused(&scene.alice, id, get(id), "swapped with another object's");
    }
    // Swapped back they open: nothing was lost.
    set_sealed(&scene.database, &scene.victim, &of_victim);
    set_sealed(&scene.database, &second, &of_second);
    assert_eq!((scene.alice.material(&scene.victim).len(), scene.alice.material(&second).len()), (32, 32));
    // Between adapters.
    set_sealed(&scene.database, &scene.victim, &of_bobs);
    set_sealed(&scene.database, &bobs, &of_victim);
    refused(&scene.alice, &scene.victim, get(&scene.victim), "swapped with another adapter's");
    refused(&bob, &bobs, get(&bobs), "swapped with another adapter's");
    scene.others_are_served("swapped");
}

#[test]
fn a_row_moved_to_another_adapter_is_refused_there() {
    let scene = Scene::new();
    let bob = scene.server.bob();
    let bobs = bob.make(create_aes(256, [name("bob's")]));
    let adapter_of = |id: &str| -> i64 {
        scene.database.query_row("SELECT adapter FROM object WHERE id = ?1", [key(id)], |row| row.get(0)).unwrap()
    };
    set_column(&scene.database, &bobs, "adapter", adapter_of(&scene.victim));
    refused(&scene.alice, &bobs, get(&bobs), "moved");
    refused(&scene.alice, &bobs, attributes(&bobs, &[]), "moved");
    assert_eq!(bob.refused(get(&bobs)), ResultReason::ItemNotFound);
    // As another type of object it is refused too.
    set_column(&scene.database, &scene.victim, "object_type", 8);
    refused(&scene.alice, &scene.victim, get(&scene.victim), "of another type");
    scene.others_are_served("moved");
}

#[test]
fn metadata_with_any_bit_changed_is_refused() {
    let scene = Scene::new();
    let id = &scene.victim;
    let good = column(&scene.database, id, "metadata");
    let requests = || -> Vec<Request> {
        vec![
            get(id).into(),
            attributes(id, &[]).into(),
            activate(id).into(),
            modify(id, custom_text("x-note", "changed")).into(),
            revoke(id, RevocationReasonCode::KeyCompromise).into(),
            destroy(id).into(),
        ]
    };
    let ways = (0..good.len()).map(|at| (format!("byte {at}"), flipped(&good, at)));
    let cuts = [0, 1, 8, 15, 16, 17, good.len() - 1].map(|length| (format!("{length} bytes"), good[..length].to_vec()));
    let swapped = ("another object's".to_owned(), column(&scene.database, &scene.bystander, "metadata"));
    let mut ways: Vec<(String, Vec<u8>)> = ways.chain(cuts).chain([swapped]).collect();
    ways.push(("zeros".to_owned(), vec![0; good.len()]));
    let count = ways.len();
    for (number, (how, bad)) in ways.into_iter().enumerate() {
        set_column(&scene.database, id, "metadata", bad);
        let mut requests = requests();
        // Every way with one request, each request with many ways.
        let request = requests.swap_remove(number % requests.len());
        refused(&scene.alice, id, request, &how);
    }
    for request in requests() {
        refused(&scene.alice, id, request, "zeros");
    }
    scene.others_are_served("metadata damaged");
    set_column(&scene.database, id, "metadata", good);
    assert_eq!(scene.alice.state(id), State::PreActive, "nothing was changed by those that were refused");
    println!("metadata damaged in {count} ways");
}

#[test]
fn a_damaged_index_of_one_object_does_not_break_searches() {
    let scene = Scene::new();
    let good = column(&scene.database, &scene.victim, "entries");
    for bad in [Vec::new(), vec![0xff; 12], good[..good.len() - 1].to_vec(), [good.as_slice(), &[1]].concat()] {
        set_column(&scene.database, &scene.victim, "entries", bad);
        let created = [0, 1].map(|days| START_RANGE.0 + days * (START_RANGE.1 - START_RANGE.0));
        let range = created.map(|seconds| criterion(Attribute::InitialDate(DateTime(seconds))));
        let note = criterion(custom_text("x-note", "same"));
        let found = scene.alice.find(locate_by([range.to_vec(), vec![note]].concat()));
        assert_eq!(found, [scene.bystander.as_str()]);
        refused(&scene.alice, &scene.victim, modify(&scene.victim, custom_text("x-note", "new")), "index damaged");
        scene.others_are_served("index damaged");
        assert_eq!(scene.alice.material(&scene.victim).len(), 32, "Get does not need it");
    }
}

const START_RANGE: (i64, i64) = (crate::harness::engine::START, crate::harness::engine::START + 1000);

#[test]
fn damaged_objects_whose_dates_pass_do_not_keep_others_from_being_found() {
    let scene = Scene::new();
    let due = |seconds| [Attribute::ActivationDate(DateTime(scene.server.now() + seconds))];
    // More than the server settles in one step.
    let damaged: Vec<String> = (0..300).map(|_| scene.alice.make(create_aes(128, due(10)))).collect();
    let well = scene.alice.make(create_aes(128, due(20)));
    let (without_metadata, without_index) = damaged.split_at(290);
    for id in without_metadata {
        set_column(&scene.database, id, "metadata", b"damaged".as_slice());
    }
    for id in without_index {
        set_column(&scene.database, id, "entries", b"damaged".as_slice());
    }
    scene.server.pass(30);
    assert_eq!(scene.alice.find(locate([Attribute::State(State::Active)])), [well.as_str()]);
    assert_eq!(scene.alice.state(&well), State::Active);
    refused(&scene.alice, &damaged[0], get(&damaged[0]), "damaged");
}

#[test]
fn a_sealed_key_put_back_after_destroy_does_not_bring_the_object_back() {
    let scene = Scene::new();
    let id = &scene.victim;
    let (blob, metadata) = (sealed(&scene.database, id), column(&scene.database, id, "metadata"));
    let key_bytes = scene.alice.material(id);
    scene.alice.ask(destroy(id)).unwrap();
    let material: Option<i64> =
        scene.database.query_row("SELECT material FROM object WHERE id = ?1", [key(id)], |row| row.get(0)).unwrap();
    assert_eq!(material, None);
    scene.database.execute("INSERT INTO material (sealed) VALUES (x'')", []).unwrap();
    let material = scene.database.last_insert_rowid();
    let kek = "INSERT INTO kek (seq, object, root, version, wrapped) VALUES (?1, 0, 1, zeroblob(4), zeroblob(88))";
    scene.database.execute(kek, [material]).unwrap();
    set_column(&scene.database, id, "material", material);
    set_sealed(&scene.database, id, &blob);
    assert_eq!(scene.alice.refused(get(id)), ResultReason::ItemNotFound, "its metadata says that it is destroyed");
    let all = LocateRequest { storage_status_mask: Some(StorageStatusMask::from_bits(4)), ..locate([name("victim")]) };
    assert_eq!(scene.alice.find(all), [id.as_str()]);
    // The whole row of before is a restored backup: it is the object as it was, and opens.
    set_column(&scene.database, id, "metadata", metadata);
    set_column(&scene.database, id, "destroyed", false);
    assert_eq!(scene.alice.material(id), key_bytes);
    scene.others_are_served("put back");
}

#[test]
fn a_custom_value_changed_in_the_database_is_not_handed_out() {
    let scene = Scene::new();
    let note = Value::text("same");
    assert_eq!(scene.alice.custom(&scene.victim, "x-note"), [(0, note)]);
    let metadata = column(&scene.database, &scene.victim, "metadata");
    let at = metadata.windows(4).position(|bytes| bytes == b"same").expect("attributes are stored in the clear");
    let mut changed = metadata.clone();
    changed[at..at + 4].copy_from_slice(b"fake");
    set_column(&scene.database, &scene.victim, "metadata", changed);
    refused(&scene.alice, &scene.victim, attributes(&scene.victim, &[AttributeKind::State]), "a value changed");
}
