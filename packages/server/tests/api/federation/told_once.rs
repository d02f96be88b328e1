//! Events that another server tells everybody of, and this one does not as well.

use serde_json::{Value, json};

use super::{pair::Peer, partner::Partner};
use crate::support::{TestUser, encode};

/// The membership events of a user that a server sent to the partner, and the texts of its messages.
fn sent_by(partner: &Partner, server: &Peer, user: &str) -> Vec<String> {
    let transactions = partner.transactions();
    let of_server = transactions
        .iter()
        .filter(|(_, body)| body["origin"] == *server.name.as_str());
    let pdus = of_server.flat_map(|(_, body)| body["pdus"].as_array().unwrap());
    let pdus = pdus.filter(|pdu| pdu["sender"] == user);
    let texts = pdus.map(|pdu| {
        let text = [&pdu["content"]["membership"], &pdu["content"]["body"]];
        text.iter().find_map(|it| it.as_str()).unwrap().to_owned()
    });
    texts.collect()
}

async fn join(user: &TestUser, room: &str, via: &Peer) {
    let path = format!("/_matrix/client/v3/join/{}", encode(room));
    let request = user.post(&path).query("via", &via.name).json(&json!({}));
    request.send().await.ok();
}

async fn leave(user: &TestUser, room: &str) {
    let path = format!("/_matrix/client/v3/rooms/{}/leave", encode(room));
    user.post(&path).json(&json!({})).send().await.ok();
}

fn restricted(outer: &str) -> Value {
    json!({
        "preset": "private_chat",
        "room_version": "11",
        "power_level_content_override": { "invite": 50 },
        "initial_state": [{
            "type": "m.room.join_rules",
            "state_key": "",
            "content": {
                "join_rule": "restricted",
                "allow": [{ "type": "m.room_membership", "room_id": outer }],
            },
        }],
    })
}

#[tokio::test]
async fn who_lets_a_user_in_tells_the_others() {
    let (here, there) = tokio::join!(
        Peer::start(),
        Peer::start_at("localhost", |builder| builder)
    );
    let alice = here.server.register("alice").await;
    let bob = there.server.register("bob").await;
    let carol = there.server.register("carol").await;
    let partner = Partner::start().await;
    let eve = partner.user("eve");
    let outer = json!({ "preset": "public_chat", "room_version": "11" });
    let outer = alice.create_room(outer).await;
    let inner = alice.create_room(restricted(&outer)).await;
    for room in [&outer, &inner] {
        partner.join(&here, room, &eve).await;
    }
    for room in [&outer, &inner] {
        join(&bob, room, &here).await;
    }
    // The room is on carol's server by now, which can't let her in itself.
    join(&carol, &outer, &there).await;
    let seen = |user: &str| {
        format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.member/{}",
            encode(&outer),
            encode(user)
        )
    };
    while alice.get(&seen(&carol.id)).send().await.status != 200 {
        tokio::task::yield_now().await;
    }
    join(&carol, &inner, &here).await;

    // What is built there is told from there: the first of it comes after what was not sent.
    for user in [&bob, &carol] {
        user.say(&inner, "hello").await;
        leave(user, &inner).await;
    }
    partner
        .until("both have left", |partner| {
            let left = |user: &TestUser| {
                sent_by(partner, &there, &user.id).ends_with(&["leave".to_owned()])
            };
            left(&bob) && left(&carol)
        })
        .await;
    assert_eq!(sent_by(&partner, &here, &bob.id), ["join", "join"]);
    assert_eq!(sent_by(&partner, &there, &bob.id), ["hello", "leave"]);
    // Into the outer room her own server let her.
    assert_eq!(sent_by(&partner, &here, &carol.id), ["join"]);
    assert_eq!(
        sent_by(&partner, &there, &carol.id),
        ["join", "hello", "leave"]
    );
}
