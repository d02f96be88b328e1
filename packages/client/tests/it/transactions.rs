//! Which request made which event.

use matryx_client::sync::FollowerMode;
use matryx_entity::log::ClientTransaction;
use ruma::device_id;
use serde_json::json;

use crate::{
    response::{joined, value},
    world::{Draft, World, user},
};

#[tokio::test]
async fn only_the_sending_device_sees_its_transaction_also_after_a_restart() {
    let alice = user("alice");
    let mut world = World::new().await;
    let room = world.room(&alice, "shared").await;
    let transaction = ClientTransaction {
        user: alice.clone(),
        device: device_id!("DEVICE").to_owned(),
        txn_id: "t1".into(),
        scope: "m.room.message".to_owned(),
    };
    let mut draft = Draft::new(&alice, "m.room.message", json!({"body": "x"}));
    draft.txn = Some(transaction.clone());
    let event_id = world.add(room, draft).await;
    for restarted in [false, true] {
        if restarted {
            world.restart(FollowerMode::Both).await;
        }
        let known = world.engine.transaction(&transaction).unwrap();
        assert_eq!(known.as_str(), event_id);
        let mut other = transaction.clone();
        other.txn_id = "t2".into();
        assert_eq!(world.engine.transaction(&other), None);
        let own = world.initial(&alice).await;
        let last = joined(&world, &own, room).timeline.events.last().unwrap();
        assert_eq!(value(last)["unsigned"]["transaction_id"], "t1");
        let elsewhere = world
            .ask(&alice, None, |request| {
                request.device_id = Some(device_id!("OTHER").to_owned());
            })
            .await;
        let last = joined(&world, &elsewhere, room)
            .timeline
            .events
            .last()
            .unwrap();
        assert!(value(last)["unsigned"].get("transaction_id").is_none());
    }
}
