//! Register and log in with a password: the cost of the password hash and what else there is.

use crate::bench::fixture::Bench;
use crate::bench::meter::{Plan, Row, Target, measure};
use crate::wire::{Call, Wire};
use anyhow::Result;
use serde_json::json;

const WORKERS: u64 = 2;
const PASSWORD: &str = "correct horse battery staple";

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.scale(50, 5);
    let register = Plan {
        name: "register",
        warm_up: 0,
        count,
        target: Target::default(),
    };
    let login = Plan {
        name: "login",
        ..register
    };
    let registered = measure(
        &bench.server,
        &register,
        wires(bench).await?,
        |worker, n| {
            let body = json!({
                "username": name(worker, n),
                "password": PASSWORD,
                "auth": { "type": "m.login.dummy" },
            });
            Call::post("/_matrix/client/v3/register", &body)
        },
    );
    let registered = registered.await?;
    let logged_in = measure(&bench.server, &login, wires(bench).await?, |worker, n| {
        let body = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": name(worker, n) },
            "password": PASSWORD,
        });
        Call::post("/_matrix/client/v3/login", &body)
    });
    Ok(vec![registered, logged_in.await?])
}

async fn wires(bench: &Bench) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for _ in 0..WORKERS {
        wires.push(bench.server.anonymous().await?);
    }
    Ok(wires)
}

fn name(worker: usize, n: u64) -> String {
    format!("account_{worker}_{n}")
}
