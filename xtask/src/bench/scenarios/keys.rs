//! Ask for the keys of a hundred users, and claim one-time keys.

use crate::bench::fixture::{Bench, Person};
use crate::bench::meter::{Plan, Row, Target, measure};
use crate::wire::{Call, Wire, text};
use anyhow::{Context as _, Result, ensure};
use ruma::CanonicalJsonObject;
use ruma::serde::{Base64, base64::Standard};
use ruma::signatures::{Ed25519KeyPair, sign_json};
use serde_json::{Map, Value, json};

const WORKERS: u64 = 4;

/// One-time keys in an upload.
const BATCH: u64 = 100;

pub(crate) async fn run(bench: &Bench) -> Result<Vec<Row>> {
    let users = bench.scale(100, 20);
    let mut people = bench.people("keeper", users).await?;
    let mut wanted = Map::new();
    for person in &mut people {
        Device::publish(person).await?;
        wanted.insert(person.user_id.clone(), json!([]));
    }
    let asker = people.first().context("nobody")?;
    let body = json!({ "device_keys": wanted });
    expect_all(&mut asker.wire.another().await?, &body, users).await?;
    let name = format!("keys/query of {users} users");
    let query = Plan {
        name: &name,
        warm_up: 5,
        count: bench.scale(200, 20),
        target: Target::cpu(10.0),
    };
    let wires = wires(asker).await?;
    let told = measure(&bench.server, &query, wires, move |_, _| {
        Call::post("/_matrix/client/v3/keys/query", &body)
    });
    let told = told.await?;

    let count = bench.scale(100, 20);
    let mut giver = bench.person("giver").await?;
    let device = Device::publish(&mut giver).await?;
    device.stock(&mut giver, WORKERS * count).await?;
    let claim = Plan {
        name: "keys/claim of one device",
        warm_up: 0,
        count,
        target: Target::default(),
    };
    let wires = self::wires(asker).await?;
    let body = json!({ "one_time_keys": {
        (giver.user_id.as_str()): { (device.id.as_str()): "signed_curve25519" },
    } });
    let claimed = measure(&bench.server, &claim, wires, move |_, _| {
        Call::post("/_matrix/client/v3/keys/claim", &body)
    });
    let claimed = claimed.await?;
    let left = device.upload(&mut giver, &json!({})).await?;
    ensure!(left == 0, "{left} keys are left: not every claim got one");
    Ok(vec![told, claimed])
}

async fn wires(person: &Person) -> Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for _ in 0..WORKERS {
        wires.push(person.wire.another().await?);
    }
    Ok(wires)
}

async fn expect_all(wire: &mut Wire, body: &Value, users: u64) -> Result<()> {
    let answer = wire
        .json(Call::post("/_matrix/client/v3/keys/query", body))
        .await?;
    let found = answer.get("device_keys").and_then(Value::as_object);
    let found = found.into_iter().flat_map(Map::values);
    let devices: usize = found.filter_map(|of| of.as_object().map(Map::len)).sum();
    ensure!(
        u64::try_from(devices)? == users,
        "{devices} devices are told of {users} users"
    );
    Ok(())
}

/// A device with keys.
struct Device {
    user_id: String,
    id: String,
    pair: Ed25519KeyPair,
}

impl Device {
    /// Makes and uploads the identity keys of the device that a person is logged in with.
    async fn publish(person: &mut Person) -> Result<Self> {
        let whoami = person
            .wire
            .json(Call::get("/_matrix/client/v3/account/whoami"))
            .await?;
        let id = text(&whoami, "device_id")?;
        let user_id = person.user_id.clone();
        let pair = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), id.clone())?;
        let public = Base64::<Standard, _>::new(pair.public_key()).encode();
        let device = Self { user_id, id, pair };
        let keys = device.signed(json!({
            "user_id": device.user_id,
            "device_id": device.id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                (format!("curve25519:{}", device.id)): public,
                (format!("ed25519:{}", device.id)): public,
            },
        }))?;
        device
            .upload(person, &json!({ "device_keys": keys }))
            .await?;
        Ok(device)
    }

    /// Uploads so many one-time keys.
    async fn stock(&self, person: &mut Person, count: u64) -> Result<()> {
        for first in (0..count).step_by(usize::try_from(BATCH)?) {
            let mut keys = Map::new();
            for number in first..count.min(first + BATCH) {
                let mut bytes = number.to_be_bytes().repeat(4);
                bytes.truncate(32);
                let key = Base64::<Standard, _>::new(bytes).encode();
                let id = format!("signed_curve25519:{number:06}");
                keys.insert(id, self.signed(json!({ "key": key }))?);
            }
            let left = self
                .upload(person, &json!({ "one_time_keys": keys }))
                .await?;
            ensure!(left == count.min(first + BATCH), "{left} keys are there");
        }
        Ok(())
    }

    /// How many one-time keys there are then.
    async fn upload(&self, person: &mut Person, body: &Value) -> Result<u64> {
        let call = Call::post("/_matrix/client/v3/keys/upload", body);
        let answer = person.wire.json(call).await?;
        let left = answer.pointer("/one_time_key_counts/signed_curve25519");
        left.and_then(Value::as_u64).context("no count")
    }

    fn signed(&self, object: Value) -> Result<Value> {
        let mut object: CanonicalJsonObject = serde_json::from_value(object)?;
        sign_json(&self.user_id, &self.pair, &mut object)?;
        Ok(serde_json::to_value(object)?)
    }
}
