//! Clients that write until the server dies, and remember what it acknowledged.
//!
//! A writer notes an attempt before it sends and the acknowledgement when it has read it, so at a
//! kill at most its last attempt is uncertain.

use super::cell::{self, Marks, Place};
use super::ledger::{Account, Followed, Joined, Ledger, Redaction, Room, Sent};
use super::sessions;
use super::timeline::{self, Sync};
use crate::homeserver::Homeserver;
use crate::wire::{Call, Wire, segment, text};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The password of every account.
pub(crate) const PASSWORD: &str = "a password that survives";

/// Longest time for an answer: a long poll and what it may take on top of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(50);
/// Pause before a request is sent again that the server could not serve.
const AGAIN: Duration = Duration::from_millis(200);

/// What one writer does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Sends messages into each room in turn.
    Send,
    /// Sends a message and redacts it.
    Redact,
    /// Creates rooms.
    CreateRoom,
    /// Registers accounts; each joins a room.
    RegisterAndJoin,
    /// Overwrites one piece of global account data.
    AccountData,
    /// Overwrites its display name.
    Profile,
    /// Overwrites one piece of room state. Needs the creator's power.
    State,
    /// Invites, bans and unbans somebody. Needs the creator's power.
    Moderate,
    /// Leaves a room and joins it again.
    ComeAndGo,
    /// Sends messages and marks them as read.
    Read,
    /// Logs in and out.
    Sessions,
    /// Long-polls `/sync`.
    Follow,
}

/// A writer: its job, whom it writes as, and the rooms of this loop.
pub(crate) struct Writer {
    pub(crate) job: Job,
    pub(crate) label: String,
    pub(crate) account: Account,
    pub(crate) rooms: Vec<String>,
}

impl Writer {
    /// Writes until the connection breaks.
    pub(crate) async fn run(self, mut wire: Wire) -> Ledger {
        let mut ledger = Ledger::default();
        let account = self.account.clone();
        // The connection breaks when the server is killed, which is how every writer ends.
        let ended = match self.job {
            Job::Send => self.send(&mut wire, &mut ledger).await,
            Job::Redact => self.redact(&mut wire, &mut ledger).await,
            Job::CreateRoom => self.create_rooms(&mut wire, &mut ledger).await,
            Job::RegisterAndJoin => self.register_and_join(&mut wire, &mut ledger).await,
            Job::AccountData => {
                cell::count(&mut wire, &mut ledger, Place::AccountData, account).await
            }
            Job::Profile => cell::count(&mut wire, &mut ledger, Place::DisplayName, account).await,
            Job::State => {
                let room_id = self.room(0);
                cell::count(&mut wire, &mut ledger, Place::State { room_id }, account).await
            }
            Job::Moderate => self.moderate(&mut wire, &mut ledger).await,
            Job::ComeAndGo => {
                cell::come_and_go(&mut wire, &mut ledger, &self.room(1), account).await
            }
            Job::Read => self.read(&mut wire, &mut ledger).await,
            Job::Sessions => sessions::open_and_end(&mut wire, &mut ledger, account).await,
            Job::Follow => self.follow(&mut wire, &mut ledger).await,
        };
        if let Err(Stop::Refused(refusal)) = ended {
            ledger.refusals.push(refusal);
        }
        ledger
    }

    fn room(&self, n: usize) -> String {
        self.rooms
            .iter()
            .cycle()
            .nth(n % self.rooms.len().max(1))
            .cloned()
            .unwrap_or_default()
    }

    fn message(&self, n: usize) -> Sent {
        Sent {
            room_id: self.room(n),
            sender: self.account.clone(),
            txn_id: format!("{}-{n}", self.label),
            body: format!("message {n} of {}", self.label),
            event_id: None,
            redaction: Redaction::No,
        }
    }

    async fn send(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        for n in 0.. {
            ledger.sent.push(self.message(n));
            if let Some(sent) = ledger.sent.last_mut() {
                sent.event_id = Some(event_id(&call(wire, send_call(sent)).await?)?);
            }
        }
        Ok(())
    }

    async fn redact(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        for n in 0.. {
            ledger.sent.push(self.message(n));
            let Some(sent) = ledger.sent.last_mut() else {
                continue;
            };
            let event_id = event_id(&call(wire, send_call(sent)).await?)?;
            let path = format!(
                "/_matrix/client/v3/rooms/{}/redact/{}/{}-r",
                segment(&sent.room_id),
                segment(&event_id),
                sent.txn_id
            );
            sent.event_id = Some(event_id);
            sent.redaction = Redaction::Asked;
            let answer = call(wire, Call::put(path, &json!({}))).await?;
            sent.redaction = Redaction::Done(self::event_id(&answer)?);
        }
        Ok(())
    }

    async fn create_rooms(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        for n in 0.. {
            let name = format!("room {n} of {}", self.label);
            ledger
                .rooms
                .push(create_room(wire, &self.account, &name).await?);
        }
        Ok(())
    }

