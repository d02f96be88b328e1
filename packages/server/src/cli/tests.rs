use clap::CommandFactory as _;

use super::*;

fn sources(arguments: &[&str]) -> Sources {
    let cli = Cli::try_parse_from(["matryx"].iter().chain(arguments)).unwrap();
    let mut sources = cli.settings.sources().unwrap();
    sources.environment.clear();
    sources
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn no_command_serves() {
    let cli = Cli::try_parse_from(["matryx"]).unwrap();
    assert!(cli.command.is_none());
    assert!(load(&sources(&[])).unwrap().developer);
}

#[test]
fn every_flag_sets_its_key() {
    let sources = sources(&[
        "serve",
        "--server-name=a.org",
        "--data-dir=/d",
        "--listen=client=127.0.0.1:1,tls=/c:/k",
        "--listen=federation=127.0.0.1:2",
        "--extra-ca=/ca, one.pem",
        "--extra-ca=/two.pem",
        "--appservice-dir=/as",
        "--registration-shared-secret=hush",
        "--set",
        "rate_limit.enabled=false",
    ]);
    let config = load(&sources).unwrap().config;
    assert_eq!(config.server_name, "a.org");
    assert_eq!(config.data_dir, PathBuf::from("/d"));
    assert!(config.listen[0].tls.is_some());
    assert_eq!(config.listen[1].address.port(), 2);
    assert_eq!(config.tls.extra_ca_files[0], PathBuf::from("/ca, one.pem"));
    assert_eq!(config.appservice.dir, Some(PathBuf::from("/as")));
    assert_eq!(config.registration.shared_secret.unwrap().expose(), "hush");
    assert!(!config.rate_limit.enabled);
}

#[test]
fn flags_can_stand_before_the_command() {
    let sources = sources(&["--server-name", "a.org", "config", "show"]);
    assert_eq!(load(&sources).unwrap().config.server_name, "a.org");
}

#[test]
fn a_set_without_a_value_is_refused() {
    let cli = Cli::try_parse_from(["matryx", "--set", "server_name"]).unwrap();
    assert!(cli.settings.sources().is_err());
}
