//! Compares a restarted server with the ledger of what it acknowledged before it was killed.

use super::cell::Cell;
use super::check::Checks;
use super::ledger::{Account, Followed, Joined, Ledger, Redaction, Room, Sent};
use super::sessions::{LOGIN, Session};
use super::timeline::{self, Direction, Seen};
use super::writers::{PASSWORD, Stop, call, connect, event_id, send_call};
use crate::homeserver::Homeserver;
use crate::wire::{Call, Wire, segment};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Acknowledged messages per sender whose transaction ids are sent again.
const RESENT_PER_SENDER: usize = 5;

/// A running audit of one loop.
pub(crate) struct Audit<'a> {
    server: &'a Homeserver,
    checks: Checks,
}

impl<'a> Audit<'a> {
    /// Audits everything in `ledger`; unanswered messages gain their event id by being sent again.
    pub(crate) async fn run(server: &'a Homeserver, ledger: &mut Ledger) -> Result<Checks> {
        let mut audit = Self {
            server,
            checks: Checks::default(),
        };
        for refusal in &ledger.refusals {
            audit
                .checks
                .that(false, || format!("a writer was refused: {refusal}"));
        }
        for account in &ledger.accounts {
            audit.account(account).await?;
        }
        for room in &ledger.rooms {
            audit.room(room).await?;
        }
        for joined in &ledger.joins {
            audit.joined(joined).await?;
        }
        for cell in &ledger.cells {
            audit.cell(cell).await?;
        }
        audit.sessions(&ledger.sessions).await?;
        audit.resend(&mut ledger.sent).await?;
        for sent in &ledger.sent {
            audit.sent(sent).await?;
        }
        audit.timelines(&ledger.sent).await?;
        for followed in &ledger.followed {
            audit.followed(followed, &ledger.sent).await?;
        }
        Ok(audit.checks)
    }

    /// Audits only that the messages of `ledger` still stand in their timelines, in order.
    pub(crate) async fn again(server: &'a Homeserver, ledger: &Ledger) -> Result<Checks> {
        let mut audit = Self {
            server,
            checks: Checks::default(),
        };
        audit.timelines(&ledger.sent).await?;
        Ok(audit.checks)
    }

    /// One request as `account`; a refusal is a failed check and gives `None`.
    async fn ask(&mut self, account: &Account, request: Call) -> Result<Option<Value>> {
        let mut wire = connect(self.server, account).await?;
        self.ask_on(&mut wire, request).await
    }

    async fn ask_on(&mut self, wire: &mut Wire, request: Call) -> Result<Option<Value>> {
        let shown = format!("{request:?}");
        let answer = call(wire, request).await;
        self.expect(&shown, answer)
    }

