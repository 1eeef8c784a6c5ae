//! The audit log of a server, checked by the server itself.

use super::print_end;
use crate::{
    admin::model::AuditVerification,
    cli::{
        CliError,
        api::{Api, ApiError, escaped},
        output::{json, say, visible},
    },
};

const VERIFY: &str = "/v1/audit/verify";

/// Has the server check its own log, part after part.
pub(super) fn verify(api: &Api, as_json: bool) -> Result<(), CliError> {
    let mut found: Option<AuditVerification> = None;
    loop {
        let page = found.as_ref().and_then(|found| found.next_page.as_deref());
        let path = page.map_or_else(|| VERIFY.to_owned(), |page| format!("{VERIFY}?page={}", escaped(page)));
        let part = serde_json::from_value(api.get(&path)?)
            .map_err(|_| ApiError::Incomplete { path: VERIFY.to_owned(), member: "clean" })?;
        let whole = match found.take() {
            Some(before) => join(before, part),
            None => part,
        };
        if whole.next_page.is_none() {
            if as_json {
                json(&whole)?;
            } else {
                print(&whole);
            }
            return if whole.clean { Ok(()) } else { Err(CliError::AuditBroken) };
        }
        found = Some(whole);
    }
}

/// Two parts that follow each other as one.
fn join(before: AuditVerification, mut part: AuditVerification) -> AuditVerification {
    part.segments += before.segments;
    part.records += before.records;
    part.checkpoints += before.checkpoints;
    part.first = before.first.or(part.first);
    part.last = part.last.or(before.last);
    part.last_time = part.last_time.or(before.last_time);
    part.newest_checkpoint = part.newest_checkpoint.or(before.newest_checkpoint);
    part.notes.splice(..0, before.notes);
    part
}

fn print(found: &AuditVerification) {
    match found.first.zip(found.last) {
        Some((first, last)) => {
            say(format_args!("records     {first} to {last} ({}) in {} segment(s)", found.records, found.segments));
            say(format_args!("last        {}", visible(found.last_time.as_deref().unwrap_or_default())));
        }
        None => say("records     none"),
    }
    match &found.newest_checkpoint {
        Some(newest) => {
            let (at, by) = (visible(&newest.signed_at), visible(&newest.signer));
            say(format_args!("checkpoint  record {}, signed at {at} by {by}", newest.through));
            if !newest.trusted {
                say("            that is not the key that this server signs with");
            }
        }
        None => say("checkpoint  none"),
    }
    let problems = found.problems.iter().map(|problem| problem.detail.clone()).collect::<Vec<_>>();
    print_end(found.unvouched_from, &found.notes, &problems);
}
