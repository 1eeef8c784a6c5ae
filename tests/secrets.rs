//! Where secrets are not: in the database, its log, the audit log, the server's output, its arguments and environment, or in
//! a core file; and after Destroy not even sealed.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use kmip::{client::RequestBuilder, version::Version};
use pkcs11_fixtures::SoftHsm;
use rusqlite::Connection as Database;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::harness::{
    ask::*,
    create_aes, name,
    server::{Connection, Server},
};

/// Every file below `dir` with its content.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    assert!(part.len() >= 8, "too short to tell");
    text.windows(part.len()).any(|window| window == part)
}

/// How a secret might have been written down: its bytes, from either end, hexadecimal, and Base64 wherever it may begin within a longer one.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let spaced: Vec<String> = secret.iter().map(|byte| format!("{byte}")).collect();
    let backwards: Vec<u8> = secret.iter().rev().copied().collect();
    let mut forms = vec![
        ("bytes", secret.to_vec()),
        (
            "hexadecimal from the end",
            backwards.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        ),
        ("bytes from the end", backwards),
        ("hexadecimal", hex.clone().into_bytes()),
        ("upper hexadecimal", hex.to_uppercase().into_bytes()),
        ("a list of numbers", spaced.join(", ").into_bytes()),
    ];
    for skip in 0..3 {
        let whole = (secret.len() - skip) / 3 * 3;
        let part = &secret[skip..skip + whole];
        forms.push(("Base64", base64(part, b"+/")));
        forms.push(("Base64 for URLs", base64(part, b"-_")));
    }
    forms
}

fn base64(bytes: &[u8], last: &[u8; 2]) -> Vec<u8> {
    let letter = |n: u32| match u8::try_from(n & 63).unwrap() {
        n @ 0..26 => b'A' + n,
        n @ 26..52 => b'a' + n - 26,
        n @ 52..62 => b'0' + n - 52,
        n => last[usize::from(n - 62)],
    };
    let mut out = Vec::new();
    for three in bytes.chunks_exact(3) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        out.extend([18, 12, 6, 0].map(|shift| letter(bits >> shift)));
    }
    out
}

/// Checks that no secret, of which each has a name, stands in any of the places.
pub fn must_not_be_in(places: &BTreeMap<PathBuf, Vec<u8>>, secrets: &[(String, Vec<u8>)]) {
    for (what, secret) in secrets {
        for (form, written) in forms(secret) {
            for (place, content) in places {
                assert!(!contains(content, &written), "{what} stands in {} as {form}", place.display());
            }
        }
    }
}

/// Which HSM to start the server with.
fn hsm() -> [&'static str; 2] {
    ["--hsm", if SoftHsm::shared().is_some() { "softhsm" } else { "software" }]
}

/// Random bytes that nothing else can contain by chance.
pub fn random(length: usize) -> Vec<u8> {
    (0..length.div_ceil(16)).flat_map(|_| *Uuid::new_v4().as_bytes()).take(length).collect()
}

fn make_secrets(client: &mut Connection) -> Vec<(String, Vec<u8>)> {
    let mut secrets = Vec::new();
    for n in 0..5 {
        let id = made(client.call(create_aes(256, [name(&format!("created {n}"))])).unwrap());
        secrets.push((format!("created key {n}"), material(client.call(get(&id)).unwrap())));
    }
    let (key, password, opaque) = (random(32), random(40), random(333));
    for request in [
        register_aes(&key, [name("registered key")]),
        register_secret(&password, [name("registered password")]),
        register_opaque(&opaque, [name("registered bytes")]),
    ] {
        let id = made(client.call(request).unwrap());
        assert!([&key, &password, &opaque].contains(&&material(client.call(get(&id)).unwrap())));
    }
    // Requests that fail once their key was read: what is refused is not written down either.
    let refused = [random(32), random(32)];
    let taken = register_aes(&refused[0], [name("registered key")]);
    assert!(client.call(taken).is_err());
    let mut wrong = register_aes(&refused[1], []);
    if let Some(block) = wrong.object.key_block_mut() {
        block.cryptographic_length = Some(128);
    }
    assert!(client.call(wrong).is_err());
    let undone = random(32);
    let batch = RequestBuilder::new(Version::V1_4)
        .on_error(kmip::enums::BatchErrorContinuationOption::Undo)
        .item(register_aes(&undone, []))
        .item(activate("nobody"));
    assert!(client.send(batch).unwrap().iter().all(Result::is_err));
    secrets.extend([("registered key".to_owned(), key), ("registered password".to_owned(), password)]);
    secrets.extend([("registered bytes".to_owned(), opaque), ("undone key".to_owned(), undone)]);
    secrets.extend(refused.into_iter().map(|key| ("refused key".to_owned(), key)));
    secrets
}

