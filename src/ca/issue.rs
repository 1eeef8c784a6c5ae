//! What the authority issues, and on which terms: the policy of the own authority.
//!
//! A certificate is for a TLS client or a TLS server and for nothing else, never for an authority. Of a request, subject and key
//! are taken as they are; what it wishes for beside them is not granted. It ends with the authority at the latest.

use jiff::Timestamp;

use super::{
    BACKDATED_DAYS, CaError, CertificateAuthority, IssuedCertificate, KeyKind, MAX_COMMON_NAME, PrivateKey, Subject,
    SubjectAltName,
    der::{self, Purpose},
    describe, is_rsa, later, parse,
    pkcs12::{FilePassword, write_pkcs12},
    request::CheckedRequest,
};

/// For how long a certificate is to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    days: i32,
}

impl Lifetime {
    /// Five years: clients stop working on the day a certificate ends, and replacing it means work on every one of them.
    pub const LONGEST_DAYS: u16 = 5 * 365;

    /// So many days.
    ///
    /// # Errors
    /// `BadLifetime`: none, or more than [`Lifetime::LONGEST_DAYS`].
    pub fn of_days(days: u16) -> Result<Self, CaError> {
        if (1..=Self::LONGEST_DAYS).contains(&days) {
            Ok(Self { days: days.into() })
        } else {
            Err(CaError::BadLifetime)
        }
    }
}

impl Default for Lifetime {
    /// The longest.
    fn default() -> Self {
        Self { days: Self::LONGEST_DAYS.into() }
    }
}

/// A certificate made for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The certificate.
    pub certificate: IssuedCertificate,
    /// The extensions that the request wished for and that were not granted, by name or number.
    pub not_granted: Vec<String>,
}

/// A client certificate to be made together with its key.
#[derive(Clone, Copy, Debug)]
pub struct NewClient<'a> {
    /// Its subject's common name, 1 to 64 characters.
    pub common_name: &'a str,
    /// The kind of its key.
    pub kind: KeyKind,
    /// How long it is valid.
    pub lifetime: Lifetime,
}

/// A client certificate with its key.
pub struct ClientFile {
    /// The certificate.
    pub certificate: IssuedCertificate,
    /// The PKCS#12 file: certificate, private key and the authority's certificate. Encrypted; the key is nowhere else.
    pub pkcs12: Vec<u8>,
}

impl CertificateAuthority {
    /// A certificate for a TLS server that clients reach under `names`; the first of them is its common name.
    ///
    /// # Errors
    /// There are no names; signing failed.
    pub fn issue_server(
        &self,
        key: &PrivateKey,
        names: &[SubjectAltName],
        now: Timestamp,
    ) -> Result<IssuedCertificate, CaError> {
        self.issue_server_to(key.public(), names, now)
    }

    /// A certificate for the same server, key and names as `current` (DER), which this authority issued.
    ///
    /// # Errors
    /// `ForeignServer`; it has no names; signing failed.
    pub fn renew_server(&self, current: &[u8], now: Timestamp) -> Result<IssuedCertificate, CaError> {
        let parsed = parse(current)?;
        let own = parse(&self.certificate)?;
        if parsed.issuer().as_raw() != own.subject().as_raw()
            || parsed.verify_signature(Some(own.public_key())).is_err()
        {
            let issuer = parsed.issuer().to_string().chars().filter(|c| !c.is_control()).collect();
            return Err(CaError::ForeignServer { issuer });
        }
        self.issue_server_to(parsed.public_key().raw, &describe(current)?.alternative_names, now)
    }

    /// A certificate for a TLS client.
    ///
    /// # Errors
    /// The common name is not allowed; signing failed.
    pub fn issue_client(
        &self,
        key: &PrivateKey,
        common_name: &str,
        now: Timestamp,
    ) -> Result<IssuedCertificate, CaError> {
        self.issue_client_for(key, common_name, Lifetime::default(), now)
    }

    /// A certificate for a TLS client with a new key, both in a PKCS#12 file under `password`.
    ///
    /// # Errors
    /// The common name is not allowed; signing failed.
    pub fn issue_client_file(
        &self,
        new: &NewClient<'_>,
        password: &FilePassword,
        now: Timestamp,
    ) -> Result<ClientFile, CaError> {
        check_common_name(new.common_name)?;
        let key = PrivateKey::generate(new.kind)?;
        let certificate = self.issue_client_for(&key, new.common_name, new.lifetime, now)?;
        let pkcs12 = write_pkcs12(&key, &certificate, &self.certificate(), new.common_name, password)?;
        Ok(ClientFile { certificate, pkcs12 })
    }

    /// A client certificate for the request in `file` (PEM or DER), with the subject and key exactly as they are there, valid for
    /// `lifetime`; says what the request wished for in vain.
    ///
    /// # Errors
    /// It is no request, its signature is wrong, its key is weak or unknown, or it is for an authority; signing failed.
    pub fn sign_request_for(&self, file: &[u8], lifetime: Lifetime, now: Timestamp) -> Result<SignedRequest, CaError> {
        let CheckedRequest { subject, public_key, wishes } = CheckedRequest::read(file)?;
        let certificate = self.issue(&subject, &public_key, Purpose::Client, lifetime, now)?;
        Ok(SignedRequest { certificate, not_granted: wishes })
    }

    fn issue_client_for(
        &self,
        key: &PrivateKey,
        common_name: &str,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<IssuedCertificate, CaError> {
        check_common_name(common_name)?;
        self.issue(&der::name(common_name), key.public(), Purpose::Client, lifetime, now)
    }

    fn issue_server_to(
        &self,
        public_key: &[u8],
        names: &[SubjectAltName],
        now: Timestamp,
    ) -> Result<IssuedCertificate, CaError> {
        let common_name = names.first().ok_or(CaError::BadSubjectAltName)?.to_string();
        // A longer host name stands in the alternative names only, which is where clients look.
        let short: String = common_name.chars().take(MAX_COMMON_NAME).collect();
        self.issue(&der::name(&short), public_key, Purpose::Server(names.to_vec()), Lifetime::default(), now)
    }

    fn issue(
        &self,
        name: &[u8],
        public_key: &[u8],
        purpose: Purpose,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<IssuedCertificate, CaError> {
        if self.not_after <= now {
            return Err(CaError::AuthorityEnded(self.not_after));
        }
        let (not_before, not_after) = (later(now, -BACKDATED_DAYS), later(now, lifetime.days).min(self.not_after));
        let rsa = is_rsa(public_key)?;
        Ok(IssuedCertificate::from_der(self.sign(&Subject {
            name,
            public_key,
            rsa,
            purpose,
            not_before,
            not_after,
        })?))
    }
}

pub(super) fn check_common_name(name: &str) -> Result<(), CaError> {
    let length = name.chars().count();
    if length == 0 || length > MAX_COMMON_NAME || name.contains(char::is_control) {
        return Err(CaError::BadCommonName);
    }
    Ok(())
}
