//! Finds records, newest first, page by page, in bounded time and memory: segments are read backwards, block by block, and a page
//! ends when it is full or when enough was read, with a token to go on from there.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{
    head::Head,
    lines::{Backwards, Forwards},
    place::Place,
    record::Record,
};
use crate::store::AdapterId;

/// Most records of a page.
pub const MAX_PAGE: usize = 1000;
/// Most bytes that are read for one page.
const MAX_READ: u64 = 128 * 1024 * 1024;
/// Longest time that is spent on one page.
const MAX_TIME: Duration = Duration::from_millis(200);
/// How far a clock may have been set back: records older than that before the time asked for end a search.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// What records are looked for: those that fit everything that is stated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
    /// Only what these adapters are about; what somebody may see whose role is for some adapters only.
    pub scope: Option<Vec<AdapterId>>,
    /// This adapter.
    pub adapter: Option<AdapterId>,
    /// This managed object.
    pub object: Option<Uuid>,
    /// This identity, as who acted or as what it was about.
    pub identity: Option<Uuid>,
    /// This request for approval.
    pub approval: Option<Uuid>,
    /// Who acted: `server`, `uid:1000`, `identity:…`, or an identity's name.
    pub actor: Option<String>,
    /// This operation or action; with `*` at its end, all that begin so.
    pub action: Option<String>,
    /// `success`, `denied`, `begun`, a reason, `failure` for everything that ended without success, or `ended` for everything but
    /// `begun`.
    pub outcome: Option<String>,
    /// What joins records to answers and log lines, or its beginning.
    pub correlation: Option<String>,
}

/// Some records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records; fewer than asked for, or none, where enough was read.
    pub records: Vec<Record>,
    /// To go on with; `None` where there are no more.
    pub next: Option<String>,
}

/// Why nothing was found.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// A file cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The page token is none of this log.
    #[error("the page token is not one that this log gave out: begin again without it")]
    BadToken,
}

impl Query {
    /// Whether a record fits. Records of the log's own (checkpoints, segments) never do.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let id = |wanted: Option<Uuid>, found: &[Option<Uuid>]| wanted.is_none_or(|id| found.contains(&Some(id)));
        if !matches!(record.kind.as_str(), "request" | "admin") {
            return false;
        }
        let in_scope =
            self.scope.as_ref().is_none_or(|scope| record.adapter.is_some_and(|id| scope.contains(&AdapterId(id))));
        let actor = record.actor.as_deref();
        in_scope
            && self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time < until)
            && id(self.adapter.map(|adapter| adapter.0), &[record.adapter])
            && id(self.object, &[record.object])
            && id(self.identity, &[record.identity, record.actor_id()])
            && id(self.approval, &[record.approval])
            && self
                .actor
                .as_deref()
                .is_none_or(|wanted| actor == Some(wanted) || record.actor_name.as_deref() == Some(wanted))
            && self.action.as_deref().is_none_or(|wanted| match wanted.strip_suffix('*') {
                Some(beginning) => record.operation.starts_with(beginning),
                None => record.operation == wanted,
            })
            && self.outcome.as_deref().is_none_or(|wanted| match wanted {
                "failure" => record.outcome != "success" && record.outcome != "begun",
                "ended" => record.outcome != "begun",
                wanted => record.outcome == wanted,
            })
            && self.correlation.as_deref().is_none_or(|wanted| record.correlation.starts_with(wanted))
    }

    /// Whether a line may fit, by a look at its bytes: what a record must hold, its line holds as text.
    fn may_match(&self, line: &[u8]) -> bool {
        let ids = [self.adapter.map(|id| id.0), self.object, self.identity, self.approval];
        ids.into_iter().flatten().all(|id| {
            let text = id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes().to_vec();
            line.windows(text.len()).any(|part| part == text)
        })
    }
}

/// Where to go on: the record that the last page ended with, and where its line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    before: u64,
    first: u64,
    at: u64,
}

