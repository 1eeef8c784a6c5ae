//! The OASIS test cases for KMIP 1.0 to 1.4 that use only operations of this server, played by the conformance runner where
//! its folder is beside the checkout. What fails must be argued in docs/conformance.md, and what is argued there must fail.

use std::{path::Path, process::Command};

use crate::harness::{
    server::{Server, write_private},
    shared,
};

/// All that the cases may use.
const OPERATIONS: &str = "DiscoverVersions,Query,Create,Register,Get,GetAttributes,GetAttributeList,AddAttribute,\
                          ModifyAttribute,DeleteAttribute,Locate,Check,Activate,Revoke,Destroy";
const VERSIONS: [&str; 5] = ["1.0", "1.1", "1.2", "1.3", "1.4"];

#[test]
fn conformance_cases_pass_but_for_the_exceptions_in_the_documentation() {
    let Some(runner) = shared("conformance/run.py") else { return };
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/conformance");
    std::fs::create_dir_all(&results).unwrap();
    let usual = server("Fred:password1");
    let [usual_file, user_file, pad_file] =
        ["usual", "a one-time user", "the second one-time pad"].map(|name| results.join(format!("{name}.xml")));

    let mut everything = play(&runner, &usual, "client", &usual_file);
    everything.arg("--ops").arg(OPERATIONS);
    everything.arg("--cert2").arg(usual.dir().join("client2/cert.pem"));
    everything.arg("--key2").arg(usual.dir().join("client2/key.pem"));
    run(everything.args(VERSIONS.iter().flat_map(|version| ["--version", version])), &usual_file);

    // These cases ask for a user that was made known to the server beforehand, another than the rest ask for.
    let other = server("one-time-user:one-time-password");
    let mut one_time_user = play(&runner, &other, "client", &user_file);
    run(one_time_user.args(["--version", "1.4", "--only", "TC-CREG-*"]), &user_file);

    // Two alternative set-ups register the same name: the second is played in an adapter that has not seen the first.
    let mut second_pad = play(&runner, &other, "client2", &pad_file);
    second_pad.args(["--version", "1.3", "--only", "TC-OTP-SETUP-2-*", "--only", "TC-OTP-3-*", "--only", "TC-OTP-4-*"]);
    run(&mut second_pad, &pad_file);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/conformance-doc.py");
    let check = Command::new(script).arg("--check").args([usual_file, user_file, pad_file]).output().unwrap();
    assert!(
        check.status.success(),
        "{}{}",
        String::from_utf8_lossy(&check.stdout),
        String::from_utf8_lossy(&check.stderr)
    );
}

/// A server whose adapter `demo` has a credential.
fn server(credential: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credential");
    write_private(&file, &format!("{credential}\n"));
    Server::start_with(&["--credential-file", file.to_str().unwrap()])
}

/// The runner, about to play cases as the client in `folder`.
fn play(runner: &Path, server: &Server, folder: &str, results: &Path) -> Command {
    let folder = server.dir().join(folder);
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(runner).args(["--quiet", "--port", &server.addr().port().to_string(), "--junit"]).arg(results);
    command.arg("--ca").arg(folder.join("ca.pem")).arg("--cert").arg(folder.join("cert.pem"));
    command.arg("--key").arg(folder.join("key.pem"));
    command
}

/// Lets the runner play. It fails where a case does; whether that is expected is judged from the results.
fn run(command: &mut Command, results: &Path) {
    if results.exists() {
        std::fs::remove_file(results).unwrap();
    }
    let output = command.output().expect("python3 starts");
    assert!(results.exists(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}
