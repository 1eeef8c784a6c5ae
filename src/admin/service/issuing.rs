//! Certificates from the server's own authority: for a request that a client brings, or together with a new private key.
//!
//! The holder of a certificate acts as the adapter that it was issued for, which is on record before anybody is given it, and as no
//! other. Nothing is issued that a rule maps to another adapter: whoever made that rule meant somebody else.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use hal::{KeyWrapper, SignerId};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Service, about,
    certificates::{IsOwn, Wanted, name_for, shown},
    now,
};
use crate::{
    admin::{
        caller::Caller,
        model::{CertificateInfo, Issued, NewIssued, SignedCertificate, SigningRequest},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{Name, Subject},
    ca::{CaError, CertificateAuthority, FilePassword, Lifetime, NewClient, PrivateKey, describe},
    config::{KeyPlace, read_secret_file},
    store::AdapterId,
    text,
    trust::{self, Identity, RefusalReason, TrustedBy, fingerprint, issued_row},
};

/// Longest error of a reader of hostile files that is passed on, in characters.
const REASON_CHARS: usize = 300;

impl Service {
    /// Signs a client's certificate signing request.
    pub(in crate::admin) fn sign_request(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        new: &SigningRequest,
    ) -> Result<SignedCertificate, Problem> {
        let may = (Permission::KmipCreate, Scope::Adapter(adapter));
        self.act(caller, "certificate.sign", may, about(adapter), |about| {
            self.find_adapter(adapter)?;
            let lifetime = lifetime(new.days)?;
            let request = read_request(&new.request)?;
            let authority = self.own_authority()?;
            let signed = authority
                .sign_request_for(&request, lifetime, Timestamp::now())
                .map_err(|error| refused("request", error))?;
            let der = signed.certificate.der;
            let info = CertificateInfo::of(&der).map_err(Problem::internal)?;
            about.certificate = Some(fingerprint(&der.as_slice().into()));
            self.trust.refresh_now()?;
            let rule = self.covered_by(caller, adapter, &der)?;
            let registered = new.register.unwrap_or(true);
            if registered {
                let wanted = wanted(new.name.as_deref(), der, about)?;
                let row = self.insert_certificate(caller, adapter, wanted, IsOwn::Yes)?;
                about.name = Some(Name::new(&row.name));
            } else if rule.is_some() {
                self.store.record_issued(issued_row(&der, adapter).into_iter().collect(), now())?;
            } else {
                let reason = "no rule of the adapter covers the certificate, so it would open no connection: have it registered, or \
                              make a rule first";
                return Err(Problem::invalid("register", reason));
            }
            self.trust_changed();
            Ok(SignedCertificate {
                info,
                adapter: adapter.0,
                certificate_pem: signed.certificate.pem,
                ca_pem: authority.certificate().pem,
                not_granted: signed.not_granted.iter().map(|name| text::shown(name, REASON_CHARS)).collect(),
                registered,
                rule,
            })
        })
    }

    /// Issues a client certificate with a new private key, both in a PKCS#12 file that is nowhere else, and registers it.
    pub(in crate::admin) fn issue_certificate(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        new: NewIssued,
    ) -> Result<Issued, Problem> {
        let may = (Permission::KmipCreate, Scope::Adapter(adapter));
        self.act(caller, "certificate.issue", may, about(adapter), |about| {
            self.find_adapter(adapter)?;
            let lifetime = lifetime(new.days)?;
            text::check(&new.common_name, (1, 64)).map_err(|bad| bad.of("common_name"))?;
            let password = FilePassword::new(new.password.0).map_err(|error| refused("password", error))?;
            name_for(new.name.as_deref(), &new.common_name)?;
            let authority = self.own_authority()?;
            let client = NewClient { common_name: &new.common_name, kind: new.key.into(), lifetime };
            let file = authority
                .issue_client_file(&client, &password, Timestamp::now())
                .map_err(|error| refused("common_name", error))?;
            let der = file.certificate.der;
            about.certificate = Some(fingerprint(&der.as_slice().into()));
            self.trust.refresh_now()?;
            self.covered_by(caller, adapter, &der)?;
            let wanted = wanted(new.name.as_deref(), der, about)?;
            let row = self.insert_certificate(caller, adapter, wanted, IsOwn::Yes)?;
            self.trust_changed();
            Ok(Issued {
                certificate: shown(&row, None)?,
                pkcs12: Base64::encode_string(&file.pkcs12),
                ca_pem: authority.certificate().pem,
            })
        })
    }

    /// The server's own authority, able to sign.
    pub(super) fn own_authority(&self) -> Result<CertificateAuthority, Problem> {
        let unusable = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "the own certificate authority cannot be used");
            let detail = "the server's own certificate authority cannot be used here: the server's log says why; its key may be kept elsewhere, \
                          then sign there with `keystead cert sign-csr` and register the certificate";
            Problem::new(Code::State, detail)
        };
        let tls = &self.config.tls;
        let certificate = std::fs::read(&tls.ca).map_err(|error| unusable(&error))?;
        let key = match &tls.ca_key {
            KeyPlace::File(path) => {
                let text = read_secret_file(path).map_err(|error| unusable(&error))?;
                PrivateKey::from_pem(&text).map_err(|error| unusable(&error))?
            }
            KeyPlace::Hsm(label) => {
                let is_ours = |purpose: &str| purpose.split(':').next() == Some("ca");
                let row =
                    self.store.signers()?.into_iter().find(|row| is_ours(&row.purpose) && row.label == label.as_str());
                let row = row.ok_or_else(|| unusable(&"its key in the HSM is not on record"))?;
                let hsm: Arc<dyn KeyWrapper> = Arc::<dyn hal::RootKeys>::clone(&self.hal);
                PrivateKey::in_hsm(hsm, &self.hal.describe_signer(SignerId::from_uuid(row.id))?)
            }
        };
        CertificateAuthority::load(&certificate, key).map_err(|error| unusable(&error))
    }

    /// The rule of `adapter` that lets in a certificate also without registration, by what is in force.
    ///
    /// # Errors
    /// A rule of another adapter does.
    pub(super) fn covered_by(&self, caller: &Caller, adapter: AdapterId, der: &[u8]) -> Result<Option<Uuid>, Problem> {
        let trust = self.trust.current();
        let other = |owner: Option<AdapterId>| {
            let seen = owner.filter(|owner| caller.may(Permission::KmipRead, Scope::Adapter(*owner)).is_ok());
            let name = seen.and_then(|owner| trust.adapter(owner)).map(|row| format!(" ({:?})", row.name));
            let detail = format!(
                "a rule maps such a certificate to another adapter{}: use another subject, or remove the rule",
                name.unwrap_or_default()
            );
            Problem::new(Code::Exists, detail)
        };
        match trust.identify(&der.into(), &[], trust::now()) {
            Ok(Identity { by: TrustedBy::Registration, .. }) => Ok(None),
            Ok(Identity { by: TrustedBy::Rule { rule, .. }, adapter: found, .. }) if found == adapter => Ok(Some(rule)),
            Ok(found) => Err(other(Some(found.adapter))),
            Err(refusal) if refusal.reason == RefusalReason::Ambiguous => Err(other(None)),
            // Those rules are nothing to it.
            Err(refusal)
                if refusal.reason == RefusalReason::IssuedForAnother
                    && trust.issued_for(&refusal.certificate) == Some(adapter) =>
            {
                Ok(None)
            }
            // Its chain may be whole where it connects: then it is the rule's, and a registration would take it away.
            Err(_) => match trust.named_by_rules(&der.into()).into_iter().find(|owner| *owner != adapter) {
                Some(owner) => Err(other(Some(owner))),
                None => Ok(None),
            },
        }
    }
}