#[test]
fn no_plaintext_of_a_key_is_in_any_file_or_in_what_the_server_prints() {
    let dir = tempfile::tempdir().unwrap();
    // At the level of logs that says most.
    let server = Server::start_in(dir.path(), &hsm());
    server_logs_everything(dir.path());
    drop(server.stop());
    let server = Server::start_in(dir.path(), &hsm());
    let mut client = server.connect(Version::V1_4);
    let secrets = make_secrets(&mut client);
    // While it runs, with the log that is not yet copied, and after it ended.
    must_not_be_in(&files(dir.path()), &secrets);
    drop(client);
    let log = server.stop().join("\n");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log says little:\n{log}");
    let mut places = files(dir.path());
    places.insert("what the server printed".into(), log.into_bytes());
    must_not_be_in(&places, &secrets);
    let bytes: usize = places.values().map(Vec::len).sum();
    println!("{} secrets looked for in {} places of {bytes} bytes in all", secrets.len(), places.len());
}

/// Sets the log level of an existing configuration to its most talkative.
pub fn server_logs_everything(dir: &Path) {
    let path = dir.join("keystead.toml");
    let config = fs::read_to_string(&path).unwrap();
    let louder = config.replace("log_level = \"warn\"", "log_level = \"trace\"");
    assert_ne!(config, louder);
    fs::write(path, louder).unwrap();
}

#[test]
fn pins_and_passwords_are_neither_in_arguments_nor_environment_nor_logs() {
    let dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let credential = folder.path().join("credential");
    let password = Uuid::new_v4().simple().to_string();
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&credential).unwrap();
    std::io::Write::write_all(&mut file, format!("vcenter:{password}\n").as_bytes()).unwrap();
    let credential_file = credential.to_str().unwrap();
    let [hsm_option, hsm] = hsm();
    let start = || Server::start_in(dir.path(), &[hsm_option, hsm, "--credential-file", credential_file]);
    drop(start());
    server_logs_everything(dir.path());
    let server = start();
    let mut client = server.connect(Version::V1_4);
    client.set_credential("vcenter", Zeroizing::new(password.clone()));
    client.call(create_aes(256, [])).expect("the password is right");
    let wrong = Uuid::new_v4().simple().to_string();
    client.set_credential("vcenter", Zeroizing::new(wrong.clone()));
    assert!(client.call(create_aes(256, [])).is_err());

    let mut secrets = vec![("password".to_owned(), password.into_bytes()), ("wrong password".to_owned(), wrong.into())];
    let mut own = Vec::new();
    for file in ["pin", "so-pin", "passphrase"] {
        let path = dir.path().join("hsm").join(file);
        if let Ok(content) = fs::read(&path) {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            secrets.push((file.to_owned(), content.trim_ascii().to_vec()));
            own.push(path);
        }
    }
    assert!(!own.is_empty(), "no PIN or passphrase is found");
    let process = PathBuf::from(format!("/proc/{}", server.pid()));
    let mut places = BTreeMap::new();
    for file in ["cmdline", "environ"] {
        match fs::read(process.join(file)) {
            Ok(content) => {
                places.insert(process.join(file), content);
            }
            Err(error) => println!("SKIP: /proc/PID/{file} cannot be read by this user, as it should be: {error}"),
        }
    }
    drop(client);
    places.insert("what the server printed".into(), server.stop().join("\n").into_bytes());
    places.extend(files(dir.path()).into_iter().filter(|(path, _)| !own.contains(path)));
    must_not_be_in(&places, &secrets);
}

fn status_field(pid: u32, file: &str, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    text.lines().find(|line| line.starts_with(field)).unwrap_or_default().to_owned()
}

#[test]
fn a_crash_leaves_no_core_file() {
    if !Path::new("/proc/self/limits").exists() {
        println!("SKIP: this system has no /proc to look into");
        return;
    }
    let server = Server::start();
    let limit = status_field(server.pid(), "limits", "Max core file size");
    let numbers: Vec<&str> = limit.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{limit}");
    assert_eq!(status_field(server.pid(), "status", "CoreDumping:").split_whitespace().last(), Some("0"));
}

#[test]
fn other_processes_of_the_same_user_cannot_look_into_its_memory() {
    // Only as root can a test become somebody else, for whom the files of a process that may be looked into are its own.
    if !rustix::process::getuid().is_root() || !Path::new("/proc/self/mem").exists() {
        println!("SKIP: needs to be root, to start the server as another user");
        return;
    }
    const NOBODY: u32 = 65_534;
    let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let program = folder.path().join("keystead");
    fs::copy(env!("CARGO_BIN_EXE_keystead"), &program).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(&program);
    command.uid(NOBODY).gid(NOBODY).current_dir(&data);
    let server = Server::start_by(command, &data, &[]);
    let mut sleeper = Command::new("sleep").arg("600").uid(NOBODY).gid(NOBODY).spawn().unwrap();
    let owner = |pid: u32| fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid();
    let owners = (owner(sleeper.id()), owner(server.pid()));
    // What another process of that user gets to see.
    let look = |pid: u32| {
        let mut dd = Command::new("head");
        dd.args(["-c", "1"]).arg(format!("/proc/{pid}/environ")).uid(NOBODY).gid(NOBODY);
        dd.output().unwrap().status.success()
    };
    let looks = (look(sleeper.id()), look(server.pid()));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(owners, (NOBODY, 0), "its files in /proc are root's, for it is not dumpable");
    assert_eq!(looks, (true, false), "an ordinary process can be looked into, the server cannot");
}

