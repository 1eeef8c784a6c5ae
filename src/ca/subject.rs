//! Distinguished names as text (RFC 4514): one text for each name, and no text for two names that differ in more than the kind
//! of their strings. So names can be compared as text, whatever a stranger wrote into a certificate.

use std::fmt::Write as _;

use x509_parser::{
    asn1_rs::{Any, Class},
    x509::{AttributeTypeAndValue, X509Name},
};

/// Attribute types by the names that people use for them.
const TYPES: [(&str, &str); 11] = [
    ("CN", "2.5.4.3"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];

/// Tags of strings whose bytes are UTF-8: UTF8String, NumericString, PrintableString, IA5String.
const UTF8_STRINGS: [u32; 4] = [12, 18, 19, 22];

/// The text of a name, its last part first.
pub(super) fn text_of(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name.iter().map(|part| joined(part.iter().map(pair_of).collect())).collect();
    parts.reverse();
    parts.join(",")
}

fn pair_of(pair: &AttributeTypeAndValue<'_>) -> String {
    let oid = pair.attr_type().to_id_string();
    let known = TYPES.iter().find(|(_, known)| *known == oid);
    let value = known.and_then(|_| string_of(pair.attr_value())).unwrap_or_else(|| hex_of(pair.attr_value()));
    format!("{}={value}", known.map_or(oid.as_str(), |(name, _)| name))
}

/// The pairs of one part are a set: they come in the order of their texts.
fn joined(mut pairs: Vec<String>) -> String {
    pairs.sort_unstable();
    pairs.join("+")
}

/// The same text for a name that a person wrote: spaces around separators, the case of attribute types and the order within a
/// part do not count. `None` where it is no name.
#[must_use]
pub fn canonical_name(text: &str) -> Option<String> {
    let (mut parts, mut pairs) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim();
        let known = TYPES.iter().find(|(known, oid)| known.eq_ignore_ascii_case(name) || *oid == name);
        let is_oid = name.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit()));
        let (value, separator, next) = take_value(behind.trim_start())?;
        pairs.push(match (known, value) {
            (Some((known, _)), Value::Text(value)) if !value.is_empty() => format!("{known}={}", escape(&value)),
            (Some((known, _)), Value::Hex(hex)) => format!("{known}={hex}"),
            (None, Value::Hex(hex)) if is_oid => format!("{name}={hex}"),
            _ => return None,
        });
        if separator != Some('+') {
            parts.push(joined(std::mem::take(&mut pairs)));
        }
        if separator.is_none() {
            return Some(parts.join(","));
        }
        rest = next;
    }
}

enum Value {
    Text(String),
    Hex(String),
}

/// The value at the start of `text`, the separator behind it and what follows that.
fn take_value(text: &str) -> Option<(Value, Option<char>, &str)> {
    let (mut bytes, mut kept) = (Vec::new(), 0);
    let mut chars = text.char_indices();
    let (mut separator, mut next) = (None, "");
    while let Some((at, c)) = chars.next() {
        match c {
            ',' | '+' => {
                (separator, next) = (Some(c), text.get(at + 1..)?);
                break;
            }
            '\\' => {
                let (_, escaped) = chars.next()?;
                match escaped.to_digit(16) {
                    Some(high) => {
                        let low = chars.next()?.1.to_digit(16)?;
                        bytes.push(u8::try_from(high * 16 + low).ok()?);
                    }
                    None if escaped.is_ascii() => bytes.push(u8::try_from(escaped).ok()?),
                    None => return None,
                }
                kept = bytes.len();
                continue;
            }
            '"' | '<' | '>' | ';' => return None,
            c => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
        if c != ' ' {
            kept = bytes.len();
        }
    }
    bytes.truncate(kept);
    let value = String::from_utf8(bytes).ok()?;
    let digits = value.strip_prefix('#').filter(|_| text.starts_with('#'));
    match digits {
        Some(digits)
            if !digits.is_empty() && digits.len() % 2 == 0 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            Some((Value::Hex(value.to_ascii_lowercase()), separator, next))
        }
        Some(_) => None,
        None => Some((Value::Text(value), separator, next)),
    }
}

