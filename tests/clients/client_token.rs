//! `keystead check --client-token`: a client whose key is on a PKCS#11 token (SoftHSM2), against the real server.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hal::{
    Label, RootKeys as _, SecretBytes, SignerInfo, SignerKind,
    pkcs11::{Pkcs11Config, Pkcs11Hal},
};
use jiff::Timestamp;
use keystead::ca::{CertificateAuthority, PrivateKey};
use pkcs11_fixtures::{CONF_VARIABLE, LoneToken, PrivateModule, SoftHsm, Token, shim::grammar::Command as Fault};
use tempfile::TempDir;

use super::server;
use crate::{
    cli::{Ran, program, ran, succeed},
    harness::server::write_private,
};

/// A token with keys that are made in it, and certificates for them.
struct ClientToken {
    softhsm: &'static SoftHsm,
    token: Token,
    hal: Arc<Pkcs11Hal>,
    folder: TempDir,
}

impl ClientToken {
    fn new() -> Option<Self> {
        let softhsm = SoftHsm::shared()?;
        let token = softhsm.token("client");
        let hal = Pkcs11Hal::new(Pkcs11Config {
            module: softhsm.module().to_owned(),
            token_label: token.label.clone(),
            token_serial: None,
            pin: SecretBytes::from(token.pin.clone().into_bytes()).into(),
            workers: 1,
            queue: 8,
            deadline: Duration::from_secs(30),
            scheme: None,
            provider: None,
        });
        let folder = tempfile::tempdir().unwrap();
        write_private(&folder.path().join("pin"), &token.pin);
        Some(Self { softhsm, token, hal: Arc::new(hal.unwrap()), folder })
    }

    fn key(&self, label: &str, kind: SignerKind) -> SignerInfo {
        self.hal.generate_signer(&Label::new(label).unwrap(), kind).unwrap()
    }

    /// A certificate of the shared server's authority for `key`, registered with adapter `demo`.
    fn certify(&self, key: &SignerInfo) -> Vec<u8> {
        let tls = server().dir().join("tls");
        let authority_key = PrivateKey::from_pem(&std::fs::read(tls.join("ca.key")).unwrap()).unwrap();
        let ca = CertificateAuthority::load(&std::fs::read(tls.join("ca.pem")).unwrap(), authority_key).unwrap();
        let key = PrivateKey::in_hsm(self.hal.clone(), key);
        let issued = ca.issue_client(&key, "a client with a token", Timestamp::now()).unwrap();
        let file = self.folder.path().join("cert.pem");
        std::fs::write(&file, issued.pem).unwrap();
        let config = server().dir().join("keystead.toml");
        succeed(&format!("cert register {} --adapter demo --config {}", file.display(), config.display()));
        issued.der
    }

    /// Writes a certificate beside the key.
    fn write(&self, label: &str, key: &SignerInfo, der: &[u8]) {
        let id = [b"KSS1".as_slice(), key.id.as_uuid().as_bytes()].concat();
        self.softhsm.write_certificate(&self.token, label, &id, der);
    }

    fn alone(&self) -> LoneToken {
        self.softhsm.alone(&self.token)
    }

    /// The token as `--client-token` names it.
    fn argument(&self) -> String {
        argument(self.softhsm.module(), &self.token.label, &self.folder.path().join("pin"))
    }
}

fn argument(module: &Path, label: &str, pin: &Path) -> String {
    format!("{},token={label},pin-file={}", module.display(), pin.display())
}

/// Plays the generic client against the shared server, which looks for new certificates twice a second.
fn check(conf: &Path, token: &str, more: &str) -> Ran {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let ran = check_once(conf, token, more);
        if !ran.stderr.contains("register") || Instant::now() > deadline {
            return ran;
        }
    }
}

fn check_once(conf: &Path, token: &str, more: &str) -> Ran {
    let ca = server().dir().join("client/ca.pem");
    let mut command = Command::new(program());
    command.args(["check", "--as", "generic", "--client-token", token, "--ca"]).arg(ca);
    command.args(["--addr", &server().addr().to_string(), "--server-name", "localhost"]);
    command.args(more.split_whitespace()).env(CONF_VARIABLE, conf).stdin(Stdio::null());
    ran("keystead check", command.output().unwrap())
}

