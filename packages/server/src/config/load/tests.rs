use std::{io::Write as _, path::PathBuf};

use super::*;
use crate::config::{Durability, Rate, Service, Stage, show};

struct Case {
    sources: Sources,
    // Deleted when the case is dropped.
    files: Vec<tempfile::NamedTempFile>,
}

impl Case {
    fn new() -> Self {
        Self {
            sources: Sources::default(),
            files: Vec::new(),
        }
    }

    fn temporary(&mut self, text: &str) -> PathBuf {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_owned();
        self.files.push(file);
        path
    }

    fn file(mut self, text: &str) -> Self {
        self.sources.file = Some(self.temporary(text));
        self
    }

    fn env(mut self, name: &str, text: &str) -> Self {
        self.sources
            .environment
            .push((name.to_owned(), text.to_owned()));
        self
    }

    fn env_file(mut self, name: &str, text: &str) -> Self {
        let path = self.temporary(text).display().to_string();
        self.env(name, &path)
    }

    fn set(mut self, key: &str, text: &str) -> Self {
        let flag = Flag {
            name: "--set",
            key: key.to_owned(),
            text: text.to_owned(),
        };
        self.sources.flags.push(flag);
        self
    }

    fn load(&self) -> Loaded {
        load(&self.sources).unwrap()
    }

    fn mistakes(&self) -> Vec<String> {
        let error = load(&self.sources).unwrap_err();
        let text = |problem: &Problem| match &problem.source {
            Source::File { line, .. } => format!("line {line}: {}", problem.message),
            _ => problem.to_string(),
        };
        error.problems.iter().map(text).collect()
    }
}

#[test]
fn nothing_configured_is_a_developers_server() {
    let loaded = Case::new().env("PATH", "/bin").load();
    assert!(loaded.developer);
    assert_eq!(loaded.config.server_name, DEVELOPER_SERVER_NAME);
    assert_eq!(loaded.config.data_dir, PathBuf::from("./matryx-data"));
    assert_eq!(
        loaded.config.listen[0].address.to_string(),
        "127.0.0.1:8008"
    );
    assert!(!loaded.config.registration.enabled);
}

#[test]
fn anything_configured_needs_a_server_name() {
    let case = Case::new().env("MATRYX_LOG__LEVEL", "debug");
    assert_eq!(case.mistakes(), ["`server_name` is required"]);
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "server_name = 'file.org'\n[database]\nnamespace = 'file'\nname = 'file'\n";
    let case = Case::new()
        .file(file)
        .env("MATRYX_DATABASE__NAME", "environment")
        .env("MATRYX_DATABASE__NAMESPACE", "environment")
        .set("database.namespace", "flag");
    let loaded = case.load();
    assert_eq!(loaded.config.server_name, "file.org");
    assert_eq!(loaded.config.database.name, "environment");
    assert_eq!(loaded.config.database.namespace, "flag");
    assert_eq!(loaded.config.database.durability, Durability::Commit);
    assert!(!loaded.developer);
    let shown = show(&loaded);
    assert!(
        shown.contains("database.namespace = \"flag\"  # flag --set\n"),
        "{shown}"
    );
    assert!(
        shown.contains("# environment MATRYX_DATABASE__NAME\n"),
        "{shown}"
    );
    assert!(shown.contains(":1\n"), "{shown}");
    assert!(
        shown.contains("database.durability = \"commit\"  # default\n"),
        "{shown}"
    );
}