/// The wrapped KEK and the sealed body of an object.
fn sealed(database: &Database, id: &str) -> (Vec<u8>, Vec<u8>) {
    let sql = "SELECT k.wrapped, m.sealed FROM object AS o JOIN material AS m ON m.seq = o.material
               JOIN kek AS k ON k.seq = o.material WHERE o.id = ?1";
    let id = *Uuid::parse_str(id).unwrap().as_bytes();
    database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn after_destroy_not_even_the_sealed_key_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &hsm());
    let mut client = server.connect(Version::V1_4);
    let ids: Vec<String> = (0..40).map(|_| made(client.call(create_aes(256, [])).unwrap())).collect();
    // One that takes pages of its own.
    let large = made(client.call(register_opaque(&random(20_000), [])).unwrap());
    let database = Database::open(dir.path().join("keystead.db")).unwrap();
    let blobs: Vec<_> = ids.iter().chain([&large]).map(|id| (id, sealed(&database, id))).collect();
    drop(database);
    let (kept, gone): (Vec<_>, Vec<_>) = blobs.iter().enumerate().partition(|(n, _)| n % 4 == 0 && *n != 40);
    for (_, (id, _)) in &gone {
        client.call(destroy(id)).unwrap();
    }
    drop(client);
    server.stop();
    let places = files(dir.path());
    let is_somewhere = |part: &[u8]| places.iter().find(|(_, content)| contains(content, part)).map(|(path, _)| path);
    for (_, (id, (kek, body))) in &kept {
        for part in [&kek[..64], &body[..32]] {
            assert!(is_somewhere(part).is_some(), "the sealed key of {id}, which is alive, is looked for wrongly");
        }
    }
    for (_, (id, (kek, body))) in &gone {
        // The wrapped KEK alone is enough to have been destroyed; parts of the body say whether anything was left behind.
        let parts = [&kek[24..64], &body[body.len() - 32..], &body[body.len() / 2..][..32]];
        for part in parts {
            assert_eq!(is_somewhere(part), None, "a part of the sealed key of {id} is left");
        }
    }
    println!("{} destroyed, nothing left of them; {} alive", gone.len(), kept.len());
}

#[test]
fn damaged_keys_over_a_token_are_refused_and_the_token_stays_ready() {
    if SoftHsm::shared().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &hsm());
    let mut client = server.connect(Version::V1_4);
    let id = made(client.call(create_aes(256, [])).unwrap());
    let other = made(client.call(create_aes(256, [])).unwrap());
    let key = material(client.call(get(&id)).unwrap());
    let database = Database::open(dir.path().join("keystead.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let (kek, body) = sealed(&database, &id);
    let good = [kek.as_slice(), &body].concat();
    let set = |blob: &[u8]| {
        let (kek, body) = blob.split_at(kek.len());
        let id = *Uuid::parse_str(&id).unwrap().as_bytes();
        for (column, blob) in [("material SET sealed", body), ("kek SET wrapped", kek)] {
            let sql = format!("UPDATE {column} = ?2 WHERE seq = (SELECT material FROM object WHERE id = ?1)");
            assert_eq!(database.execute(&sql, rusqlite::params![id, blob]).unwrap(), 1);
        }
    };
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        set(&bad);
        let Err(kmip::client::ClientError::Refused(refusal)) = client.call(get(&id)) else { panic!("byte {at} opens") };
        assert_eq!(refusal.reason, Some(kmip::enums::ResultReason::GeneralFailure), "byte {at}");
        assert!(!refusal.message.unwrap_or_default().contains("not available"), "byte {at}: the HSM is well");
        if at % 16 == 0 {
            assert_eq!(material(client.call(get(&other)).expect("others are served")).len(), 32);
        }
    }
    set(&good);
    assert_eq!(material(client.call(get(&id)).unwrap()), key);
    assert_eq!(found(client.call(locate([])).unwrap()).len(), 2);
    drop(client);
    let log = server.stop();
    let told = log.iter().filter(|line| line.contains("ERROR") && line.contains(&id)).count();
    assert_eq!(told, good.len(), "each refusal is one error line that names the object");
}
