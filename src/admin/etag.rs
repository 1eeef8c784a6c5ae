//! ETags against lost updates: a single resource is answered with its revision, and a change must name the one it was made from.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, header, request::Parts},
};

use super::problem::{Code, Problem};

/// Longest If-Match header that is looked at.
const MAX_HEADER: usize = 256;

/// The ETag of a revision.
#[must_use]
pub fn etag(revision: u64) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("\"{revision}\"")).ok()
}

/// The revisions from which a change was made, from the header `If-Match` (RFC 9110 §13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever it is now.
    Any,
    /// One of these.
    Revisions(Vec<u64>),
}

impl IfMatch {
    /// Refuses a change that was made from another revision.
    ///
    /// # Errors
    /// `Stale`.
    pub fn check(&self, revision: u64) -> Result<(), Problem> {
        match self {
            Self::Any => Ok(()),
            Self::Revisions(revisions) if revisions.contains(&revision) => Ok(()),
            Self::Revisions(_) => Err(Problem::stale()),
        }
    }

    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let value = headers.get(header::IF_MATCH).ok_or_else(|| {
            Problem::new(
                Code::PreconditionRequired,
                "read it first, and give its ETag in the header If-Match, so that nobody's change is lost",
            )
        })?;
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_HEADER).ok_or_else(Problem::stale)?;
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        // Weak tags, and tags that this server never gives, match nothing.
        let number = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Ok(Self::Revisions(text.split(',').filter_map(number).collect()))
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(&parts.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Option<&str>) -> Result<IfMatch, Problem> {
        let value = value.map(|value| (header::IF_MATCH, HeaderValue::from_str(value).unwrap()));
        IfMatch::read(&value.into_iter().collect())
    }

    #[test]
    fn a_change_of_the_present_revision_passes_and_no_other() {
        for good in ["\"7\"", "*", "\"6\", \"7\""] {
            assert_eq!(read(Some(good)).unwrap().check(7), Ok(()), "{good}");
        }
        for bad in ["\"6\"", "7", "W/\"7\"", "\"x\"", "\"\"", ""] {
            assert_eq!(read(Some(bad)).unwrap().check(7).unwrap_err().code(), Code::Stale, "{bad}");
        }
        assert_eq!(read(None).unwrap_err().code(), Code::PreconditionRequired);
    }
}
