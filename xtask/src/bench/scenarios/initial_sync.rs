//! The first /sync of an account with many rooms of twenty messages.

use crate::bench::fixture::{Bench, Person, message};
use crate::bench::meter::{Plan, Row, Target, measure};
use crate::wire::{Call, segment};
use anyhow::Result;

const MESSAGES: u64 = 20;
const FILTER: &str = r#"{"room":{"timeline":{"limit":20}}}"#;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut friend = bench.person("many_friend").await?;
    let mut syncer = bench.person("many").await?;
    let stages = [
        (bench.scale(50, 10), bench.scale(40, 5), Target::cpu(15.0)),
        (bench.scale(100, 20), bench.scale(20, 5), Target::default()),
        (bench.scale(200, 40), bench.scale(20, 5), Target::cpu(60.0)),
        (bench.scale(1000, 80), bench.scale(5, 3), Target::default()),
    ];
    let mut rows = Vec::new();
    let mut made = 0;
    for (rooms, count, target) in stages {
        while made < rooms {
            fill_room(&mut friend, &mut syncer, made).await?;
            made += 1;
        }
        let name = format!("initial sync, {rooms} rooms × {MESSAGES} messages");
        let plan = Plan {
            name: &name,
            warm_up: 1,
            count,
            target,
        };
        let wires = vec![syncer.wire.another().await?];
        let row = measure(&bench.server, &plan, wires, |_, _| {
            Call::get(format!(
                "/_matrix/client/v3/sync?timeout=0&filter={}",
                segment(FILTER)
            ))
        });
        rows.push(row.await?);
    }
    Ok(rows)
}

async fn fill_room(friend: &mut Person, syncer: &mut Person, number: u64) -> Result<()> {
    let room_id = friend.create_room(&format!("many {number}")).await?;
    syncer.join(&room_id).await?;
    for n in 0..MESSAGES {
        let sender = if n % 2 == 0 {
            &mut *friend
        } else {
            &mut *syncer
        };
        sender
            .wire
            .ok(message(&room_id, &format!("{number}-{n}")))
            .await?;
    }
    Ok(())
}
