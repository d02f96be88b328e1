//! Measures what the store's commits and reads cost on the embedded engine, in CPU and wall time:
//! `cargo run --release -p matryx-surrealdb --example measure`.
#![expect(clippy::print_stdout, reason = "the figures go to the terminal")]

use std::{error::Error, fs, sync::Arc};

use futures_util::future::join_all;
use matryx_entity::{
    event::{EventPointer, EventRow},
    key,
    log::LogEntry,
    member::Member,
    position::Position,
    room_no::RoomNo,
};
use matryx_surrealdb::{KeyRange, Plan, Store, StoreConfig};
use ruma::{OwnedUserId, events::room::member::MembershipState};
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rows of one range, users, and repetitions of everything.
const ROWS: i64 = 20;
const USERS: i64 = 200;
const ROUNDS: i64 = 500;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let config = StoreConfig::new(format!("rocksdb://{}", folder.path().join("db").display()));
    let store = Store::open(&config).await?;
    println!("open an empty folder: {:?}", started.elapsed());
    commits(&store).await?;
    fill(&store).await?;
    reads(&store).await?;
    store.close().await;
    Ok(())
}

async fn commits(store: &Store) -> Outcome<()> {
    let mut pos = 0;
    for batch in [1, 4, 16, 64] {
        let rounds = 20.max(ROUNDS / batch);
        let clock = Clock::start()?;
        for _ in 0..rounds {
            let plans: Vec<Plan> = (0..batch)
                .map(|_| {
                    pos += 1;
                    message(1, pos)
                })
                .collect::<Outcome<_>>()?;
            for outcome in join_all(plans.into_iter().map(|plan| store.submit(plan))).await {
                outcome?;
            }
        }
        clock.print(&format!("commit of {batch} messages at once"), rounds)?;
    }
    Ok(())
}

/// As many rows per user as per room, so that both ranges are alike but for their keys.
async fn fill(store: &Store) -> Outcome<()> {
    for number in 0..USERS {
        let user = user(number)?;
        let mut plan = Plan::new();
        for room in 0..ROWS {
            plan.put(&Member {
                user: user.clone(),
                room: RoomNo(room),
                room_id: "!room:example.org".try_into()?,
                membership: MembershipState::Join,
                event_id: "$event".try_into()?,
                sender: user.clone(),
                pos: 1,
                at: Position::default(),
                since: Position::default(),
                spans: vec![(1, MembershipState::Join)],
                forgotten: false,
                stripped_state: None,
            });
            plan.put(&EventPointer {
                event_id: format!("$pointer_{number}_{room}").try_into()?,
                room: RoomNo(number),
                pos: room,
                was_aside: false,
            });
        }
        store.commit(plan).await?;
    }
    Ok(())
}

async fn reads(store: &Store) -> Outcome<()> {
    let clock = Clock::start()?;
    for round in 0..ROUNDS {
        store.get::<EventRow>(&key![1, round % 100 + 1]).await?;
    }
    clock.print("get one event", ROUNDS)?;
    let clock = Clock::start()?;
    for round in 0..ROUNDS {
        store
            .events(RoomNo(1), round % 100 + 1, round % 100 + ROWS)
            .await?;
    }
    clock.print("range of 20 events by number", ROUNDS)?;
    let clock = Clock::start()?;
    for round in 0..ROUNDS {
        let prefix = KeyRange::prefix(&key![user(round % USERS)?.as_str()]);
        store.range::<Member>(prefix).await?;
    }
    clock.print("range of 20 members by user id", ROUNDS)?;
    let clock = Clock::start()?;
    for round in 0..ROUNDS {
        let keys: Vec<_> = (1..=50).map(|nth| key![1, round % 100 + nth]).collect();
        store.get_many::<EventRow>(&keys).await?;
    }
    clock.print("get 50 events by key", ROUNDS)
}

fn user(number: i64) -> Outcome<OwnedUserId> {
    Ok(format!("@user{number:05}:example.org").try_into()?)
}

fn message(room: i64, pos: i64) -> Outcome<Plan> {
    let event_id =
        ruma::OwnedEventId::try_from(format!("$a_message_of_usual_length_{room}_{pos}"))?;
    let mut plan = Plan::new();
    let entry = LogEntry::Event {
        room: RoomNo(room),
        pos,
        txn: None,
        member: None,
        shares: false,
        told: false,
    };
    let at = plan.log_with(entry, Arc::new(pos));
    plan.create_stamped(
        &EventRow {
            room: RoomNo(room),
            pos,
            at: Position::default(),
            event_id: event_id.clone(),
            kind: "m.room.message".to_owned(),
            state_key: None,
            sender: user(1)?,
            ts: 1_700_000_000_000,
            rejected: false,
            soft_failed: false,
            redacted_by: None,
            group: 2,
            head_group: None,
            replaces: None,
            delta: None,
            extremities: vec![event_id.clone()],
            past: None,
            seam: None,
            json: "x".repeat(1000),
        },
        at,
    );
    plan.create(&EventPointer {
        event_id,
        room: RoomNo(room),
        pos,
        was_aside: false,
    });
    Ok(plan)
}

/// CPU time of all threads and wall time since a moment.
struct Clock {
    cpu_micros: u64,
    wall: Instant,
}

impl Clock {
    fn start() -> Outcome<Self> {
        Ok(Self {
            cpu_micros: cpu_micros()?,
            wall: Instant::now(),
        })
    }

    fn print(&self, what: &str, rounds: i64) -> Outcome<()> {
        let rounds = u64::try_from(rounds)?;
        let wall = u64::try_from(self.wall.elapsed().as_micros())? / rounds;
        let cpu = cpu_micros()?.saturating_sub(self.cpu_micros) / rounds;
        println!("{what:34} {cpu:7} µs CPU {wall:7} µs wall");
        Ok(())
    }
}

fn cpu_micros() -> Outcome<u64> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let line = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += line.split(' ').next().unwrap_or("0").parse::<u64>()?;
    }
    Ok(nanos / 1000)
}
