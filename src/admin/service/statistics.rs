//! How many KMIP requests there were.

use super::Service;
use crate::{
    admin::{
        caller::Caller,
        model::{Statistics, StatisticsWindow, shown_time},
        permission::Permission,
        problem::Problem,
    },
    telemetry::{GROUPS, Span},
};

impl Service {
    /// Tells how many requests there were lately.
    pub(in crate::admin) fn read_statistics(
        &self,
        caller: &Caller,
        window: StatisticsWindow,
    ) -> Result<Statistics, Problem> {
        self.poll(caller, "statistics.read", Permission::ConfigRead, |_| {
            let span = Span::from(window);
            let statistics = &self.watched.statistics;
            Ok(Statistics {
                window,
                bucket_seconds: span.seconds(),
                started_at: shown_time(i64::try_from(statistics.started_at()).unwrap_or(i64::MAX)),
                buckets: statistics.over(span).into_iter().map(Into::into).collect(),
                groups: GROUPS.map(str::to_owned).to_vec(),
            })
        })
    }
}
