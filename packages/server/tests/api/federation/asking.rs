//! The questions that another server asks about a room.

use std::fmt::Write;

use http::Method;
use matryx_entity::{
    build::{self, EventSigner, EventTemplate},
    verify::Unverified,
};
use matryx_server::{room::Judged, signing_key::SigningKey};
use ruma::{RoomId, UserId};
use serde_json::{Value, json};

use super::resident::Scene;
use crate::support::{Answer, encode};

impl Scene {
    pub(super) async fn ask(&self, what: &str, query: &str) -> Answer {
        let path = format!(
            "/_matrix/federation/v1/{what}/{}{query}",
            encode(&self.room)
        );
        self.get(&path).await
    }

    pub(super) async fn event(&self, id: &str) -> Answer {
        let path = format!("/_matrix/federation/v1/event/{}", encode(id));
        self.get(&path).await
    }

    pub(super) async fn backfill(&self, from: &[&str], limit: u32) -> Vec<Value> {
        let mut query = format!("?limit={limit}");
        for id in from {
            write!(query, "&v={}", encode(id)).unwrap();
        }
        let answer = self.ask("backfill", &query).await.ok();
        assert_eq!(answer["origin"], self.here.name.as_str());
        assert!(answer["origin_server_ts"].is_u64());
        answer["pdus"].as_array().unwrap().clone()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Answer {
        let header = self.header(&Method::POST, path, body.to_string().as_bytes());
        let request = self.here.server.post(path);
        let request = request.header("authorization", &header.to_string());
        request.json(body).send().await
    }

    pub(super) async fn missing(&self, body: &Value) -> Vec<Value> {
        let path = format!(
            "/_matrix/federation/v1/get_missing_events/{}",
            encode(&self.room)
        );
        let answer = self.post(&path, body).await.ok();
        answer["events"].as_array().unwrap().clone()
    }

    pub(super) async fn put_state(&self, kind: &str, content: &Value) -> String {
        let room = encode(&self.room);
        let path = format!("/_matrix/client/v3/rooms/{room}/state/{kind}/");
        let answer = self.alice.put(&path).json(content).send().await.ok();
        answer["event_id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn act(&self, what: &str, body: &Value) {
        let path = format!("/_matrix/client/v3/rooms/{}/{what}", encode(&self.room));
        self.alice.post(&path).json(body).send().await.ok();
    }

    /// Invites eve without asking her server.
    pub(super) async fn invite_by_hand(&self) {
        let app = &self.here.server.app;
        let room = RoomId::parse(&self.room).unwrap();
        let room = app.rooms.snapshot(&room).await.unwrap();
        let key = SigningKey::load(&app.data_dir.signing_key_file()).unwrap();
        let signer = EventSigner::new(self.here.name.clone(), key.pair);
        let content = serde_json::from_value(json!({ "membership": "invite" })).unwrap();
        let template = EventTemplate::state("m.room.member".into(), &self.eve, content);
        let alice = UserId::parse(&self.alice.id).unwrap();
        let pdu = build::build(template, &room, &alice, app.clock.now(), &signer).unwrap();
        let event = Unverified::parse(pdu.json(), &room.version).unwrap();
        let event = app.key_ring.verify(event).await.unwrap();
        let judged = app.rooms.receive(room.no, event, None).await.unwrap();
        assert!(matches!(judged, Judged::Accepted), "{judged:?}");
    }

    pub(super) fn ids(&self, events: &[Value]) -> Vec<String> {
        events.iter().map(|event| self.id_of(event)).collect()
    }
}
