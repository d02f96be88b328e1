//! The server under test, and what scenarios need before they can measure: people and rooms.
//!
//! People are made through an application service, because its registrations hash no password:
//! thousands of them cost seconds.

use crate::homeserver::{Homeserver, Launch, SERVER_NAME};
use crate::wire::{Call, Wire, segment, text};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The load generator's application service token. It is worth nothing outside a bench server.
const AS_TOKEN: &str = "bench-application-service-token";
/// Every localpart that the application service owns begins with this.
const PREFIX: &str = "load_";

/// Writes the registration of the load generator's application service; returns its folder.
pub(crate) fn write_appservice(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("appservices");
    std::fs::create_dir_all(&folder)?;
    let registration = format!(
        "id: load\nurl: null\nas_token: {AS_TOKEN}\nhs_token: bench-homeserver-token\n\
         sender_localpart: load\nrate_limited: false\nnamespaces:\n  users:\n    - exclusive: true\n\
         \x20     regex: '@{PREFIX}.*'\n  aliases: []\n  rooms: []\n"
    );
    std::fs::write(folder.join("load.yaml"), registration)?;
    Ok(folder)
}

/// The server under test and the size of the run.
pub(crate) struct Bench {
    pub(crate) server: Homeserver,
    quick: bool,
    binary: PathBuf,
    folder: PathBuf,
    appservices: PathBuf,
}

impl Bench {
    /// A bench on a server that runs `binary` under `folder`, and loaded the registration that
    /// [`write_appservice`] put into `appservices`.
    pub(crate) fn new(
        server: Homeserver,
        quick: bool,
        (binary, folder, appservices): (&Path, &Path, &Path),
    ) -> Self {
        Self {
            server,
            quick,
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            appservices: appservices.to_owned(),
        }
    }

    /// Starts another server, which federates with others of its kind; returns its name as well.
    pub(crate) async fn peer(&self, folder: &str) -> Result<(Homeserver, String)> {
        let folder = self.folder.join(folder);
        std::fs::create_dir_all(&folder)?;
        let launch = Launch::new(&self.binary, &folder)?
            .with_appservices(&self.appservices)
            .with_federation()?;
        Ok((launch.start().await?, launch.server_name()))
    }

    /// `full`, or `quick` in a quick run.
    pub(crate) fn scale(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// A connection that may act as any of the application service's people.
    pub(crate) async fn appservice(&self) -> Result<Wire> {
        Self::appservice_of(&self.server).await
    }

    /// The same on another server.
    pub(crate) async fn appservice_of(server: &Homeserver) -> Result<Wire> {
        server.wire(AS_TOKEN).await
    }

    /// Registers a person and connects as them.
    pub(crate) async fn person(&self, localpart: &str) -> Result<Person> {
        Self::person_of(&self.server, localpart).await
    }

    /// The same on another server.
    pub(crate) async fn person_of(server: &Homeserver, localpart: &str) -> Result<Person> {
        let mut wire = server.wire(AS_TOKEN).await?;
        let answer = wire.json(registration(localpart)).await?;
        wire.set_token(text(&answer, "access_token")?);
        Ok(Person {
            user_id: text(&answer, "user_id")?,
            wire,
        })
    }

    /// Registers `count` people.
    pub(crate) async fn people(&self, stem: &str, count: u64) -> Result<Vec<Person>> {
        let mut people = Vec::new();
        for n in 0..count {
            people.push(self.person(&format!("{stem}{n}")).await?);
        }
        Ok(people)
    }
}

/// The user id of one of the application service's people.
pub(crate) fn user_id(localpart: &str) -> String {
    format!("@{PREFIX}{localpart}:{SERVER_NAME}")
}

/// Registers one of the application service's people.
pub(crate) fn registration(localpart: &str) -> Call {
    registration_of(localpart, None)
}

/// The same, with a device of a certain name.
pub(crate) fn registration_of(localpart: &str, device: Option<&str>) -> Call {
    let body = json!({
        "type": "m.login.application_service",
        "username": format!("{PREFIX}{localpart}"),
        // Null is as good as nothing.
        "device_id": device,
    });
    Call::post("/_matrix/client/v3/register", &body)
}

/// A logged-in person and their connection.
pub(crate) struct Person {
    pub(crate) user_id: String,
    pub(crate) wire: Wire,
}

impl Person {
    /// Creates a public room.
    pub(crate) async fn create_room(&mut self, name: &str) -> Result<String> {
        text(&self.wire.json(room_creation(name)).await?, "room_id")
    }

    /// Joins a public room.
    pub(crate) async fn join(&mut self, room_id: &str) -> Result<()> {
        let path = format!("/_matrix/client/v3/join/{}", segment(room_id));
        self.wire.ok(Call::post(path, &json!({}))).await.map(drop)
    }

    /// The sync token of now.
    pub(crate) async fn sync_token(&mut self) -> Result<String> {
        text(
            &self
                .wire
                .json(Call::get("/_matrix/client/v3/sync?timeout=0"))
                .await?,
            "next_batch",
        )
    }
}

/// A request for a public room.
pub(crate) fn room_creation(name: &str) -> Call {
    let body = json!({ "preset": "public_chat", "name": name });
    Call::post("/_matrix/client/v3/createRoom", &body)
}

/// A text message of an ordinary length under its own transaction id.
pub(crate) fn message(room_id: &str, txn_id: &str) -> Call {
    let body = format!("{txn_id}: the quick brown fox jumps over the lazy dog, and says so.");
    event(
        room_id,
        txn_id,
        &json!({ "msgtype": "m.text", "body": body }),
    )
}

/// An `m.room.message` with `content`.
pub(crate) fn event(room_id: &str, txn_id: &str, content: &Value) -> Call {
    let room_id = segment(room_id);
    let path = format!("/_matrix/client/v3/rooms/{room_id}/send/m.room.message/{txn_id}");
    Call::put(path, content)
}
