use super::*;

fn arguments(line: &str) -> Vec<OsString> {
    line.split(' ').map(OsString::from).collect()
}

fn exit_of_usage(line: &str) -> i32 {
    Cli::try_parse_from(arguments(line)).unwrap_err().exit_code()
}

#[test]
fn the_arguments_are_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_and_option_has_a_help_text() {
    fn visit(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
}

#[test]
fn help_and_version_succeed_and_wrong_usage_is_2() {
    for line in ["keystead --help", "keystead --version", "keystead dev --help", "keystead cert rule add --help"] {
        assert_eq!(exit_of_usage(line), 0, "{line}");
    }
    for line in [
        "keystead",
        "keystead nonsense",
        "keystead init",
        "keystead init --dir d --hsm cloud",
        "keystead init --dir d --san a..b",
        "keystead init --dir d --tls-key rsa-1024",
        "keystead init --dir d --adapter a",
        "keystead dev --dir d --admin-listen 0.0.0.0:8443",
        "keystead dev --dir d --kmip-listen localhost",
        "keystead hsm probe --module m --token-label l",
        "keystead adapter create a",
        "keystead adapter credential a",
        "keystead adapter credential a --user u --password p",
        "keystead adapter credential a --user u --remove",
        "keystead cert rule remove not-a-uuid",
        "keystead key show not-a-uuid",
        "keystead check --as nobody --addr a:1 --ca c --cert c --key k",
    ] {
        assert_eq!(exit_of_usage(line), 2, "{line}");
    }
}

#[test]
fn no_option_takes_a_secret() {
    fn visit(command: &clap::Command) {
        for argument in command.get_arguments() {
            let name = argument.get_long().unwrap_or_default();
            let names_a_secret = ["pin", "password", "passphrase", "credential"].iter().any(|word| name.contains(word));
            assert!(!names_a_secret || name.ends_with("-file"), "--{name} of {}", command.get_name());
        }
        command.get_subcommands().for_each(visit);
    }
    visit(&Cli::command());
}

#[test]
fn a_configuration_that_cannot_be_used_is_2_and_a_failed_operation_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.toml");
    std::fs::write(&bad, "[server]\nnonsense = 1\n").unwrap();
    let error = ConfigArgs { config: bad }.load().unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::from(2));
    let missing = ConfigArgs { config: folder.path().join("missing.toml") }.load().unwrap_err();
    assert_eq!(missing.exit_code(), ExitCode::from(2));
    assert_eq!(CliError::NoRootKey.exit_code(), ExitCode::FAILURE);
}
