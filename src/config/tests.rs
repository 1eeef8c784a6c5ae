use hal::Label;

use super::*;

fn parse(text: &str) -> Result<Config, Vec<Problem>> {
    Config::parse(text, Path::new("/etc/keystead"))
}

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(|p| format!("{}: {p}", p.line.unwrap_or_default())).collect()
}

#[test]
fn the_explained_file_states_exactly_the_defaults() {
    assert_eq!(parse(TEMPLATE).unwrap(), parse("").unwrap());
    let software = render(&[("hsm.backend", "\"software\"".to_owned())]);
    assert_eq!(parse(&software).unwrap(), parse("[hsm]\nbackend = \"software\"").unwrap());
}

#[test]
fn the_explained_file_mentions_every_setting_once() {
    let mut reader = Reader::new(TEMPLATE, Path::new("."));
    read(&mut reader);
    assert!(reader.asked().len() > 30);
    for key in reader.asked() {
        let mut section = "";
        let mut count = 0;
        for line in TEMPLATE.lines() {
            section = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(section);
            count += usize::from(template::states(line, section, key));
        }
        assert_eq!(count, 1, "{key}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let found = problems(
        r#"
[server]
kmip_listen = ["0.0.0.0"]
[limits]
frame_bytes = 12
frame_byte = 1048576
idle_seconds = "long"
[hsm]
backend = "cloud"
workers = -1
[telemetry]
listen = "0.0.0.0:8443"
[logging]
level = "info"
"#,
    );
    let expected = [
        r#"3: server.kmip_listen = ["0.0.0.0"]: allowed is a list of different addresses, each like "0.0.0.0:5696" or "[::]:5696""#,
        "5: limits.frame_bytes = 12: allowed is a whole number from 4096 to 67108864",
        "6: limits.frame_byte: there is no such setting; did you mean limits.frame_bytes?",
        r#"7: limits.idle_seconds = "long": allowed is a whole number from 1 to 86400"#,
        r#"9: hsm.backend = "cloud": allowed is "pkcs11" or "software""#,
        "10: hsm.workers = -1: allowed is a whole number from 1 to 256",
        r#"12: telemetry.listen = "0.0.0.0:8443": allowed is a loopback address like "127.0.0.1:9464""#,
        "13: logging: there is no such setting",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_setting_in_the_wrong_section_is_pointed_to_the_right_one() {
    assert_eq!(
        problems("[server]\ntoken_label = \"a\""),
        ["2: server.token_label: there is no such setting; did you mean hsm.token_label?"]
    );
    assert_eq!(problems("pin_file = \"a\""), ["1: pin_file: there is no such setting; did you mean hsm.pin_file?"]);
    assert_eq!(problems("hsm = 3"), ["1: hsm = 3: allowed is a section [hsm]"]);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let found = problems("[server]\nkmip_listen = [\n[hsm]\nbackend = software\n");
    assert!(found.first().unwrap().starts_with("2: ") || found.first().unwrap().starts_with("3: "), "{found:?}");
}

#[test]
fn the_values_at_both_ends_of_a_range_are_allowed_and_their_neighbours_are_not() {
    for (value, allowed) in
        [(4095, false), (4096, true), (67_108_864, true), (67_108_865, false), (5_000_000_000_u64, false)]
    {
        assert_eq!(parse(&format!("[limits]\nframe_bytes = {value}")).is_ok(), allowed, "{value}");
    }
    assert!(parse("[limits]\nframe_bytes = 0x1000").is_ok());
    assert!(parse("[limits]\nframe_bytes = 4096.0").is_err());
}

#[test]
fn one_adapter_cannot_have_more_connections_than_all_together() {
    assert!(parse("[limits]\nconnections = 10\nconnections_per_adapter = 10").is_ok());
    assert_eq!(
        problems("[limits]\nconnections = 10\nconnections_per_adapter = 11"),
        ["1: limits.connections_per_adapter = 11: allowed is at most limits.connections, which is 10"]
    );
}

#[test]
fn several_listen_addresses_are_allowed_but_not_the_same_one_twice() {
    let config = parse(r#"server.kmip_listen = ["10.0.0.1:5696", "[::1]:5696"]"#).unwrap();
    assert_eq!(config.server.kmip_listen.len(), 2);
    assert!(parse(r#"server.kmip_listen = ["10.0.0.1:5696", "10.0.0.1:5696"]"#).is_err());
    assert!(parse("server.kmip_listen = []").is_err());
}

#[test]
fn relative_files_start_at_the_folder_of_the_configuration() {
    let config = parse("[store]\npath = \"db/k.db\"\n[audit]\npath = \"/var/log/audit.jsonl\"").unwrap();
    assert_eq!(config.store.path, Path::new("/etc/keystead/db/k.db"));
    assert_eq!(config.audit.path, Path::new("/var/log/audit.jsonl"));
}

#[test]
fn a_private_key_is_a_file_or_a_label_in_the_hsm() {
    let place = |value: &str| parse(&format!("[tls]\nkey = \"{value}\"")).map(|config| config.tls.key);
    assert_eq!(place("hsm:web 1").unwrap(), KeyPlace::Hsm(Label::new("web 1").unwrap()));
    assert_eq!(place("./hsm:web").unwrap(), KeyPlace::File("/etc/keystead/./hsm:web".into()));
    for (value, shown) in [("hsm:", "hsm:"), ("hsm: web", "hsm: web"), ("", "")] {
        let problem = &place(value).unwrap_err()[0];
        let expected = format!(
            "tls.key = \"{shown}\": allowed is a file name in quotes, or \"hsm:LABEL\" with a label of 1 to 64 characters"
        );
        assert_eq!(problem.to_string(), expected);
    }
    assert_eq!(place("hsm:web").unwrap().to_string(), "hsm:web");
    assert_eq!(parse("").unwrap().audit.signing_key, None);
    assert!(parse("[audit]\nsigning_key = \"hsm:a\"").unwrap().audit.signing_key.is_some());
    assert!(parse("[audit]\nsigning_key = \"audit.key\"").is_err(), "it is never a file");
}

#[test]
fn a_key_in_the_hsm_is_not_looked_for_among_the_files() {
    let config = parse("[tls]\nkey = \"hsm:web\"").unwrap();
    assert!(config.file_problems().iter().all(|problem| problem.key != "tls.key"));
    assert!(parse("").unwrap().file_problems().iter().any(|problem| problem.key == "tls.key"));
}

#[test]
fn settings_of_the_backend_that_is_not_chosen_are_checked_too() {
    assert_eq!(
        problems("[hsm]\nbackend = \"software\"\ntoken_label = \"\""),
        [r#"3: hsm.token_label = "": allowed is text of 1 to 32 characters in quotes"#]
    );
}

fn tokens(text: &str) -> Vec<TokenConfig> {
    let HsmBackend::Pkcs11(config) = parse(text).unwrap().hsm.backend else { panic!("another backend") };
    config.tokens().collect()
}

#[test]
fn one_token_is_stated_by_the_section_and_several_by_tables() {
    let one = tokens("[hsm]\ntoken_label = \"a\"\ntoken_serial = \"1\"");
    assert_eq!(one.iter().map(|token| token.token_label.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(one[0].token_serial.as_deref(), Some("1"));
    let several = tokens(
        r#"
[hsm]
module = "shared.so"
pin_file = "pin"
[[hsm.tokens]]
token_label = "a"
[[hsm.tokens]]
token_label = "b"
token_serial = "2"
module = "/own.so"
pin_file = "pin-b"
"#,
    );
    let own = |path: &str| PathBuf::from("/etc/keystead").join(path);
    let expected = [("a", None, own("shared.so"), own("pin")), ("b", Some("2"), own("/own.so"), own("pin-b"))];
    for (token, (label, serial, module, pin_file)) in several.iter().zip(expected) {
        assert_eq!((token.token_label.as_str(), token.token_serial.as_deref()), (label, serial));
        assert_eq!((&token.module, &token.pin_file), (&module, &pin_file));
    }
    assert_eq!(several.len(), 2);
    let inline = r#"[{ token_label = "a" }, { token_label = "b" }]"#;
    assert_eq!(tokens(&render(&[("hsm.tokens", inline.to_owned())]).replace("\ntoken_label", "\n#")).len(), 2);
}

#[test]
fn mistakes_in_tables_of_tokens_are_reported_with_their_lines() {
    let found = problems(
        r#"[hsm]
token_serial = "1"
[[hsm.tokens]]
token_lable = "a"
[[hsm.tokens]]
token_label = 7
[[hsm.tokens]]
token_label = "b"
[[hsm.tokens]]
token_label = "b"
token_serial = "2"
"#,
    );
    let expected = [
        r#"1: hsm.token_serial = "1": where there are [[hsm.tokens]], each of them states its own"#,
        "3: hsm.tokens.token_label: it is missing",
        "4: hsm.tokens.token_lable: there is no such setting; did you mean hsm.tokens.token_label?",
        "6: hsm.tokens.token_label = 7: allowed is text of 1 to 32 characters in quotes",
        r#"9: hsm.tokens.token_label = "b": another of [[hsm.tokens]] may be the same token; a serial number tells tokens of one label apart"#,
    ];
    assert_eq!(found, expected);
    assert_eq!(problems("[hsm]\ntokens = 3"), ["2: hsm.tokens = 3: allowed is at most 16 tables [[hsm.tokens]]"]);
    assert!(parse("[[hsm.tokens]]\ntoken_label = \"a\"\ntoken_serial = \"1\"\n[[hsm.tokens]]\ntoken_label = \"a\"\ntoken_serial = \"2\"").is_ok());
    assert_eq!(tokens("hsm.tokens = []").len(), 1);
}

#[test]
fn a_rotation_may_be_slowed_down_and_schemes_and_makes_are_chosen_by_name() {
    assert_eq!(parse("").unwrap().hsm.rotation_per_second, 0);
    assert_eq!(parse("[hsm]\nrotation_per_second = 1000000").unwrap().hsm.rotation_per_second, 1_000_000);
    assert!(parse("[hsm]\nrotation_per_second = 1000001").is_err());
    assert_eq!(parse("[hsm]\nscheme = \"aes-kwp\"").unwrap().hsm.scheme, SchemeChoice::AesKwp);
    assert!(parse("[hsm]\nscheme = \"aes-cbc\"").is_err());
    assert_eq!(parse("").unwrap().hsm.provider, None);
    for provider in Provider::all() {
        let text = format!("[hsm]\nprovider = \"{}\"", provider.name());
        assert_eq!(parse(&text).unwrap().hsm.provider, Some(provider));
        assert!(TEMPLATE.contains(&format!("\"{}\"", provider.name())), "{}", provider.name());
    }
    assert!(parse("[hsm]\nprovider = \"acme\"").is_err());
}

#[test]
fn a_rendered_copy_has_the_given_settings_and_keeps_the_explanations() {
    let text = render(&[("hsm.softhsm_conf", "\"hsm/softhsm2.conf\"".to_owned()), ("limits.adapters", "7".to_owned())]);
    let config = parse(&text).unwrap();
    assert_eq!(config.limits.adapters, 7);
    let HsmBackend::Pkcs11(token) = config.hsm.backend else { panic!("another backend") };
    assert_eq!(token.softhsm_conf.unwrap(), Path::new("/etc/keystead/hsm/softhsm2.conf"));
    assert_eq!(text.lines().count(), TEMPLATE.lines().count());
}

#[test]
fn missing_files_and_open_secrets_are_all_reported_with_what_to_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keystead.toml");
    std::fs::write(&path, "[hsm]\nmodule = \"m.so\"\npin_file = \"pin\"\n[tls]\nkey = \"key\"").unwrap();
    std::fs::write(folder.path().join("pin"), "1234").unwrap();
    std::fs::set_permissions(folder.path().join("pin"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = Config::load_checked(&path).unwrap_err().to_string();
    for part in ["has 5 problems", "tls.certificate", "tls.ca", "tls.key", "hsm.module", "hsm.pin_file", "chmod 600"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(Config::load(&path).is_ok());
    assert!(!text.contains("1234"));
}
