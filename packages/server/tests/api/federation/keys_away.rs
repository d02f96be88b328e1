//! Events of a server that does not tell its keys now.

use std::time::Duration;

use matryx_entity::{room_no::RoomNo, staged_event::StagedEvent};
use matryx_server::{
    federation::inbound::{Inbound, InboundDependencies},
    signing_key::SigningKey,
};
use serde_json::{Value, json};

use super::stranger::Visit;

const LONG: Duration = Duration::from_hours(2);

/// A room of eve, whose server has a new key that it tells nobody.
struct Silent {
    visit: Visit,
    key: SigningKey,
}

impl Silent {
    async fn new() -> Self {
        let visit = Visit::new("11").await;
        let key = visit.there.new_key();
        visit.there.publish(&[]);
        // Nobody is asked again so soon after an answer.
        visit.here.server.clock.advance(LONG);
        Self { visit, key }
    }

    /// A message of eve, signed with the new key.
    fn message(&self, body: &str, prev: &str, depth: u64) -> (String, Value) {
        let (_, event) = self.visit.message(body, &[prev], depth);
        self.visit.sign_with(&self.key, &event)
    }

    /// Lets everybody know the new key.
    fn tell(&self) {
        let there = &self.visit.there;
        there.publish(&[&there.key, &self.key]);
        self.visit.here.server.clock.advance(LONG);
    }

    async fn room(&self) -> RoomNo {
        let room = ruma::RoomId::parse(&self.visit.room).unwrap();
        let app = &self.visit.here.server.app;
        app.rooms.snapshot(&room).await.unwrap().no
    }

    async fn staged(&self) -> Vec<StagedEvent> {
        let room = self.room().await;
        let app = &self.visit.here.server.app;
        app.store.staged_events(room).await.unwrap()
    }

