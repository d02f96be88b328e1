//! Ephemeral messages of other servers, and transactions that come more than once.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{pair::Peer, partner::Partner, sender::shared_room};
use crate::support::{TestUser, encode};

fn typing(room: &str, user: &str) -> Value {
    json!({ "edu_type": "m.typing", "content": {
        "room_id": room, "user_id": user, "typing": true,
    }})
}

fn receipt(room: &str, user: &str, event: &str) -> Value {
    json!({ "edu_type": "m.receipt", "content": {
        room: { "m.read": { user: { "data": { "ts": 7 }, "event_ids": [event] } } },
    }})
}

/// What the user sees of a kind in a room.
async fn seen(user: &TestUser, room: &str, kind: &str) -> Value {
    let sync = user.sync(None).await;
    let events = sync["rooms"]["join"][room]["ephemeral"]["events"].clone();
    let events = events.as_array().cloned().unwrap_or_default();
    let event = events.into_iter().find(|event| event["type"] == kind);
    event.map_or(Value::Null, |mut event| event["content"].take())
}

#[tokio::test]
async fn typing_and_receipts_come_in_and_bad_ones_spoil_nothing() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let (eve, stranger) = (partner.user("eve"), partner.user("stranger"));
    let room = shared_room(&home, &alice, &[&partner]).await;
    let (first, second) = (alice.say(&room, "one").await, alice.say(&room, "two").await);
    let huge = "x".repeat(300 << 10);
    let mut of_many = receipt(&room, &eve, &first);
    of_many["content"]["!unknown:x"] = json!({ "m.read": {} });
    of_many["content"]["no room"] = json!(7);
    of_many["content"][&room]["m.read"]["no user"] = json!([]);
    of_many["content"][&room]["m.read"][&alice.id] =
        json!({ "data": { "ts": 7 }, "event_ids": [second] });
    let edus = json!([
        7,
        { "edu_type": "m.typing" },
        { "edu_type": "m.typing", "content": [] },
        { "edu_type": "m.unheard_of", "content": { "huge": huge } },
        { "edu_type": "m.presence", "content": { "push": [{ "user_id": alice.id }] } },
        typing(&room, &alice.id),
        typing(&room, &stranger),
        typing("!unknown:x", &eve),
        receipt(&room, &stranger, &second),
        receipt(&room, &eve, "$unknown"),
        of_many,
        typing(&room, &eve),
    ]);
    partner.send(&home, "one", json!([]), edus).await;
    assert_eq!(
        seen(&alice, &room, "m.typing").await,
        json!({ "user_ids": [eve] })
    );
    let read = json!({ (first.as_str()): { "m.read": { (eve.as_str()): { "ts": 7 } } } });
    assert_eq!(seen(&alice, &room, "m.receipt").await, read);

    // Forward only, and each thread for itself.
    let mut threaded = receipt(&room, &eve, &second);
    threaded["content"][&room]["m.read"][&eve]["data"]["thread_id"] = json!("main");
    let edus = json!([
        receipt(&room, &eve, &second),
        threaded,
        receipt(&room, &eve, &first)
    ]);
    partner.send(&home, "two", json!([]), edus).await;
    let receipts = home
        .server
        .app
        .sync
        .room_by_id((&*room).try_into().unwrap());
    let no = receipts.await.unwrap().unwrap().no;
    let receipts = home.server.app.sync.receipts(no).await.unwrap();
    let user = eve.as_str().try_into().unwrap();
    let mut told: Vec<_> = receipts
        .of(user)
        .map(|it| (it.thread.clone(), it.event_id.to_string()))
        .collect();
    told.sort();
    let main = Some("main".to_owned());
    assert_eq!(told, [(None, second.clone()), (main, second.clone())]);

    // Nobody types for ever.
    home.server.clock.advance(Duration::from_mins(2));
    partner
        .send(&home, "three", json!([]), json!([typing(&room, &stranger)]))
        .await;
    let mut edu = typing(&room, &eve);
    edu["content"]["typing"] = json!(false);
    partner.send(&home, "four", json!([]), json!([edu])).await;
    assert_eq!(seen(&alice, &room, "m.typing").await, Value::Null);
}

