//! A server in miniature: it writes rooms the way the room domain does, and asks the engine.

mod acts;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use matryx_client::sync::{Attachment, FollowerMode, SyncEngine, SyncOptions, SyncRequest};
use matryx_entity::{
    clock::Clock,
    event::{EventPointer, EventRow},
    log::{ClientTransaction, LogEntry},
    member::Member,
    member_delta::MemberDelta,
    pdu::Pdu,
    position::Position,
    room::{Room, RoomPointer},
    room_no::RoomNo,
    room_snapshot::{RoomSnapshot, SlotChange, membership_of},
    state::{StateGroup, StateRow},
    stretch::FIRST_POS,
    timeline::TimelineEvent,
};
use matryx_surrealdb::{Plan, Store, StoreConfig};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UInt, UserId,
    api::client::{filter::FilterDefinition, sync::sync_events::v3::Response},
    device_id,
    events::TimelineEventType,
    server_name,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) const LOCAL: &str = "local.test";

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        let ms = 1_700_000_000_000 + self.0.load(Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::new(ms).unwrap())
    }
}

/// One room as its writer keeps it.
pub(crate) struct Written {
    pub(crate) snapshot: RoomSnapshot,
    pub(crate) events: Vec<Arc<TimelineEvent>>,
    base: i64,
    length: u16,
}

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) engine: SyncEngine,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) rooms: BTreeMap<RoomNo, Written>,
    pub(crate) members: HashMap<(OwnedUserId, RoomNo), Member>,
    /// Whether commits carry what the engine wants handed over.
    pub(crate) attach: bool,
    stop: CancellationToken,
    next_event: u64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A user of this server.
pub(crate) fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:{LOCAL}")).unwrap()
}

pub(crate) fn options(mode: FollowerMode) -> SyncOptions {
    let mut options = SyncOptions::new(server_name!("local.test").to_owned());
    options.follower = mode;
    options
}

/// What an event is to be.
pub(crate) struct Draft {
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: String,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Value,
    pub(crate) txn: Option<ClientTransaction>,
    pub(crate) soft_failed: bool,
}

impl Draft {
    pub(crate) fn new(sender: &UserId, kind: &str, content: Value) -> Self {
        Self {
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            state_key: None,
            content,
            txn: None,
            soft_failed: false,
        }
    }

