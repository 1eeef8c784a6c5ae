//! How many KMIP requests there were.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::telemetry::{Period, Span};

/// Over how long a time.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatisticsQuery {
    /// `hour`: 60 times a minute, or `day`: 96 times a quarter of an hour; without it `hour`.
    pub window: Option<StatisticsWindow>,
}

/// Over how long a time there are statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatisticsWindow {
    /// 60 times a minute.
    #[default]
    Hour,
    /// 96 times a quarter of an hour.
    Day,
}

/// How many KMIP requests there were, each item of a batch counted. What was before the server's start is not known.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Statistics {
    /// Over how long a time.
    pub window: StatisticsWindow,
    /// How long each bucket is.
    pub bucket_seconds: u64,
    /// Since when there are numbers.
    pub started_at: String,
    /// The numbers, oldest first. The last bucket is still being filled.
    pub buckets: Vec<StatisticsBucket>,
    /// What `groups` of a bucket counts, in its order.
    pub groups: Vec<String>,
}

/// The KMIP requests of some time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatisticsBucket {
    /// When it begins.
    pub start: String,
    /// How many there were.
    pub requests: u64,
    /// How many of them were answered with an error.
    pub errors: u64,
    /// What half of them took at most, in microseconds; up to an eighth too much. Null where there were none.
    pub p50_us: Option<u64>,
    /// What 99 of 100 took at most.
    pub p99_us: Option<u64>,
    /// What the longest took.
    pub max_us: Option<u64>,
    /// How many there were of each kind.
    pub groups: Vec<u64>,
}

impl From<StatisticsWindow> for Span {
    fn from(window: StatisticsWindow) -> Self {
        match window {
            StatisticsWindow::Hour => Self::Hour,
            StatisticsWindow::Day => Self::Day,
        }
    }
}

impl From<Period> for StatisticsBucket {
    fn from(period: Period) -> Self {
        let latency = super::Latency::from(period.latency);
        Self {
            start: super::shown_time(i64::try_from(period.start).unwrap_or(i64::MAX)),
            requests: latency.count,
            errors: period.errors,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
            groups: period.groups.to_vec(),
        }
    }
}
