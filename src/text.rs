//! Texts that people give to things and read again: names, descriptions, reasons.
//!
//! One rule for the command line and the admin API: a length in characters, no blank at either end, and nothing in it that
//! shows otherwise than it is, such as control characters, line separators and marks that turn the direction of writing.

/// A text that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has {min} to {max} characters, no control characters, and no blank at either end")]
pub struct BadText {
    /// The least number of characters.
    pub min: usize,
    /// The greatest.
    pub max: usize,
}

/// Length of an adapter's, identity's, certificate's or API key's name, in characters.
pub const NAME: (usize, usize) = (2, 40);
/// Length of a description, in characters.
pub const DESCRIPTION: (usize, usize) = (2, 240);
/// Length of a KMIP user name, in characters.
pub const USER: (usize, usize) = (1, 255);

/// Checks a text of `min` to `max` characters.
///
/// # Errors
/// It is too short or too long, or has a character in it that it must not have.
pub fn check(text: &str, (min, max): (usize, usize)) -> Result<(), BadText> {
    let good = (min..=max).contains(&text.chars().count()) && text.trim() == text && !text.contains(is_misleading);
    if good { Ok(()) } else { Err(BadText { min, max }) }
}

/// A stranger's text, fit to be shown: characters that show otherwise than they are are replaced, and what is longer than `max`
/// characters is cut and ends with an ellipsis.
#[must_use]
pub fn shown(text: &str, max: usize) -> String {
    let clean = |c| if is_misleading(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(max).map(clean).collect();
    if text.chars().nth(max).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, line and paragraph separators, byte order marks, and marks that turn the direction of writing.
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_2_to_40_characters() {
        for (text, good) in [("ab", true), ("a", false), (&"é".repeat(40), true), (&"é".repeat(41), false)] {
            assert_eq!(check(text, NAME).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn what_is_shown_has_nothing_misleading_in_it_and_is_not_long() {
        assert_eq!(shown("a\u{202e}b\0c<b>", 10), "a\u{fffd}b\u{fffd}c<b>");
        assert_eq!(shown("éééé", 4), "éééé");
        assert_eq!(shown("ééééé", 4), "éééé…");
    }

    #[test]
    fn refuses_what_shows_otherwise_than_it_is() {
        for text in
            [" ab", "ab ", "a\tb", "a\nb", "a\0b", "a\u{85}b", "a\u{202e}b", "a\u{2028}b", "a\u{2066}b", "\u{feff}ab"]
        {
            assert!(check(text, NAME).is_err(), "{text:?}");
        }
        for text in ["a b", "<script>", "' OR 1=1 --", "ключ", "鍵-1", "a\u{200d}b"] {
            assert!(check(text, NAME).is_ok(), "{text:?}");
        }
    }
}
