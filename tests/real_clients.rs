//! Real KMIP clients, from a Python environment that ./test.sh makes (at KEYSTEAD_TEST_VENV, or target/venv).

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    clients::{PASSWORD, USER, server},
    harness::skip,
};

/// Runs a script of tests/clients against the shared server; it must end well.
fn run(script: &str, more: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = std::env::var_os("KEYSTEAD_TEST_VENV").map_or_else(|| root.join("target/venv"), PathBuf::from);
    let python = venv.join("bin/python");
    if !python.exists() {
        skip(&format!("{script} needs the KMIP clients of Python in {}: run ./test.sh", venv.display()));
        return;
    }
    let (server, script) = (server(), root.join("tests/clients").join(script));
    let mut command = Command::new(python);
    command.arg(script).args(["localhost", &server.addr().port().to_string()]).arg(server.dir().join("client"));
    let output = command.args(more).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn pykmip_lives_through_objects_of_every_type_in_every_1_x_version() {
    run("pykmip_client.py", &[USER, PASSWORD]);
}

#[test]
fn pymongocrypt_keeps_its_master_key_here() {
    run("pymongocrypt_client.py", &[]);
}
