use matryx_entity::user_ids::{
    InvalidUsername, local_user_id, new_appservice_user_id, new_user_id,
};
use ruma::server_name;

#[test]
fn registers_what_the_grammar_allows() {
    let here = server_name!("here.org");
    for name in ["alice", "a", "0", "a.b_c=d-e/f+g", "1234"] {
        let id = new_user_id(name, here).unwrap();
        assert_eq!(id.as_str(), format!("@{name}:here.org"));
        assert_eq!(new_user_id(id.as_str(), here).unwrap(), id);
    }
}

#[test]
fn refuses_the_rest() {
    let here = server_name!("here.org");
    for (name, reason) in [
        ("", InvalidUsername::Empty),
        ("Alice", InvalidUsername::Characters),
        ("älice", InvalidUsername::Characters),
        ("al ice", InvalidUsername::Characters),
        ("al@ice", InvalidUsername::Characters),
        ("alice:here.org", InvalidUsername::Characters),
        ("al\u{0}ice", InvalidUsername::Characters),
        ("al\u{202e}ice", InvalidUsername::Characters),
        ("_irc", InvalidUsername::Underscore),
        ("@alice", InvalidUsername::NotOurs),
        ("@alice:there.org", InvalidUsername::NotOurs),
        ("@:here.org", InvalidUsername::Empty),
    ] {
        assert_eq!(new_user_id(name, here), Err(reason), "{name:?}");
    }
}

#[test]
fn counts_the_whole_id() {
    let here = server_name!("here.org");
    // "@", ":" and "here.org" are ten bytes.
    new_user_id(&"a".repeat(245), here).unwrap();
    assert_eq!(
        new_user_id(&"a".repeat(246), here),
        Err(InvalidUsername::TooLong)
    );
}

#[test]
fn application_services_may_begin_with_an_underscore() {
    let here = server_name!("here.org");
    assert_eq!(
        new_appservice_user_id("_irc_bob", here).unwrap(),
        "@_irc_bob:here.org"
    );
    assert_eq!(
        new_appservice_user_id("IRC", here),
        Err(InvalidUsername::Characters)
    );
}

#[test]
fn finds_historical_names_again() {
    let here = server_name!("here.org");
    assert_eq!(local_user_id("Alice", here).unwrap(), "@Alice:here.org");
    assert_eq!(
        local_user_id("@bob:here.org", here).unwrap(),
        "@bob:here.org"
    );
    assert_eq!(
        local_user_id("@bob:there.org", here),
        Err(InvalidUsername::NotOurs)
    );
    assert_eq!(local_user_id("", here), Err(InvalidUsername::Empty));
    local_user_id("a:b", here).unwrap_err();
}
