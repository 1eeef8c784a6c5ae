//! The words of a line: separated by blanks, with `"…"` around one that has blanks in it.

use std::{collections::VecDeque, time::Duration};

use super::SyntaxError;

pub(super) struct Words(VecDeque<String>);

impl Words {
    pub(super) fn of(line: &str) -> Result<Self, SyntaxError> {
        let mut words = VecDeque::new();
        let mut letters = line.chars().peekable();
        while let Some(first) = letters.next() {
            if first.is_whitespace() {
                continue;
            }
            let mut word = String::new();
            if first == '"' {
                loop {
                    match letters.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(letters.next()),
                        Some(letter) => word.push(letter),
                        None => return Err(SyntaxError("a quotation mark is missing".to_owned())),
                    }
                }
            } else {
                word.push(first);
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    word.push(letter);
                }
            }
            words.push_back(word);
        }
        Ok(Self(words))
    }

    pub(super) fn next(&mut self, what: &str) -> Result<String, SyntaxError> {
        self.0.pop_front().ok_or_else(|| SyntaxError(format!("{what} is missing")))
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let is_it = self.0.front().is_some_and(|next| next == word);
        if is_it {
            self.0.pop_front();
        }
        is_it
    }

    /// Takes the next word if it can be read that way.
    pub(super) fn optional<T>(&mut self, read: impl Fn(&str) -> Result<T, SyntaxError>) -> Option<T> {
        let value = read(self.0.front()?).ok()?;
        self.0.pop_front();
        Some(value)
    }

    pub(super) fn number(&mut self) -> Result<u64, SyntaxError> {
        let word = self.next("a number")?;
        word.parse().map_err(|_| SyntaxError(format!("no number: {word}")))
    }

    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        self.0.pop_front().map_or(Ok(()), |word| Err(SyntaxError(format!("unexpected: {word}"))))
    }
}

/// A duration as `30s`, `2ms`, `500us` or `20ns`.
pub(super) fn duration(word: &str) -> Result<Duration, SyntaxError> {
    let end = word.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(end);
    let unit = match unit {
        "s" => Duration::from_secs(1),
        "ms" => Duration::from_millis(1),
        "us" => Duration::from_micros(1),
        "ns" => Duration::from_nanos(1),
        _ => return Err(SyntaxError(format!("no duration (as 30s, 2ms, 500us): {word}"))),
    };
    let number = number.parse::<u32>().map_err(|_| SyntaxError(format!("no duration: {word}")))?;
    Ok(unit * number)
}

/// The duration in the largest unit that gives a whole number. Nanoseconds that do not fit one become microseconds.
pub(super) fn shown_duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let fits = |(unit, _): &(u128, _)| nanos.is_multiple_of(*unit) && nanos / unit <= u128::from(u32::MAX);
    let (unit, name) = units.into_iter().find(fits).unwrap_or((1_000_000, "ms"));
    format!("{}{name}", nanos / unit)
}

/// The word as [`Words`] reads it back.
pub(super) fn shown(word: &str) -> String {
    if !word.is_empty() && !word.contains(|letter: char| letter.is_whitespace() || letter == '"') {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
