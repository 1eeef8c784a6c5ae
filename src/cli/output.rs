//! What commands print: results on standard output, progress and complaints on standard error.
//!
//! A reader that went away (`keystead adapter list | head -1`) is not an error, so failed writes are ignored.

use std::{fmt::Display, io::Write as _, time::Instant};

use serde::Serialize;

use super::CliError;

/// Prints one line of a command's result.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// `text` with everything escaped that would act on a terminal or on whoever reads it, rather than be seen: control characters,
/// line ends, invisible characters and such as change the direction of writing.
pub(super) fn visible(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        // These alone are only escaped inside of quotes.
        '"' | '\'' | '\\' => String::from(letter),
        _ => letter.escape_debug().to_string(),
    });
    escaped.collect()
}

/// Prints one line that is not the result: what a command is doing, or kept as it was.
pub(super) fn note(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Prints why a command failed.
pub(super) fn complain(error: &CliError) {
    note(format_args!("keystead: {error}"));
}

/// Does what may take longer than a second, says so before, and how long it took after.
pub(super) fn progress<T, E>(what: impl Display, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "{what} ... ");
    let _ = stderr.flush();
    let start = Instant::now();
    let result = work();
    let end = if result.is_ok() { "done" } else { "failed" };
    note(format_args!("{end} in {:.1} s", start.elapsed().as_secs_f64()));
    result
}

/// Prints a listing as JSON, for scripts.
pub(super) fn json(listing: &impl Serialize) -> Result<(), CliError> {
    say(serde_json::to_string_pretty(listing).map_err(CliError::Json)?);
    Ok(())
}

/// Prints a listing as a table, for people; `none` where it has no rows.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]], none: &str) {
    if rows.is_empty() {
        return note(none);
    }
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in std::iter::once(&heads.map(str::to_owned)).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        say(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_escaped_and_letters_as_they_are() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\u{9b}\u{202e}\u{7f}"), "a\\u{1b}[2Jb\\nc\\u{9b}\\u{202e}\\u{7f}");
        assert_eq!(visible("Schlüssel \"1\" 'x' \\"), "Schlüssel \"1\" 'x' \\");
    }
}