    /// An answer, or a failed check; a broken connection ends the audit.
    fn expect<T>(&mut self, what: &str, answer: Result<T, Stop>) -> Result<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Stop::Refused(refusal)) => {
                self.checks.that(false, || refusal);
                Ok(None)
            }
            Err(Stop::Broken) => anyhow::bail!("the server broke the connection at {what}"),
        }
    }

    /// The session and the password of an account work.
    async fn account(&mut self, account: &Account) -> Result<()> {
        let whoami = Call::get("/_matrix/client/v3/account/whoami");
        let login = json!({
            "type": "m.login.password",
            "identifier": { "type": "m.id.user", "user": account.localpart },
            "password": PASSWORD,
        });
        let login = Call::post(LOGIN, &login);
        let mut wire = connect(self.server, account).await?;
        for request in [whoami, login] {
            if let Some(answer) = self.ask_on(&mut wire, request).await? {
                let found = answer.get("user_id").and_then(Value::as_str);
                self.checks
                    .that(found == Some(account.user_id.as_str()), || {
                        format!("{} is {found:?} after the restart", account.user_id)
                    });
            }
            wire.clear_token();
        }
        Ok(())
    }

    /// A room has its creation, its name and its creator.
    async fn room(&mut self, room: &Room) -> Result<()> {
        let path = format!("/_matrix/client/v3/rooms/{}/state", segment(&room.room_id));
        let Some(state) = self.ask(&room.creator, Call::get(path)).await? else {
            return Ok(());
        };
        let state = state.as_array().map_or(&[][..], Vec::as_slice);
        let creator = room.creator.user_id.as_str();
        let expected = [
            ("m.room.create", "", None),
            ("m.room.name", "", Some(("name", room.name.as_str()))),
            ("m.room.member", creator, Some(("membership", "join"))),
        ];
        for (kind, key, content) in expected {
            let event = state.iter().find(|event| {
                event.get("type").and_then(Value::as_str) == Some(kind)
                    && event.get("state_key").and_then(Value::as_str) == Some(key)
            });
            let holds = event.is_some_and(|event| {
                content.is_none_or(|(name, value)| {
                    let found = event.get("content").and_then(|content| content.get(name));
                    found.and_then(Value::as_str) == Some(value)
                })
            });
            self.checks.that(holds, || {
                format!(
                    "{}: {kind} {key:?} should hold {content:?}: {event:?}",
                    room.room_id
                )
            });
        }
        Ok(())
    }

    /// A member is still joined.
    async fn joined(&mut self, joined: &Joined) -> Result<()> {
        let request = Call::get("/_matrix/client/v3/joined_rooms");
        if let Some(answer) = self.ask(&joined.account, request).await? {
            let rooms = answer.get("joined_rooms").and_then(Value::as_array);
            let holds = rooms.is_some_and(|rooms| {
                rooms
                    .iter()
                    .any(|room| room.as_str() == Some(joined.room_id.as_str()))
            });
            self.checks.that(holds, || {
                format!(
                    "{} is no longer in {}",
                    joined.account.user_id, joined.room_id
                )
            });
        }
        Ok(())
    }

    /// A cell holds what was acknowledged or what was asked last.
    async fn cell(&mut self, cell: &Cell) -> Result<()> {
        if cell.acknowledged.is_none() {
            return Ok(());
        }
        let mut wire = connect(self.server, &cell.owner).await?;
        let found = cell.read(&mut wire).await;
        if let Some(found) = self.expect("reading a cell", found)? {
            self.checks.that(cell.may_hold(found.as_deref()), || {
                format!("the server holds {found:?} for {cell:?}")
            });
        }
        Ok(())
    }

    /// Sessions that were ended are refused and their devices gone; the others work.
    async fn sessions(&mut self, sessions: &[Session]) -> Result<()> {
        let Some(owner) = sessions.first().map(|session| &session.owner) else {
            return Ok(());
        };
        let request = Call::get("/_matrix/client/v3/devices");
        let devices = self.ask(owner, request).await?.unwrap_or_default();
        let devices = devices.get("devices").and_then(Value::as_array);
        let listed: BTreeSet<&str> = devices
            .into_iter()
            .flatten()
            .filter_map(|device| device.get("device_id")?.as_str())
            .collect();
        for session in sessions {
            let mut wire = self.server.wire(session.token.as_str()).await?;
            let whoami = Call::get("/_matrix/client/v3/account/whoami");
            let status = wire.send(whoami).await?.status;
            self.checks.that(session.may_answer(status), || {
                format!("whoami answers {status} for {session:?}")
            });
            let listed = listed.contains(session.device_id.as_str());
            self.checks.that(session.may_be_listed(listed), || {
                format!("the device is listed: {listed}, for {session:?}")
            });
        }
        Ok(())
    }

    /// Sends unanswered messages and the last answered ones of each sender again: an answered one
    /// keeps its event id, an unanswered one has the same id every time.
    async fn resend(&mut self, sent: &mut [Sent]) -> Result<()> {
        let mut resent: BTreeMap<String, usize> = BTreeMap::new();
        for sent in sent.iter_mut().rev() {
            let count = resent.entry(sent.sender.user_id.clone()).or_default();
            if sent.event_id.is_some() && *count >= RESENT_PER_SENDER {
                continue;
            }
            *count += 1;
            for _ in 0..2 {
                let Some(answer) = self.ask(&sent.sender, send_call(sent)).await? else {
                    continue;
                };
                let found = event_id(&answer)?;
                let expected = sent.event_id.get_or_insert_with(|| found.clone()).clone();
                self.checks.that(found == expected, || {
                    format!("transaction {} made {found} after {expected}", sent.txn_id)
                });
            }
        }
        Ok(())
    }

    /// An acknowledged message is there, with its content, or without it where it was redacted.
    async fn sent(&mut self, sent: &Sent) -> Result<()> {
        let Some(event_id) = &sent.event_id else {
            return Ok(());
        };
        let room = segment(&sent.room_id);
        let path = format!(
            "/_matrix/client/v3/rooms/{room}/event/{}",
            segment(event_id)
        );
        let Some(event) = self.ask(&sent.sender, Call::get(path)).await? else {
            return Ok(());
        };
        let body = event.pointer("/content/body").and_then(Value::as_str);
        let because = event
            .pointer("/unsigned/redacted_because/event_id")
            .and_then(Value::as_str);
        let whole = body == Some(sent.body.as_str());
        let holds = match &sent.redaction {
            Redaction::No => whole,
            Redaction::Asked => whole || (body.is_none() && because.is_some()),
            Redaction::Done(redaction) => body.is_none() && because == Some(redaction.as_str()),
        };
        self.checks
            .that(holds, || format!("{sent:?} is now {event}"));
        Ok(())
    }

    /// Each room's timeline read both ways is the same, repeats nothing, and has every message once
    /// and in its sender's order.
    async fn timelines(&mut self, sent: &[Sent]) -> Result<()> {
        let mut rooms: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
        for sent in sent {
            rooms.entry(&sent.room_id).or_default().push(sent);
        }
        for (room_id, sent) in rooms {
            let Some(reader) = sent.first().map(|sent| &sent.sender) else {
                continue;
            };
            let mut wire = connect(self.server, reader).await?;
            let forward = timeline::walk(&mut wire, room_id, Direction::Forward).await;
            let Some(forward) = self.expect(room_id, forward)? else {
                continue;
            };
            let backward = timeline::walk(&mut wire, room_id, Direction::Backward).await;
            let Some(backward) = self.expect(room_id, backward)? else {
                continue;
            };
            self.checks
                .that(forward.iter().eq(backward.iter().rev()), || {
                    format!(
                        "{room_id} has {} events forward, others backward",
                        forward.len()
                    )
                });
            compare(&mut self.checks, room_id, &forward, &sent);
        }
        Ok(())
    }

    /// A client that goes on with its token from before the kill has seen every message of its
    /// rooms once, and nothing that is gone.
    async fn followed(&mut self, followed: &Followed, sent: &[Sent]) -> Result<()> {
        let mut wire = connect(self.server, &followed.account).await?;
        let mut seen = followed.seen.clone();
        let mut since = followed.since.clone();
        loop {
            let step = timeline::sync(&mut wire, &since, 0).await;
            let Some(step) = self.expect("/sync", step)? else {
                return Ok(());
            };
            if step.events.is_empty() {
                break;
            }
            since = step.next_batch;
            seen.extend(step.events);
        }
        let ids: BTreeSet<&str> = seen.iter().map(|(_, event_id)| event_id.as_str()).collect();
        self.checks.that(ids.len() == seen.len(), || {
            format!("/sync repeated {} events", seen.len() - ids.len())
        });
        for sent in sent {
            let Some(event_id) = &sent.event_id else {
                continue;
            };
            self.checks.that(ids.contains(event_id.as_str()), || {
                format!("/sync with a token from before the kill missed {event_id}")
            });
        }
        // What a client was shown before the kill must have been durable.
        for (room_id, event_id) in &followed.seen {
            let room = segment(room_id);
            let path = format!(
                "/_matrix/client/v3/rooms/{room}/event/{}",
                segment(event_id)
            );
            if self.ask_on(&mut wire, Call::get(path)).await?.is_some() {
                self.checks.that(true, String::new);
            }
        }
        Ok(())
    }
}

