//! How answers of the admin API are shown: a table for a list, lines for one thing, JSON as it came for scripts.

use serde_json::Value;

use super::{
    CliError,
    output::{json, note, say, visible},
};

/// Longer texts are files of their own, such as signed statements, and not for reading here.
const LONGEST: usize = 240;

/// A column of a table: its head, and where in an item (JSON pointers, joined by `|`, of which the first that leads to something
/// counts) its cells are.
pub(super) type Column = (&'static str, &'static str);

/// Shows a list.
pub(super) fn list(items: &[Value], as_json: bool, columns: &[Column], none: &str) -> Result<(), CliError> {
    if as_json {
        return json(&items);
    }
    if items.is_empty() {
        note(none);
        return Ok(());
    }
    let cells = |item: &Value| columns.iter().map(|(_, pointers)| cell(first(item, pointers))).collect::<Vec<_>>();
    let mut rows = vec![columns.iter().map(|(head, _)| (*head).to_owned()).collect::<Vec<_>>()];
    rows.extend(items.iter().map(cells));
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns.len()).map(width).collect();
    for row in &rows {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        say(padded.collect::<Vec<_>>().join("  ").trim_end());
    }
    Ok(())
}

fn first<'a>(item: &'a Value, pointers: &str) -> Option<&'a Value> {
    pointers.split('|').filter_map(|pointer| item.pointer(pointer)).find(|value| !value.is_null())
}

/// Shows one thing, with all that the server tells of it.
pub(super) fn one(item: &Value, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(item);
    }
    lines(item, 0);
    Ok(())
}

fn lines(item: &Value, indent: usize) {
    let Value::Object(members) = item else { return say(format_args!("{:indent$}{}", "", cell(Some(item)))) };
    let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in members {
        let label = visible(&name.replace('_', " "));
        match value {
            Value::Object(_) => {
                say(format_args!("{:indent$}{label}", ""));
                lines(value, indent + 2);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                say(format_args!("{:indent$}{label}", ""));
                for item in items {
                    lines(item, indent + 2);
                    say("");
                }
            }
            Value::Array(texts)
                if texts.iter().filter_map(Value::as_str).map(str::len).sum::<usize>() > LONGEST / 2 =>
            {
                say(format_args!("{:indent$}{label}", ""));
                texts.iter().for_each(|text| say(format_args!("{:indent$}  - {}", "", cell(Some(text)))));
            }
            Value::String(text) if text.len() > LONGEST => {
                say(format_args!("{:indent$}{label:width$}  ({} characters: see --json)", "", text.chars().count()));
            }
            _ => say(format_args!("{:indent$}{label:width$}  {}", "", cell(Some(value)))),
        }
    }
}

/// A value in one line. Others chose the texts, so nothing in them acts on a terminal.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => visible(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(members)) => match (members.get("role"), members.get("adapter")) {
            (Some(role), None | Some(Value::Null)) => cell(Some(role)),
            (Some(role), adapter) => format!("{} of {}", cell(Some(role)), cell(adapter)),
            (None, _) => {
                let known = members.iter().filter(|(_, value)| !value.is_null());
                known
                    .map(|(name, value)| format!("{} {}", visible(name), cell(Some(value))))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
        },
    }
}

/// The list in the member `member`, empty where there is none.
pub(super) fn items<'a>(of: &'a Value, member: &str) -> &'a [Value] {
    of.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The text at `pointer`, escaped; nothing where there is none.
pub(super) fn text(item: &Value, pointer: &str) -> String {
    item.pointer(pointer).map(|value| cell(Some(value))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_words_in_one_line_that_act_on_no_terminal() {
        for (value, shown) in [
            (json!(null), "-"),
            (json!([]), "-"),
            (json!(true), "yes"),
            (json!(7), "7"),
            (json!("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb"),
            (json!(["a", "b"]), "a, b"),
            (
                json!([{"role": "viewer", "adapter": null}, {"role": "operator", "adapter": "x"}]),
                "viewer, operator of x",
            ),
        ] {
            assert_eq!(cell(Some(&value)), shown, "{value}");
        }
        assert_eq!(text(&json!({"a": {"b": "c"}}), "/a/b"), "c");
        let item = json!({"name": null, "id": 7});
        assert_eq!(first(&item, "/none|/name|/id"), Some(&json!(7)));
        assert_eq!(first(&item, "/none|/name"), None);
    }
}
