//! What the server's own files say of a certificate: the decision of a handshake, made by the same code, and why.

use rustls_pki_types::CertificateDer;

use super::{
    Check, Diagnosis, Fault,
    server::{parse, shown, valid_now},
};
use crate::{
    cli::{CliError, admin::open_store, check::connect::certificates, data_dir::exists},
    config::Config,
    store::{AdapterRow, CaRuleRow, RootKeyState, RuleKind},
    trust::{RefusalReason, Trust, TrustedBy, fingerprint, now, own_ca_verifier},
};

/// Explains what the server of `config` would say to a client with this chain, its own certificate first.
pub(super) fn explain(
    config: &Config,
    chain: &[CertificateDer<'static>],
    diagnosis: &mut Diagnosis,
) -> Result<(), CliError> {
    let Some((own, intermediates)) = chain.split_first() else { return Ok(()) };
    let authority = if exists(&config.tls.ca)? { certificates(&config.tls.ca)? } else { Vec::new() };
    let store = open_store(config)?;
    let rows = store.trust()?;
    let rules = rows.ca_rules.clone();
    let trust = Trust::new(rows, own_ca_verifier(&authority)?);

    let dates = parse(own).and_then(|parsed| {
        valid_now("the client's certificate", &parsed)?;
        Ok(format!("until {}", shown(parsed.validity().not_after.timestamp())))
    });
    let identified = trust.identify(own, intermediates, now());
    let (adapter, how) = match &identified {
        Ok(identity) => (Some(identity.adapter), Ok(shown_trust(&identity.by, &rules))),
        // Of a registered certificate this can only be its dates, which are the next check.
        Err(refusal) => match trust.adapter_of(&fingerprint(own)) {
            Some(adapter) => (Some(adapter), Ok(shown_trust(&TrustedBy::Registration, &rules))),
            None => (None, Err(not_trusted(refusal.reason, own))),
        },
    };
    diagnosis.note(Check::HereTrusted, how);
    diagnosis.note(Check::HereDates, dates);
    let Some(adapter) = adapter.and_then(|adapter| trust.adapter(adapter)) else { return Ok(()) };
    diagnosis.note(Check::HereAdapter, root_key(&trust, adapter));
    let credential = match &adapter.credential {
        Some(credential) => {
            format!("clients that give one must give the user {:?} and its password", credential.username)
        }
        None => "none is asked for".to_owned(),
    };
    diagnosis.note(Check::HereCredential, Ok(credential));
    Ok(())
}

fn shown_trust(by: &TrustedBy, rules: &[CaRuleRow]) -> String {
    let rule = match by {
        TrustedBy::Registration => return "registered".to_owned(),
        TrustedBy::Rule { rule, .. } => rules.iter().find(|row| row.id == *rule),
    };
    let Some(CaRuleRow { kind, value, .. }) = rule else { return "let in by a rule".to_owned() };
    let kind = match kind {
        RuleKind::CommonName => "common name",
        RuleKind::Subject => "subject",
        RuleKind::Dns => "DNS name",
        RuleKind::Uri => "URI",
        RuleKind::Email => "e-mail address",
    };
    format!("let in by the rule for the {kind} {value:?}")
}

fn not_trusted(reason: RefusalReason, own: &CertificateDer<'_>) -> Fault {
    let (issuer, subject) = match parse(own) {
        Ok(parsed) => (parsed.issuer().to_string(), parsed.subject().to_string()),
        Err(fault) => return fault,
    };
    let (who, advice) = (format!("{subject}, issued by {issuer}, SHA-256 {}", fingerprint(own)), reason.remedy());
    match reason {
        // Dates are told by themselves; here it matters that it is not registered.
        RefusalReason::Expired | RefusalReason::NotYetValid => {
            Fault::new(format_args!("not registered, and its dates let no rule apply: {who}"), advice)
        }
        reason => Fault::new(format_args!("{reason}: {who}"), advice),
    }
}

fn root_key(trust: &Trust, adapter: &AdapterRow) -> Result<String, Fault> {
    let name = &adapter.name;
    let root = trust.root_key(adapter.root_key);
    match root.map(|root| (root.state, &root.label)) {
        Some((RootKeyState::Active, label)) => Ok(format!("adapter {name:?}, under the root key {label:?}")),
        Some((RootKeyState::Suspended, label)) => Err(Fault::new(
            format_args!("adapter {name:?}: its root key {label:?} is suspended, so no key of it can be used"),
            "resume the root key (keystead root-key resume)",
        )),
        Some((RootKeyState::Destroyed, label)) => Err(Fault::new(
            format_args!("adapter {name:?}: its root key {label:?} is destroyed, and with it every key"),
            "make a new adapter under another root key, and register the certificate there",
        )),
        None => Err(Fault::new(
            format_args!("adapter {name:?}: its root key is not on record"),
            "restore the database that belongs to this server",
        )),
    }
}
