//! Events of one server, verified by another.

use std::sync::Arc;

use matryx_entity::{
    canonical,
    pdu::Pdu,
    verify::{PduError, Unverified},
};
use matryx_server::key::VerifyError;
use ruma::{RoomId, RoomVersionId};
use serde_json::json;

use super::pair::Peer;

/// The events of a new room, oldest first.
async fn events(peer: &Peer, version: &str) -> Vec<Arc<str>> {
    let alice = peer.server.register("alice").await;
    let room = alice.create_room(json!({ "room_version": version })).await;
    alice.say(&room, "hello").await;
    let room = RoomId::parse(room).unwrap();
    let room = peer
        .server
        .app
        .sync
        .room_by_id(&room)
        .await
        .unwrap()
        .unwrap();
    room.recent
        .iter()
        .map(|event| Arc::clone(event.pdu.json()))
        .collect()
}

/// The same event with a field that says something else.
fn altered(json: &str, field: &str, value: &str) -> String {
    let mut object = canonical::parse_object(json).unwrap();
    object.insert(field.to_owned(), serde_json::from_str(value).unwrap());
    canonical::to_text(&object)
}

fn parse(json: &str, version: &str) -> Unverified {
    Unverified::parse(json, &RoomVersionId::try_from(version).unwrap()).unwrap()
}

#[tokio::test]
async fn believes_what_another_server_signed_in_every_room_version() {
    for version in ["6", "10", "11", "12"] {
        let (one, two) = tokio::join!(Peer::start(), Peer::start());
        let events = events(&one, version).await;
        assert!(events.len() > 5);
        let unverified = events.iter().map(|json| parse(json, version)).collect();
        let verified = two.server.app.key_ring.verify_all(unverified).await;
        assert_eq!(verified.len(), events.len());
        for (json, verified) in events.iter().zip(verified) {
            let verified = verified.unwrap();
            assert!(!verified.is_redacted());
            assert_eq!(verified.json(), json);
            let again = Pdu::parse(
                verified.event_id().to_owned(),
                verified.room_id(),
                Arc::clone(json),
                false,
            );
            assert_eq!(again.unwrap().sender(), verified.sender());
        }
        // Nor does a server ask anybody about its own events.
        let own = parse(&events[0], version);
        one.open.close().await;
        assert!(one.server.app.key_ring.verify(own).await.is_ok());
    }
}

#[tokio::test]
async fn an_event_whose_content_was_changed_is_redacted() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let events = events(&one, "12").await;
    let message = events.last().unwrap();
    let id = parse(message, "12").event_id().to_owned();
    let altered = altered(message, "content", r#"{"body":"bye","msgtype":"m.text"}"#);
    let verified = two
        .server
        .app
        .key_ring
        .verify(parse(&altered, "12"))
        .await
        .unwrap();
    assert!(verified.is_redacted());
    assert_eq!(verified.event_id(), id);
    assert_eq!(verified.content().get(), "{}");
}

#[tokio::test]
async fn an_event_that_was_changed_in_what_is_signed_is_refused() {
    let (one, two) = tokio::join!(Peer::start(), Peer::start());
    let events = events(&one, "12").await;
    let message = events.last().unwrap();
    let ring = &two.server.app.key_ring;
    for (field, value) in [
        ("depth", "99"),
        ("type", r#""m.room.other""#),
        ("sender", &*format!(r#""@bob:{}""#, one.name)),
        ("origin_server_ts", "1"),
        ("hashes", r#"{"sha256":"AAAA"}"#),
    ] {
        let error = ring
            .verify(parse(&altered(message, field, value), "12"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, VerifyError::Untrusted { .. }),
            "{field}: {error:?}"
        );
    }
    // A key that the server does not have, or had at another time.
    let far = altered(message, "origin_server_ts", "9000000000000");
    let error = ring.verify(parse(&far, "12")).await.unwrap_err();
    assert!(matches!(error, VerifyError::NoKeys { .. }), "{error:?}");
    let signatures = format!(r#"{{"{}":{{"ed25519:other":"AAAA"}}}}"#, one.name);
    let error = ring
        .verify(parse(&altered(message, "signatures", &signatures), "12"))
        .await;
    assert!(
        matches!(error, Err(VerifyError::NoKeys { .. })),
        "{error:?}"
    );
    // Good and bad ones together: each is judged alone.
    let mixed = vec![
        parse(message, "12"),
        parse(&far, "12"),
        parse(&events[0], "12"),
    ];
    let verified = ring.verify_all(mixed).await;
    let good: Vec<bool> = verified.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true]);
}

#[tokio::test]
async fn an_event_without_the_needed_signatures_is_no_event() {
    let one = Peer::start().await;
    let events = events(&one, "12").await;
    let message = events.last().unwrap();
    let version = RoomVersionId::V12;
    let unsigned = altered(message, "signatures", "{}");
    let error = Unverified::parse(&unsigned, &version).unwrap_err();
    assert!(matches!(error, PduError::Unsigned { .. }), "{error:?}");
    // Who let somebody in must have signed too.
    let member = events
        .iter()
        .find(|json| json.contains("m.room.member"))
        .unwrap();
    let content = r#"{"join_authorised_via_users_server":"@a:b.test","membership":"join"}"#;
    let error = Unverified::parse(&altered(member, "content", content), &version).unwrap_err();
    assert!(matches!(&error, PduError::Unsigned { server, .. } if server == "b.test"));
    // What nobody vouches for does not come along.
    let noted = altered(message, "unsigned", r#"{"age":1}"#);
    let parsed = Unverified::parse(&noted, &version).unwrap();
    assert!(!parsed.object().contains_key("unsigned"));
    assert_eq!(parsed.event_id(), parse(message, "12").event_id());
}
