//! The disk is full: clients and operators are told so, nothing is lost, keys are still handed out, and when there is room
//! the server goes on by itself.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kmip::{
    attributes::Attribute,
    client::ClientError,
    enums::{ResultReason, RevocationReasonCode, State},
    fields::DateTime,
    payloads::{Request, Response},
    version::Version,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;

use crate::harness::{
    ask::*,
    create_aes,
    engine::TestServer,
    name,
    server::{Connection, Server},
};

type Keys = HashMap<String, Vec<u8>>;

fn create(client: &mut Connection, text: &str) -> Result<Response, ClientError> {
    client.call(create_aes(256, [name(text), custom_text("x-padding", &"x".repeat(20_000))]))
}

fn is_refused_for_room(outcome: Result<Response, ClientError>) {
    let Err(ClientError::Refused(refusal)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refusal.reason, Some(ResultReason::GeneralFailure));
    let message = refusal.message.unwrap_or_default();
    assert!(message.contains("disk is full") && message.contains("correlation id"), "{message}");
}

fn all_open(client: &mut Connection, keys: &Keys) {
    for (id, key) in keys {
        assert_eq!(material(client.call(get(id)).expect("a key is handed out")), *key);
    }
    assert_eq!(found(client.call(locate([])).unwrap()).len(), keys.len(), "and nothing else is there");
}

/// Fills the disk with keys, looks at what works and what does not, makes room, looks again.
fn play(server: Server, dir: &Path, make_room: impl FnOnce(&Server)) {
    let mut client = server.connect(Version::V1_4);
    let mut keys = Keys::new();
    let refusal = loop {
        match create(&mut client, &format!("key {}", keys.len())) {
            Ok(response) => {
                let id = made(response);
                // Not fetched now: the first Get of a key writes, and must work on a full disk all the same.
                keys.insert(id, Vec::new());
                assert!(keys.len() < 5_000, "the disk does not get full");
            }
            refused => break refused,
        }
    };
    is_refused_for_room(refusal);
    for (id, key) in &mut keys {
        *key = material(client.call(get(id)).expect("a key is handed out though the disk is full"));
    }
    all_open(&mut client, &keys);
    let id = keys.keys().next().unwrap().clone();
    let padding = "y".repeat(60_000);
    let writes: [Request; 2] =
        [add(&id, custom_text("x-more", &padding)).into(), create_aes(256, [custom_text("x-more", &padding)]).into()];
    for request in writes {
        is_refused_for_room(client.call(request));
    }
    let line = server.wait_for("the disk is full");
    assert!(line.contains("ERROR"), "{line}");

    make_room(&server);
    for n in 0..3 {
        let id = made(create(&mut client, &format!("key after {n}")).expect("there is room again"));
        keys.insert(id.clone(), material(client.call(get(&id)).unwrap()));
    }
    client.call(add(&id, custom_text("x-more", &padding))).expect("there is room again");
    all_open(&mut client, &keys);
    drop(client);
    server.kill();
    let server = Server::start_in(dir, &[]);
    all_open(&mut server.connect(Version::V1_4), &keys);
    println!("{} keys fitted and are all there", keys.len());
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    // The limit comes with a signal that ends a process which does not ignore it.
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#, env!("CARGO_BIN_EXE_keystead")]);
    let server = Server::start_by(command, dir.path(), &[]);
    let limit = |server: &Server, bytes: Option<u64>| {
        let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
        let pid = Some(pid);
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("limits can be set");
    };
    limit(&server, Some(1 << 20));
    play(server, dir.path(), |server| limit(server, None));
}

/// A small file system in memory, where the system lets this user make one.
struct SmallDisk {
    at: TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=6m,mode=0700", "tmpfs"]).arg(at.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self { at }),
            outcome => {
                println!("SKIP: no file system can be mounted here: {outcome:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.at.path()).status();
    }
}

#[test]
fn a_full_file_system_is_reported_and_survived() {
    let Some(disk) = SmallDisk::mount() else { return };
    let dir: PathBuf = disk.at.path().join("data");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(&dir).unwrap();
    // The audit log lies on another disk, as it should: without it nothing at all would be answered.
    std::os::unix::fs::symlink(elsewhere.path(), dir.join("audit")).unwrap();
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let server = Server::start_in(&dir, &[]);
    play(server, &dir, |_| fs::remove_file(&ballast).unwrap());
}

#[test]
fn searches_find_what_the_clock_has_moved_though_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir_in(disk.at.path()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("audit.jsonl"), dir.path().join("audit.jsonl")).unwrap();
    let server = TestServer::start(dir, Default::default());
    let alice = server.alice();
    let due = |seconds| [Attribute::ActivationDate(DateTime(server.now() + seconds)), custom_text("x-note", "due")];
    let soon = alice.make(create_aes(256, due(10)));
    let later = alice.make(create_aes(256, due(1000)));
    let ballast = |n| disk.at.path().join(format!("ballast {n}"));
    let blocks = (0..).take_while(|n| fs::write(ballast(*n), vec![0; 4096]).is_ok()).count();
    server.pass(20);
    let by = |state| alice.find(locate([Attribute::State(state), custom_text("x-note", "due")]));
    let look = || {
        assert_eq!(by(State::Active), [soon.as_str()]);
        assert_eq!(by(State::PreActive), [later.as_str()]);
        assert_eq!(alice.find(locate([])), [later.as_str(), &soon]);
        assert_eq!(alice.material(&soon).len(), 32);
    };
    let refusal = alice.ask(create_aes(256, [custom_text("x-more", &"y".repeat(60_000))])).unwrap_err();
    assert!(refusal.message.unwrap().contains("disk is full"));
    look();
    // The last one is there without its content.
    (0..=blocks).for_each(|n| fs::remove_file(ballast(n)).unwrap());
    look();
    alice.ask(revoke(&soon, RevocationReasonCode::CessationOfOperation)).expect("there is room again");
}