fn wanted(name: Option<&str>, der: Vec<u8>, about: &mut Subject) -> Result<Wanted, Problem> {
    let name = name_for(name, &describe(&der).map_err(Problem::internal)?.common_name)?;
    about.name = Some(Name::new(&name));
    Ok(Wanted { fingerprint: fingerprint(&der.as_slice().into()), name, der })
}

fn lifetime(days: Option<u16>) -> Result<Lifetime, Problem> {
    days.map_or_else(|| Ok(Lifetime::default()), |days| Lifetime::of_days(days).map_err(|error| refused("days", error)))
}

/// A request in PEM form, or the base64 of its DER form with line breaks wherever they came to be.
fn read_request(text: &str) -> Result<Vec<u8>, Problem> {
    if text.contains("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let digits: String = text.split_ascii_whitespace().collect();
    Base64::decode_vec(&digits)
        .ok()
        // Everything else would be taken for PEM.
        .filter(|der| der.first() == Some(&0x30))
        .ok_or_else(|| {
            Problem::invalid(
                "request",
                "neither PEM (BEGIN CERTIFICATE REQUEST) nor the base64 of a request in DER form",
            )
        })
}

/// What is wrong with `field`, or with the authority or the HSM.
fn refused(field: &str, error: CaError) -> Problem {
    match error {
        CaError::Hsm(error) => error.into(),
        error @ CaError::AuthorityEnded(_) => Problem::new(Code::State, error.to_string()),
        error @ (CaError::Crypto | CaError::KeyInHsm | CaError::KeyMismatch | CaError::ForeignServer { .. }) => {
            Problem::internal(error)
        }
        error => Problem::invalid(field, text::shown(&error.to_string(), REASON_CHARS)),
    }
}
