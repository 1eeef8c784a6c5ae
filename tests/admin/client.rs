//! KMIP clients with certificates of their own making, and the certificates of authorities that are not the server's.

use std::{
    io::{ErrorKind, Read as _},
    sync::Arc,
    time::{Duration, Instant},
};

use kmip::{client::Client, payloads::DiscoverVersionsRequest, version::Version};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::harness::server::{Connection, Server, connect};

/// Who holds the private key of a certificate.
pub struct Holder {
    /// The certificate, PEM.
    pub pem: String,
    key: KeyPair,
}

/// What a certificate says: one common name, valid for long.
pub fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}

impl Holder {
    /// With a self-signed certificate.
    pub fn new(common_name: &str) -> Self {
        Self::of(&params(common_name))
    }

    /// With a self-signed certificate that says this.
    pub fn of(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), key }
    }

    /// With a key and the certificate that somebody issued for it.
    pub fn with(pem: &str, key: KeyPair) -> Self {
        Self { pem: pem.to_owned(), key }
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> String {
        keystead::trust::fingerprint(&CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).to_string()
    }

    /// A connection, if the server lets it in and answers. In TLS 1.3 a refusal comes after the handshake.
    pub fn connect(&self, server: &Server) -> Option<Connection> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(server.dir().join("tls/ca.pem")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let chain = CertificateDer::pem_slice_iter(self.pem.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        let mut connection = Client::new(connect(server.addr(), Arc::new(config)).ok()?, Version::V1_4);
        is_served(&mut connection).then_some(connection)
    }
}

/// Whether the server still answers.
pub fn is_served(connection: &mut Connection) -> bool {
    connection.call(DiscoverVersionsRequest { protocol_version: Vec::new() }).is_ok()
}

/// Waits for the server to cut the connection, and checks that it does within a second.
pub fn is_cut(mut connection: Connection) {
    let stream = connection.stream();
    stream.sock.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let begun = Instant::now();
    match stream.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0, "it is not asked anything"),
        Err(error) => {
            let open = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!open, "the connection is still open");
        }
    }
    let after = begun.elapsed();
    assert!(after < Duration::from_secs(1), "it was cut after {after:?}");
}

/// An authority of other people.
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(common_name: &str) -> Self {
        let mut params = params(common_name);
        params.extended_key_usages.clear();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Issues a certificate that says this.
    pub fn issue(&self, params: &CertificateParams) -> Holder {
        let key = KeyPair::generate().unwrap();
        Holder { pem: params.signed_by(&key, &self.issuer).unwrap().pem(), key }
    }
}