impl Token {
    fn encode(self) -> String {
        Base64UrlUnpadded::encode_string(format!("1.{}.{}.{}", self.before, self.first, self.at).as_bytes())
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = Base64UrlUnpadded::decode_vec(text.get(..text.len().min(128))?).ok()?;
        let mut parts = str::from_utf8(&bytes).ok()?.split('.');
        let (version, mut next) = (parts.next()?, || parts.next()?.parse().ok());
        let token = Self { before: next()?, first: next()?, at: next()? };
        (version == "1").then_some(token)
    }
}

/// The newest records that fit, at most `limit` (1 to [`MAX_PAGE`]), from `page` on. `log` is the open segment.
///
/// # Errors
/// The token is none, or a file cannot be read.
pub fn search(log: &Path, query: &Query, limit: usize, page: Option<&str>) -> Result<Page, SearchError> {
    let from = page.map(|token| Token::decode(token).ok_or(SearchError::BadToken)).transpose()?;
    let mut budget = Budget { bytes: MAX_READ, until: Instant::now() + MAX_TIME };
    let mut found = Page::default();
    let limit = limit.clamp(1, MAX_PAGE);
    let place = Place::new(log);
    for segment in place.segments()?.iter().rev() {
        if from.is_some_and(|from| from.before <= segment.first) {
            continue;
        }
        // The place is a hint: a segment may have been sealed, but its bytes stay where they are.
        let end = from.filter(|from| from.first == segment.first).map(|from| from.at);
        // Retention may have taken it away meanwhile.
        let Some(lines) = place.open_segment(segment, |path| Backwards::open(path, end))? else { return Ok(found) };
        match search_segment(lines, segment.first, query, limit, from, &mut budget, &mut found)? {
            Ended::Segment => {}
            Ended::Page(token) => {
                found.next = Some(token.encode());
                return Ok(found);
            }
            Ended::Search => return Ok(found),
        }
    }
    Ok(found)
}

struct Budget {
    bytes: u64,
    until: Instant,
}

enum Ended {
    /// There are no more records in this segment.
    Segment,
    /// The page is full.
    Page(Token),
    /// No older record can fit.
    Search,
}

fn search_segment(
    mut lines: Backwards,
    first: u64,
    query: &Query,
    limit: usize,
    from: Option<Token>,
    budget: &mut Budget,
    found: &mut Page,
) -> io::Result<Ended> {
    let (mut counted, mut seen) = (0, 0_u32);
    loop {
        let Some((line, line_end)) = lines.next()? else { return Ok(Ended::Segment) };
        let begin = line_end.saturating_sub(u64::try_from(line.len()).unwrap_or_default() + 1);
        let head = Head::read(line);
        let sequence = head.map_or(0, |head| head.sequence);
        let is_older = from.is_none_or(|from| sequence < from.before);
        if let Some(head) = head.filter(|_| is_older) {
            let time = head.timestamp();
            if query.since.zip(time).is_some_and(|(since, time)| time.duration_until(since) > CLOCK_SLACK) {
                return Ok(Ended::Search);
            }
            if query.may_match(line) {
                found.records.extend(Record::read(line).filter(|record| query.matches(record)));
            }
        }
        seen = seen.wrapping_add(1);
        let read = lines.read();
        budget.bytes = budget.bytes.saturating_sub(read - std::mem::replace(&mut counted, read));
        let is_spent = budget.bytes == 0 || (seen.is_multiple_of(256) && Instant::now() >= budget.until);
        if sequence > 0 && is_older && (found.records.len() >= limit || is_spent) {
            return Ok(Ended::Page(Token { before: sequence, first, at: begin }));
        }
    }
}

/// Gives every record that fits to `each`, oldest first, with its line. `each` says whether to go on.
///
/// # Errors
/// A file cannot be read.
pub fn export(log: &Path, query: &Query, mut each: impl FnMut(&[u8], &Record) -> bool) -> io::Result<()> {
    let place = Place::new(log);
    for segment in place.segments()? {
        let Some(mut lines) = place.open_segment(&segment, Forwards::open)? else { continue };
        while let Some((line, is_whole)) = lines.next()? {
            if !is_whole || !query.may_match(line) {
                continue;
            }
            if let Some(record) = Record::read(line).filter(|record| query.matches(record))
                && !each(line, &record)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
