//! The scenarios, in the order in which they run: cheap reads first, then writes that fill the
//! store.

mod accounts;
mod create_room;
mod crowd;
mod delivery;
mod device_changes;
mod federation;
mod initial_sync;
mod keys;
mod messages;
mod million;
mod reads;
mod send;
mod sync_empty;
mod to_device;

use super::fixture::Bench;
use super::meter::Row;
use anyhow::Result;

/// One scenario: a file of this folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Accounts,
    Reads,
    CreateRoom,
    Send,
    Delivery,
    SyncEmpty,
    InitialSync,
    Keys,
    Messages,
    Crowd,
    ToDevice,
    DeviceChanges,
    RemoteJoin,
    RemoteEvents,
    Million,
}

impl Scenario {
    /// Every scenario, in running order.
    pub(crate) const ALL: [Self; 15] = [
        Self::Accounts,
        Self::Reads,
        Self::CreateRoom,
        Self::Send,
        Self::Delivery,
        Self::SyncEmpty,
        Self::InitialSync,
        Self::Keys,
        Self::Messages,
        Self::Crowd,
        Self::ToDevice,
        Self::DeviceChanges,
        Self::RemoteJoin,
        Self::RemoteEvents,
        Self::Million,
    ];

    /// The name that `--only` takes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Reads => "reads",
            Self::CreateRoom => "create_room",
            Self::Send => "send",
            Self::Delivery => "delivery",
            Self::SyncEmpty => "sync_empty",
            Self::InitialSync => "initial_sync",
            Self::Keys => "keys",
            Self::Messages => "messages",
            Self::Crowd => "crowd",
            Self::ToDevice => "to_device",
            Self::DeviceChanges => "device_changes",
            Self::RemoteJoin => "remote_join",
            Self::RemoteEvents => "remote_events",
            Self::Million => "million",
        }
    }

    /// Whether it runs without being named.
    pub(crate) fn is_usual(self) -> bool {
        self != Self::Million
    }

    /// One line for `--list`.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Accounts => "register and log in with a password",
            Self::Reads => "whoami and profile",
            Self::CreateRoom => "create public rooms",
            Self::Send => "send at concurrency 1, 16 and 64 into 1 and 50 rooms; 10 into 10",
            Self::Delivery => "from a send to the answers of 1, 10 and 100 waiting /sync",
            Self::SyncEmpty => "incremental /sync with nothing new",
            Self::InitialSync => "initial /sync of 50 to 1,000 rooms",
            Self::Keys => "keys/query of 100 users, and keys/claim",
            Self::Messages => "/messages over 10,000 events, 100 a page",
            Self::Crowd => "members, state, send and join in rooms of 1,000 and 5,000",
            Self::ToDevice => "send messages to one and to 20 devices, and receive them",
            Self::DeviceChanges => "/sync with 1,000 changed devices to tell of",
            Self::RemoteJoin => "join rooms of 1,000 to 20,000 on another server",
            Self::RemoteEvents => "take events of 50 rooms from another server",
            Self::Million => "a million messages, to start on afterwards (only when named)",
        }
    }

    /// Prepares and measures.
    pub(crate) async fn run(self, bench: &Bench) -> Result<Vec<Row>> {
        match self {
            Self::Accounts => accounts::run(bench).await,
            Self::Reads => reads::run(bench).await,
            Self::CreateRoom => create_room::run(bench).await,
            Self::Send => send::run(bench).await,
            Self::Delivery => delivery::run(bench).await,
            Self::SyncEmpty => sync_empty::run(bench).await,
            Self::InitialSync => initial_sync::run(bench).await,
            Self::Keys => keys::run(bench).await,
            Self::Messages => messages::run(bench).await,
            Self::Crowd => crowd::run(bench).await,
            Self::ToDevice => to_device::run(bench).await,
            Self::DeviceChanges => device_changes::run(bench).await,
            Self::RemoteJoin => federation::joins(bench).await,
            Self::RemoteEvents => federation::events(bench).await,
            Self::Million => million::run(bench).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own() {
        let mut names: Vec<_> = Scenario::ALL
            .iter()
            .map(|scenario| scenario.name())
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Scenario::ALL.len());
    }
}
