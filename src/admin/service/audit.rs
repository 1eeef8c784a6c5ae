//! Searches in the audit log. Who has a role for some adapters only finds what is about these.

use super::Service;
use crate::{
    admin::{
        caller::{Caller, Visible},
        model::AuditEvent,
        page::Page,
        permission::Permission,
        problem::{Code, Problem},
    },
    audit::{Query, SearchError, search},
};

impl Service {
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