    async fn register_and_join(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        for n in 0.. {
            wire.clear_token();
            let account = register(wire, &format!("{}-{n}", self.label)).await?;
            wire.set_token(&account.token);
            ledger.accounts.push(account.clone());
            let room_id = self.room(n);
            join(wire, &room_id).await?;
            ledger.joins.push(Joined { room_id, account });
        }
        Ok(())
    }

    async fn read(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        let room_id = self.room(0);
        let mut marks = Marks::new(&room_id, &self.account);
        let ended = self.mark_all(wire, ledger, &room_id, &mut marks).await;
        ledger.cells.extend(marks.into_cells());
        ended
    }

    async fn mark_all(
        &self,
        wire: &mut Wire,
        ledger: &mut Ledger,
        room_id: &str,
        marks: &mut Marks,
    ) -> Result<(), Stop> {
        for n in 0.. {
            let mut sent = self.message(n);
            room_id.clone_into(&mut sent.room_id);
            ledger.sent.push(sent);
            let Some(sent) = ledger.sent.last_mut() else {
                continue;
            };
            let event_id = event_id(&call(wire, send_call(sent)).await?)?;
            sent.event_id = Some(event_id.clone());
            marks.read(wire, room_id, &event_id).await?;
        }
        Ok(())
    }

    async fn moderate(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        wire.clear_token();
        let victim = register(wire, &format!("{}-victim", self.label)).await?;
        ledger.accounts.push(victim.clone());
        wire.set_token(&self.account.token);
        let room_id = self.room(1);
        cell::moderate(wire, ledger, &room_id, self.account.clone(), &victim).await
    }

    async fn follow(&self, wire: &mut Wire, ledger: &mut Ledger) -> Result<(), Stop> {
        let account = self.account.clone();
        let mut followed = Followed {
            account,
            since: String::new(),
            seen: Vec::new(),
        };
        let ended = loop {
            match timeline::sync(wire, &followed.since, 30_000).await {
                Ok(Sync { next_batch, events }) => {
                    followed.since = next_batch;
                    followed.seen.extend(events);
                }
                Err(stop) => break stop,
            }
        };
        ledger.followed.push(followed);
        Err(ended)
    }
}

/// Why a writer ended.
pub(crate) enum Stop {
    /// The server is gone.
    Broken,
    /// The server answered something other than 200.
    Refused(String),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(format!("{error:#}"))
    }
}

/// One request whose answer must be a 200 with a JSON body. On a patient connection it is sent
/// again for as long as the server asks for that.
pub(crate) async fn call(wire: &mut Wire, call: Call) -> Result<Value, Stop> {
    loop {
        let answer = timeout(ANSWER_LIMIT, wire.send(call.clone())).await;
        let Ok(reply) = answer else {
            return Err(Stop::Refused(format!("{call:?}: no answer")));
        };
        let reply = reply.map_err(|_broken| Stop::Broken)?;
        match reply.status {
            200 => return Ok(reply.json()?),
            503 if wire.is_patient && reply.has_retry_after => sleep(AGAIN).await,
            status => {
                let body = String::from_utf8_lossy(&reply.body);
                return Err(Stop::Refused(format!("{call:?}: {status} {body}")));
            }
        }
    }
}

/// The request that sends, or sends again, a message.
pub(crate) fn send_call(sent: &Sent) -> Call {
    let path = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
        segment(&sent.room_id),
        sent.txn_id
    );
    Call::put(path, &json!({ "msgtype": "m.text", "body": sent.body }))
}

/// The event id that an answer holds.
pub(crate) fn event_id(answer: &Value) -> Result<String> {
    text(answer, "event_id")
}

/// Registers an account and logs it in.
pub(crate) async fn register(wire: &mut Wire, localpart: &str) -> Result<Account, Stop> {
    let body = json!({
        "username": localpart,
        "password": PASSWORD,
        "auth": { "type": "m.login.dummy" },
    });
    let answer = call(wire, Call::post("/_matrix/client/v3/register", &body)).await?;
    Ok(Account {
        localpart: localpart.to_owned(),
        user_id: text(&answer, "user_id")?,
        token: text(&answer, "access_token")?,
    })
}

/// Creates a public room.
pub(crate) async fn create_room(
    wire: &mut Wire,
    creator: &Account,
    name: &str,
) -> Result<Room, Stop> {
    let body = json!({ "preset": "public_chat", "name": name });
    let answer = call(wire, Call::post("/_matrix/client/v3/createRoom", &body)).await?;
    let room_id = text(&answer, "room_id")?;
    Ok(Room {
        room_id,
        name: name.to_owned(),
        creator: creator.clone(),
    })
}

/// Joins a public room.
pub(crate) async fn join(wire: &mut Wire, room_id: &str) -> Result<(), Stop> {
    let path = format!("/_matrix/client/v3/join/{}", segment(room_id));
    call(wire, Call::post(path, &json!({}))).await.map(drop)
}

/// A connection of `account`.
pub(crate) async fn connect(server: &Homeserver, account: &Account) -> Result<Wire> {
    server
        .wire(account.token.as_str())
        .await
        .context("connecting as a writer")
}
