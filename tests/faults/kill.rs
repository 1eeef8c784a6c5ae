//! The process is killed while it makes keys, again and again: every key that was acknowledged is there and opens, and of
//! the others none is half there.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
};

use kmip::{attributes::Attribute, payloads::LocateRequest, version::Version};

use crate::harness::{
    ask::*,
    create_aes,
    engine::memory_dir,
    name,
    server::{Connection, Server},
};

const ROUNDS: usize = 50;
const CONNECTIONS: usize = 4;

/// What the client was told: identifier, and for some the bytes that Get returned.
type Acknowledged = HashMap<String, Option<Vec<u8>>>;

/// Makes keys until the server is gone. Every fifth key is fetched as well.
fn make_keys(mut client: Connection, group: &str, prefix: &str, acknowledge: impl Fn(String, Option<Vec<u8>>)) {
    for n in 0.. {
        let attributes = [name(&format!("{prefix} {n}")), Attribute::ObjectGroup(group.to_owned())];
        let Ok(response) = client.call(create_aes(256, attributes)) else { return };
        let id = made(response);
        acknowledge(id.clone(), None);
        if n % 5 == 0 {
            let Ok(response) = client.call(get(&id)) else { return };
            acknowledge(id, Some(material(response)));
        }
    }
}

/// Loads the server from several connections and kills it at the moment when so many keys were acknowledged.
fn kill_under_load(server: Server, group: &str, after: usize) -> Acknowledged {
    let known = Mutex::new(Acknowledged::new());
    let count = AtomicUsize::new(0);
    let (reached, reach) = channel();
    let clients: Vec<Connection> = (0..CONNECTIONS).map(|_| server.connect(Version::V1_4)).collect();
    std::thread::scope(|scope| {
        for (number, client) in clients.into_iter().enumerate() {
            let (known, count, reached) = (&known, &count, reached.clone());
            scope.spawn(move || {
                make_keys(client, group, &format!("{group} {number}"), |id, bytes| {
                    if bytes.is_none() && count.fetch_add(1, Ordering::SeqCst) + 1 == after {
                        reached.send(()).unwrap();
                    }
                    known.lock().unwrap().insert(id, bytes);
                });
            });
        }
        reach.recv().unwrap();
        server.kill();
    });
    known.into_inner().unwrap()
}

/// Everything acknowledged is there and opens; what else is there is whole. Returns how many more there are.
fn check(client: &mut Connection, group: &str, known: &Acknowledged) -> usize {
    let all = LocateRequest { maximum_items: Some(100_000), ..locate([Attribute::ObjectGroup(group.to_owned())]) };
    let located: HashSet<String> = found(client.call(all).unwrap()).into_iter().collect();
    for id in known.keys() {
        assert!(located.contains(id), "{id} was acknowledged and is lost");
    }
    let mut names = HashSet::new();
    for id in &located {
        let bytes = material(client.call(get(id)).expect("what is found opens"));
        assert_eq!(bytes.len(), 32);
        if let Some(Some(remembered)) = known.get(id) {
            assert_eq!(bytes, *remembered, "{id} has another key now");
        }
        let response = client.call(attributes(id, &[kmip::attributes::AttributeKind::Name])).unwrap();
        let kmip::payloads::Response::GetAttributes(response) = response else { panic!("{response:?}") };
        let Attribute::Name(found) = &response.attributes.0[0].attribute else { panic!("{response:?}") };
        assert!(names.insert(found.name_value.clone()), "a name is there twice");
    }
    let unacknowledged = located.len() - known.len();
    assert!(unacknowledged <= CONNECTIONS, "{unacknowledged} more than requests were under way");
    unacknowledged
}

#[test]
fn no_acknowledged_key_is_lost_when_the_server_is_killed_fifty_times() {
    // A kill leaves the system's memory alone, so where the files lie makes no difference but in time.
    let dir = memory_dir();
    let mut seed = 0x2545_f491_u64;
    let (mut acknowledged, mut unacknowledged, mut fetched) = (0, 0, 0);
    let mut rounds: Vec<(String, Acknowledged)> = Vec::new();
    for round in 0..ROUNDS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = 1 + usize::try_from(seed >> 33).unwrap() % 80;
        let group = format!("round {round}");
        let server = Server::start_in(dir.path(), &[]);
        if let Some((group, known)) = rounds.last() {
            unacknowledged += check(&mut server.connect(Version::V1_4), group, known);
        }
        let known = kill_under_load(server, &group, after);
        acknowledged += known.len();
        fetched += known.values().flatten().count();
        rounds.push((group, known));
    }
    // Once more all of them, for later kills must not reach what was there before.
    let server = Server::start_in(dir.path(), &[]);
    let mut client = server.connect(Version::V1_4);
    let (group, known) = rounds.last().unwrap();
    unacknowledged += check(&mut client, group, known);
    for (group, known) in &rounds {
        check(&mut client, group, known);
    }
    println!(
        "{ROUNDS} kills: {acknowledged} keys acknowledged, {fetched} of them fetched before, all there; \
         {unacknowledged} more were made and not acknowledged, all whole"
    );
}
