//! The explained configuration file, and copies of it with some settings changed.

/// Every setting at its default with what it means: `config/keystead.toml`.
pub const TEMPLATE: &str = include_str!("../../config/keystead.toml");

/// The explained file with `settings` in place of the defaults: (`section.key`, value as TOML). A setting that the file
/// only shows in a comment becomes a real one.
#[must_use]
pub fn render(settings: &[(&str, String)]) -> String {
    let mut section = "";
    let mut text = String::with_capacity(TEMPLATE.len());
    for line in TEMPLATE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        }
        match settings.iter().find(|(key, _)| states(line, section, key)) {
            Some((key, value)) => {
                let name = key.split_once('.').map_or(*key, |(_, name)| name);
                text.push_str(&format!("{name} = {value}"));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Whether `line` of `section` gives a value, in a comment or not, to the setting `key`.
pub(super) fn states(line: &str, section: &str, key: &str) -> bool {
    let name = line.strip_prefix("# ").unwrap_or(line).split_once(" = ").map(|(name, _)| name);
    key.split_once('.') == name.map(|name| (section, name))
}
