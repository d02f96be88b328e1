//! Messages for a server that does not come back.

use std::time::Duration;

use matryx_entity::queued_edu::QueuedEdu;
use matryx_surrealdb::KeyRange;
use serde_json::{Value, json};

use super::{pair::Peer, partner::Partner, sender::until};
use crate::send_to_device::{send, text};

const DAY: Duration = Duration::from_hours(24);

async fn queued(home: &Peer) -> usize {
    let rows = home.server.app.store.range::<QueuedEdu>(KeyRange::all());
    rows.await.unwrap().len()
}

#[tokio::test]
async fn what_waits_too_long_is_given_up() {
    let home = Peer::start_with(|builder| builder.set("federation.retry.first", "1h")).await;
    let alice = home.server.register("alice").await;
    let mut partner = Partner::start().await;
    let eve = partner.user("eve");
    partner.vanish().await;
    let to_eve = |what: &str| json!({ (eve.as_str()): { "*": text(what) } });
    send(&alice, "old", to_eve("old")).await;
    let sender = &home.server.app.sender;
    // Nothing is on its way from now on.
    until(|| sender.destinations().iter().any(|it| it.failures > 0)).await;
    home.server.clock.advance(29 * DAY);
    sender.give_up_old().await.unwrap();
    assert_eq!(queued(&home).await, 1);
    send(&alice, "new", to_eve("new")).await;
    home.server.clock.advance(2 * DAY);
    sender.give_up_old().await.unwrap();
    assert_eq!(queued(&home).await, 1);

    partner.listen().await;
    partner
        .until("the rest", |partner| {
            sender.retry(Some(&partner.name));
            !partner.edus().is_empty()
        })
        .await;
    let told = partner.edus();
    let told: Vec<&Value> = told
        .iter()
        .map(|edu| &edu["content"]["messages"][&eve]["*"]["text"])
        .collect();
    assert_eq!(told, [&json!("new")]);
}
