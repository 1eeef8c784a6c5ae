//! The server's side: how TLS began, and what is to be said of the certificates that the server showed.
//!
//! Each question about them is answered by itself, where a TLS client stops at the first that is answered with no.

use std::net::SocketAddr;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::AlertDescription;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Fault;
use crate::{
    ca::{Thumbprints, describe},
    cli::{
        check::{CheckArgs, TlsVersion, connect::Shaken, explain},
        judged::Judge,
        thumbprint::Thumbprint,
    },
};

/// Lets every certificate pass and keeps the chain, which is looked at afterwards.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Vec<CertificateDer<'static>>>);

impl Recorder {
    /// What the server showed, its own certificate first.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().clone()
    }
}

impl Judge for Recorder {
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.0.lock() = all.map(|certificate| certificate.clone().into_owned()).collect();
        Ok(())
    }
}

/// The addresses of a name, in words.
pub(super) fn shown_addresses(host: &str, addresses: &[SocketAddr]) -> String {
    let mut shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    shown.dedup();
    if shown == [host] { format!("{host} is an address") } else { format!("{host} is {}", shown.join(", ")) }
}

/// Whether TLS came so far that the server showed its certificates. What it says to the client's comes later.
pub(super) fn tls(args: &CheckArgs, shaken: &Shaken, chain: &[CertificateDer<'_>]) -> Result<String, Fault> {
    if let (Some(chosen), false) = (shaken.chosen(), chain.is_empty()) {
        return Ok(chosen);
    }
    let Some(failure) = &shaken.failure else {
        return Err(Fault::new(
            "the server showed no certificate",
            "this is no KMIP server: correct the address in --addr",
        ));
    };
    let refused = failure.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()).is_some_and(|error| {
        use AlertDescription as Alert;
        matches!(
            error,
            rustls::Error::AlertReceived(
                Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity
            ) | rustls::Error::PeerIncompatible(_)
        )
    });
    let advice = match args.tls {
        Some(version) if refused => {
            let (this, other) = match version {
                TlsVersion::Tls12 => ("1.2", "1.3"),
                TlsVersion::Tls13 => ("1.3", "1.2"),
            };
            format!("the server takes no TLS {this}: allow it there, or let the client use TLS {other}")
        }
        None if refused => {
            "allow TLS 1.2 (with ECDHE and AES-GCM) or TLS 1.3 on the server, or on whatever answers in its place"
                .to_owned()
        }
        _ => "make sure that --addr is the server's KMIP port and that no proxy or load balancer ends TLS on the way"
            .to_owned(),
    };
    Err(Fault::new(explain::transport(failure), advice))
}

/// What the server showed, and what it is held against.
pub(super) struct Presented<'a> {
    /// Its own certificate first.
    pub(super) chain: &'a [CertificateDer<'static>],
    /// The authorities, or the very certificate, that are trusted; none where a thumbprint decides alone.
    pub(super) trusted: &'a [CertificateDer<'a>],
    /// The thumbprint that its certificate must have.
    pub(super) pin: Option<&'a Thumbprint>,
    /// The name that it must have.
    pub(super) name: &'a ServerName<'static>,
}

const NOT_A_CERTIFICATE: &str = "give the server a certificate that can be read (X.509 version 3)";

