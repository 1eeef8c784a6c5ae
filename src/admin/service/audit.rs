//! Searches in the audit log, and its verification. Who has a role for some adapters only finds what is about these.

use std::time::Duration;

use hal::SignerId;

use super::Service;
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::{AuditEvent, AuditVerification},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
        turns::Turn,
    },
    audit::{
        Query, SearchError, Subject, search,
        verify::{Mark, PartError, verify_part},
    },
    statement::PublicKey,
};

/// How long checkpoints are collected for one answer. To go along the chain takes a few times as long.
const VERIFY_FOR: Duration = Duration::from_secs(2);

impl Service {
    /// Checks a part of the server's own log, as much as can be checked in some seconds.
    pub(in crate::admin) fn verify_audit(
        &self,
        caller: &Caller,
        page: Option<&str>,
        turn: Turn,
    ) -> Result<AuditVerification, Problem> {
        let may = (Permission::AuditRead, Scope::Everything);
        self.act(caller, "audit.verify", may, Subject::default(), |_| {
            let window = Window::new("audit-verify", None, page)?;
            let from = window.after.as_deref().map(|text| {
                Mark::parse(text).ok_or_else(|| Problem::new(Code::Malformed, "page: not a place in the audit log"))
            });
            let from = from.transpose()?;
            let _turn = turn?;
            let (mut report, next) =
                verify_part(&self.config.audit.path, from, VERIFY_FOR).map_err(|error| match error {
                    PartError::Gone => Problem::new(Code::Malformed, format!("page: {error}")).with("field", "page"),
                    PartError::Io(error) => Problem::internal(error),
                })?;
            // Where the server keeps its files is its own business.
            let folder = self.config.audit.path.parent().map(|folder| format!("{}/", folder.display()));
            if let Some(folder) = folder {
                report.notes.iter_mut().for_each(|note| *note = note.replace(&folder, ""));
            }
            let next_page = next.map(|mark| window.token(&mark.to_string()));
            Ok(AuditVerification::of(report, self.audit_signer().as_deref(), next_page))
        })
    }

    /// The fingerprint of the key that signs checkpoints, where the HSM tells.
    fn audit_signer(&self) -> Option<String> {
        let label = self.config.audit.signing_key.as_ref()?;
        let is_ours = |purpose: &str| purpose.split(':').next() == Some("audit");
        let rows = self.store.signers().ok()?;
        let row = rows.into_iter().find(|row| is_ours(&row.purpose) && row.label == label.as_str())?;
        let info = self.hal.describe_signer(SignerId::from_uuid(row.id)).ok()?;
        PublicKey::of_signer(&info).ok().map(|key| key.fingerprint())
    }

    /// Finds records, newest first.
    pub(in crate::admin) fn search_audit(
        &self,
        caller: &Caller,
        query: Query,
        limit: usize,
        page: Option<&str>,
    ) -> Result<Page<AuditEvent>, Problem> {
        self.list(caller, "audit.search", Permission::AuditRead, |visible| {
            let scope = match visible {
                Visible::All => None,
                Visible::Of(adapters) => Some(adapters),
            };
            let query = Query { scope, ..query };
            let found = search(&self.config.audit.path, &query, limit, page).map_err(|error| match error {
                SearchError::BadToken => Problem::new(Code::Malformed, format!("page: {error}")).with("field", "page"),
                SearchError::Io(error) => Problem::internal(error),
            })?;
            Ok(Page { items: found.records.into_iter().map(AuditEvent::from).collect(), next_page: found.next })
        })
    }
}
