//! A data centre is lost with its HSM; database and shares are not. On a new token everything opens with its old bytes.

use std::{fs, path::Path};

use kmip::{client::ClientError, version::Version};
use pkcs11_fixtures::{SoftHsm, Token};
use tempfile::TempDir;

use super::{adapter, hold, is_not_in_hsm, read_protocol, refuse, run, shares, versions};
use crate::{
    cli::succeed,
    harness::{
        ask::{get, made, material, register_secret},
        create_aes, name,
        server::{Server, write_private},
    },
};

/// A data directory on a token that was made for it.
fn site(hsm: &SoftHsm, token: &Token, folder: &TempDir) -> std::path::PathBuf {
    let (dir, pin) = (folder.path().join("site-a"), folder.path().join("pin-a"));
    write_private(&pin, &token.pin);
    succeed(&format!(
        "init --dir {} --hsm pkcs11 --module {} --token-label {} --pin-file {} --tls-key ecdsa-p256 --adapter local",
        dir.display(),
        hsm.module().display(),
        token.label,
        pin.display()
    ));
    dir
}

/// What is kept of a site when its token is lost: everything but the token, at another place and set up for another token.
fn rebuild(old: &Path, lost: &Token, new: &Token, folder: &TempDir) -> std::path::PathBuf {
    let dir = folder.path().join("site-b");
    copy(old, &dir);
    let (config, pin) = (dir.join("keystead.toml"), folder.path().join("pin-b"));
    write_private(&pin, &new.pin);
    let text = fs::read_to_string(&config).unwrap();
    let old_pin = folder.path().join("pin-a").display().to_string();
    assert!(text.contains(&lost.label) && text.contains(&old_pin));
    let text = text.replace(&lost.label, &new.label).replace(&old_pin, &pin.display().to_string());
    fs::write(config, text).unwrap();
    dir
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(fs::copy(entry.path(), target))
        }
    }
}

fn message(answer: Result<kmip::payloads::Response, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(refusal)) => refusal.message.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_hsm_is_replaced_from_enough_shares_and_every_key_has_its_old_bytes() {
    let Some(hsm) = SoftHsm::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (lost, new) = (hsm.token("lost"), hsm.token("new"));
    let a = site(hsm, &lost, &folder);
    let (files, protocol) = hold(&folder.path().join("shares"), "escrowed", 3, 5);
    let (strangers, _) = hold(&folder.path().join("strangers"), "escrowed", 3, 5);
    run(&a, &format!("root-key import {}", shares(&files[..3])));
    adapter(&a, "vault", "escrowed");
    let signer = run(&a, "root-key signer");

    // Keys before and after a rotation, so that some are under the first version and some under the second.
    let server = Server::serving(&a, &[]);
    let mut client = server.connect_as("vault", Version::V1_4);
    let mut ids: Vec<String> =
        (0..3).map(|n| made(client.call(create_aes(256, [name(&format!("key {n}"))])).unwrap())).collect();
    let out = folder.path().join("second");
    let next = format!("root-key ceremony --for escrowed --threshold 2 --shares 3 --out {} --json", out.display());
    let (second, second_protocol) = read_protocol(&run(&a, &next));
    run(&a, &format!("root-key import {}", shares(&second[..2])));
    ids.push(made(client.call(register_secret(b"a password of long ago", [])).unwrap()));
    let material_of = |client: &mut crate::harness::server::Connection, ids: &[String]| -> Vec<Vec<u8>> {
        ids.iter().map(|id| material(client.call(get(id)).unwrap())).collect()
    };
    let before = material_of(&mut client, &ids);
    let local = made(server.connect_as("client", Version::V1_4).call(create_aes(256, [])).unwrap());
    server.stop();

    // The data centre burns down.
    fs::remove_dir_all(hsm.token_directory(&lost)).unwrap();
    let b = rebuild(&a, &lost, &new, &folder);

    let said = refuse(&b, &format!("root-key import {}", shares(&files[..2])));
    assert!(said.contains("2 of the 3 shares"), "{said}");
    let said = refuse(&b, &format!("root-key import {}", shares(&strangers[..3])));
    assert!(said.contains("already a root key \"escrowed\""), "{said}");
    let said =
        refuse(&b, &format!("root-key import {}", shares(&[files[..2].to_vec(), strangers[..1].to_vec()].concat())));
    assert!(said.contains("two ceremonies"), "{said}");
    assert!(is_not_in_hsm(&b, "escrowed"));

    run(&b, &format!("root-key import {}", shares(&files[2..])));
    run(&b, &format!("root-key import {}", shares(&second[1..])));
    for (row, protocol) in versions(&b, "escrowed").iter().zip([&protocol, &second_protocol]) {
        assert_eq!((&row["version"], &row["kcv"]), (&protocol["version"], &protocol["kcv"]));
        assert_eq!((&row["hsm"]["kcv"], &row["hsm"]["tokens"][0]["serial"]), (&row["kcv"], &new.serial.clone().into()));
    }

    let server = Server::serving(&b, &[]);
    let mut client = server.connect_as("vault", Version::V1_4);
    assert_eq!(material_of(&mut client, &ids), before);
    made(client.call(create_aes(256, [name("key 9")])).unwrap());
    // What was under the root key that was made inside the lost token is lost with it.
    assert!(!message(server.connect_as("client", Version::V1_4).call(get(&local))).is_empty());
    server.stop();

    // The key that signed attestations is lost too: an operator makes another and tells the auditors.
    let said = refuse(&b, "root-key attest escrowed");
    assert!(said.contains("signer --replace"), "{said}");
    let another = run(&b, "root-key signer --replace");
    assert_ne!(another, signer);
    run(&b, "root-key attest escrowed");
}

