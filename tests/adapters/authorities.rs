//! Clients of other people's authorities, let in and cut by another process than the server's.

use std::{
    io::Read as _,
    path::Path,
    time::{Duration, Instant},
};

use keystead::{
    store::{AuthorityRow, CaRuleRow, RuleKind, Store, StoreOptions},
    trust::fingerprint,
};
use kmip::version::Version;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use uuid::Uuid;

use crate::harness::{
    create_aes,
    server::{Server, client_config, connect},
};

/// A removal takes effect within a second; the rest is for a loaded machine.
const SOON: Duration = Duration::from_secs(3);

/// An authority, and in `folder` a client of it that knows the server.
fn client_of_theirs(folder: &Path, server: &Server) -> Vec<u8> {
    let name = |text: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, text);
        params
    };
    let mut params = name("Their authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().der().to_vec();
    let issuer = Issuer::new(params, key);
    let client = KeyPair::generate().unwrap();
    let certificate = name("array-1").signed_by(&client, &issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), client.serialize_pem()).unwrap();
    std::fs::copy(server.dir().join("client/ca.pem"), folder.join("ca.pem")).unwrap();
    authority
}

fn poll<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never happens");
        std::thread::yield_now();
    }
}

#[test]
fn a_rule_made_and_removed_by_another_process_lets_in_and_cuts() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let der = client_of_theirs(folder.path(), &server);
    let database = std::fs::read_dir(server.dir()).unwrap().map(|entry| entry.unwrap().path());
    let database = { database }.find(|path| path.extension().is_some_and(|end| end == "db")).expect("a database");
    let store = Store::open(&database, StoreOptions::default()).unwrap();
    let adapter = store.adapters().unwrap().into_iter().find(|row| row.name == "demo").unwrap();
    let issuer = fingerprint(&der.as_slice().into());
    let row = AuthorityRow { fingerprint: issuer, name: "theirs".to_owned(), der, added_at: 0 };
    store.insert_authority(row).unwrap();
    let id = Uuid::new_v4();
    let (kind, value) = (RuleKind::CommonName, "array-1".to_owned());
    let rule = CaRuleRow { id, adapter: adapter.id, issuer: Some(issuer), kind, value, added_at: 0 };
    store.insert_ca_rule(rule).unwrap();

    let config = client_config(folder.path());
    let mut line = poll(|| {
        let stream = connect(server.addr(), config.clone()).ok()?;
        let mut line = kmip::client::Client::new(stream, Version::V1_4);
        line.call(create_aes(256, [])).ok().map(|_| line)
    });
    line.call(create_aes(256, [])).expect("the connection stays");
    store.delete_ca_rule(id).unwrap();
    let start = Instant::now();
    // The server says goodbye or resets; before, this would wait.
    let _ = line.stream().read(&mut [0; 1]);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let refused = connect(server.addr(), config).and_then(|mut stream| stream.read(&mut [0; 1]));
    assert!(matches!(refused, Ok(0) | Err(_)));
}
