//! The server's certificate is renewed while clients are connected.

use hal::{Label, RootKeys as _, SecretBytes, SignerKind, software::SoftwareHal};
use jiff::Timestamp;
use rustls::version::TLS13;

use super::*;
use crate::{
    ca::{CaError, CertificateAuthority, KeyKind, PrivateKey, describe},
    net::{HsmKey, RenewalError},
};

fn authority() -> CertificateAuthority {
    CertificateAuthority::create(PrivateKey::generate(KeyKind::EcdsaP256).unwrap(), Timestamp::now()).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyKind::EcdsaP256).unwrap()
}

/// A server certificate that was issued 1000 hours ago.
fn issued(ca: &CertificateAuthority, key: &PrivateKey) -> String {
    let before = Timestamp::now() - jiff::SignedDuration::from_hours(1000);
    ca.issue_server(key, &["localhost".parse().unwrap(), "127.0.0.1".parse().unwrap()], before).unwrap().pem
}

/// A client that trusts `ca` and no certificate by itself.
fn client(ca: &CertificateAuthority, holder: &Holder) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().der.into()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13]).unwrap().with_root_certificates(roots);
    Arc::new(builder.with_client_auth_cert(holder.chain.clone(), holder.key.clone_key()).unwrap())
}

fn shown(client: &Client) -> CertificateDer<'static> {
    client.0.get_ref().1.peer_certificates().unwrap()[0].clone()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_drops_none_that_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, key, alice) = (authority(), key(), self_signed(&params("alice")));
    let (chain_file, key_file) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    // What stands behind the certificate stays there.
    std::fs::write(&chain_file, issued(&ca, &key) + &ca.certificate().pem).unwrap();
    std::fs::write(&key_file, &*key.to_pem().unwrap()).unwrap();
    let certificate = Arc::new(ServerCertificate::load(chain_file.clone(), ServerKey::File(key_file)).unwrap());
    let server = Running::start_with(alices(&alice), &[], limits(), Arc::clone(&certificate)).await;

    let mut early = server.connect_with(client(&ca, &alice)).await.unwrap();
    let old = shown(&early);
    let new = certificate.renew(&ca, Timestamp::now()).unwrap();
    let mut late = server.connect_with(client(&ca, &alice)).await.unwrap();
    assert_eq!(shown(&late), new.der.as_slice().into());
    assert_ne!(shown(&late), old);
    for client in [&mut early, &mut late] {
        assert_eq!(client.call(b"who").await.unwrap(), b"a");
    }
    let (before, after) = (describe(&old).unwrap(), describe(&new.der).unwrap());
    assert_eq!(before.alternative_names, after.alternative_names);
    assert!(before.not_after < after.not_after);
    assert_eq!(std::fs::read_to_string(&chain_file).unwrap(), new.pem + &ca.certificate().pem);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    server.stop().await;
}

#[test]
fn a_certificate_whose_key_is_in_the_hsm_is_renewed_too() {
    let folder = tempfile::tempdir().unwrap();
    let hsm = SoftwareHal::create(&folder.path().join("keys"), &SecretBytes::from(b"of this test".to_vec())).unwrap();
    let signer = hsm.generate_signer(&Label::new("tls").unwrap(), SignerKind::EcdsaP256).unwrap();
    let hsm: Arc<SoftwareHal> = Arc::new(hsm);
    let ca = authority();
    let path = folder.path().join("server.pem");
    std::fs::write(&path, issued(&ca, &PrivateKey::in_hsm(hsm.clone(), &signer))).unwrap();
    let key = HsmKey { hsm, signer: signer.id, kind: signer.kind };
    let certificate = ServerCertificate::load(path.clone(), ServerKey::Hsm(key, signer.label)).unwrap();
    let new = certificate.renew(&ca, Timestamp::now()).unwrap();
    assert_eq!(certificate.chain(), [new.der.as_slice().into()]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), new.pem);
}

#[test]
fn what_cannot_be_renewed_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, key, stranger) = (authority(), key(), authority());
    let (chain_file, key_file) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    let write = |text: &str| std::fs::write(&chain_file, text).unwrap();
    let old = issued(&ca, &key);
    write(&old);
    std::fs::write(&key_file, &*key.to_pem().unwrap()).unwrap();
    let certificate = ServerCertificate::load(chain_file.clone(), ServerKey::File(key_file)).unwrap();
    let before = certificate.chain();

    let error = certificate.renew(&stranger, Timestamp::now()).unwrap_err();
    assert!(matches!(error, RenewalError::Authority(CaError::ForeignServer { .. })), "{error}");
    assert_eq!(std::fs::read_to_string(&chain_file).unwrap(), old);
    // A certificate of another key has got into the file.
    let foreign = issued(&ca, &self::key());
    write(&foreign);
    assert!(matches!(certificate.renew(&ca, Timestamp::now()), Err(RenewalError::Tls(_))));
    assert_eq!(std::fs::read_to_string(&chain_file).unwrap(), foreign);
    assert_eq!(certificate.chain(), before);
    // There is no room beside the file.
    write(&old);
    std::fs::create_dir(folder.path().join("server.renewed")).unwrap();
    assert!(matches!(certificate.renew(&ca, Timestamp::now()), Err(RenewalError::File { .. })));
    assert_eq!(std::fs::read_to_string(&chain_file).unwrap(), old);
    assert_eq!(certificate.chain(), before);

    let signing = rustls::crypto::ring::sign::any_supported_type(&SERVER.key).unwrap();
    let in_memory = ServerCertificate::from_signing_key(SERVER.chain.clone(), signing).unwrap();
    assert!(matches!(in_memory.renew(&ca, Timestamp::now()), Err(RenewalError::NoFile)));
}