#[test]
fn a_key_that_only_pretends_to_be_the_lost_one_is_taken_out_again() {
    let Some(hsm) = SoftHsm::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (lost, new) = (hsm.token("lost"), hsm.token("new"));
    let a = site(hsm, &lost, &folder);
    let (files, protocol) = hold(&folder.path().join("shares"), "escrowed", 2, 2);
    run(&a, &format!("root-key import {}", shares(&files)));
    adapter(&a, "vault", "escrowed");
    let server = Server::serving(&a, &[]);
    made(server.connect_as("vault", Version::V1_4).call(create_aes(256, [])).unwrap());
    server.stop();
    let b = rebuild(&a, &lost, &new, &folder);

    // The record says that another key belongs here; so it does to whoever can write the database.
    let next = format!(
        "root-key ceremony --for escrowed --threshold 2 --shares 2 --out {} --json",
        folder.path().join("next").display()
    );
    let (_, other) = read_protocol(&run(&b, &next));
    let database = rusqlite::Connection::open(b.join("keystead.db")).unwrap();
    let kcv = |protocol: &serde_json::Value| -> Vec<u8> {
        let text = protocol["kcv"].as_str().unwrap();
        (0..3).map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap()).collect()
    };
    let sql = "UPDATE root_key_version SET kcv = ?1 WHERE kcv = ?2";
    assert_eq!(database.execute(sql, (kcv(&other), kcv(&protocol))).unwrap(), 1);
    let said = refuse(&b, &format!("root-key import {}", shares(&files)));
    assert!(said.contains("another key") && said.contains("nothing was imported"), "{said}");
    assert_eq!(database.execute(sql, (kcv(&protocol), kcv(&other))).unwrap(), 1);

    // What is stored does not open under the right key: here because it was damaged.
    let damage = "UPDATE kek SET wrapped = CAST(substr(wrapped, 1, 40) || x'00000000' || substr(wrapped, 45) AS BLOB)
                  WHERE root = (SELECT seq FROM root_key WHERE label = 'escrowed')";
    assert_eq!(database.execute(damage, []).unwrap(), 1);
    drop(database);
    let said = refuse(&b, &format!("root-key import {}", shares(&files)));
    assert!(said.contains("does not open what is stored"), "{said}");
    assert!(is_not_in_hsm(&b, "escrowed"));
}
