//! `keystead root-key verify-attestation`: checks a signed statement with nothing but the file and the signer's public key.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::RootKeyError;
use crate::{
    cli::{
        CliError,
        output::{json, say, visible},
    },
    statement::{
        self, Attestation, Attributes, Claim, Holding, PublicKey, RotationProof, ShredCertificate, Token, Verified,
        Weakness,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The statement: an attestation, the proof of a rotation, or the certificate of a destruction
    #[arg(value_name = "FILE")]
    statement: PathBuf,
    /// The signer's public key, as `keystead root-key signer` wrote it on the machine that made the statement
    #[arg(long, value_name = "PEM")]
    signer: Option<PathBuf>,
    /// Accept a root key that no HSM holds
    #[arg(long)]
    allow_software: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    /// The signature is right, and what is said is good enough; whose signature it is, only `trusted` tells.
    valid: bool,
    /// The signer is the one that was given.
    trusted: bool,
    signer: Option<String>,
    statement: Option<&'a statement::Statement>,
    failed: Vec<String>,
}

pub(super) fn run(args: &VerifyArgs) -> Result<(), CliError> {
    let verified = match check(&args.statement, args.signer.as_deref()) {
        Ok(verified) => verified,
        Err(error) => {
            if args.json {
                let failed = vec![error.to_string()];
                json(&Shown { valid: false, trusted: false, signer: None, statement: None, failed })?;
            }
            return Err(error);
        }
    };
    let weaknesses = weaknesses(&verified.statement.claim, args.allow_software);
    if args.json {
        json(&Shown {
            valid: weaknesses.is_empty(),
            trusted: verified.trusted,
            signer: Some(verified.signer.fingerprint()),
            statement: Some(&verified.statement),
            failed: weaknesses.iter().map(ToString::to_string).collect(),
        })?;
    } else {
        print(&verified);
    }
    if !weaknesses.is_empty() {
        return Err(RootKeyError::Weak { path: args.statement.clone(), weaknesses }.into());
    }
    if !args.json {
        say(if verified.trusted { "result      valid" } else { "result      valid, if that is the signer's key" });
    }
    Ok(())
}

fn check(path: &Path, signer: Option<&Path>) -> Result<Verified, CliError> {
    let known = signer
        .map(|path| {
            let text = std::fs::read(path).map_err(CliError::file(path))?;
            PublicKey::from_pem(&text).ok_or_else(|| CliError::from(RootKeyError::NotASigner { path: path.to_owned() }))
        })
        .transpose()?;
    let file = std::fs::read(path).map_err(CliError::file(path))?;
    statement::verify(&file, known.as_ref())
        .map_err(|source| RootKeyError::Statement { path: path.to_owned(), source }.into())
}

fn weaknesses(claim: &Claim, allow_software: bool) -> Vec<Weakness> {
    let mut found = match claim {
        Claim::Attestation(attestation) => attestation.weaknesses(),
        Claim::Rotation(proof) => proof.weaknesses(),
        // That it was no HSM's it says, and there is nothing left to be wary of.
        Claim::Shred(_) => Vec::new(),
    };
    found.retain(|weakness| !(allow_software && *weakness == Weakness::Software));
    found
}

fn print(Verified { statement, signer, trusted }: &Verified) {
    let whose = if *trusted { "the key that was given" } else { "compared with nothing: give --signer" };
    match &statement.claim {
        Claim::Attestation(attestation) => print_attestation(attestation),
        Claim::Rotation(proof) => print_rotation(proof),
        Claim::Shred(certificate) => print_shred(certificate),
    }
    show(format_args!("made        {} by {}", statement.time, statement.product));
    show(format_args!("signed by   {} key {} ({whose})", signer.kind(), signer.fingerprint()));
}

fn print_attestation(attestation: &Attestation) {
    let Attestation { root_key, label, version, kcv, scheme, is_hsm, attributes, copies, .. } = attestation;
    show("ATTESTATION OF A ROOT KEY");
    show(format_args!("root key    {label:?}, {root_key}, version {version}"));
    show(format_args!("KCV         {kcv}"));
    show(format_args!("wraps by    {scheme}"));
    if !is_hsm {
        show("held by     SOFTWARE: no HSM holds this root key");
    }
    for Holding { token, self_test } in copies {
        if let Some(token) = token {
            show(format_args!("held by     {}", described(token)));
        }
        for test in self_test {
            let verdict = if test.passed { "passed" } else { "FAILED" };
            show(format_args!("  {verdict}    {}: {}", test.check, test.detail));
        }
    }
    show(format_args!("it says     {}", said(attributes)));
}

fn print_rotation(proof: &RotationProof) {
    let RotationProof { root_key, label, from_version, to_version, kcv, .. } = proof;
    show("PROOF OF A ROTATION");
    show(format_args!("root key    {label:?}, {root_key}, from version {from_version} to {to_version}"));
    show(format_args!("KCV         {kcv}"));
    show(format_args!("began       {}, ended {}", proof.started_at, proof.finished_at));
    show(format_args!("re-wrapped  {} KEKs; {} left under other versions", proof.rewrapped, proof.remaining));
}

fn print_shred(certificate: &ShredCertificate) {
    let ShredCertificate { root_key, label, is_hsm, versions, adapters, .. } = certificate;
    show("CERTIFICATE OF A DESTRUCTION");
    show(format_args!("root key    {label:?}, {root_key}"));
    if !is_hsm {
        show("held by     SOFTWARE: copies of its file may still hold it");
    }
    for version in versions {
        show(format_args!("version {:<3} KCV {}", version.version, version.kcv));
        for token in &version.destroyed_on {
            show(format_args!("  destroyed on {}", described(token)));
        }
    }
    for adapter in adapters {
        let states: Vec<_> = adapter.states.iter().map(|count| format!("{} {}", count.objects, count.state)).collect();
        let states = if states.is_empty() { "no objects".to_owned() } else { states.join(", ") };
        show(format_args!("adapter     {:?}: {states}", adapter.name));
    }
    let ShredCertificate { objects, active_objects, keks_erased, user_id, .. } = certificate;
    show(format_args!("objects     {objects}, of which {active_objects} Active; {keks_erased} wrapped KEKs erased"));
    show(format_args!("done by     the user with the number {user_id}"));
    if let Some(people) = &certificate.approval {
        show(format_args!("asked by    {:?}, {}, {}", people.requested_name, people.requested_by, people.requested_at));
        show(format_args!("approved by {:?}, {}, {}", people.approved_name, people.approved_by, people.approved_at));
    }
}

/// Prints one line. Whoever wrote the statement chose its words, and the signer is perhaps nobody to trust.
fn show(line: impl Display) {
    say(visible(&line.to_string()));
}

fn described(token: &Token) -> String {
    let Token { label, serial, model, manufacturer, firmware } = token;
    format!("token {label:?}, serial {serial}, {model} ({manufacturer}), firmware {firmware}")
}

/// The attributes in the HSM's words.
fn said(attributes: &Attributes) -> String {
    let words = [
        ("SENSITIVE", attributes.sensitive),
        ("EXTRACTABLE", attributes.extractable),
        ("LOCAL", attributes.local),
        ("ALWAYS_SENSITIVE", attributes.always_sensitive),
        ("NEVER_EXTRACTABLE", attributes.never_extractable),
    ];
    let shown = words.iter().filter_map(|(word, value)| match value {
        Some(true) => Some((*word).to_owned()),
        Some(false) => Some(format!("not {word}")),
        None => None,
    });
    shown.collect::<Vec<_>>().join(", ")
}