fn string_of(value: &Any<'_>) -> Option<String> {
    let is_string = value.class() == Class::Universal && UTF8_STRINGS.contains(&value.tag().0);
    let text = std::str::from_utf8(value.data).ok().filter(|text| is_string && !text.is_empty())?;
    Some(escape(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => out.extend(['\\', c]),
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// The value with its tag and length, in hexadecimal.
fn hex_of(value: &Any<'_>) -> String {
    let der = yasna::construct_der(|w| {
        let class = match value.class() {
            Class::Universal => yasna::TagClass::Universal,
            Class::Application => yasna::TagClass::Application,
            Class::ContextSpecific => yasna::TagClass::ContextSpecific,
            Class::Private => yasna::TagClass::Private,
        };
        let tag = yasna::Tag { tag_class: class, tag_number: u64::from(value.tag().0) };
        w.write_tagged_implicit(tag, |w| w.write_bytes(value.data));
    });
    der.iter().fold("#".to_owned(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer as _;
    use yasna::{Tag, models::ObjectIdentifier};

    use super::*;
    use crate::ca::der;

    /// The text of a name of parts, each a list of (arc below 2.5.4, tag of the string, bytes).
    fn text(parts: &[&[(u64, u64, &[u8])]]) -> String {
        let name = der::sequence(|w| {
            for part in parts {
                w.next().write_set_of(|w| {
                    for (arc, tag, bytes) in *part {
                        w.next().write_sequence(|w| {
                            w.next().write_oid(&ObjectIdentifier::from_slice(&[2, 5, 4, *arc]));
                            let tag = Tag { tag_class: yasna::TagClass::Universal, tag_number: *tag };
                            w.next().write_tagged_implicit(tag, |w| w.write_bytes(bytes));
                        });
                    }
                });
            }
        });
        text_of(&X509Name::from_der(&name).unwrap().1)
    }

    #[test]
    fn a_name_reads_as_rfc_4514_has_it() {
        assert_eq!(text(&[&[(6, 19, b"US")], &[(10, 12, b"Array")], &[(3, 12, b"esx-1")]]), "CN=esx-1,O=Array,C=US");
        assert_eq!(text(&[&[(3, 12, b"hqrj"), (5, 19, b"17")]]), "CN=hqrj+serialNumber=17");
        assert_eq!(text(&[&[(3, 12, "é".as_bytes())]]), "CN=é");
        // A BMPString, and a type without a name.
        assert_eq!(text(&[&[(3, 30, b"\x00a")]]), "CN=#1e020061");
        assert_eq!(text(&[&[(41, 12, b"x")]]), "2.5.4.41=#0c0178");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn no_value_passes_for_another_part() {
        let honest = text(&[&[(10, 12, b"Array")], &[(3, 12, b"bob")]]);
        for forged in ["bob,O=Array", "bob+O=Array", "bob, O=Array", "bob,O=Array\0", " bob,O=Array"] {
            let forged = text(&[&[(3, 12, forged.as_bytes())]]);
            assert_ne!(forged, honest);
            assert!(!forged.replace("\\,", "").replace("\\+", "").contains([',', '+']), "{forged}");
        }
        assert_ne!(text(&[&[(3, 12, b"#0c0178")]]), text(&[&[(3, 12, b"x")]]));
        assert_eq!(text(&[&[(3, 12, b"#0c0178")]]), "CN=\\#0c0178");
        assert_eq!(text(&[&[(3, 12, b"a\n\x00")]]), "CN=a\\0a\\00");
        assert_eq!(text(&[&[(3, 12, b" a ")]]), "CN=\\ a\\ ");
    }

    #[test]
    fn what_a_person_writes_comes_into_the_form_of_certificates() {
        for (written, canonical) in [
            ("CN=esx-1,O=Array,C=US", "CN=esx-1,O=Array,C=US"),
            (" cn = esx-1 , o = Big  Array ,c=US ", "CN=esx-1,O=Big  Array,C=US"),
            ("serialNumber=17 + CN=hqrj", "CN=hqrj+serialNumber=17"),
            ("2.5.4.3=a", "CN=a"),
            ("CN=a\\, b\\2c\\C3\\A9", "CN=a\\, b\\,é"),
            ("CN=\\ a\\ ", "CN=\\ a\\ "),
            ("2.5.4.41=#0C0178", "2.5.4.41=#0c0178"),
            ("CN=a=b", "CN=a=b"),
        ] {
            assert_eq!(canonical_name(written).as_deref(), Some(canonical), "{written}");
            assert_eq!(canonical_name(canonical).as_deref(), Some(canonical));
        }
        let wrong =
            ["", "esx-1", "CN=", "CN=a,", ",CN=a", "X=a", "CN=\"a\"", "CN=a;O=b", "CN=\\C3", "CN=#0", "CN=#", "CN=a\\"];
        for wrong in wrong.into_iter().chain(["2.5.4.41=x", "CN=#zz", "CN=\\0", "=a"]) {
            assert_eq!(canonical_name(wrong), None, "{wrong}");
        }
    }
}
