//! The cheapest authenticated requests: whoami and one's own profile.

use crate::bench::fixture::{Bench, Person};
use crate::bench::meter::{Plan, Row, Target, measure};
use crate::wire::{Call, segment};
use anyhow::Result;
use serde_json::json;

const WORKERS: u64 = 16;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let mut people = bench.people("reader", WORKERS).await?;
    for person in &mut people {
        let path = format!("{}/displayname", profile_path(person));
        person
            .wire
            .ok(Call::put(path, &json!({ "displayname": "A Reader" })))
            .await?;
    }
    let paths: Vec<String> = people.iter().map(profile_path).collect();
    let count = bench.scale(4000, 400);
    let whoami = Plan {
        name: "whoami",
        warm_up: 100,
        count,
        target: Target::cpu(0.03),
    };
    let profile = Plan {
        name: "profile",
        target: Target::cpu(0.04),
        ..whoami
    };

    let mut first = Vec::new();
    for person in &people {
        first.push(person.wire.another().await?);
    }
    let asked = measure(&bench.server, &whoami, first, |_, _| {
        Call::get("/_matrix/client/v3/account/whoami")
    });
    let asked = asked.await?;
    let second = people.into_iter().map(|person| person.wire).collect();
    let looked = measure(&bench.server, &profile, second, move |worker, _| {
        Call::get(paths.get(worker).cloned().unwrap_or_default())
    });
    Ok(vec![asked, looked.await?])
}

fn profile_path(person: &Person) -> String {
    format!("/_matrix/client/v3/profile/{}", segment(&person.user_id))
}
