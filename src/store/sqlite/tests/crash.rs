//! A process that is killed while it writes loses nothing that it acknowledged.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use super::*;

/// Set for the child process, to the database it writes to.
const CHILD: &str = "KEYSTEAD_TEST_CRASH";

#[test]
fn what_was_acknowledged_before_a_kill_is_there_after_it() {
    let fixture = Fixture::new();
    let path = fixture.path();
    let Fixture { store, directory, adapter } = fixture;
    drop(store);
    let mut acknowledged = Vec::new();
    for round in 1..=10 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::tests::crash::the_child_that_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut note = |line: String| {
            if let Some(id) = line.strip_prefix("stored ").and_then(|id| Uuid::try_parse(id).ok()) {
                acknowledged.push(ObjectId(id));
            }
        };
        lines.by_ref().take(50 * round).for_each(&mut note);
        child.kill().unwrap();
        lines.for_each(&mut note);
        assert!(!child.wait().unwrap().success());

        let store = Store::open(&path, StoreOptions::default()).unwrap();
        assert!(acknowledged.len() >= 40 * round);
        for id in &acknowledged {
            let row = store.object(adapter, *id).unwrap().unwrap();
            // What came with the row came whole.
            assert_eq!(row.sealed.unwrap().body, id.0.as_bytes());
            let search = live(&[u64::from_be_bytes(id.0.as_bytes()[8..].try_into().unwrap())]);
            assert_eq!(store.search(adapter, &search).unwrap(), [*id]);
        }
    }
    drop(directory);
}

/// Does nothing unless it is run by the test above, which ends it.
#[test]
fn the_child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&path), StoreOptions::default()).unwrap();
    let adapter = store.trust().unwrap().adapters[0].id;
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let row = new_row(adapter);
                    let id = row.id.0;
                    let row = ObjectRow { sealed: sealed(id.as_bytes()), ..row };
                    let index = named(u64::from_be_bytes(id.as_bytes()[8..].try_into().unwrap()));
                    store.apply(vec![Change::Insert { row, index }]).unwrap();
                    // One write for each line: what is read on the other side is a whole line or none.
                    std::io::stdout().write_all(format!("stored {id}\n").as_bytes()).unwrap();
                }
            });
        }
    });
}
