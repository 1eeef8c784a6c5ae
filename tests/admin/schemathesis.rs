//! schemathesis (from a Python environment that ./test.sh makes, at KEYSTEAD_TEST_SCHEMATHESIS or target/schemathesis) reads the
//! OpenAPI document and tries every operation with what the document allows and with what it does not: no answer may be a server
//! error, and each must be one that the document names.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::harness::{ask::made, ask::register_opaque, server::Server, skip};

use kmip::version::Version;

const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth";

#[test]
fn schemathesis_finds_no_server_error_and_no_answer_that_is_not_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv =
        std::env::var_os("KEYSTEAD_TEST_SCHEMATHESIS").map_or_else(|| root.join("target/schemathesis"), PathBuf::from);
    let program = venv.join("bin/schemathesis");
    if !program.exists() {
        skip(&format!("the OpenAPI document is tried by schemathesis in {}: run ./test.sh", venv.display()));
        return;
    }
    // A server of its own: what is tried renews its certificate, rotates and suspends its root key, and fills its lists.
    let server = Server::start();
    let api = server.api();
    // With identifiers of its own making a request hardly ever gets further than 404.
    let adapter = api.adapter("tried");
    let identity = api.post("/v1/identities", &json!({"kind": "service", "name": "tried"})).expect(201);
    let object = made(server.connect(Version::V1_4).call(register_opaque(b"something to look at", [])).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    // The key is in the environment: neither arguments nor reports have it.
    let mut text = format!(
        "headers = {{ Authorization = \"Bearer ${{KEYSTEAD_KEY}}\" }}\ntls-verify = \"{}\"\n",
        server.dir().join("tls/ca.pem").display()
    );
    for (place, id) in [
        ("adapters", &*adapter),
        ("identities", identity["id"].as_str().unwrap()),
        ("objects", &object),
        ("root-keys", &api.root_key()),
    ] {
        text.push_str(&format!(
            "[[operations]]\ninclude-path-regex = \"^/v1/{place}/\"\n\
             parameters = {{ \"path.id\" = \"{id}\", \"header.If-Match\" = \"*\" }}\n"
        ));
    }
    std::fs::write(&config, text).unwrap();
    let key = std::fs::read_to_string(server.dir().join("admin.token")).unwrap();
    let attempt = |more: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--config-file").arg(&config).arg("run");
        command.arg(format!("https://localhost:{}/openapi.json", server.admin_addr().port()));
        // Some versions of Python 3.11 fail now and then where two threads parse source at a time.
        command.args(["--checks", CHECKS, "--seed", "1", "--workers", "1", "--continue-on-failure", "--no-color"]);
        command.args(["--generation-database", "none", "--warnings", "off", "--suppress-health-check", "all"]);
        let output = command.args(more).current_dir(folder.path()).env("KEYSTEAD_KEY", key.trim()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        println!("{text}");
        (output.status.success(), text)
    };
    let run = |more: &[&str]| {
        let (mut good, mut text) = attempt(more);
        if !good && text.contains("AST constructor recursion depth mismatch") {
            (good, text) = attempt(more);
        }
        assert!(good, "{text}\n{}", server.lines().join("\n"));
    };
    // What deletes comes last, so that the rest finds what it is tried with. Nothing deletes the caller's own identity, key or
    // session: their identifiers are not among those that are tried, and a caller with a key has no session to end.
    run(&["--exclude-method", "DELETE", "--phases", "coverage,fuzzing", "--max-examples", "15"]);
    run(&["--include-method", "DELETE", "--phases", "coverage,fuzzing", "--max-examples", "5"]);
    server.api().get("/v1/server").expect(200);
}
