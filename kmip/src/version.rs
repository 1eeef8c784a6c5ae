//! The KMIP versions this crate speaks, and ranges of them.
//!
//! Every row of the protocol tables carries the range in which it is defined; nothing else in the crate compares versions.
//! KMIP 1.4 §6.1.

use std::fmt;

/// A protocol version, ordered from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// KMIP 1.0.
    V1_0,
    /// KMIP 1.1.
    V1_1,
    /// KMIP 1.2.
    V1_2,
    /// KMIP 1.3.
    V1_3,
    /// KMIP 1.4.
    V1_4,
    /// KMIP 2.0.
    V2_0,
    /// KMIP 2.1.
    V2_1,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 7] = [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V2_0, Self::V2_1];

    /// The Protocol Version Major field.
    pub const fn major(self) -> i32 {
        match self {
            Self::V1_0 | Self::V1_1 | Self::V1_2 | Self::V1_3 | Self::V1_4 => 1,
            Self::V2_0 | Self::V2_1 => 2,
        }
    }

    /// The Protocol Version Minor field.
    pub const fn minor(self) -> i32 {
        match self {
            Self::V1_0 | Self::V2_0 => 0,
            Self::V1_1 | Self::V2_1 => 1,
            Self::V1_2 => 2,
            Self::V1_3 => 3,
            Self::V1_4 => 4,
        }
    }

    /// The version with these numbers, unless this crate does not speak it.
    pub fn from_numbers(major: i32, minor: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.major() == major && version.minor() == minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// The versions in which a tag, a value or a field is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The first version that defines it.
    pub from: Version,
    /// The first version that no longer does; none while the newest version still defines it.
    pub until: Option<Version>,
}

impl VersionRange {
    /// Defined in every version this crate speaks.
    pub const ALL: Self = Self::since(Version::V1_0);

    /// Defined in `from` and everything newer.
    pub const fn since(from: Version) -> Self {
        Self { from, until: None }
    }

    /// Defined in `from` and everything newer, up to but without `until`.
    pub const fn between(from: Version, until: Version) -> Self {
        Self { from, until: Some(until) }
    }

    /// Whether `version` is one of them.
    pub const fn contains(self, version: Version) -> bool {
        // The derived ordering cannot be called in a constant; the discriminants rise in the same order.
        let (from, version) = (self.from as u8, version as u8);
        match self.until {
            Some(until) => from <= version && version < until as u8,
            None => from <= version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_oldest_first() {
        assert!(Version::ALL.is_sorted());
        assert!(Version::V1_4 < Version::V2_0);
    }

    #[test]
    fn numbers_lead_to_the_version_and_back() {
        for version in Version::ALL {
            assert_eq!(Version::from_numbers(version.major(), version.minor()), Some(version));
        }
        assert_eq!(Version::V1_4.to_string(), "1.4");
    }

    #[test]
    fn refuses_numbers_of_versions_it_does_not_speak() {
        for (major, minor) in [(0, 0), (1, 5), (1, -1), (2, 2), (3, 0), (i32::MAX, i32::MIN)] {
            assert_eq!(Version::from_numbers(major, minor), None, "{major}.{minor}");
        }
    }

    #[test]
    fn a_range_starts_at_its_first_version_and_stops_before_its_last() {
        const TEMPLATES: VersionRange = VersionRange::between(Version::V1_1, Version::V2_0);
        assert!(!TEMPLATES.contains(Version::V1_0));
        assert!(TEMPLATES.contains(Version::V1_1));
        assert!(TEMPLATES.contains(Version::V1_4));
        assert!(!TEMPLATES.contains(Version::V2_0));
    }

    #[test]
    fn an_open_range_reaches_the_newest_version() {
        assert!(VersionRange::since(Version::V2_0).contains(Version::V2_1));
        assert!(!VersionRange::since(Version::V2_0).contains(Version::V1_4));
        assert!(Version::ALL.into_iter().all(|version| VersionRange::ALL.contains(version)));
    }
}
