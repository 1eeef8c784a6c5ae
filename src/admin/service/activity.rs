//! What was done with and to an adapter, from the audit log.

use super::{Service, about};
use crate::{
    admin::{
        caller::Caller,
        model::{Activity, ActivityQuery, parse_time},
        page::{Page, Window},
        permission::{Permission, Scope},
        problem::{Code, Problem},
    },
    audit::{self, SearchError},
    store::AdapterId,
};

impl Service {
    /// Lists what was done with and to an adapter, newest first.
    pub(in crate::admin) fn list_activity(
        &self,
        caller: &Caller,
        adapter: AdapterId,
        query: ActivityQuery,
        window: &Window,
    ) -> Result<Page<Activity>, Problem> {
        let may = (Permission::AuditRead, Scope::Adapter(adapter));
        self.act(caller, "adapter.activity.list", may, about(adapter), |_| {
            self.find_adapter(adapter)?;
            let query = audit::Query {
                since: parse_time("since", query.since)?,
                until: parse_time("until", query.until)?,
                adapter: Some(adapter),
                object: query.object,
                action: query.action,
                outcome: query.outcome,
                ..audit::Query::default()
            };
            let found = audit::search(&self.config.audit.path, &query, window.limit, window.after.as_deref());
            let found = found.map_err(|error| match error {
                SearchError::BadToken => {
                    Problem::new(Code::Malformed, "page: not a page of this list").with("field", "page")
                }
                SearchError::Io(error) => Problem::internal(error),
            })?;
            let next_page = found.next.map(|next| window.token(&next));
            Ok(Page { items: found.records.into_iter().map(Activity::from).collect(), next_page })
        })
    }
}
