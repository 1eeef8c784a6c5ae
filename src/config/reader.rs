//! Takes settings out of a TOML document one by one and notes every problem instead of stopping at the first.
//!
//! `serde` would stop at the first unknown key or wrong type; an operator wants all of them. The reader remembers which
//! settings were asked for, so whatever is left in the document is unknown, and the nearest known name can be suggested.

use std::{
    fmt,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use hal::Label;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{KeyPlace, SecretFileError};

/// One thing that is wrong with a configuration.
#[derive(Debug)]
pub struct Problem {
    /// Where in the file, counted from 1; `None` when it is about something that is not in the file.
    pub line: Option<usize>,
    /// The setting as `section.key`; empty where the file cannot be read as TOML.
    pub key: String,
    /// Its value as it stands in the file.
    pub value: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// What is wrong with a setting.
#[derive(Debug)]
pub enum ProblemKind {
    /// Not TOML at all at this place; the parser's words.
    Syntax(Box<toml::de::Error>),
    /// No such setting or section; the known name that is nearest to it, where one is near.
    Unknown {
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// The value has the wrong type or is out of range.
    NotAllowed {
        /// What is allowed, in words.
        allowed: String,
    },
    /// The value is greater than that of another setting.
    MoreThan {
        /// The other setting.
        other: &'static str,
        /// Its value.
        limit: u64,
    },
    /// A setting without which its table says nothing.
    Missing,
    /// The value does not go with another one of the file.
    Conflict {
        /// Why not, in words.
        why: &'static str,
    },
    /// The file that it names is missing or not as it must be.
    FileUnusable(SecretFileError),
}

impl Problem {
    /// The same in a table of a section.
    fn within(mut self, section: &str) -> Self {
        self.key = format!("{section}.{}", self.key);
        if let ProblemKind::Unknown { nearest: Some(nearest) } = &mut self.kind {
            *nearest = format!("{section}.{nearest}");
        }
        self
    }

    pub(super) fn of_file(key: &str, path: &Path, kind: ProblemKind) -> Self {
        Self { line: None, key: key.to_owned(), value: format!("\"{}\"", path.display()), kind }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, .. } = self;
        match &self.kind {
            ProblemKind::Syntax(error) => write!(f, "{}", error.message()),
            ProblemKind::Unknown { nearest: Some(nearest) } => {
                write!(f, "{key}: there is no such setting; did you mean {nearest}?")
            }
            ProblemKind::Unknown { nearest: None } => write!(f, "{key}: there is no such setting"),
            ProblemKind::NotAllowed { allowed } => write!(f, "{key} = {value}: allowed is {allowed}"),
            ProblemKind::MoreThan { other, limit } => {
                write!(f, "{key} = {value}: allowed is at most {other}, which is {limit}")
            }
            ProblemKind::Missing => write!(f, "{key}: it is missing"),
            ProblemKind::Conflict { why } => write!(f, "{key} = {value}: {why}"),
            ProblemKind::FileUnusable(error) => write!(f, "{key} = {value}: {error}"),
        }
    }
}

/// A configuration file on its way to a checked configuration.
pub(super) struct Reader<'i> {
    text: &'i str,
    folder: &'i Path,
    root: DeTable<'i>,
    /// Where it begins in the text.
    begins: usize,
    asked: Vec<&'static str>,
    problems: Vec<(usize, Problem)>,
}

impl<'i> Reader<'i> {
    /// Begins with `text`; relative paths in it start at `folder`.
    pub(super) fn new(text: &'i str, folder: &'i Path) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader =
            Self { text, folder, root: root.into_inner(), begins: 0, asked: Vec::new(), problems: Vec::new() };
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            reader.note(at, "", "", ProblemKind::Syntax(Box::new(error)));
        }
        reader
    }

    /// The problems found, after what nobody asked for has been added to them.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        // What a syntax error leaves behind says nothing about the operator's intention.
        if !self.problems.iter().any(|(_, problem)| matches!(problem.kind, ProblemKind::Syntax(_))) {
            self.note_leftovers();
        }
        self.problems.sort_by_key(|(at, _)| *at);
        self.problems.into_iter().map(|(_, problem)| problem).collect()
    }

    /// The settings that were asked for, as `section.key`.
    #[cfg(test)]
    pub(super) fn asked(&self) -> &[&'static str] {
        &self.asked
    }

    /// A whole number within `range`.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.take(key) else { return default };
        let number = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                let allowed = format!("a whole number from {} to {}", range.start(), range.end());
                self.refuse(key, &value, allowed);
                default
            }
        }
    }

    /// A whole number of seconds within `range`.
    pub(super) fn seconds(&mut self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> Duration {
        Duration::from_secs(self.integer(key, range, default).into())
    }

    /// Text with so many characters as `length` allows, none of them a control character; it may be absent.
    pub(super) fn optional_text(&mut self, key: &'static str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.take(key)?;
        let text = value.get_ref().as_str();
        match text.filter(|text| length.contains(&text.chars().count()) && !text.contains(char::is_control)) {
            Some(text) => Some(text.to_owned()),
            None => {
                let allowed = format!("text of {} to {} characters in quotes", length.start(), length.end());
                self.refuse(key, &value, allowed);
                None
            }
        }
    }

    /// Like [`Reader::optional_text`], for a setting without which its table says nothing.
    pub(super) fn required_text(&mut self, key: &'static str, length: RangeInclusive<usize>) -> Option<String> {
        let (section, name) = key.split_once('.')?;
        let table = self.root.get(section).and_then(|section| section.get_ref().as_table());
        if !table.is_some_and(|table| table.contains_key(name)) {
            self.note(self.begins, key, "", ProblemKind::Missing);
        }
        self.optional_text(key, length)
    }

    /// A file name; a relative one starts at the configuration's folder.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        self.optional_path(key).unwrap_or_else(|| self.folder.join(default))
    }

    /// Like [`Reader::path`], for a setting that may be absent.
    pub(super) fn optional_path(&mut self, key: &'static str) -> Option<PathBuf> {
        let value = self.take(key)?;
        match value.get_ref().as_str().filter(|name| !name.is_empty() && !name.contains('\0')) {
            Some(name) => Some(self.folder.join(name)),
            None => {
                self.refuse(key, &value, "a file name in quotes".to_owned());
                None
            }
        }
    }

    /// A private key: a file name as [`Reader::path`] takes it, or `hsm:` and a label.
    pub(super) fn key_place(&mut self, key: &'static str, default: &str) -> KeyPlace {
        let absent = KeyPlace::File(self.folder.join(default));
        let Some(value) = self.take(key) else { return absent };
        let text = value.get_ref().as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
        let place = text.and_then(|text| match text.strip_prefix(KeyPlace::PREFIX) {
            Some(label) => Label::new(label).ok().map(KeyPlace::Hsm),
            None => Some(KeyPlace::File(self.folder.join(text))),
        });
        place.unwrap_or_else(|| {
            let allowed = "a file name in quotes, or \"hsm:LABEL\" with a label of 1 to 64 characters";
            self.refuse(key, &value, allowed.to_owned());
            absent
        })
    }

    /// `hsm:` and the label of a key, for a setting that may be absent.
    pub(super) fn optional_hsm_key(&mut self, key: &'static str) -> Option<Label> {
        let value = self.take(key)?;
        let label = value.get_ref().as_str().and_then(|text| text.strip_prefix(KeyPlace::PREFIX));
        let label = label.and_then(|label| Label::new(label).ok());
        if label.is_none() {
            self.refuse(key, &value, "\"hsm:LABEL\" with a label of 1 to 64 characters".to_owned());
        }
        label
    }

    /// A file by its name, which starts at the configuration's folder where it is relative.
    pub(super) fn beside(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    /// `default` or one of `others`, by name.
    pub(super) fn choice<T: Clone>(&mut self, key: &'static str, default: (&str, T), others: &[(&str, T)]) -> T {
        let Some(value) = self.take(key) else { return default.1 };
        let choices = || std::iter::once(&default).chain(others);
        let name = value.get_ref().as_str();
        match choices().find(|(choice, _)| Some(*choice) == name) {
            Some((_, choice)) => choice.clone(),
            None => {
                let names: Vec<String> = choices().map(|(choice, _)| format!("\"{choice}\"")).collect();
                self.refuse(key, &value, names.join(" or "));
                default.1
            }
        }
    }

    /// A list of different socket addresses, at least one.
    pub(super) fn addresses(&mut self, key: &'static str, default: SocketAddr) -> Vec<SocketAddr> {
        let Some(value) = self.take(key) else { return vec![default] };
        let mut addresses = Vec::new();
        let all_good = value.get_ref().as_array().is_some_and(|list| {
            list.iter().all(|item| {
                let address = item.get_ref().as_str().and_then(|text| text.parse::<SocketAddr>().ok());
                let new = address.filter(|address| address.port() == 0 || !addresses.contains(address));
                addresses.extend(new);
                new.is_some()
            })
        });
        if !all_good || addresses.is_empty() {
            let allowed =
                format!("a list of different addresses, each like \"{default}\" or \"[::]:{}\"", default.port());
            self.refuse(key, &value, allowed);
            return vec![default];
        }
        addresses
    }

    /// A socket address.
    pub(super) fn address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(value) = self.take(key) else { return default };
        match value.get_ref().as_str().and_then(|text| text.parse().ok()) {
            Some(address) => address,
            None => {
                self.refuse(key, &value, format!("an address like \"{default}\" or \"[::]:{}\"", default.port()));
                default
            }
        }
    }

    /// A socket address that only this machine can reach.
    pub(super) fn loopback_address(&mut self, key: &'static str, default: SocketAddr) -> SocketAddr {
        let Some(value) = self.take(key) else { return default };
        let address = value.get_ref().as_str().and_then(|text| text.parse::<SocketAddr>().ok());
        match address.filter(|address| address.ip().is_loopback()) {
            Some(address) => address,
            None => {
                self.refuse(key, &value, format!("a loopback address like \"{default}\""));
                default
            }
        }
    }

    /// Notes a problem if `setting` is greater than `limit`; both are (key, value).
    pub(super) fn at_most(&mut self, setting: (&'static str, u64), limit: (&'static str, u64)) {
        if setting.1 > limit.1 {
            let kind = ProblemKind::MoreThan { other: limit.0, limit: limit.1 };
            self.note(0, setting.0, &setting.1.to_string(), kind);
        }
    }

    /// The tables of an array, `[[section.name]]`, each read by `read`, which asks for its settings as `name.setting`; none
    /// where the array is absent. Beside what was read stands where the table begins.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        most: usize,
        read: impl Fn(&mut Reader<'i>) -> T,
    ) -> Vec<(usize, T)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some((section, name)) = key.split_once('.') else { return Vec::new() };
        let all_tables = |list: &toml::de::DeArray<'_>| list.iter().all(|item| item.get_ref().is_table());
        let fits = value.get_ref().as_array().is_some_and(|list| list.len() <= most && all_tables(list));
        if !fits {
            self.refuse(key, &value, format!("at most {most} tables [[{key}]]"));
            return Vec::new();
        }
        let DeValue::Array(list) = value.into_inner() else { return Vec::new() };
        list.into_iter().map(|item| self.within(section, name, item, &read)).collect()
    }

    /// The table `section.name = { … }`, read like those of [`Reader::tables`]; `None` where it is absent.
    pub(super) fn table<T>(&mut self, key: &'static str, read: impl Fn(&mut Reader<'i>) -> T) -> Option<(usize, T)> {
        let value = self.take(key)?;
        let (section, name) = key.split_once('.')?;
        if !value.get_ref().is_table() {
            self.refuse(key, &value, format!("a table [{key}]"));
            return None;
        }
        Some(self.within(section, name, value, &read))
    }

    /// Reads one table that stands within a section.
    fn within<T>(
        &mut self,
        section: &str,
        name: &'static str,
        table: Spanned<DeValue<'i>>,
        read: &impl Fn(&mut Reader<'i>) -> T,
    ) -> (usize, T) {
        let at = table.span().start;
        let root = DeTable::from_iter([(Spanned::new(0..0, name.into()), table)]);
        let (text, folder) = (self.text, self.folder);
        let mut inner = Reader { text, folder, root, begins: at, asked: Vec::new(), problems: Vec::new() };
        let found = read(&mut inner);
        inner.note_leftovers();
        self.problems.extend(inner.problems.into_iter().map(|(at, problem)| (at, problem.within(section))));
        (at, found)
    }

    /// Notes that a value does not go with another one.
    pub(super) fn conflict(&mut self, at: usize, key: &str, value: &str, why: &'static str) {
        self.note(at, key, &format!("\"{value}\""), ProblemKind::Conflict { why });
    }

    /// Takes the value of `key` out of the document.
    fn take(&mut self, key: &'static str) -> Option<Spanned<DeValue<'i>>> {
        self.asked.push(key);
        let (section, name) = key.split_once('.')?;
        match self.root.get_mut(section)?.get_mut() {
            DeValue::Table(table) => table.remove(name),
            _ => None,
        }
    }

    fn refuse(&mut self, key: &str, value: &Spanned<DeValue<'i>>, allowed: String) {
        let span = value.span();
        let text = self.text.get(span.clone()).unwrap_or_default();
        self.note(span.start, key, text, ProblemKind::NotAllowed { allowed });
    }

    fn note(&mut self, at: usize, key: &str, value: &str, kind: ProblemKind) {
        let line = self.text.get(..at).map(|before| before.matches('\n').count() + 1);
        let (key, value) = (key.to_owned(), value.to_owned());
        self.problems.push((at, Problem { line, key, value, kind }));
    }

    fn note_leftovers(&mut self) {
        let root = std::mem::take(&mut self.root);
        for (section, value) in root {
            let name = section.get_ref().as_ref();
            let known = self.asked.iter().any(|key| key.split_once('.').is_some_and(|(known, _)| known == name));
            match value.get_ref() {
                DeValue::Table(_) if !known => self.note_unknown(section.span().start, name.to_owned()),
                DeValue::Table(table) => {
                    for key in table.keys() {
                        self.note_unknown(key.span().start, format!("{name}.{}", key.get_ref()));
                    }
                }
                _ if known => self.refuse(name, &value, format!("a section [{name}]")),
                _ => self.note_unknown(section.span().start, name.to_owned()),
            }
        }
    }

    fn note_unknown(&mut self, at: usize, key: String) {
        let section_only = !key.contains('.');
        let names = self.asked.iter().map(|asked| match asked.split_once('.') {
            Some((section, _)) if section_only => section,
            _ => asked,
        });
        // A name of which more than a third is different was hardly meant.
        let near = names.map(|name| (edit_distance(name, &key), name)).min().filter(|(d, _)| *d <= key.len() / 3);
        let moved = || {
            let name = key.rsplit('.').next()?;
            self.asked.iter().copied().find(|asked| asked.rsplit('.').next() == Some(name))
        };
        let nearest = near.map(|(_, name)| name).or_else(moved).map(str::to_owned);
        self.note(at, &key, "", ProblemKind::Unknown { nearest });
    }
}

/// How many characters must be put in, taken out or replaced to turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (*cell + 1).min(left + 1).min(diagonal + usize::from(x != *y));
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