/// Checks one timeline against the messages that were sent into it.
fn compare(checks: &mut Checks, room_id: &str, timeline: &[Seen], sent: &[&Sent]) {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bodies: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, seen) in timeline.iter().enumerate() {
        let repeated = places.insert(&seen.event_id, place).is_some();
        checks.that(!repeated, || {
            format!("{room_id} shows {} twice", seen.event_id)
        });
        if let Some(body) = &seen.body {
            *bodies.entry(body).or_default() += 1;
        }
    }
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for sent in sent {
        let Some(event_id) = &sent.event_id else {
            continue;
        };
        let place = places.get(event_id.as_str()).copied();
        checks.that(place.is_some(), || {
            format!("{room_id} lost {event_id} ({})", sent.txn_id)
        });
        let copies = bodies.get(sent.body.as_str()).copied().unwrap_or(0);
        checks.that(copies <= 1, || {
            format!("{room_id} has {copies} copies of {}", sent.txn_id)
        });
        if let Some(place) = place {
            let before = last.insert(&sent.sender.user_id, place);
            checks.that(before.is_none_or(|before| before < place), || {
                format!("{room_id} shows {} before an earlier message", sent.txn_id)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(n: usize) -> Sent {
        Sent {
            room_id: "!r".to_owned(),
            sender: Account {
                localpart: "a".to_owned(),
                user_id: "@a:localhost".to_owned(),
                token: String::new(),
            },
            txn_id: format!("t{n}"),
            body: format!("b{n}"),
            event_id: Some(format!("${n}")),
            redaction: Redaction::No,
        }
    }

    fn report(timeline: &[usize]) -> String {
        let seen = |n: &usize| Seen {
            event_id: format!("${n}"),
            body: Some(format!("b{n}")),
        };
        let timeline: Vec<Seen> = timeline.iter().map(seen).collect();
        let sent: Vec<Sent> = [1, 2, 3].map(sent).to_vec();
        let mut checks = Checks::default();
        compare(
            &mut checks,
            "!r",
            &timeline,
            &sent.iter().collect::<Vec<_>>(),
        );
        checks.report()
    }

    #[test]
    fn a_whole_timeline_passes() {
        assert_eq!(report(&[0, 1, 2, 3]), "13 passed, 0 failed");
    }

    #[test]
    fn a_lost_a_doubled_and_a_swapped_message_are_noticed() {
        assert!(report(&[1, 3]).contains("!r lost $2"));
        assert!(report(&[1, 2, 2, 3]).contains("!r shows $2 twice"));
        assert!(report(&[1, 3, 2]).contains("before an earlier message"));
    }
}
