//! Who may connect, and for how long.

use std::io;

use rustls::{
    AlertDescription, HandshakeKind, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};

use super::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// The alert in a client's error: proof that the server spoke TLS to the end, and what it said.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[tokio::test]
async fn a_registered_self_signed_certificate_without_eku_is_its_adapter() {
    let holder = self_signed(&params("kmipClient20240101"));
    let server = Running::with_alice(&holder, limits()).await;
    for version in BOTH {
        let mut client = server.connect_with(server.client(Some(&holder), version)).await.unwrap();
        assert_eq!(client.0.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(client.call(b"who").await.unwrap(), b"a");
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_of_every_kind_prove_themselves() {
    // vCenter's are RSA.
    for algorithm in
        [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let holder = holder(params("any").self_signed(&key).unwrap().der().clone(), &key);
        let server = Running::with_alice(&holder, limits()).await;
        for version in BOTH {
            let mut client = server.connect_with(server.client(Some(&holder), version)).await.unwrap();
            assert_eq!(client.call(b"who").await.unwrap(), b"a", "{algorithm:?} {version:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_registered_certificate_that_says_it_is_a_ca_is_its_adapter() {
    let mut params = params("openssl req -x509");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let holder = self_signed(&params);
    let server = Running::with_alice(&holder, limits()).await;
    for version in BOTH {
        let mut client = server.connect_with(server.client(Some(&holder), version)).await.unwrap();
        assert_eq!(client.call(b"who").await.unwrap(), b"a");
    }
    server.stop().await;
}

/// The bytes of a DER element (tag, definite length, content) at the start of `der`.
fn element(der: &[u8]) -> &[u8] {
    let length = match der[1] {
        short @ 0..=0x7f => 2 + usize::from(short),
        0x81 => 3 + usize::from(der[2]),
        _ => 4 + usize::from(u16::from_be_bytes([der[2], der[3]])),
    };
    &der[..length]
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let mut der = vec![0x30, 0x82];
    der.extend_from_slice(&u16::try_from(content.len()).unwrap().to_be_bytes());
    der.extend_from_slice(content);
    der
}

/// `holder` with its certificate cut down to X.509 version 1: no version field, no extensions. Its signature no longer fits, which
/// is nothing to a registered certificate.
fn as_version_1(holder: &Holder) -> Holder {
    let whole = holder.der().to_vec();
    let tbs = element(&whole[4..]);
    let behind_tbs = &whole[4 + tbs.len()..];
    let mut fields = &tbs[if tbs[1] == 0x82 { 4 } else { 3 }..];
    let mut kept = Vec::new();
    while !fields.is_empty() {
        let field = element(fields);
        // [0] is the version, [3] are the extensions.
        if field[0] != 0xa0 && field[0] != 0xa3 {
            kept.extend_from_slice(field);
        }
        fields = &fields[field.len()..];
    }
    let der = sequence(&[&sequence(&kept), behind_tbs].concat());
    Holder { chain: vec![der.into()], key: Arc::clone(&holder.key) }
}

#[tokio::test]
async fn a_registered_certificate_of_version_1_is_its_adapter() {
    let holder = as_version_1(&self_signed(&params("openssl x509 -req")));
    let server = Running::with_alice(&holder, limits()).await;
    for version in BOTH {
        let mut client = server.connect_with(unchecked(&server, &holder, version)).await.unwrap();
        assert_eq!(client.call(b"who").await.unwrap(), b"a");
    }
    server.stop().await;
}

/// A client that rustls' own checks of its certificate and key are kept away from.
fn unchecked(server: &Running, holder: &Holder, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = server.client(None, version);
    let key = rustls::crypto::ring::sign::any_supported_type(&holder.key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(holder.chain.clone(), key);
    Arc::get_mut(&mut config).unwrap().client_auth_cert_resolver =
        Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    config
}

#[tokio::test]
async fn an_unknown_certificate_gets_an_alert_after_the_server_showed_its_own() {
    let server = Running::with_alice(&self_signed(&params("known")), limits()).await;
    for version in BOTH {
        let error = server.refusal(Some(&self_signed(&params("unknown"))), version).await;
        // The client checked the server's certificate before it could receive this.
        assert_eq!(alert(&error), Some(AlertDescription::CertificateUnknown), "{version:?}: {error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn another_certificate_with_the_same_subject_is_unknown() {
    let server = Running::with_alice(&self_signed(&params("same")), limits()).await;
    let error = server.refusal(Some(&self_signed(&params("same"))), &TLS13).await;
    assert_eq!(alert(&error), Some(AlertDescription::CertificateUnknown), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn a_registered_certificate_without_its_key_is_refused() {
    let known = self_signed(&params("known"));
    let thief = Holder { chain: known.chain.clone(), key: self_signed(&params("thief")).key };
    let server = Running::with_alice(&known, limits()).await;
    for version in BOTH {
        let config = unchecked(&server, &thief, version);
        let error = match server.connect_with(config).await {
            Ok(mut client) => client.call(b"who").await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(alert(&error), Some(AlertDescription::DecryptError), "{version:?}: {error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_without_certificate_is_refused() {
    let server = Running::with_alice(&self_signed(&params("known")), limits()).await;
    for version in BOTH {
        let error = server.refusal(None, version).await;
        assert!(
            matches!(alert(&error), Some(AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure)),
            "{version:?}: {error}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_registered_certificate_opens_nothing_outside_its_validity() {
    let (mut past, mut future) = (params("past"), params("future"));
    (past.not_before, past.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
    (future.not_before, future.not_after) = (rcgen::date_time_ymd(2900, 1, 1), rcgen::date_time_ymd(2901, 1, 1));
    for holder in [self_signed(&past), self_signed(&future)] {
        let server = Running::with_alice(&holder, limits()).await;
        for version in BOTH {
            let error = server.refusal(Some(&holder), version).await;
            assert_eq!(alert(&error), Some(AlertDescription::CertificateUnknown), "{error}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_certificate_of_the_own_ca_needs_a_rule_for_its_common_name() {
    let authority = Authority::new();
    let rows = TrustRows {
        adapters: vec![adapter(ALICE), adapter(BOB)],
        certificates: Vec::new(),
        ca_rules: vec![rule(BOB, "bob.example")],
        authorities: Vec::new(),
        root_keys: Vec::new(),
        issued: Vec::new(),
    };
    let server = Running::start(rows, std::slice::from_ref(&authority.der), limits()).await;
    for version in BOTH {
        let bob = authority.issue(&params("bob.example"));
        let mut client = server.connect_with(server.client(Some(&bob), version)).await.unwrap();
        assert_eq!(client.call(b"who").await.unwrap(), b"b");
        for stranger in [
            // Without a rule, with a name that only begins like one, and by an authority that is not ours.
            authority.issue(&params("carol.example")),
            authority.issue(&params("bob.example.")),
            Authority::new().issue(&params("bob.example")),
            self_signed(&params("bob.example")),
        ] {
            let error = server.refusal(Some(&stranger), version).await;
            assert_eq!(alert(&error), Some(AlertDescription::CertificateUnknown), "{error}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn two_common_names_match_no_rule() {
    let authority = Authority::new();
    let mut two = params("bob.example");
    two.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "bob.example");
    let rows = TrustRows {
        adapters: vec![adapter(BOB)],
        certificates: Vec::new(),
        ca_rules: vec![rule(BOB, "bob.example")],
        authorities: Vec::new(),
        root_keys: Vec::new(),
        issued: Vec::new(),
    };
    let server = Running::start(rows, std::slice::from_ref(&authority.der), limits()).await;
    let error = server.refusal(Some(&authority.issue(&two)), &TLS13).await;
    assert_eq!(alert(&error), Some(AlertDescription::CertificateUnknown), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn removing_a_certificate_cuts_its_connections_and_no_others() {
    let (alice, bob) = (self_signed(&params("alice")), self_signed(&params("bob")));
    let server = Running::with_alice(&alice, limits()).await;
    server.change(|rows| rows.certificates.push(registration(BOB, &bob)));
    server.trust.refresh_now().unwrap();
    let (mut of_alice, mut of_bob) = (server.connect(&alice).await, server.connect(&bob).await);
    assert_eq!(of_alice.call(b"who").await.unwrap(), b"a");
    assert_eq!(of_bob.call(b"who").await.unwrap(), b"b");

    // By another process: nobody calls `refresh_now`.
    server.change(|rows| rows.certificates.retain(|row| row.adapter != ALICE));
    of_alice.sees_the_end().await;
    assert_eq!(of_bob.call(b"who").await.unwrap(), b"b");
    server.stop().await;
}

#[tokio::test]
async fn removing_an_adapter_cuts_its_connections() {
    let alice = self_signed(&params("alice"));
    let server = Running::with_alice(&alice, limits()).await;
    let mut client = server.connect(&alice).await;
    assert_eq!(client.call(b"who").await.unwrap(), b"a");
    server.change(|rows| rows.adapters.retain(|row| row.id != ALICE));
    server.trust.refresh_now().unwrap();
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn removing_a_rule_cuts_the_connections_it_let_in() {
    let authority = Authority::new();
    let rows = TrustRows {
        adapters: vec![adapter(BOB)],
        certificates: Vec::new(),
        ca_rules: vec![rule(BOB, "bob.example")],
        authorities: Vec::new(),
        root_keys: Vec::new(),
        issued: Vec::new(),
    };
    let server = Running::start(rows, std::slice::from_ref(&authority.der), limits()).await;
    let mut client = server.connect(&authority.issue(&params("bob.example"))).await;
    assert_eq!(client.call(b"who").await.unwrap(), b"b");
    server.change(|rows| rows.ca_rules.clear());
    server.trust.refresh_now().unwrap();
    client.sees_the_end().await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_cut_also_while_its_request_is_answered() {
    let alice = self_signed(&params("alice"));
    let server = Running::with_alice(&alice, limits()).await;
    let mut client = server.connect(&alice).await;
    client.send(&frame(b"wait")).await.unwrap();
    server.request_taken_up().await;
    server.change(|rows| rows.certificates.clear());
    server.trust.refresh_now().unwrap();
    client.sees_the_end().await;
    // The request itself goes on to its end; the server waits for that when it stops.
    server.release.send(()).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn sessions_resume_with_their_identity_but_not_beyond_its_removal() {
    for version in BOTH {
        let alice = self_signed(&params("alice"));
        let server = Running::with_alice(&alice, limits()).await;
        // One configuration holds the client's sessions.
        let config = server.client(Some(&alice), version);
        let mut first = server.connect_with(Arc::clone(&config)).await.unwrap();
        assert_eq!(first.call(b"who").await.unwrap(), b"a");
        assert_eq!(first.0.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));

        let mut second = server.connect_with(Arc::clone(&config)).await.unwrap();
        assert_eq!(second.call(b"who").await.unwrap(), b"a");
        assert_eq!(second.0.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");

        server.change(|rows| rows.certificates.clear());
        server.trust.refresh_now().unwrap();
        let mut third = server.connect_with(Arc::clone(&config)).await.unwrap();
        assert_eq!(third.0.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        third.call(b"who").await.unwrap_err();
        server.stop().await;
    }
}

#[tokio::test]
async fn a_reloaded_server_certificate_is_shown_and_a_bad_one_is_not() {
    let directory = tempfile::TempDir::new().unwrap();
    let (chain, key) = (directory.path().join("server.pem"), directory.path().join("server.key"));
    let write = |certificate: &rcgen::Certificate, signing: &KeyPair| {
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, signing.serialize_pem()).unwrap();
    };
    let (old_key, new_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let old = params("old").self_signed(&old_key).unwrap();
    let new = params("new").self_signed(&new_key).unwrap();
    let shown = |certificate: &ServerCertificate| fingerprint(&certificate.current.read().cert[0]);

    write(&old, &old_key);
    let certificate = ServerCertificate::load(chain.clone(), ServerKey::File(key.clone())).unwrap();
    assert_eq!(shown(&certificate), fingerprint(old.der()));
    // The key of the other certificate.
    write(&new, &old_key);
    certificate.reload().unwrap_err();
    assert_eq!(shown(&certificate), fingerprint(old.der()));
    write(&new, &new_key);
    certificate.reload().unwrap();
    assert_eq!(shown(&certificate), fingerprint(new.der()));
}
