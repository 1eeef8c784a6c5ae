//! Connecting clients by the guide: every way that vCenter offers, a storage cluster's request, and what goes wrong.

use rcgen::KeyPair;

use super::Browser;
use crate::{
    admin::{client::Holder, issue::openssl},
    clients::vcenter,
    harness::server::Server,
};

fn begin(kind: &str) -> Option<(Server, Browser)> {
    let server = Server::start();
    let browser = Browser::open(&server)?;
    browser.sign_in(std::fs::read_to_string(server.dir().join("admin.token")).unwrap().trim());
    browser.press("Connect a client");
    browser.wait(kind, "const one = [...document.querySelectorAll('a.choice')].find(one => one.innerText.startsWith(arguments[0])); one?.click(); return Boolean(one)", &[kind.into()]);
    browser.press("New adapter");
    browser.fill("Name", "site-a");
    browser.press("Make it");
    browser.sees("Watch it connect");
    browser.sees("Waiting for the first handshake");
    Some((server, browser))
}

/// A certificate signing request that openssl makes, and its private key.
fn request(subject: &str) -> (String, KeyPair) {
    let folder = tempfile::tempdir().unwrap();
    let make =
        ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem", "-subj", subject];
    openssl(folder.path(), &make).unwrap();
    let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
    (read("request.pem"), KeyPair::from_pem(&read("key.pem")).unwrap())
}

/// The client connects with its certificate and makes a key; the page tells.
fn is_seen(server: &Server, browser: &Browser, holder: &Holder) {
    let connection = holder.connect(server).expect("it is let in");
    browser.sees(&format!("Seen from 127.0.0.1 with certificate {}", &holder.fingerprint()[..16]));
    let key = vcenter::makes_a_key(connection);
    browser.sees("first key created");
    browser.sees(&key);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn vcenter_by_its_own_certificate() {
    let Some((server, browser)) = begin("VMware vCenter") else { return };
    let shown = server.api().get("/v1/server").expect(200);
    assert_eq!(browser.copied("Thumbprint SHA-1"), shown["certificate"]["thumbprint_sha1"].as_str().unwrap());
    assert_eq!(browser.copied("Port"), server.addr().port().to_string());
    let holder = Holder::new("kmipClient20260101");
    browser.paste("vCenter's certificate", &holder.pem);
    browser.press("Register the certificate");
    browser.sees("Registered");
    is_seen(&server, &browser, &holder);
}

#[test]
fn vcenter_by_a_request_that_is_signed() {
    let Some((server, browser)) = begin("VMware vCenter") else { return };
    browser.tick("New Certificate Signing Request (CSR)");
    let (request, key) = request("/CN=vcenter");
    browser.paste("Certificate signing request (CSR)", &request);
    browser.press("Sign it");
    let signed = browser.copied("Signed certificate");
    is_seen(&server, &browser, &Holder::with(&signed, key));
}

#[test]
fn vcenter_by_a_certificate_and_key_that_the_browser_makes() {
    let Some((server, browser)) = begin("VMware vCenter") else { return };
    browser.tick("KMS certificate and private key");
    browser.press("Make a certificate and private key");
    let signed = browser.copied("KMS certificate (upper box)");
    let key = KeyPair::from_pem(&browser.copied("Private key (lower box)")).unwrap();
    is_seen(&server, &browser, &Holder::with(&signed, key));
}

#[test]
fn vcenter_by_its_root_certificate_is_registered_from_the_refused_handshake() {
    let Some((server, browser)) = begin("VMware vCenter") else { return };
    browser.tick("vCenter Root CA Certificate");
    let holder = Holder::new("kmipClient20260102");
    assert!(holder.connect(&server).is_none());
    browser.sees("Refused from 127.0.0.1");
    browser.sees(&holder.fingerprint()[..16]);
    browser.press("Register this certificate with site-a");
    browser.press("Register");
    browser.sees("It is registered now: let the client try again.");
    is_seen(&server, &browser, &holder);
}

#[test]
fn a_netapp_cluster_by_its_request() {
    for kind in ["NetApp ONTAP", "NetApp Element"] {
        let Some((server, browser)) = begin(kind) else { return };
        let subject = "/C=US/ST=Colorado/L=Boulder/O=Example/OU=Storage/CN=cluster-1/emailAddress=a@example.com";
        let (request, key) = request(subject);
        // As it stands in a JSON answer of the cluster.
        browser.paste("Certificate signing request (CSR)", &request.replace('\n', "\\n"));
        browser.press("Sign it");
        browser.sees("Signed and registered");
        let signed = if kind == "NetApp ONTAP" {
            browser.copied("Client certificate")
        } else {
            let call: serde_json::Value = serde_json::from_str(browser.wait("the call", "return [...document.querySelectorAll('.copybox pre')].map(one => one.textContent).find(text => text.includes('CreateKeyServerKmip'))", &[]).as_str().unwrap()).unwrap();
            assert_eq!(call["params"]["kmipKeyServerPort"], server.addr().port());
            call["params"]["kmipClientCertificate"].as_str().unwrap().to_owned()
        };
        is_seen(&server, &browser, &Holder::with(&signed, key));
    }
}

#[test]
fn what_is_pasted_into_the_wrong_box_is_explained() {
    let Some((_server, browser)) = begin("VMware vCenter") else { return };
    browser.paste("vCenter's certificate", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    browser.press("Register the certificate");
    browser.wait("an explanation", "return document.querySelector('main [role=alert]')", &[]);
}