fn succeeds(ran: &Ran, expected: &[&str]) {
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    for part in expected {
        assert!(ran.stdout.contains(part), "{part} is not in {}", ran.stdout);
    }
    assert_eq!(ran.stderr, "");
}

fn fails(ran: &Ran, code: i32, expected: &str) {
    assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(expected), "{expected} is not in {}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn rsa_goes_through_the_crate_in_tls_1_2_and_through_our_own_code_in_1_3() {
    let Some(client) = ClientToken::new() else { return };
    let key = client.key("rsa", SignerKind::Rsa2048);
    let der = client.certify(&key);
    client.write("rsa", &key, &der);
    let (lone, token) = (client.alone(), client.argument());
    succeeds(&check(lone.conf(), &token, "--tls 1.2"), &["TLS 1.2, ", "on the client's token by rustls-pkcs11"]);
    succeeds(&check(lone.conf(), &token, "--tls 1.3"), &["TLS 1.3, ", "on the client's token by PKCS#11"]);
    succeeds(&check(lone.conf(), &token, ""), &["TLS 1.3, "]);
    // With the certificate in a file, there is none on the token that is known to be the same.
    let cert = format!("--cert {}", client.folder.path().join("cert.pem").display());
    succeeds(&check(lone.conf(), &token, &format!("--tls 1.2 {cert}")), &["by rustls-pkcs11"]);
}

#[test]
fn ecdsa_goes_through_our_own_code_in_both_versions() {
    let Some(client) = ClientToken::new() else { return };
    for (label, kind) in [("p256", SignerKind::EcdsaP256), ("p384", SignerKind::EcdsaP384)] {
        let key = client.key(label, kind);
        let der = client.certify(&key);
        client.write(label, &key, &der);
    }
    let lone = client.alone();
    for label in ["p256", "p384"] {
        let token = format!("{},certificate={label}", client.argument());
        for version in ["1.2", "1.3"] {
            let ran = check(lone.conf(), &token, &format!("--tls {version}"));
            succeeds(&ran, &[&format!("TLS {version}, "), "on the client's token by PKCS#11"]);
        }
    }
    let said = check(lone.conf(), &client.argument(), "");
    fails(&said, 1, "several certificates with keys on the token: choose one with certificate=LABEL");
    assert!(said.stderr.contains("p256") && said.stderr.contains("p384"), "{}", said.stderr);
    let other = format!("{},certificate=p521", client.argument());
    fails(&check(lone.conf(), &other, ""), 1, "there is no certificate \"p521\" on the token");
}

#[test]
fn what_the_crate_would_get_wrong_goes_through_our_own_code() {
    let Some(client) = ClientToken::new() else { return };
    let (first, second) = (client.key("first", SignerKind::Rsa2048), client.key("second", SignerKind::Rsa2048));
    for (label, key) in [("first", &first), ("second", &second)] {
        let der = client.certify(key);
        client.write(label, key, &der);
    }
    // The crate would take one certificate and one key of the two, whichever: at least one choice is not its.
    let lone = client.alone();
    let by_crate = ["first", "second"].map(|label| {
        let token = format!("{},certificate={label}", client.argument());
        let ran = check(lone.conf(), &token, "--tls 1.2");
        succeeds(&ran, &["TLS 1.2, "]);
        ran.stdout.contains("by rustls-pkcs11")
    });
    assert_ne!(by_crate, [true, true]);
}

#[test]
fn the_certificate_may_be_a_file_and_the_key_is_found_by_it() {
    let Some(client) = ClientToken::new() else { return };
    client.key("not it", SignerKind::EcdsaP256);
    let key = client.key("it", SignerKind::EcdsaP256);
    let lone = client.alone();
    fails(&check(lone.conf(), &client.argument(), ""), 1, "there is no certificate on the token");
    client.certify(&key);
    let cert = client.folder.path().join("cert.pem");
    succeeds(&check(lone.conf(), &client.argument(), &format!("--cert {}", cert.display())), &["by PKCS#11"]);
    // The certificate of a key that is in a file.
    let other = server().dir().join("client/cert.pem");
    let ran = check(lone.conf(), &client.argument(), &format!("--cert {}", other.display()));
    fails(&ran, 1, "no private key on the token belongs to the certificate");
}