    /// Waits until what is staged is as it should be.
    async fn staged_until(&self, wanted: impl Fn(&[StagedEvent]) -> bool) {
        let look = async {
            while !wanted(&self.staged().await) {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, look).await.unwrap();
    }
}

fn fine(id: &str) -> Value {
    json!({ (id): {} })
}

#[tokio::test]
async fn an_event_whose_keys_can_not_be_had_waits_for_them() {
    let silent = Silent::new().await;
    let visit = &silent.visit;
    let since = visit.alice.sync(None).await;
    let (first, event) = silent.message("first", &visit.join, 20);
    let answer = visit.transaction("one", &json!([event])).await;
    assert_eq!(answer["pdus"], fine(&first));
    silent.staged_until(|rows| rows.len() == 1).await;

    // What comes next wakes the room, whose worker finds the key by now.
    silent.tell();
    let (second, event) = visit.message("second", &[&first], 21);
    let answer = visit.transaction("two", &json!([event])).await;
    assert_eq!(answer["pdus"], fine(&second));
    let shown = visit.bodies_until(&since, "second").await;
    assert_eq!(shown, ["first", "second"]);
    silent.staged_until(<[_]>::is_empty).await;
}

#[tokio::test]
async fn it_waits_over_a_restart() {
    let silent = Silent::new().await;
    let visit = &silent.visit;
    let since = visit.alice.sync(None).await;
    let (_, event) = silent.message("first", &visit.join, 20);
    visit.transaction("one", &json!([event])).await;
    silent
        .staged_until(|rows| rows.len() == 1 && rows[0].attempts == 1)
        .await;
    silent.tell();
    let app = &visit.here.server.app;
    // As a process does that starts on the same database.
    Inbound::start(InboundDependencies {
        rooms: app.rooms.clone(),
        key_ring: app.key_ring.clone(),
        acls: std::sync::Arc::clone(&app.acls),
        federation: app.federation.clone(),
        clock: std::sync::Arc::clone(&app.clock),
        tasks: app.tasks.clone(),
        shutdown: app.shutdown.clone(),
    })
    .await
    .unwrap();
    let shown = visit.bodies_until(&since, "first").await;
    assert_eq!(shown, ["first"]);
}

#[tokio::test]
async fn a_wrong_signature_is_refused_at_once() {
    let silent = Silent::new().await;
    let visit = &silent.visit;
    // By a key that is known, of another event.
    let (_, mut wrong) = visit.message("wrong", &[&visit.join], 20);
    wrong["depth"] = json!(21);
    let wrong_id = visit.id_of(&wrong);
    let answer = visit.transaction("one", &json!([wrong])).await;
    let error = &answer["pdus"][&wrong_id]["error"];
    assert!(error.as_str().unwrap().contains("believed"), "{answer}");

    // By a key that its server, which tells its keys, does not have.
    visit.there.publish(&[&visit.there.key]);
    visit.here.server.clock.advance(LONG);
    let (unknown, event) = silent.message("unknown", &visit.join, 20);
    let answer = visit.transaction("two", &json!([event])).await;
    let error = &answer["pdus"][&unknown]["error"];
    assert!(error.as_str().unwrap().contains("no valid key"), "{answer}");
    assert_eq!(silent.staged().await, []);
}

#[tokio::test]
async fn what_nobody_vouches_for_is_bounded_and_given_up_in_the_end() {
    let silent = Silent::new().await;
    let visit = &silent.visit;
    let mut fine = 0;
    for transaction in ["one", "two"] {
        let events: Vec<Value> = (0..40)
            .map(|nth| {
                let body = format!("{transaction} {nth}");
                silent.message(&body, &visit.join, 20).1
            })
            .collect();
        let answer = visit.transaction(transaction, &json!(events)).await;
        let results = answer["pdus"].as_object().unwrap().values();
        fine += results.filter(|result| **result == json!({})).count();
    }
    // The worker may have seen one that was not counted yet, and is then counted twice.
    assert!((45..=50).contains(&fine), "{fine}");
    // Others are not kept out by them.
    let since = visit.alice.sync(None).await;
    let chain = visit.chain(&visit.join, 2);
    let answer = visit.transaction("gap", &json!([chain[1].1])).await;
    assert_eq!(answer["pdus"][&chain[1].0], json!({}));
    visit.transaction("filled", &json!([chain[0].1])).await;
    visit.bodies_until(&since, "message 1").await;

    let mut last = chain[1].0.clone();
    for attempt in 1..=10 {
        silent
            .staged_until(|rows| rows.iter().all(|row| row.attempts >= attempt))
            .await;
        visit.here.server.clock.advance(LONG);
        // Wakes the room.
        let (id, event) = visit.message(&format!("attempt {attempt}"), &[&last], 30);
        last = id;
        visit.transaction(&last, &json!([event])).await;
    }
    silent.staged_until(<[_]>::is_empty).await;
}

#[tokio::test]
async fn an_event_with_a_made_up_signature_does_not_keep_the_real_one_out() {
    let silent = Silent::new().await;
    let visit = &silent.visit;
    let since = visit.alice.sync(None).await;
    let chain = visit.chain(&visit.join, 2);
    let (id, forged) = visit.sign_with(&silent.key, &chain[1].1);
    assert_eq!(id, chain[1].0);
    let answer = visit.transaction("one", &json!([forged])).await;
    assert_eq!(answer["pdus"], fine(&id));
    // The real one waits for what is before it.
    visit.transaction("two", &json!([chain[1].1])).await;
    visit.transaction("three", &json!([chain[0].1])).await;
    let shown = visit.bodies_until(&since, "message 1").await;
    assert_eq!(shown, ["message 0", "message 1"]);
}

#[tokio::test]
async fn nothing_is_answered_for_while_the_database_is_away() {
    let visit = Visit::new("11").await;
    let chain = visit.chain(&visit.join, 2);
    visit.here.server.app.store.close().await;
    for (id, (_, event)) in ["one", "two"].into_iter().zip(&chain) {
        let body = json!({ "origin": visit.there.name, "origin_server_ts": 1, "pdus": [event] });
        let path = format!("/_matrix/federation/v1/send/{id}");
        let answer = visit.there.put(&visit.here, &path, &body).await;
        assert!(answer.status.is_server_error(), "{}", answer.status);
    }
}

#[tokio::test]
async fn a_server_that_does_not_wait_for_answers_is_slowed_down() {
    let visit = Visit::new("11").await;
    let transactions = &visit.here.server.app.transactions;
    let begin = || transactions.begin(&visit.there.name);
    let places: Vec<_> = std::iter::from_fn(|| begin().ok()).collect();
    assert!(places.len() > 1);
    let body = json!({ "origin": visit.there.name, "origin_server_ts": 1, "pdus": [] });
    let path = "/_matrix/federation/v1/send/one";
    let answer = visit.there.put(&visit.here, path, &body).await;
    answer.error(429, "M_LIMIT_EXCEEDED");
    drop(places);
    visit.there.put(&visit.here, path, &body).await.ok();
    let again: Vec<_> = std::iter::from_fn(|| begin().ok()).collect();
    assert!(again.len() > 1, "the transaction is still under way");
}