    pub(crate) fn state(sender: &UserId, kind: &str, key: &str, content: Value) -> Self {
        Self {
            state_key: Some(key.to_owned()),
            ..Self::new(sender, kind, content)
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(FollowerMode::Both).await
    }

    pub(crate) async fn with(mode: FollowerMode) -> Self {
        let store = Store::open(&StoreConfig::new("mem://")).await.unwrap();
        Self::on(store, options(mode)).await
    }

    pub(crate) async fn on(store: Store, options: SyncOptions) -> Self {
        let clock = Arc::new(TestClock::default());
        let (engine, stop) = start(&store, options, &clock).await;
        Self {
            store,
            engine,
            clock,
            rooms: BTreeMap::new(),
            members: HashMap::new(),
            attach: true,
            stop,
            next_event: 0,
        }
    }

    /// Another engine on the same database, with nothing in memory.
    pub(crate) async fn restart(&mut self, mode: FollowerMode) {
        self.restart_with(options(mode)).await;
    }

    pub(crate) async fn restart_with(&mut self, options: SyncOptions) {
        self.stop.cancel();
        let (engine, stop) = start(&self.store, options, &self.clock).await;
        self.engine = engine;
        self.stop = stop;
    }

    /// A room in which `creator` is joined: create, join, history visibility.
    pub(crate) async fn room(&mut self, creator: &UserId, visibility: &str) -> RoomNo {
        let no = self.store.next_room_no().unwrap();
        let room_id = RoomId::parse(format!("!room{}:{LOCAL}", no.0)).unwrap();
        let mut plan = Plan::new();
        plan.create(&Room {
            no,
            room_id: room_id.clone(),
            version: RoomVersionId::V11,
            entered: FIRST_POS,
        });
        plan.create(&RoomPointer {
            room_id: room_id.clone(),
            no,
        });
        self.store.commit(plan).await.unwrap();
        let written = Written {
            snapshot: RoomSnapshot::empty(no, room_id, RoomVersionId::V11),
            events: Vec::new(),
            base: 0,
            length: 0,
        };
        self.rooms.insert(no, written);
        let create = json!({"room_version": "11"});
        self.add(no, Draft::state(creator, "m.room.create", "", create))
            .await;
        self.join(no, creator).await;
        let content = json!({"history_visibility": visibility});
        let kind = "m.room.history_visibility";
        self.add(no, Draft::state(creator, kind, "", content)).await;
        no
    }

    pub(crate) fn id(&self, room: RoomNo) -> OwnedRoomId {
        self.rooms[&room].snapshot.room_id.clone()
    }

    /// Writes one event with one commit; returns its id.
    pub(crate) async fn add(&mut self, room: RoomNo, draft: Draft) -> String {
        let (plan, event_id) = self.plan(room, draft);
        self.store.commit(plan).await.unwrap();
        event_id
    }

    /// The commit of one event, for those who send it themselves.
    pub(crate) fn plan(&mut self, room: RoomNo, draft: Draft) -> (Plan, String) {
        let mut plan = Plan::new();
        let event_id = self.add_to(&mut plan, room, draft);
        (plan, event_id)
    }

    /// Adds one event to a plan.
    pub(crate) fn add_to(&mut self, plan: &mut Plan, room: RoomNo, draft: Draft) -> String {
        self.next_event += 1;
        let event_id = format!("$event{}", self.next_event);
        let event = self.event(room, &draft, &event_id);
        let written = self.rooms.get_mut(&room).unwrap();
        written.events.push(Arc::clone(&event));
        let slot = event
            .pdu
            .state_kind()
            .zip(event.pdu.state_key())
            .filter(|_| event.is_shown());
        let changes: Vec<_> = slot
            .map(|(kind, key)| SlotChange {
                kind,
                state_key: key.to_owned(),
                event: Some(Arc::clone(&event)),
            })
            .into_iter()
            .collect();
        if !changes.is_empty() {
            write_state(plan, written, &event);
        }
        let delta = MemberDelta::of(&written.snapshot, &changes, event.pos);
        let extremities = vec![event.pdu.event_id().to_owned()];
        let local = server_name!("local.test");
        written
            .snapshot
            .apply(&event, extremities.clone(), changes, local);
        let snapshot = Arc::new(written.snapshot.clone());
        let member = self.member(room, &event);
        let entry = LogEntry::Event {
            room,
            pos: event.pos,
            txn: draft.txn,
            member: member.as_ref().map(|member| member.user.clone()),
            shares: delta.is_some(),
            told: false,
        };
        let at = if self.attach {
            let attachment = Attachment::Event {
                event: Arc::clone(&event),
                snapshot,
                member: member.clone().map(Arc::new),
                delta: delta.clone().map(Arc::new),
            };
            plan.log_with(entry, Arc::new(attachment))
        } else {
            plan.log(entry)
        };
        plan.create_stamped(&row(room, &event, extremities), at);
        plan.create(&EventPointer {
            event_id: event.pdu.event_id().to_owned(),
            room,
            pos: event.pos,
            was_aside: false,
        });
        if let Some(member) = member {
            plan.put_stamped(&member, at);
        }
        if let Some(delta) = delta {
            plan.put_stamped(&delta, at);
        }
        event_id
    }

    fn event(&self, room: RoomNo, draft: &Draft, event_id: &str) -> Arc<TimelineEvent> {
        let snapshot = &self.rooms[&room].snapshot;
        let pos = snapshot.head + 1;
        let mut pdu = json!({
            "auth_events": [],
            "content": draft.content,
            "depth": pos,
            "hashes": {},
            "origin_server_ts": u64::from(self.clock.now().get()),
            "prev_events": [],
            "room_id": snapshot.room_id,
            "sender": draft.sender,
            "signatures": {},
            "type": draft.kind,
        });
        if let Some(key) = &draft.state_key {
            pdu["state_key"] = json!(key);
        }
        let pdu = Pdu::parse(
            event_id.try_into().unwrap(),
            &snapshot.room_id,
            pdu.to_string(),
            false,
        )
        .unwrap();
        let replaces = pdu
            .state_kind()
            .zip(pdu.state_key())
            .and_then(|(kind, key)| snapshot.get(&kind, key))
            .map(|event| event.pos);
        let is_state = draft.state_key.is_some() && !draft.soft_failed;
        Arc::new(TimelineEvent {
            pdu: Arc::new(pdu),
            pos,
            at: OnceLock::new(),
            rejected: false,
            soft_failed: draft.soft_failed,
            redacted_by: None,
            group: if is_state { 2 * pos } else { snapshot.group },
            head_group: None,
            replaces,
            delta: None,
            past: None,
            seam: None,
        })
    }

    fn member(&mut self, room: RoomNo, event: &TimelineEvent) -> Option<Member> {
        if *event.pdu.kind() != TimelineEventType::RoomMember {
            return None;
        }
        let user: OwnedUserId = event.pdu.state_key()?.try_into().ok()?;
        if user.server_name() != LOCAL {
            return None;
        }
        let membership = membership_of(event);
        let place = (user.clone(), room);
        let before = self.members.get(&place);
        let mut spans = before
            .map(|before| before.spans.clone())
            .unwrap_or_default();
        if before.is_none_or(|before| before.membership != membership) {
            spans.push((event.pos, membership.clone()));
        }
        let member = Member {
            user,
            room,
            room_id: self.id(room),
            membership,
            event_id: event.pdu.event_id().to_owned(),
            sender: event.pdu.sender().to_owned(),
            pos: event.pos,
            at: Position::default(),
            since: Position::default(),
            spans,
            forgotten: false,
            stripped_state: None,
        };
        self.members.insert(place, member.clone());
        Some(member)
    }

    /// An initial sync.
    pub(crate) async fn initial(&self, user: &UserId) -> Response {
        self.ask(user, None, |_| {}).await
    }

    /// An incremental sync that does not wait.
    pub(crate) async fn since(&self, user: &UserId, before: &Response) -> Response {
        self.ask(user, Some(before), |_| {}).await
    }

    pub(crate) async fn ask(
        &self,
        user: &UserId,
        since: Option<&Response>,
        change: impl FnOnce(&mut SyncRequest),
    ) -> Response {
        self.engine
            .sync(&request(user, since, change))
            .await
            .unwrap()
    }
}

pub(crate) fn request(
    user: &UserId,
    since: Option<&Response>,
    change: impl FnOnce(&mut SyncRequest),
) -> SyncRequest {
    let mut request = SyncRequest::new(user.to_owned(), Some(device_id!("DEVICE").to_owned()));
    request.since = since.map(|response| response.next_batch.clone());
    change(&mut request);
    request
}

pub(crate) fn filter(filter: Value) -> Arc<FilterDefinition> {
    Arc::new(serde_json::from_value(filter).unwrap())
}

async fn start(
    store: &Store,
    options: SyncOptions,
    clock: &Arc<TestClock>,
) -> (SyncEngine, CancellationToken) {
    let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
    let engine = SyncEngine::open(store.clone(), options, clock)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let follow = {
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { engine.follow(stop).await }
    };
    tokio_util::task::TaskTracker::new().spawn(follow);
    (engine, stop)
}

fn row(room: RoomNo, event: &TimelineEvent, extremities: Vec<ruma::OwnedEventId>) -> EventRow {
    EventRow {
        room,
        pos: event.pos,
        at: Position::default(),
        event_id: event.pdu.event_id().to_owned(),
        kind: event.pdu.kind().to_string(),
        state_key: event.pdu.state_key().map(ToOwned::to_owned),
        sender: event.pdu.sender().to_owned(),
        ts: 0,
        rejected: event.rejected,
        soft_failed: event.soft_failed,
        redacted_by: event.redacted_by,
        group: event.group,
        head_group: None,
        replaces: event.replaces,
        delta: event.delta.clone(),
        extremities,
        past: None,
        seam: None,
        json: event.pdu.json().to_string(),
    }
}

fn write_state(plan: &mut Plan, written: &mut Written, event: &TimelineEvent) {
    let room = written.snapshot.no;
    let kind = event.pdu.kind().to_string();
    let state_key = event.pdu.state_key().unwrap().to_owned();
    let event_id = event.pdu.event_id().to_owned();
    plan.put(&StateRow {
        room,
        kind: kind.clone(),
        state_key: state_key.clone(),
        event_id: event_id.clone(),
        pos: event.pos,
        since: event.pos,
    });
    let prev = written.snapshot.group;
    if prev == 0 {
        written.base = event.group;
    } else {
        written.length += 1;
    }
    plan.create(&StateGroup {
        room,
        group: event.group,
        prev: (prev != 0).then_some(prev),
        base: written.base,
        length: written.length,
        set: vec![(kind, state_key, event_id)],
        unset: Vec::new(),
    });
}