#[test]
fn the_environment_can_name_the_file() {
    let case = Case::new().env_file("MATRYX_CONFIG", "server_name = 'a.org'");
    assert_eq!(case.load().config.server_name, "a.org");
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest_name() {
    let file = "server_name = 'a.org'\n\n[registration]\nenabeld = true\n\n[datbase]\nurl = 'x'\n";
    assert_eq!(
        Case::new().file(file).mistakes(),
        [
            "line 4: unknown key `registration.enabeld`; did you mean `registration.enabled`?",
            "line 6: unknown key `datbase`; did you mean `database`?",
        ]
    );
}

#[test]
fn an_unknown_key_in_a_row_is_told_with_its_line() {
    let file = "server_name = 'a.org'\n[[registration.terms]]\nid = 'tos'\ntitel = 'T'\nurl = 'http://a'\n";
    let mistakes = Case::new().file(file).mistakes();
    assert_eq!(
        mistakes[0],
        "line 4: in `registration.terms`: unknown key `titel`; did you mean `title`?"
    );
}

#[test]
fn unknown_keys_in_environment_and_flags_are_errors() {
    let case = Case::new()
        .set("server_name", "a.org")
        .set("federation.retyr", "1")
        .env("MATRYX_DATABASE__URLL", "mem://");
    assert_eq!(
        case.mistakes(),
        [
            "environment MATRYX_DATABASE__URLL: unknown key `MATRYX_DATABASE__URLL`; did you mean \
             `MATRYX_DATABASE__URL`?",
            "flag --set: unknown key `federation.retyr`",
        ]
    );
}

#[test]
fn a_broken_file_is_told_with_its_line() {
    let mistakes = Case::new()
        .file("server_name = 'a.org'\nlisten = [\n")
        .mistakes();
    assert!(mistakes[0].starts_with("line "), "{mistakes:?}");
    let mistakes = Case::new()
        .file("server_name = 'a.org'\nlog = 3\n")
        .mistakes();
    assert_eq!(mistakes, ["line 2: `log` is a table: [log]"]);
}

#[test]
fn a_missing_file_is_an_error() {
    let mut case = Case::new();
    case.sources.file = Some("/nonexistent/matryx.toml".into());
    assert!(case.mistakes()[0].contains("cannot read the configuration file"));
}

#[test]
fn every_mistake_is_told_at_once() {
    let file = "server_name = 'not a name'\n[http]\nmax_body = 12\nrequest_timeout = 'soon'\n";
    let mistakes = Case::new().file(file).mistakes();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(mistakes[0].starts_with("line 1: `server_name`: `not a name` is not a server name"));
    assert_eq!(
        mistakes[1],
        "line 3: `http.max_body`: expected a size such as \"64 MiB\", found 12"
    );
    assert!(mistakes[2].starts_with("line 4: `http.request_timeout`: `soon` is not a duration"));
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let case = Case::new()
        .set("server_name", "a.org")
        .env_file("MATRYX_REGISTRATION__SHARED_SECRET_FILE", "hush-hush\n")
        .env("MATRYX_REGISTRATION__TOKENS", "hush-one,hush-two");
    let loaded = case.load();
    let secret = loaded.config.registration.shared_secret.as_ref().unwrap();
    assert_eq!(secret.expose(), "hush-hush");
    assert_eq!(loaded.config.registration.tokens[1].expose(), "hush-two");
    let printed = format!("{:?} {}", loaded.config, show(&loaded));
    assert!(!printed.contains("hush"), "{printed}");
    assert!(
        printed.contains("registration.shared_secret = \"(redacted)\""),
        "{printed}"
    );
}

#[test]
fn only_secrets_come_from_files() {
    let case = Case::new()
        .env_file("MATRYX_DATABASE__NAME_FILE", "x")
        .set("server_name", "a.org");
    assert!(case.mistakes()[0].contains("unknown key `MATRYX_DATABASE__NAME_FILE`"));
    let case = Case::new()
        .set("server_name", "a.org")
        .env("MATRYX_DATABASE__PASSWORD_FILE", "/nonexistent/password");
    assert!(case.mistakes()[0].contains("/nonexistent/password"));
}

#[test]
fn an_empty_text_unsets_a_key() {
    let case = Case::new()
        .file("server_name = 'a.org'\n[appservice]\ndir = '/a'\n[federation]\n")
        .env("MATRYX_APPSERVICE__DIR", "")
        .env("MATRYX_FEDERATION__DENY_IP_RANGES", "");
    let config = case.load().config;
    assert_eq!(config.appservice.dir, None);
    assert_eq!(config.federation.deny_ip_ranges, []);
}

#[test]
fn listeners_are_read_from_every_source() {
    let text = "client+media=127.0.0.1:8008 federation=[::1]:8448,tls=/a/cert.pem:/a/key.pem";
    let config = Case::new()
        .set("server_name", "a.org")
        .env("MATRYX_LISTEN", text)
        .load()
        .config;
    assert_eq!(config.listen[0].services, [Service::Client, Service::Media]);
    let tls = config.listen[1].tls.as_ref().unwrap();
    assert_eq!(tls.key, PathBuf::from("/a/key.pem"));
    let file = format!("server_name = 'a.org'\nlisten = ['{}']\n", config.listen[0]);
    assert_eq!(
        Case::new().file(&file).load().config.listen[0],
        config.listen[0]
    );
}

#[test]
fn flows_are_read_from_text() {
    let with = |text: &str| {
        let case = Case::new()
            .set("server_name", "a.org")
            .set("registration.flows", text);
        case.load().config.registration.flows
    };
    assert_eq!(with("[[\"m.login.dummy\"]]"), with("m.login.dummy"));
    let text = "m.login.registration_token+m.login.terms, m.login.dummy";
    let stages = with(text)
        .into_iter()
        .map(|flow| flow.stages)
        .collect::<Vec<_>>();
    assert_eq!(
        stages,
        [
            vec![Stage::RegistrationToken, Stage::Terms],
            vec![Stage::Dummy]
        ]
    );
}

#[test]
fn wrong_listeners_are_refused() {
    let with = |text: &str| {
        Case::new()
            .set("server_name", "a.org")
            .set("listen", text)
            .mistakes()
            .join("\n")
    };
    assert!(with("client=localhost:8008").contains("is not an address"));
    assert!(with("clients=127.0.0.1:1").contains("is not one of: client, federation"));
    assert!(with("client+client=127.0.0.1:1").contains("twice"));
    assert!(with("client=127.0.0.1:1,tls=/cert").contains("tls=CERT:KEY"));
    assert!(with("media=127.0.0.1:1").contains("no listener serves `client`"));
    assert!(with("client=127.0.0.1:1 media=127.0.0.1:1").contains("used by two listeners"));
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let with = |key: &str, text: &str| {
        let case = Case::new()
            .set("server_name", "a.org")
            .set("registration.enabled", "true");
        case.set(key, text).mistakes().join("\n")
    };
    assert!(with("registration.flows", "m.login.terms").contains("needs documents"));
    assert!(with("registration.flows", "").contains("no way to register"));
    assert!(with("database.url", "postgres://x").contains("must begin with one of"));
    assert!(with("database.url", "ws://root:pw@host").contains("database.password"));
    assert!(with("database.username", "root").contains("go together"));
    assert!(with("database.name", "a;b").contains("letters, digits"));
    assert!(with("default_room_version", "5").contains("is not one of: 6, 7"));
    assert!(with("log.level", "loud").contains("is not a level"));
    assert!(with("log.level", "info,matryx=loud").contains("is not a level"));
    assert!(with("password.argon2.memory", "1 KiB").contains("argon2 refuses"));
    assert!(with("http.max_body", "1 KiB").contains("at least 128 KiB"));
    assert!(with("cache.access_tokens", "0").contains("at least 1"));
}

#[test]
fn values_of_every_type_are_read() {
    let file = "
        server_name = 'a.org'
        [rate_limit]
        send = '5 per 2s'
        [registration]
        flows = [['m.login.registration_token', 'm.login.terms'], 'm.login.dummy']
        [[registration.terms]]
        id = 'privacy_policy'
        title = 'Privacy'
        url = 'https://a.org/privacy'
        [http]
        max_body = '1 GiB'
        trusted_proxies = ['10.0.0.0/8']
        [[well_known.support_contacts]]
        matrix_id = '@a:a.org'
    ";
    let config = Case::new().file(file).load().config;
    assert_eq!(config.rate_limit.send, Rate::per(5, 2));
    assert_eq!(config.registration.flows[0].stages.len(), 2);
    assert_eq!(config.registration.terms[0].version, "1.0");
    assert_eq!(config.http.max_body.as_bytes(), 1 << 30);
    assert_eq!(
        config.well_known.support_contacts[0].role.as_str(),
        "m.role.admin"
    );
}

#[test]
fn wrong_values_are_refused() {
    for (key, text) in [
        ("rate_limit.send", "0 per 1s"),
        ("rate_limit.send", "5 per 0s"),
        ("rate_limit.send", "5"),
        ("rate_limit.enabled", "yes"),
        ("http.max_body", "99999999999999999 GiB"),
        ("http.max_connections", "-1"),
        ("http.request_timeout", "5"),
        ("federation.deny_ip_ranges", "10.0.0.0/99"),
        ("registration.flows", "m.login.email"),
        ("registration.flows", "m.login.dummy+m.login.dummy"),
        ("registration.flows", "[[]]"),
        ("registration.shared_secret_file", "x"),
        ("well_known.client_base_url", "not an address"),
        ("database.durability", "maybe"),
    ] {
        let case = Case::new().set("server_name", "a.org").set(key, text);
        assert!(load(&case.sources).is_err(), "{key} = {text}");
    }
}
