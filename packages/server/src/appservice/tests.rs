use ruma::{room_alias_id, server_name, user_id};

use super::*;

const IRC: &str = r##"
id: irc
url: null
as_token: as-irc
hs_token: hs-irc
sender_localpart: ircbot
rate_limited: false
namespaces:
  users:
    - { exclusive: true, regex: "@irc_.*:x" }
    - { exclusive: false, regex: "@shared_.*" }
  aliases:
    - { exclusive: true, regex: "#irc_.*" }
  rooms: []
"##;

fn load(files: &[(&str, &str)]) -> Result<Appservices, RegistrationError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    Appservices::load(folder.path(), server_name!("x"))
}

#[test]
fn reads_registrations_and_nothing_else() {
    let loaded = load(&[("a.yaml", IRC), ("README.md", "no: [registration")]).unwrap();
    let irc = loaded.lookup("as-irc").unwrap();
    assert_eq!(irc.registration.id, "irc");
    assert_eq!(irc.sender, user_id!("@ircbot:x"));
    assert!(!irc.is_rate_limited());
    assert!(loaded.lookup("hs-irc").is_none());
}

#[test]
fn matches_namespaces_from_the_start() {
    let loaded = load(&[("a.yaml", IRC)]).unwrap();
    let irc = loaded.lookup("as-irc").unwrap();
    assert!(irc.owns_user(user_id!("@irc_me:x")));
    assert!(irc.owns_user(user_id!("@ircbot:x")));
    assert!(irc.owns_user(user_id!("@shared_me:x")));
    assert!(!irc.owns_user(user_id!("@not@irc_me:x")));
    assert!(!irc.owns_user(user_id!("@alice:x")));
    assert!(irc.owns_alias(room_alias_id!("#irc_room:x")));

    let reserver = |user| loaded.reserver_of_user(user).is_some();
    assert!(reserver(user_id!("@irc_me:x")));
    assert!(reserver(user_id!("@ircbot:x")));
    assert!(!reserver(user_id!("@shared_me:x")));
    assert!(
        loaded
            .reserver_of_alias(room_alias_id!("#irc_room:x"))
            .is_some()
    );
    assert!(
        loaded
            .reserver_of_alias(room_alias_id!("#room:x"))
            .is_none()
    );
}

#[test]
fn refuses_what_two_registrations_share() {
    let other = IRC
        .replace("id: irc", "id: other")
        .replace("as-irc", "as-other")
        .replace("hs-irc", "hs-other");
    load(&[("a.yaml", IRC), ("b.yml", &other)]).unwrap();
    for (from, to, shared) in [
        ("id: other", "id: irc", "id"),
        ("as-other", "as-irc", "as_token"),
        ("hs-other", "hs-irc", "hs_token"),
    ] {
        let error = load(&[("a.yaml", IRC), ("b.yml", &other.replace(from, to))]).unwrap_err();
        assert!(
            matches!(&error, RegistrationError::Duplicate { field, .. } if *field == shared),
            "{error}"
        );
    }
}

#[test]
fn refuses_what_cannot_work() {
    for (from, to) in [
        ("as_token: as-irc", "as_token: ' '"),
        ("@irc_.*:x", "(["),
        ("id: irc", "identity: irc"),
    ] {
        assert!(load(&[("a.yaml", &IRC.replace(from, to))]).is_err(), "{to}");
    }
    assert!(Appservices::load(Path::new("/nonexistent"), server_name!("x")).is_err());
}
