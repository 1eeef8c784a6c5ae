//! Root keys from outside: ceremonies, import, attestations, destruction, and a data centre that is built again from shares.

mod attestation;
mod census;
mod ceremony;
mod destruction;
mod recovery;
mod software;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{fail, succeed};

/// Holds a ceremony for a new root key and returns its share files and its protocol.
pub fn hold(folder: &Path, label: &str, threshold: u8, shares: u8) -> (Vec<PathBuf>, Value) {
    let out = folder.display();
    let line =
        format!("root-key ceremony --label {label} --threshold {threshold} --shares {shares} --out {out} --json");
    read_protocol(&succeed(&line))
}

/// The share files and the protocol of a ceremony, out of what it printed.
pub fn read_protocol(printed: &str) -> (Vec<PathBuf>, Value) {
    let protocol: Value = serde_json::from_str(printed).unwrap();
    let files = protocol["shares"].as_array().unwrap().iter();
    (files.map(|share| PathBuf::from(share["file"].as_str().unwrap())).collect(), protocol)
}

/// The arguments that name share files.
pub fn shares(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!("--share {} ", file.display())).collect()
}

/// Makes an adapter under a root key with a client certificate, in a folder of the data directory.
pub fn adapter(dir: &Path, name: &str, label: &str) {
    let config = dir.join("keystead.toml");
    let (config, out) = (config.display(), dir.join(name));
    succeed(&format!("adapter create {name} --root-key {label} --config {config}"));
    let issue = "cert issue --common-name client --key ecdsa-p256";
    succeed(&format!("{issue} --adapter {name} --out {} --config {config}", out.display()));
}

/// Runs a command on a data directory, which must succeed.
pub fn run(dir: &Path, line: &str) -> String {
    succeed(&format!("{line} --config {}", dir.join("keystead.toml").display()))
}

/// Runs a command on a data directory, which must fail.
pub fn refuse(dir: &Path, line: &str) -> String {
    fail(1, &format!("{line} --config {}", dir.join("keystead.toml").display()))
}

/// The versions of a root key, on record and as the HSM tells them.
pub fn versions(dir: &Path, label: &str) -> Vec<Value> {
    let described: Value = serde_json::from_str(&run(dir, &format!("root-key describe {label} --json"))).unwrap();
    described["versions"].as_array().unwrap().clone()
}

/// The state of a root key on record.
pub fn state(dir: &Path, label: &str) -> Value {
    serde_json::from_str::<Value>(&run(dir, &format!("root-key describe {label} --json"))).unwrap()["state"].clone()
}

/// Whether the HSM holds no version of a root key.
pub fn is_not_in_hsm(dir: &Path, label: &str) -> bool {
    let error = |version: Value| version["hsm"]["error"].as_str().unwrap_or_default().to_owned();
    versions(dir, label).into_iter().map(error).all(|error| error.contains("is not on this HSM"))
}
