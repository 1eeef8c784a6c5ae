//! The client's side: its own certificate and key, whether the server takes them, and what it lets them ask.

use kmip::{
    client::{ClientError, Refusal},
    enums::{QueryFunction, ResultReason},
    payloads::{Criteria, LocateRequest, QueryRequest, Response},
    version::Version,
};

use super::{
    Check, Diagnosis, Fault,
    server::{parse, shown, valid_now},
};
use crate::{
    ca::Thumbprints,
    cli::{
        CliError,
        check::{
            CheckArgs,
            connect::{CheckError, Shaken, Target, certificates},
            dialogue::{Dialogue, OTHER_ANSWER, Style, shown_versions},
        },
    },
};

/// What is to be said of the client's own certificate and key before anybody sees them; `None` where there are none.
pub(super) fn own_certificate(args: &CheckArgs, unusable: Option<&CliError>) -> Option<Result<String, Fault>> {
    if args.cert.is_none() && args.client_token.is_none() {
        return None;
    }
    Some(match unusable {
        Some(CliError::Check(error @ CheckError::KeyMismatch { .. })) => Err(Fault::new(
            error,
            "give the private key that belongs to the certificate, or have a certificate made for this key",
        )),
        Some(CliError::Check(error @ CheckError::Token(_))) => {
            Err(Fault::new(error, "correct --client-token; docs/tls-keys.md says how it is written"))
        }
        Some(error) => Err(Fault::new(error, "give the client's certificate and its private key (mode 600), both PEM")),
        None => match (&args.cert, &args.key) {
            (Some(_), None) if args.client_token.is_none() => Err(Fault::new(
                "only a certificate was given",
                "give its private key with --key: without it nobody lets it in",
            )),
            (Some(file), _) => in_file(file),
            (None, _) => Ok("on the token".to_owned()),
        },
    })
}

fn in_file(file: &std::path::PathBuf) -> Result<String, Fault> {
    let chain = certificates(file).map_err(|error| Fault::new(error, "give the client's certificate in PEM form"))?;
    let own = chain.first().ok_or_else(|| Fault::new("no certificate in it", "give the client's certificate"))?;
    let parsed = parse(own)?;
    valid_now("the client's certificate", &parsed)?;
    let for_clients = match parsed.extended_key_usage() {
        Ok(Some(uses)) if !uses.value.client_auth && !uses.value.any => {
            "; its Extended Key Usage has no clientAuth, so it must be registered: no rule lets it in"
        }
        _ => "",
    };
    let end = shown(parsed.validity().not_after.timestamp());
    Ok(format!("they belong together, until {end}, SHA-256 {}{for_clients}", Thumbprints::of(own).sha256))
}

/// Asks the server three harmless things. `with_credential` says whether a KMIP password may be sent to it.
pub(super) fn ask(args: &CheckArgs, target: &Target, shaken: Shaken, with_credential: bool, diagnosis: &mut Diagnosis) {
    if args.cert.is_none() && args.client_token.is_none() {
        return;
    }
    let failure = match shaken.failure {
        Some(error) => Some(CheckError::Transport(error)),
        None => {
            let mut dialogue = Dialogue::over(shaken.into_connection(None), target, Version::V1_1);
            let style = Style { with_credential, named_items: false };
            let versions = dialogue.versions(style);
            match is_cut(&versions) {
                true => versions.err(),
                false => {
                    diagnosis.note(Check::ClientAccepted, Ok("the server answers".to_owned()));
                    questions(&mut dialogue, style, versions.map(|found| shown_versions(&found)), diagnosis);
                    None
                }
            }
        }
    };
    if let Some(error) = failure {
        diagnosis.note(Check::ClientAccepted, Err(Fault::new(error, refused_advice(args))));
    }
}

/// Whether the connection ended instead of an answer: servers of TLS 1.3 refuse a client's certificate after the handshake.
fn is_cut<T>(answer: &Result<T, CheckError>) -> bool {
    matches!(answer, Err(CheckError::Client(ClientError::Connection(_)) | CheckError::Transport(_)))
}

fn refused_advice(args: &CheckArgs) -> &'static str {
    if args.config.is_some() {
        "see below what the server's own files say of this certificate"
    } else {
        "register the certificate with an adapter (keystead cert register), or add a rule for it; on the server's machine, \
         `keystead check --config FILE --cert FILE` says exactly why"
    }
}

fn questions(
    dialogue: &mut Dialogue<'_>,
    style: Style,
    versions: Result<String, CheckError>,
    diagnosis: &mut Diagnosis,
) {
    let query = query(dialogue, style);
    let locate = locate(dialogue, style);
    let unknown =
        [&query, &locate].into_iter().find_map(|answer| answer.as_ref().err().filter(|error| is_nobody(error)));
    let adapter = match unknown {
        Some(error) => Err(Fault::new(
            error,
            "give the adapter's KMIP user and password with --credential-file, or remove it (keystead adapter credential)",
        )),
        None => Ok("the server knows whose keys these are".to_owned()),
    };
    if !diagnosis.note(Check::Adapter, adapter) {
        return;
    }
    for (check, answer) in [(Check::DiscoverVersions, versions), (Check::Query, query), (Check::Locate, locate)] {
        let advice = "look at the server's log and audit log of this moment: they say why it refused";
        diagnosis.note(check, answer.map_err(|error| Fault::new(error, advice)));
    }
}

fn is_nobody(error: &CheckError) -> bool {
    let reason = match error {
        CheckError::Client(ClientError::Refused(Refusal { reason, .. })) => *reason,
        _ => None,
    };
    reason == Some(ResultReason::AuthenticationNotSuccessful)
}

fn query(dialogue: &mut Dialogue<'_>, style: Style) -> Result<String, CheckError> {
    let query_function = vec![QueryFunction::QueryOperations, QueryFunction::QueryServerInformation];
    match dialogue.ask(style, QueryRequest { query_function })? {
        Response::Query(found) => {
            let vendor = found.vendor_identification.as_deref().unwrap_or("unnamed");
            let vendor: String = vendor.chars().take(60).collect();
            Ok(format!("{vendor}: {} operations", found.operation.len()))
        }
        _ => Err(OTHER_ANSWER),
    }
}

fn locate(dialogue: &mut Dialogue<'_>, style: Style) -> Result<String, CheckError> {
    let request = LocateRequest {
        maximum_items: Some(1),
        offset_items: None,
        storage_status_mask: None,
        object_group_member: None,
        criteria: Criteria(Vec::new()),
    };
    match dialogue.ask(style, request)? {
        Response::Locate(found) if found.unique_identifier.is_empty() => {
            Ok("allowed; the adapter has no keys yet".to_owned())
        }
        Response::Locate(_) => Ok("allowed; the adapter has keys".to_owned()),
        _ => Err(OTHER_ANSWER),
    }
}