impl Presented<'_> {
    fn own(&self) -> Result<(&CertificateDer<'static>, X509Certificate<'_>), Fault> {
        let own =
            self.chain.first().ok_or_else(|| Fault::new("the server showed no certificate", NOT_A_CERTIFICATE))?;
        Ok((own, parse(own)?))
    }

    /// Whether it has the thumbprint, and was issued by whom it should be. Dates, names and uses are not looked at.
    pub(super) fn is_trusted(&self) -> Result<String, Fault> {
        let (own, parsed) = self.own()?;
        let Thumbprints { sha1, sha256 } = Thumbprints::of(own);
        if self.pin.is_some_and(|pin| !pin.is_of(own)) {
            return Err(Fault::new(
                format_args!("another certificate than the pinned one: SHA-256 {sha256}, SHA-1 {sha1}"),
                "compare this thumbprint with the one that the server's operator tells, and pin that; if they differ, trust nothing here",
            ));
        }
        if self.trusted.is_empty() {
            return Ok(format!("the pinned certificate, SHA-256 {sha256}"));
        }
        if self.trusted.contains(own) {
            return Ok(format!("the very certificate in --ca, SHA-256 {sha256}"));
        }
        match self.verify_chain(own, &parsed) {
            Ok(()) => Ok(format!("issued by {}; SHA-256 {sha256}", parsed.issuer())),
            Err(error) => Err(self.not_issued(&parsed, &sha256, &error)),
        }
    }

    fn verify_chain(&self, own: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> Result<(), webpki::Error> {
        let anchors: Vec<_> =
            self.trusted.iter().filter_map(|trusted| anchor_from_trusted_cert(trusted).ok()).collect();
        let end_entity = EndEntityCert::try_from(own)?;
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let intermediates = self.chain.get(1..).unwrap_or_default();
        let verify =
            |at| end_entity.verify_for_usage(algorithms.all, &anchors, intermediates, at, AnyUse, None, None).map(drop);
        match verify(crate::trust::now()) {
            // Dates have a check of their own: here the question is who issued it.
            Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => {
                let start = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or_default();
                verify(UnixTime::since_unix_epoch(std::time::Duration::from_secs(start.saturating_add(1))))
            }
            result => result,
        }
    }

    fn not_issued(&self, parsed: &X509Certificate<'_>, sha256: &str, error: &webpki::Error) -> Fault {
        let issuer = parsed.issuer().to_string();
        let trusted: Vec<_> =
            self.trusted.iter().filter_map(|one| Some(parse(one).ok()?.subject().to_string())).collect();
        match error {
            webpki::Error::UnknownIssuer if parsed.issuer() == parsed.subject() => Fault::new(
                format_args!("a self-signed certificate that is not in --ca: {issuer}, SHA-256 {sha256}"),
                "compare the thumbprint with what the server's operator tells, then save that certificate and give it as --ca",
            ),
            webpki::Error::UnknownIssuer => Fault::new(
                format_args!("issued by {issuer}, and --ca has {}; SHA-256 {sha256}", trusted.join(" and ")),
                "get the certificate of the authority that issued the server's certificate, and trust that one",
            ),
            webpki::Error::CaUsedAsEndEntity => Fault::new(
                "the server shows the certificate of an authority (CA:TRUE) as its own",
                "give the server a certificate of its own that the authority issued, or pin this one with --thumbprint",
            ),
            webpki::Error::InvalidSignatureForPublicKey => Fault::new(
                format_args!("names {issuer} as its issuer, but another key of that name signed it"),
                "the authority was made anew: get its present certificate and trust that one",
            ),
            other => Fault::new(
                format_args!("its chain cannot be verified: {other:?}"),
                "give the server a certificate that was issued by the authority in --ca, with all intermediate certificates",
            ),
        }
    }

    /// Whether its alternative names have the address.
    pub(super) fn has_name(&self) -> Result<String, Fault> {
        let (own, _) = self.own()?;
        let name = self.name.to_str();
        let valid = EndEntityCert::try_from(own).and_then(|own| own.verify_is_valid_for_subject_name(self.name));
        if valid.is_ok() {
            return Ok(format!("names {name}"));
        }
        let names = describe(own).map(|own| own.alternative_names).unwrap_or_default();
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let what = match names.is_empty() {
            true => format!("has no Subject Alternative Name, so it does not name {name}"),
            false => format!("names {}, not {name}", names.join(", ")),
        };
        let advice = format!(
            "use one of its names (--server-name, or in --addr), or have the server's certificate made anew for {name}"
        );
        Err(Fault::new(what, advice))
    }

    /// Whether it and those of its authorities that are known are valid now.
    pub(super) fn is_valid_now(&self) -> Result<String, Fault> {
        let (own, parsed) = self.own()?;
        let mut issuers = Vec::new();
        for certificate in self.chain.iter().skip(1).chain(self.trusted) {
            let authority = parse(certificate)?;
            if certificate != own && authority.subject() == parsed.issuer() {
                issuers.push(authority);
            }
        }
        for (whose, certificate) in std::iter::once(("the server's certificate", &parsed))
            .chain(issuers.iter().map(|authority| ("its authority's certificate", authority)))
        {
            valid_now(whose, certificate)?;
        }
        Ok(format!("until {}", shown(parsed.validity().not_after.timestamp())))
    }

    /// Whether it may be a TLS server's.
    pub(super) fn is_for_a_server(&self) -> Result<String, Fault> {
        const ADVICE: &str =
            "have the server's certificate made anew with Extended Key Usage serverAuth and Key Usage digitalSignature";
        let (_, parsed) = self.own()?;
        let uses = parsed.extended_key_usage().map_err(|_| Fault::new("Extended Key Usage cannot be read", ADVICE))?;
        let usage = parsed.key_usage().map_err(|_| Fault::new("Key Usage cannot be read", ADVICE))?;
        if usage.is_some_and(|usage| !usage.value.digital_signature()) {
            return Err(Fault::new("its Key Usage has no digitalSignature: its key must not sign a handshake", ADVICE));
        }
        match uses {
            Some(uses) if uses.value.server_auth => Ok("Extended Key Usage has serverAuth".to_owned()),
            Some(uses) if uses.value.any => Ok("Extended Key Usage allows any use".to_owned()),
            Some(_) => Err(Fault::new("its Extended Key Usage has no serverAuth", ADVICE)),
            // RFC 5280 section 4.2.1.12: without it there is no restriction.
            None => {
                Ok("it has no Extended Key Usage: that allows any use, but some clients insist on serverAuth"
                    .to_owned())
            }
        }
    }
}

/// Whether a certificate is valid by this machine's clock.
pub(super) fn valid_now(whose: &str, certificate: &X509Certificate<'_>) -> Result<(), Fault> {
    let (begin, end) = (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    let now = Timestamp::now().as_second();
    if now > end {
        return Err(Fault::new(
            format_args!("{whose} expired {}", shown(end)),
            format!("renew {whose}; if it is new, set the clock of this machine right"),
        ));
    }
    if now < begin {
        return Err(Fault::new(
            format_args!("{whose} is valid from {} only", shown(begin)),
            "set the clocks right: of this machine, and of the one that issued the certificate",
        ));
    }
    Ok(())
}

/// A moment as a report shows it.
pub(super) fn shown(seconds: i64) -> String {
    crate::cli::admin::shown_time(seconds)
}

/// The certificate `der`.
pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Fault> {
    X509Certificate::from_der(der)
        .map(|(_, parsed)| parsed)
        .map_err(|_| Fault::new("this is no readable X.509 certificate", NOT_A_CERTIFICATE))
}

/// Uses have a check of their own.
struct AnyUse;

impl ExtendedKeyUsageValidator for AnyUse {
    fn validate(&self, _uses: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}
