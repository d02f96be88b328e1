//! `GET /rooms/{roomId}/timestamp_to_event`

use std::time::Duration;

use serde_json::json;

use super::{room_path, say_many};
use crate::support::TestServer;

#[tokio::test]
async fn finds_the_closest_event_on_either_side() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let room = alice.create_room(json!({})).await;
    say_many(&alice, &room, 100).await;
    server.clock.advance(Duration::from_mins(1));
    let wanted = alice.say(&room, "wanted").await;
    server.clock.advance(Duration::from_mins(1));
    let next = say_many(&alice, &room, 100).await.swap_remove(0);

    let path = format!(
        "/_matrix/client/v1/rooms/{}/timestamp_to_event",
        crate::support::encode(&room)
    );
    let event = room_path(&room, &format!("event/{}", crate::support::encode(&wanted)));
    let ts = alice.get(&event).send().await.ok()["origin_server_ts"]
        .as_u64()
        .unwrap();
    let ask = |ts: u64, dir: &str| {
        let request = alice.get(&path).query("ts", ts.to_string());
        request.query("dir", dir)
    };
    for (ts, dir, found) in [
        (ts, "f", &wanted),
        (ts, "b", &wanted),
        (ts - 30_000, "f", &wanted),
        (ts + 30_000, "b", &wanted),
        (ts + 1, "f", &next),
    ] {
        let body = ask(ts, dir).send().await.ok();
        assert_eq!(body["event_id"], **found, "{dir} {ts}");
        assert!(body["origin_server_ts"].is_u64());
    }
    ask(1, "b").send().await.error(404, "M_NOT_FOUND");
    ask(9_007_199_254_740_991, "f")
        .send()
        .await
        .error(404, "M_NOT_FOUND");
    ask(1, "f").send().await.ok();
    let outside = bob
        .get(&path)
        .query("ts", "1")
        .query("dir", "f")
        .send()
        .await;
    outside.error(403, "M_FORBIDDEN");
    alice
        .get(&path)
        .query("dir", "f")
        .send()
        .await
        .error(400, "M_MISSING_PARAM");
    let garbage = alice
        .get(&path)
        .query("ts", "x")
        .query("dir", "f")
        .send()
        .await;
    garbage.error(400, "M_INVALID_PARAM");
}
