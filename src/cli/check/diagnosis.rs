//! Explains the set-up of TLS between a client and a KMIP server: one finding for each check, with what to do where it failed.
//!
//! Unlike a client it goes on after a failure as far as that makes sense, so that one run shows everything that is wrong. Nothing
//! but harmless questions is sent, and those only to a server whose certificate is trusted; a KMIP password only to one with which
//! nothing at all is wrong.

mod client;
mod here;
mod server;

use std::{fmt, sync::Arc};

use rustls_pki_types::CertificateDer;
use serde::Serialize;

use self::server::{Presented, Recorder};
use super::{
    CheckArgs,
    connect::{Target, certificates},
};
use crate::{
    cli::{
        CliError,
        judged::Judged,
        output::{json, say, visible},
    },
    config::Config,
};

/// One check of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    NameResolution,
    Reachable,
    Tls,
    ServerChain,
    ServerName,
    ServerDates,
    ServerUsage,
    ClientCertificate,
    ClientAccepted,
    Adapter,
    DiscoverVersions,
    Query,
    Locate,
    HereTrusted,
    HereDates,
    HereAdapter,
    HereCredential,
}

impl Check {
    /// What is checked at the server's address, in this order.
    const AT_ADDRESS: [Self; 13] = [
        Self::NameResolution,
        Self::Reachable,
        Self::Tls,
        Self::ServerChain,
        Self::ServerName,
        Self::ServerDates,
        Self::ServerUsage,
        Self::ClientCertificate,
        Self::ClientAccepted,
        Self::Adapter,
        Self::DiscoverVersions,
        Self::Query,
        Self::Locate,
    ];
    /// What is checked in the server's own files.
    const HERE: [Self; 4] = [Self::HereTrusted, Self::HereDates, Self::HereAdapter, Self::HereCredential];

    fn words(self) -> &'static str {
        match self {
            Self::NameResolution => "the name has an address",
            Self::Reachable => "the server can be reached",
            Self::Tls => "TLS version and cipher suite",
            Self::ServerChain => "the server's certificate is trusted",
            Self::ServerName => "it names the address",
            Self::ServerDates => "it is valid today",
            Self::ServerUsage => "it is meant for a server",
            Self::ClientCertificate => "the client's certificate and key",
            Self::ClientAccepted => "the server accepts them",
            Self::Adapter => "they belong to an adapter",
            Self::DiscoverVersions => "permission: Discover Versions",
            Self::Query => "permission: Query",
            Self::Locate => "permission: Locate",
            Self::HereTrusted => "registered here, or let in by a rule",
            Self::HereDates => "valid by this machine's clock",
            Self::HereAdapter => "its adapter and root key",
            Self::HereCredential => "a KMIP user and password",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Verdict {
    #[serde(rename = "ok")]
    Ok,
    #[serde(rename = "failed")]
    Failed,
    #[serde(rename = "not reached")]
    NotReached,
}

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    what: String,
    advice: String,
}

impl Fault {
    pub(super) fn new(what: impl fmt::Display, advice: impl Into<String>) -> Self {
        Self { what: what.to_string(), advice: advice.into() }
    }
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    check: Check,
    about: &'static str,
    result: Verdict,
    /// What was found, or why it was not reached.
    finding: String,
    /// What to do, in one sentence; `None` where nothing is.
    advice: Option<String>,
}

/// The findings of one run, in their order.
#[derive(Default)]
pub(super) struct Diagnosis {
    findings: Vec<Finding>,
}

impl Diagnosis {
    /// Notes how a check ended, and says whether it ended well.
    pub(super) fn note(&mut self, check: Check, result: Result<String, Fault>) -> bool {
        let (verdict, what, advice) = match result {
            Ok(what) => (Verdict::Ok, what, None),
            Err(fault) => (Verdict::Failed, fault.what, Some(fault.advice)),
        };
        self.add(check, verdict, &what, advice);
        verdict == Verdict::Ok
    }

    /// Notes that a check was not reached, and why.
    pub(super) fn pass_over(&mut self, check: Check, why: &str, advice: Option<&str>) {
        self.add(check, Verdict::NotReached, why, advice.map(str::to_owned));
    }

    /// Notes for each of `checks` without a finding that it was not reached, because of what failed before.
    fn finish(&mut self, checks: &[Check]) {
        let failed = self.findings.iter().find(|finding| finding.result == Verdict::Failed);
        let why = failed.map_or("an earlier check was not reached".to_owned(), |finding| {
            format!("comes after what failed: {}", finding.about)
        });
        for &check in checks {
            if !self.findings.iter().any(|finding| finding.check == check) {
                self.pass_over(check, &why, None);
            }
        }
        let place = |check: Check| checks.iter().position(|&one| one == check).unwrap_or_default();
        if let Some(first) = self.findings.iter().position(|finding| checks.contains(&finding.check))
            && let Some(ours) = self.findings.get_mut(first..)
        {
            ours.sort_by_key(|finding| place(finding.check));
        }
    }

