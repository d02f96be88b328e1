//! People, and what they do on one of their devices.

use std::{env, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use matrix_sdk::{
    Client, RoomMemberships,
    config::SyncSettings,
    deserialized_responses::TimelineEventKind,
    encryption::{BackupDownloadStrategy, EncryptionSettings},
    reqwest::Certificate,
    ruma::{
        DeviceId, EventId, OwnedEventId, RoomId, UserId,
        api::client::{account::register::v3::Request as Register, uiaa},
        events::room::message::RoomMessageEventContent,
    },
};
use serde_json::Value;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

const PASSWORD: &str = "a password for the rust sdk";
/// Longest wait for something that crosses servers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds.
pub async fn until(what: &str, holds: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !holds().await? {
        ensure!(
            Instant::now() < end,
            "after {PATIENCE:?} there is still no {what}"
        );
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// How people come to a server.
pub struct Opening {
    authority: Option<Certificate>,
    stamp: u128,
}

impl Opening {
    /// Trusts the authority in the file `AUTHORITY`, if there is one.
    pub fn new() -> Result<Self> {
        let authority = match env::var("AUTHORITY") {
            Ok(file) => Some(Certificate::from_pem(&fs::read(file)?)?),
            Err(_) => None,
        };
        let stamp = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        Ok(Self { authority, stamp })
    }

    async fn client(&self, url: &str) -> Result<Client> {
        let settings = EncryptionSettings {
            auto_enable_cross_signing: true,
            auto_enable_backups: true,
            backup_download_strategy: BackupDownloadStrategy::Manual,
        };
        let builder = Client::builder()
            .homeserver_url(url)
            .with_encryption_settings(settings);
        let builder = builder.add_root_certificates(self.authority.clone().into_iter().collect());
        Ok(builder.build().await?)
    }

    /// Somebody new.
    pub async fn register(&self, url: &str, name: &str) -> Result<Person> {
        let client = self.client(url).await?;
        let mut request = Register::new();
        request.username = Some(format!("{name}-rust-{}", self.stamp));
        request.password = Some(PASSWORD.to_owned());
        request.auth = Some(uiaa::AuthData::Dummy(uiaa::Dummy::new()));
        client.matrix_auth().register(request).await?;
        let person = Person::start(client).await?;
        let encryption = person.client.encryption();
        let status = encryption.cross_signing_status().await;
        let status = status.context("no cross-signing")?;
        ensure!(status.is_complete(), "no cross-signing: {status:?}");
        Ok(person)
    }

    /// A further device.
    pub async fn login(&self, url: &str, person: &Person) -> Result<Person> {
        let client = self.client(url).await?;
        let login = client.matrix_auth().login_username(person.id(), PASSWORD);
        login.initial_device_display_name("another").send().await?;
        Person::start(client).await
    }
}

/// Somebody on one device, which syncs until they are gone.
pub struct Person {
    pub client: Client,
    syncing: AbortHandle,
}

impl Drop for Person {
    fn drop(&mut self) {
        self.syncing.abort();
    }
}

impl Person {
    async fn start(client: Client) -> Result<Self> {
        client
            .encryption()
            .wait_for_e2ee_initialization_tasks()
            .await;
        client.sync_once(SyncSettings::default()).await?;
        let other = client.clone();
        let syncing = tokio::spawn(async move { other.sync(SyncSettings::default()).await });
        let syncing = syncing.abort_handle();
        Ok(Self { client, syncing })
    }

    pub fn id(&self) -> &UserId {
        self.client.user_id().expect("somebody is logged in")
    }

    pub fn device(&self) -> &DeviceId {
        self.client.device_id().expect("somebody is logged in")
    }

    pub async fn log_out(&self) -> Result<()> {
        self.syncing.abort();
        Ok(self.client.logout().await?)
    }

    fn room(&self, room: &RoomId) -> Result<matrix_sdk::Room> {
        self.client.get_room(room).context("the room is not there")
    }

    /// Says something.
    pub async fn say(&self, room: &RoomId, text: &str) -> Result<OwnedEventId> {
        let room = self.room(room)?;
        room.request_encryption_state().await?;
        ensure!(
            room.encryption_state().is_encrypted(),
            "the room is not encrypted"
        );
        let sent = room.send(RoomMessageEventContent::text_plain(text)).await?;
        Ok(sent.response.event_id)
    }

    /// What was said, if this device can read it.
    async fn read(&self, room: &RoomId, event_id: &EventId) -> Result<Option<String>> {
        let event = match self.room(room)?.event(event_id, None).await {
            Ok(event) => event,
            // It may not be here yet.
            Err(_) => return Ok(None),
        };
        let TimelineEventKind::Decrypted(event) = event.kind else {
            return Ok(None);
        };
        let event: Value = event.event.deserialize_as_unchecked()?;
        Ok(event["content"]["body"].as_str().map(str::to_owned))
    }

    /// Waits until this device reads it.
    pub async fn reads(&self, room: &RoomId, event_id: &EventId, text: &str) -> Result<()> {
        let reads = async || Ok(self.read(room, event_id).await?.as_deref() == Some(text));
        until(&format!("text of `{text}` on {}", self.device()), reads).await
    }

    /// This device has the event and not its key.
    pub async fn does_not_read(&self, room: &RoomId, event_id: &EventId) -> Result<()> {
        let event = self.room(room)?.event(event_id, None).await?;
        match event.kind {
            TimelineEventKind::UnableToDecrypt { .. } => Ok(()),
            kind => bail!("it is {kind:?}"),
        }
    }

    /// The session with which an event was encrypted.
    pub async fn session(&self, room: &RoomId, event_id: &EventId) -> Result<String> {
        let event = self.room(room)?.event(event_id, None).await?;
        let info = event.encryption_info().context("it was not encrypted")?;
        Ok(info.session_id().context("no session")?.to_owned())
    }

    /// The sessions whose keys this device has.
    pub async fn sessions(&self) -> Result<Vec<String>> {
        let mut sessions = Vec::new();
        let encryption = self.client.encryption();
        // Nothing is exported: each is looked at, and left out.
        let export = encryption.export_room_keys(PathBuf::from("/dev/null"), "", |session| {
            sessions.push(session.session_id().to_owned());
            false
        });
        export.await?;
        Ok(sessions)
    }

    /// Waits until this device knows exactly these of somebody, without asking for them.
    pub async fn knows(&self, devices: &[&Person]) -> Result<()> {
        let mut wanted: Vec<_> = devices
            .iter()
            .map(|person| person.device().to_owned())
            .collect();
        wanted.sort();
        let owner = devices.first().context("nobody")?.id();
        let knows = async || {
            let known = self.client.encryption().get_user_devices(owner).await?;
            let mut known: Vec<_> = known.keys().map(ToOwned::to_owned).collect();
            known.sort();
            Ok(known == wanted)
        };
        until(&format!("list of {wanted:?} at {}", self.id()), knows).await
    }

    /// Waits until somebody is in a room, or no longer.
    pub async fn sees(&self, room: &RoomId, somebody: &Person, joined: bool) -> Result<()> {
        let room = self.room(room)?;
        let is_there = async || {
            let members = room.members_no_sync(RoomMemberships::JOIN).await?;
            let found = members
                .iter()
                .any(|member| member.user_id() == somebody.id());
            Ok(found == joined)
        };
        until("change of membership", is_there).await
    }
}
