//! Crypto-shredding: what is reported, what is refused, what is left, and what a crash in between does.

use std::fs;

use kmip::{client::ClientError, version::Version};
use pkcs11_fixtures::SoftHsm;
use rusqlite::Connection as Database;

use super::{adapter, hold, refuse, run, shares, state, versions};
use crate::{
    cli::{Data, keystead, succeed},
    harness::{
        ask::{activate, get, made},
        create_aes,
        server::Server,
    },
    several_tokens::site,
};

/// A data directory whose adapter `doomed` has two keys under the root key `doomed`, one of them Active.
fn doomed() -> (Data, String) {
    doomed_on("software")
}

fn doomed_on(hsm: &str) -> (Data, String) {
    let data = Data::with_hsm(hsm);
    data.succeed("root-key create doomed");
    adapter(&data.dir(), "doomed", "doomed");
    let server = Server::serving(&data.dir(), &[]);
    let mut client = server.connect_as("doomed", Version::V1_4);
    let active = made(client.call(create_aes(256, [])).unwrap());
    client.call(activate(&active)).unwrap();
    client.call(create_aes(256, [])).unwrap();
    server.stop();
    (data, active)
}

fn wrapped_keks(data: &Data) -> Vec<Vec<u8>> {
    let database = Database::open(data.file("keystead.db")).unwrap();
    let mut select = database.prepare("SELECT wrapped FROM kek").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

const DESTROY: &str = "root-key destroy doomed --yes";

#[test]
fn active_objects_must_be_approved_by_their_number() {
    let (data, _) = doomed();
    let report = data.succeed("root-key destroy doomed --dry-run");
    for part in ["\"doomed\": 2 objects", "1 PreActive", "1 Active", "lost: 2, 1 of them Active", "erased: 2"] {
        assert!(report.contains(part), "{part} in {report}");
    }
    for (approval, why) in [
        ("", "1 of the objects are Active"),
        ("--approve-destruction-of 0", "of 0 Active objects was approved, and 1 are"),
        ("--approve-destruction-of 2", "of 2 Active objects was approved, and 1 are"),
    ] {
        let said = data.fail(1, &format!("{DESTROY} {approval}"));
        assert!(said.contains(why) && said.contains("nothing was destroyed"), "{said}");
    }
    // Nobody is there to answer.
    let said = data.fail(1, "root-key destroy doomed --approve-destruction-of 1");
    assert!(said.contains("not confirmed"), "{said}");
    assert!(wrapped_keks(&data).iter().all(|kek| kek.iter().any(|byte| *byte != 0)));
    let server = Server::serving(&data.dir(), &[]);
    let mut client = server.connect_as("doomed", Version::V1_4);
    client.call(create_aes(256, [])).unwrap();
}

#[test]
fn what_is_destroyed_is_gone_everywhere_and_the_certificate_says_so() {
    let (data, active) = doomed_on(if SoftHsm::shared().is_some() { "softhsm" } else { "software" });
    let token = versions(&data.dir(), "doomed")[0]["hsm"]["tokens"][0].clone();
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("signer.pem");
    data.succeed(&format!("root-key signer --out {}", pem.display()));
    let server = Server::serving(&data.dir(), &[]);
    let mut client = server.connect_as("doomed", Version::V1_4);
    client.call(get(&active)).unwrap();
    data.succeed(&format!("{DESTROY} --approve-destruction-of 1"));

    // The running server has noticed once it has to look: what it is asked for is erased.
    let Err(ClientError::Refused(refusal)) = client.call(get(&active)) else { panic!("the key is handed out") };
    assert!(refusal.message.unwrap().contains("was destroyed on"));
    let Err(ClientError::Refused(refusal)) = client.call(create_aes(256, [])) else { panic!("a key is made") };
    assert!(refusal.message.unwrap().contains("no new keys"));
    server.stop();
    assert_eq!(state(&data.dir(), "doomed"), "destroyed");
    let erased: Vec<_> = wrapped_keks(&data).into_iter().filter(|kek| kek.iter().all(|byte| *byte == 0)).collect();
    assert_eq!(erased.len(), 2);
    // The adapter is still there.
    assert!(data.list("adapter list").as_array().unwrap().iter().any(|row| row["name"] == "doomed"));

    let certificates: Vec<_> = fs::read_dir(data.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("destroyed-root-key-"))
        .collect();
    let [certificate] = certificates.as_slice() else { panic!("{certificates:?}") };
    let line = format!("root-key verify-attestation {} --signer {}", certificate.display(), pem.display());
    let said = succeed(&line);
    for part in ["CERTIFICATE OF A DESTRUCTION", "\"doomed\"", "1 Active", "2 wrapped KEKs erased", "result      valid"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    let json: serde_json::Value = serde_json::from_str(&succeed(&format!("{line} --json"))).unwrap();
    let claim = &json["statement"]["claim"];
    assert_eq!((&claim["active_objects"], &claim["versions"][0]["version"]), (&1.into(), &1.into()));
    assert_eq!(claim["versions"][0]["destroyed_on"][0], token);
    assert_eq!(claim["user_id"], rustix::process::getuid().as_raw());

    // Again: nothing more to do, and a lost certificate is written again.
    let kept = fs::read(certificate).unwrap();
    data.succeed(DESTROY);
    fs::remove_file(certificate).unwrap();
    data.succeed(DESTROY);
    assert_eq!(fs::read(certificate).unwrap(), kept);
    for line in ["root-key attest doomed", "root-key ceremony --for doomed --threshold 2 --shares 2 --out nowhere"] {
        data.fail(1, line);
    }
}

#[test]
fn a_destruction_that_was_cut_off_goes_on_and_cannot_be_called_off() {
    let (data, active) = doomed();
    // As a crash leaves it after the HSM has destroyed the key, and before the database knows: the certificate and the
    // shredding are taken back.
    let before = data.dir().with_file_name("before.db");
    fs::copy(data.file("keystead.db"), &before).unwrap();
    data.succeed(&format!("{DESTROY} --approve-destruction-of 1"));
    let journal = {
        let database = Database::open(data.file("keystead.db")).unwrap();
        let sql = "SELECT destruction FROM root_key WHERE label = 'doomed'";
        database.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    for leftover in ["keystead.db", "keystead.db-wal", "keystead.db-shm"] {
        let _ = fs::remove_file(data.file(leftover));
    }
    fs::copy(&before, data.file("keystead.db")).unwrap();

    // Without its journal, a key that is not in the HSM is not taken for one that was destroyed.
    let said = data.fail(1, &format!("{DESTROY} --approve-destruction-of 1"));
    assert!(said.contains("is not on this HSM: nothing was destroyed"), "{said}");
    let database = Database::open(data.file("keystead.db")).unwrap();
    let sql = "UPDATE root_key SET state = 2, destruction = ?1 WHERE label = 'doomed'";
    assert_eq!(database.execute(sql, [&journal]).unwrap(), 1);
    drop(database);

    let server = Server::serving(&data.dir(), &[]);
    let mut client = server.connect_as("doomed", Version::V1_4);
    let Err(ClientError::Refused(refusal)) = client.call(get(&active)) else { panic!("the key is handed out") };
    assert!(refusal.message.unwrap().contains("suspended"));
    // It needs no approval again.
    let config = data.file("keystead.toml");
    for file in fs::read_dir(data.dir()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.to_string_lossy().contains("destroyed-root-key-") {
            fs::remove_file(file).unwrap();
        }
    }
    let ran = keystead(&format!("root-key destroy doomed --config {}", config.display()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("begun already"), "{}", ran.stderr);
    let Err(ClientError::Refused(refusal)) = client.call(get(&active)) else { panic!("the key is handed out") };
    assert!(refusal.message.unwrap().contains("was destroyed on"));
}

#[test]
fn a_destruction_that_was_cut_off_before_the_hsm_did_anything_goes_on() {
    let (data, _) = doomed();
    let listed = data.list("root-key list");
    let row = listed.as_array().unwrap().iter().find(|row| row["label"] == "doomed").unwrap();
    let kcv = serde_json::json!({ "value": row["kcv"], "method": "aes-ecb-zero-block" });
    let journal = serde_json::json!({ "versions": [{ "version": 1, "kcv": kcv, "tokens": [] }], "is_hsm": false });
    let database = Database::open(data.file("keystead.db")).unwrap();
    let put = |journal: &str| {
        let sql = "UPDATE root_key SET state = 2, destruction = ?1 WHERE label = 'doomed'";
        assert_eq!(database.execute(sql, [journal]).unwrap(), 1);
    };
    put("{}");
    let said = data.fail(1, DESTROY);
    assert!(said.contains("record of the destruction that has begun is damaged"), "{said}");
    // A token that is not attached may still hold the root key.
    let token = serde_json::json!({ "label": "", "serial": "0815", "model": "", "manufacturer": "", "firmware": "" });
    let mut elsewhere = journal.clone();
    elsewhere["versions"][0]["tokens"] = serde_json::json!([token]);
    put(&elsewhere.to_string());
    let said = data.fail(1, DESTROY);
    assert!(said.contains("began on the token 0815"), "{said}");
    assert_eq!(versions(&data.dir(), "doomed")[0]["hsm"]["kcv"], row["kcv"]);
    put(&journal.to_string());
    data.succeed(DESTROY);
    assert_eq!(state(&data.dir(), "doomed"), "destroyed");
}

#[test]
fn a_certificate_that_could_not_be_written_is_written_by_the_next_run() {
    let data = Data::new();
    data.succeed("root-key create unused");
    let out = data.dir().join("no-such-folder/certificate.json");
    let line = format!("root-key destroy unused --yes --out {}", out.display());
    let said = data.fail(1, &line);
    assert!(said.contains("no-such-folder"), "{said}");
    assert_eq!(state(&data.dir(), "unused"), "destroyed");
    fs::create_dir(out.parent().unwrap()).unwrap();
    data.succeed(&line);
    assert!(fs::read_to_string(&out).unwrap().contains("root-key-destruction"));
    // Something else at that place is not overwritten.
    fs::write(&out, "mine").unwrap();
    data.fail(1, &line);
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
}

#[test]
fn while_one_of_several_tokens_is_away_nothing_is_attested_or_destroyed() {
    let Some(hsm) = SoftHsm::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let tokens = [hsm.token("one"), hsm.token("two")];
    let dir = site(hsm, &tokens, &folder);
    let (files, _) = hold(&folder.path().join("shares"), "shared", 2, 2);
    run(&dir, &format!("root-key import {}", shares(&files)));
    let serials = |value: &serde_json::Value| -> Vec<String> {
        let list = value.as_array().unwrap().iter();
        list.map(|token| token["serial"].as_str().unwrap().to_owned()).collect()
    };
    let claim = |statement: &str| -> serde_json::Value {
        let file: serde_json::Value = serde_json::from_str(statement).unwrap();
        serde_json::from_str::<serde_json::Value>(file["statement"].as_str().unwrap()).unwrap()["claim"].clone()
    };
    let attested = claim(&run(&dir, "root-key attest shared"));
    let on: Vec<_> =
        attested["copies"].as_array().unwrap().iter().map(|copy| copy["token"]["serial"].clone()).collect();
    assert_eq!(on, [tokens[0].serial.as_str(), tokens[1].serial.as_str()]);

    // The first holds the key that signs, so it is the second that goes.
    let (here, away) = (hsm.token_directory(&tokens[1]), folder.path().join("away"));
    fs::rename(&here, &away).unwrap();
    refuse(&dir, "root-key attest shared");
    refuse(&dir, "root-key destroy shared --yes");
    assert_eq!(state(&dir, "shared"), "active");
    fs::rename(&away, &here).unwrap();
    assert_eq!(serials(&versions(&dir, "shared")[0]["hsm"]["tokens"]).len(), 2);
    let certificate = folder.path().join("certificate.json");
    run(&dir, &format!("root-key destroy shared --yes --out {}", certificate.display()));
    let destroyed = claim(&fs::read_to_string(certificate).unwrap());
    assert_eq!(serials(&destroyed["versions"][0]["destroyed_on"]).len(), 2);
}

#[test]
fn a_root_key_that_nothing_is_under_goes_without_approval() {
    let data = Data::new();
    data.succeed("root-key create unused");
    data.succeed("root-key destroy unused --yes");
    let said = refuse(&data.dir(), "adapter create late --root-key unused");
    assert!(!said.is_empty());
    assert_eq!(state(&data.dir(), "unused"), "destroyed");
}
