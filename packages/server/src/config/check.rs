//! What the types alone cannot say: keys that depend on each other.

use matryx_entity::room_versions;
use ruma::RoomVersionId;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::{
    Config, Service, Stage,
    setting::Values,
    source::{Problem, Source},
};

/// Schemes of `database.url`.
const DATABASE_SCHEMES: [&str; 5] = ["mem", "rocksdb", "ws", "wss", "tikv"];

/// Adds to `values.problems` what is wrong with `config` as a whole.
pub(super) fn check(config: &Config, values: &mut Values) {
    let mut problem = |path: &str, message: String| {
        let leaf = values.leaves.get(path);
        let source = leaf.map_or(Source::Default, |leaf| leaf.source.clone());
        values.problems.push(Problem {
            source,
            message: format!("`{path}`: {message}"),
        });
    };
    check_listeners(config, &mut problem);
    check_database(config, &mut problem);
    check_registration(config, &mut problem);
    check_limits(config, &mut problem);
    if !room_versions::is_supported(&config.default_room_version) {
        let known = room_versions::SUPPORTED
            .each_ref()
            .map(RoomVersionId::as_str)
            .join(", ");
        let version = &config.default_room_version;
        problem(
            "default_room_version",
            format!("`{version}` is not one of: {known}"),
        );
    }
    check_level(&config.log.level, &mut problem);
    for contact in &config.well_known.support_contacts {
        if contact.matrix_id.is_none() && contact.email_address.is_none() {
            problem(
                "well_known.support_contacts",
                "a contact needs `matrix_id` or `email_address`".to_owned(),
            );
        }
    }
}

fn check_level(level: &str, problem: &mut impl FnMut(&str, String)) {
    // A bare word that is no level would be taken for the name of a module.
    let bare = level
        .split(',')
        .map(str::trim)
        .filter(|part| !part.contains('='));
    for word in bare.filter(|word| word.parse::<LevelFilter>().is_err()) {
        problem("log.level", format!("`{word}` is not a level"));
    }
    if let Err(error) = level.parse::<Targets>() {
        problem("log.level", format!("`{level}` is not a level: {error}"));
    }
}

fn check_listeners(config: &Config, problem: &mut impl FnMut(&str, String)) {
    if !config
        .listen
        .iter()
        .any(|listener| listener.serves(Service::Client))
    {
        problem("listen", "no listener serves `client`".to_owned());
    }
    for (index, listener) in config.listen.iter().enumerate() {
        let twice = |other: &&super::Listener| {
            other.address == listener.address && listener.address.port() != 0
        };
        if config.listen.iter().take(index).any(|other| twice(&other)) {
            problem(
                "listen",
                format!("{} is used by two listeners", listener.address),
            );
        }
    }
}

fn check_database(config: &Config, problem: &mut impl FnMut(&str, String)) {
    let database = &config.database;
    if let Some(url) = &database.url {
        let (scheme, rest) = url.split_once("://").unwrap_or((url.as_str(), ""));
        if !DATABASE_SCHEMES.contains(&scheme) {
            let known = DATABASE_SCHEMES.join(", ");
            problem(
                "database.url",
                format!("must begin with one of {known} and ://"),
            );
        }
        if scheme != "rocksdb" && rest.contains('@') {
            let message = "give credentials in `database.username` and `database.password`, not in \
                           the address";
            problem("database.url", message.to_owned());
        }
    }
    if database.username.is_some() != database.password.is_some() {
        let message = "`database.username` and `database.password` go together";
        problem("database.username", message.to_owned());
    }
    for (path, name) in [
        ("database.namespace", &database.namespace),
        ("database.name", &database.name),
    ] {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || !name.chars().all(plain) {
            problem(path, "use letters, digits, _ and - only".to_owned());
        }
    }
}

fn check_registration(config: &Config, problem: &mut impl FnMut(&str, String)) {
    let registration = &config.registration;
    if registration.enabled && registration.flows.is_empty() {
        let message = "registration is enabled, but there is no way to register";
        problem("registration.flows", message.to_owned());
    }
    let terms = registration
        .flows
        .iter()
        .any(|flow| flow.stages.contains(&Stage::Terms));
    if registration.enabled && terms && registration.terms.is_empty() {
        let message = "the stage m.login.terms needs documents in `registration.terms`";
        problem("registration.flows", message.to_owned());
    }
}

fn check_limits(config: &Config, problem: &mut impl FnMut(&str, String)) {
    let argon2 = &config.password.argon2;
    let kib = argon2.memory.as_bytes() >> 10;
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    if let Err(error) = argon2::Params::new(kib, argon2.iterations, argon2.parallelism, None) {
        problem(
            "password.argon2.memory",
            format!("argon2 refuses this cost: {error}"),
        );
    }
    let positive = [
        (
            "password.max_concurrent_hashes",
            config.password.max_concurrent_hashes,
        ),
        ("http.max_connections", config.http.max_connections),
        ("database.write_buffers", config.database.write_buffers),
        ("cache.access_tokens", config.cache.access_tokens),
    ];
    for (path, number) in positive {
        if number == 0 {
            problem(path, "must be at least 1".to_owned());
        }
    }
    // The largest request of the protocol is one event; a smaller bound would refuse it.
    if config.http.max_body < super::ByteSize::kib(128) {
        problem("http.max_body", "must be at least 128 KiB".to_owned());
    }
}
