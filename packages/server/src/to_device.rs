//! Messages from device to device, past all rooms: mostly keys on their way.
//!
//! A message for a device of this server is a row that stays until the device has shown that it got
//! it. Messages for users of another server leave as durable EDUs ([`crate::federation::sender`]).
//! All that a request asks for is one commit, with the log entry that makes a retry of it do nothing.
//! Devices that do not exist get nothing, and nobody is told.
//! [Spec](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging)

mod addressees;
mod error;
mod parcels;
mod received;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use matryx_client::{
    Flights,
    sync::{Attachment, SyncEngine},
};
use matryx_entity::{
    canonical,
    clock::Clock,
    log::{ClientTransaction, LogEntry},
    position::Position,
    queued_edu::QueuedEdu,
    to_device::ToDeviceMessage,
};
use matryx_surrealdb::{Plan, Store};
use ruma::{
    OwnedServerName, OwnedUserId, events::AnyToDeviceEventContent, serde::Raw,
    to_device::DeviceIdOrAllDevices,
};

use self::addressees::Addressees;
pub use self::{error::ToDeviceError, received::DirectToDevice};

/// The most messages of one request, each device that it reaches counted.
pub const MAX_MESSAGES: usize = 1_000;

/// The most bytes of one message's content: with all its names it fits into an EDU of 64 KiB.
pub const MAX_CONTENT: usize = 60 << 10;

/// The most bytes of a message's type: that of an event's.
pub const MAX_KIND: usize = 255;

/// Contents by user and device.
pub type Contents =
    BTreeMap<OwnedUserId, BTreeMap<DeviceIdOrAllDevices, Raw<AnyToDeviceEventContent>>>;

/// Messages of one type that a client sends.
#[derive(Clone, Debug)]
pub struct Messages {
    /// Who sends.
    pub sender: OwnedUserId,
    /// `type`.
    pub kind: String,
    /// What, and for whom.
    pub contents: Contents,
}

/// Delivers messages to devices. Cheap to clone.
#[derive(Clone)]
pub struct ToDevice(Arc<Inner>);

struct Inner {
    store: Store,
    sync: SyncEngine,
    server_name: OwnedServerName,
    clock: Arc<dyn Clock>,
    /// Requests that are being carried out: a retry waits for the first one.
    flights: Flights<ClientTransaction, Result<(), ToDeviceError>>,
}

impl ToDevice {
    /// The service of a server.
    pub fn new(
        store: Store,
        sync: SyncEngine,
        server_name: OwnedServerName,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            sync,
            server_name,
            clock,
            flights: Flights::default(),
        }))
    }

    /// Sends messages, once per transaction id. Done when they are durable: two queries at most for
    /// every hundred devices, and one commit.
    ///
    /// # Errors
    /// 400 for a content that is no object; 413 for too many messages, or too large ones; the
    /// database is away.
    pub async fn send(
        &self,
        txn: ClientTransaction,
        messages: Messages,
    ) -> Result<(), ToDeviceError> {
        messages.check()?;
        let start = || -> BoxFuture<'static, _> {
            let (this, txn) = (self.clone(), txn.clone());
            async move { this.send_once(txn, messages).await }.boxed()
        };
        self.0.flights.join(&txn, start).await
    }

    async fn send_once(
        &self,
        txn: ClientTransaction,
        messages: Messages,
    ) -> Result<(), ToDeviceError> {
        if self.0.sync.was_carried_out(&txn) {
            return Ok(());
        }
        let Messages {
            sender,
            kind,
            contents,
        } = messages;
        let is_local = |user: &OwnedUserId| user.server_name() == self.0.server_name;
        let (local, remote): (Contents, Contents) =
            contents.into_iter().partition(|(user, _)| is_local(user));
        check_canonical(&remote)?;
        let mut plan = Plan::new();
        let known = self.addressees([&local]).await?;
        let here = Messages {
            sender: sender.clone(),
            kind: kind.clone(),
            contents: local,
        };
        plan_delivery(&mut plan, &here, &known)?;
        for (server, json) in parcels::pack(&sender, &kind, remote) {
            let server = server.clone();
            let at = plan.log(LogEntry::QueuedEdu {
                server: server.clone(),
            });
            let waiting = QueuedEdu {
                server,
                at: Position::default(),
                queued_ts: Some(self.0.clock.now()),
                json,
            };
            plan.create_at(&waiting, at);
        }
        if plan.is_empty() {
            return Ok(());
        }
        plan.log(LogEntry::SentToDevice { txn });
        self.0.store.commit(plan).await?;
        Ok(())
    }
}

impl Messages {
    /// Nothing of this is for the store to find out.
    fn check(&self) -> Result<(), ToDeviceError> {
        if self.kind.len() > MAX_KIND {
            return Err(ToDeviceError::TypeTooLong);
        }
        let contents = self.contents.values().flat_map(BTreeMap::values);
        let mut count = 0;
        for content in contents {
            let text = content.json().get();
            if text.len() > MAX_CONTENT {
                return Err(ToDeviceError::TooLarge);
            }
            if !text.starts_with('{') {
                return Err(ToDeviceError::NotAnObject);
            }
            count += 1;
        }
        if count > MAX_MESSAGES {
            return Err(ToDeviceError::TooMany);
        }
        Ok(())
    }
}

/// Requests to other servers are canonical JSON, or they can't be signed.
fn check_canonical(contents: &Contents) -> Result<(), ToDeviceError> {
    for content in contents.values().flat_map(BTreeMap::values) {
        canonical::parse_object(content.json().get())
            .map_err(|_no_canonical_json| ToDeviceError::NotCanonical)?;
    }
    Ok(())
}

/// Adds a row for every device that exists, and a log entry for every user who has one. How many
/// rows that are.
fn plan_delivery(
    plan: &mut Plan,
    messages: &Messages,
    known: &Addressees,
) -> Result<usize, ToDeviceError> {
    let mut count = 0;
    for (user, contents) in &messages.contents {
        let rows: Vec<Arc<ToDeviceMessage>> = known
            .of(user, contents)
            .into_iter()
            .map(|(device_id, content)| {
                Arc::new(ToDeviceMessage {
                    user: user.clone(),
                    device_id,
                    at: Position::default(),
                    sender: messages.sender.clone(),
                    kind: messages.kind.clone(),
                    content: content.json().get().to_owned(),
                })
            })
            .collect();
        count += rows.len();
        if count > MAX_MESSAGES {
            return Err(ToDeviceError::TooMany);
        }
        if rows.is_empty() {
            continue;
        }
        let entry = LogEntry::ToDevice {
            user: user.clone(),
            devices: rows.iter().map(|row| row.device_id.clone()).collect(),
        };
        let rows: Arc<[_]> = rows.into();
        let at = plan.log_with(entry, Arc::new(Attachment::ToDevice(Arc::clone(&rows))));
        for row in &*rows {
            plan.create_at(&**row, at);
        }
    }
    Ok(count)
}