    fn add(&mut self, check: Check, result: Verdict, finding: &str, advice: Option<String>) {
        // Names in certificates are a stranger's words.
        self.findings.push(Finding { check, about: check.words(), result, finding: visible(finding), advice });
    }

    fn failed(&self) -> usize {
        self.findings.iter().filter(|finding| finding.result == Verdict::Failed).count()
    }

    fn show(&self) {
        for finding in &self.findings {
            let mark = match finding.result {
                Verdict::Ok => "ok",
                Verdict::Failed => "FAILED",
                Verdict::NotReached => "not reached",
            };
            say(format_args!("{mark:<11}  {:<36}  {}", finding.about, finding.finding));
            if let Some(advice) = &finding.advice {
                say(format_args!("{:<11}  {:<36}  what to do: {advice}", "", ""));
            }
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    server: Option<&'a str>,
    ok: bool,
    checks: &'a [Finding],
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let mut diagnosis = Diagnosis::default();
    let config = args.config.as_ref().map(|file| Config::load(file)).transpose()?;
    if args.addr.is_some() {
        let trusted = match (&args.ca, &config) {
            (Some(file), _) => certificates(file)?,
            (None, Some(config)) if args.thumbprint.is_none() => certificates(&config.tls.ca)?,
            (None, _) => Vec::new(),
        };
        at_address(args, &trusted, &mut diagnosis)?;
        diagnosis.finish(&Check::AT_ADDRESS);
    }
    if let (Some(config), Some(certificate)) = (&config, &args.cert) {
        here::explain(config, &certificates(certificate)?, &mut diagnosis)?;
        diagnosis.finish(&Check::HERE);
    }
    let failed = diagnosis.failed();
    if args.json {
        json(&Report { server: args.addr.as_deref(), ok: failed == 0, checks: &diagnosis.findings })?;
    } else {
        diagnosis.show();
    }
    if failed == 0 { Ok(()) } else { Err(CliError::ChecksFailed { failed }) }
}

/// Goes through the checks as far as they can be reached.
fn at_address(args: &CheckArgs, trusted: &[CertificateDer<'_>], diagnosis: &mut Diagnosis) -> Result<(), CliError> {
    let recorder = Arc::new(Judged::by(Recorder::default()));
    let (target, unusable) = Target::diagnosed(args, &recorder)?;
    let own = client::own_certificate(args, unusable.as_ref());
    match own {
        Some(own) => {
            diagnosis.note(Check::ClientCertificate, own);
        }
        None => diagnosis.pass_over(
            Check::ClientCertificate,
            "no client certificate was given",
            Some("give --cert and --key (or --client-token) to have the client's side checked too"),
        ),
    }

    let addresses = target.addresses();
    let shown = addresses.as_ref().map(|all| server::shown_addresses(&target.host, all));
    let found = shown.map_err(|error| {
        Fault::new(error, "correct the name in --addr, or add it to DNS or to /etc/hosts on the client's machine")
    });
    let (true, Ok(addresses)) = (diagnosis.note(Check::NameResolution, found), addresses) else { return Ok(()) };

    let reached = target.reach(&addresses);
    let found = reached.as_ref().map(|(address, _)| format!("{address} answers")).map_err(|error| {
        Fault::new(error, "start the server, correct the port, or open it in the firewall between client and server")
    });
    let (true, Ok((_, socket))) = (diagnosis.note(Check::Reachable, found), reached) else { return Ok(()) };

    let shaken = target.shake_hands(socket).map_err(CliError::Check)?;
    let chain = recorder.judge.chain();
    if !diagnosis.note(Check::Tls, server::tls(args, &shaken, &chain)) {
        return Ok(());
    }
    let presented = Presented { chain: &chain, trusted, pin: args.thumbprint.as_ref(), name: &target.name };
    let is_trusted = diagnosis.note(Check::ServerChain, presented.is_trusted());
    let others = [
        diagnosis.note(Check::ServerName, presented.has_name()),
        diagnosis.note(Check::ServerDates, presented.is_valid_now()),
        diagnosis.note(Check::ServerUsage, presented.is_for_a_server()),
    ];
    if is_trusted {
        client::ask(args, &target, shaken, others == [true; 3], diagnosis);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reached_names_what_failed_and_stands_in_its_place() {
        let mut diagnosis = Diagnosis::default();
        diagnosis.note(Check::ClientCertificate, Ok("fine".to_owned()));
        diagnosis.note(Check::NameResolution, Ok("fine".to_owned()));
        diagnosis.note(Check::Reachable, Err(Fault::new("nobody", "start it")));
        diagnosis.finish(&Check::AT_ADDRESS);
        let checks: Vec<_> = diagnosis.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, Check::AT_ADDRESS);
        assert_eq!(diagnosis.failed(), 1);
        let tls = diagnosis.findings.iter().find(|finding| finding.check == Check::Tls).unwrap();
        assert_eq!(tls.result, Verdict::NotReached);
        assert!(tls.finding.contains("the server can be reached"), "{}", tls.finding);
    }
}