#[tokio::test]
async fn a_room_that_keeps_the_server_out_hears_nothing_of_it() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let eve = partner.user("eve");
    let room = shared_room(&home, &alice, &[&partner]).await;
    let event = alice.say(&room, "one").await;
    let acl = json!({ "allow": ["*"], "deny": ["localhost"], "allow_ip_literals": true });
    let path = format!(
        "/_matrix/client/v3/rooms/{}/state/m.room.server_acl/",
        encode(&room)
    );
    alice.put(&path).json(&acl).send().await.ok();
    let edus = json!([typing(&room, &eve), receipt(&room, &eve, &event)]);
    partner.send(&home, "one", json!([]), edus).await;
    assert_eq!(seen(&alice, &room, "m.typing").await, Value::Null);
    assert_eq!(seen(&alice, &room, "m.receipt").await, Value::Null);
}

#[tokio::test]
async fn the_work_on_receipts_is_bounded() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let eve = partner.user("eve");
    let room = shared_room(&home, &alice, &[&partner]).await;
    let event = alice.say(&room, "one").await;
    let mut edu = receipt(&room, &eve, &event);
    for number in 0..10_000 {
        edu["content"][format!("!!{number}:x")] = json!({});
    }
    // Rooms come in the order of their ids: that of the room is after all of these.
    let edus = json!([edu, typing(&room, &eve)]);
    partner.send(&home, "one", json!([]), edus).await;
    assert_eq!(seen(&alice, &room, "m.receipt").await, Value::Null);
    assert_eq!(seen(&alice, &room, "m.typing").await, Value::Null);
    let edus = json!([receipt(&room, &eve, &event)]);
    partner.send(&home, "two", json!([]), edus).await;
    assert_ne!(seen(&alice, &room, "m.receipt").await, Value::Null);
}

#[tokio::test]
async fn a_transaction_that_comes_again_is_worked_through_once() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let (one, two) = tokio::join!(Partner::start(), Partner::start());
    let room = shared_room(&home, &alice, &[&one, &two]).await;
    let (eve, eva) = (one.user("eve"), two.user("eve"));
    one.send(&home, "same", json!([]), json!([])).await;
    one.send(&home, "same", json!([]), json!([typing(&room, &eve)]))
        .await;
    assert_eq!(seen(&alice, &room, "m.typing").await, Value::Null);
    // Ids are each server's own.
    two.send(&home, "same", json!([]), json!([typing(&room, &eva)]))
        .await;
    assert_eq!(
        seen(&alice, &room, "m.typing").await,
        json!({ "user_ids": [eva] })
    );
}

#[tokio::test]
async fn a_transaction_that_is_too_large_is_refused_as_a_whole() {
    let home = Peer::start().await;
    let alice = home.server.register("alice").await;
    let partner = Partner::start().await;
    let eve = partner.user("eve");
    let room = shared_room(&home, &alice, &[&partner]).await;
    let edu = typing(&room, &eve);
    let send = async |pdus: usize, edus: usize| {
        let body = json!({
            "origin": partner.name,
            "origin_server_ts": 1,
            "pdus": vec![json!({}); pdus],
            "edus": vec![edu.clone(); edus],
        });
        let path = format!("/_matrix/federation/v1/send/{pdus}-{edus}");
        let (method, text) = (Method::PUT, body.to_string());
        let header = partner.sign_request(&method, &path, &text, &home.name);
        let request = home.server.put(&path).header("authorization", &header);
        request.json(&body).send().await
    };
    send(51, 1).await.error(400, "M_INVALID_PARAM");
    send(0, 101).await.error(400, "M_INVALID_PARAM");
    assert_eq!(seen(&alice, &room, "m.typing").await, Value::Null);
    send(50, 100).await.ok();
    assert_ne!(seen(&alice, &room, "m.typing").await, Value::Null);
}