#[test]
fn a_certificate_whose_key_is_not_on_the_token_is_refused() {
    let Some(client) = ClientToken::new() else { return };
    let elsewhere = ClientToken::new().unwrap();
    for kind in [SignerKind::Rsa2048, SignerKind::EcdsaP256] {
        let key = elsewhere.key(kind.name(), kind);
        client.write("key elsewhere", &key, &elsewhere.certify(&key));
    }
    let ran = check(client.alone().conf(), &client.argument(), "");
    fails(&ran, 1, "no private key on the token belongs to the certificate");
}

#[test]
fn a_key_that_wants_its_pin_for_every_signature_is_refused_by_name() {
    let Some(client) = ClientToken::new() else { return };
    client.softhsm.key_that_always_asks(&client.token, "signature key");
    let lone = client.alone();
    let ecdsa = client.folder.path().join("ecdsa.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    std::fs::write(&ecdsa, certificate.pem()).unwrap();
    let rsa = server().dir().join("client/cert.pem");
    for (cert, expected) in [(&ecdsa, "the key \"signature key\" on the token wants its PIN"), (&rsa, "no private key")]
    {
        fails(&check(lone.conf(), &client.argument(), &format!("--cert {}", cert.display())), 1, expected);
    }
}

#[test]
fn a_token_that_is_not_there_is_said_to_be_missing() {
    let Some(client) = ClientToken::new() else { return };
    let lone = client.alone();
    let pin = client.folder.path().join("pin");
    let other = argument(client.softhsm.module(), "another label", &pin);
    fails(&check(lone.conf(), &other, ""), 1, "no token with the configured label");
    let missing = argument(&client.folder.path().join("none.so"), &client.token.label, &pin);
    fails(&check(lone.conf(), &missing, ""), 1, "the PKCS#11 module cannot be loaded");
    let unreadable = argument(client.softhsm.module(), &client.token.label, &client.folder.path().join("no pin"));
    fails(&check(lone.conf(), &unreadable, ""), 1, "no pin");
    // No slot at all.
    let empty = PrivateModule::with_faults("empty", &[Fault::RemoveToken { scope: None, sticky: true }]).unwrap();
    let token = argument(&empty.module_path(), &empty.token().label, &pin);
    fails(&check(client.softhsm.conf(), &token, ""), 1, "no token with the configured label");
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let Some(client) = ClientToken::new() else { return };
    let wrong = client.folder.path().join("wrong");
    write_private(&wrong, "000000");
    let token = argument(client.softhsm.module(), &client.token.label, &wrong);
    fails(&check(client.alone().conf(), &token, ""), 1, "the PIN is wrong");

    // This token refuses the first login and would take the second: nobody asks again.
    let once: Fault = "fail C_Login CKR_PIN_INCORRECT count 1".parse().unwrap();
    let module = PrivateModule::with_faults("once", &[once]).unwrap();
    let pin: PathBuf = client.folder.path().join("right");
    write_private(&pin, &module.token().pin);
    let token = argument(&module.module_path(), &module.token().label, &pin);
    fails(&check(client.softhsm.conf(), &token, ""), 1, "the PIN is wrong");
}

#[test]
fn a_key_that_is_a_file_and_one_on_a_token_exclude_each_other() {
    let Some(client) = ClientToken::new() else { return };
    let lone = client.alone();
    let key = server().dir().join("client/key.pem");
    let ran = check(lone.conf(), &client.argument(), &format!("--key {}", key.display()));
    fails(&ran, 2, "cannot be used with");
    fails(&check(lone.conf(), "module.so,pin=1234", ""), 2, "MODULE,token=LABEL,pin-file=FILE");
}
