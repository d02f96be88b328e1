//! Single records: written, replaced, removed, read back as they were.

use matryx_entity::{
    device::Device,
    event::EventRow,
    key,
    log::LogEntry,
    member::Member,
    position::Position,
    queued_edu::{QueuedAt, QueuedEdu},
    room::Alias,
    to_device::ToDeviceMessage,
};
use matryx_surrealdb::{KeyRange, LogIndex, Plan, StoreError};
use ruma::{MilliSecondsSinceUnixEpoch, UInt, server_name};

use crate::{
    engine::{Engine, conformance},
    fixture::{alias, event, event_id, logged, member, message, user},
};

conformance! {
    reads_back_what_was_written,
    finds_nothing_where_nothing_is,
    replaces_the_whole_record,
    removes_records,
    keeps_odd_characters_in_keys_and_values,
    keeps_numbers_at_the_edges,
    stamps_records_with_the_position_of_their_log_entry,
    removes_records_past_the_log,
    reads_the_first_of_a_range,
    records_at_positions_have_them_in_their_keys,
    removes_messages_for_devices_that_are_gone,
    tells_when_messages_for_a_server_were_queued,
    a_record_at_a_position_is_made_once,
    the_last_write_of_a_plan_counts,
    refuses_a_record_that_it_cannot_write,
}

async fn reads_back_what_was_written(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    let mut written = event(7, 1);
    written.state_key = Some(String::new());
    written.rejected = true;
    plan.create(&written);
    store.commit(plan).await.unwrap();
    let read: EventRow = store.get(&key![7, 1]).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{written:?}"));
}

async fn finds_nothing_where_nothing_is(engine: Engine) {
    let store = engine.open().await;
    assert!(store.get::<EventRow>(&key![7, 1]).await.unwrap().is_none());
    let many = store
        .get_many::<EventRow>(&[key![7, 1], key![7, 2]])
        .await
        .unwrap();
    assert_eq!(many.iter().filter(|row| row.is_some()).count(), 0);
    assert_eq!(many.len(), 2);
}

async fn replaces_the_whole_record(engine: Engine) {
    let store = engine.open().await;
    let mut row = event(7, 1);
    row.redacted_by = Some(9);
    let mut plan = Plan::new();
    plan.put(&row);
    store.commit(plan).await.unwrap();
    row.redacted_by = None;
    row.soft_failed = true;
    let mut plan = Plan::new();
    plan.put(&row);
    store.commit(plan).await.unwrap();
    let read: EventRow = store.get(&key![7, 1]).await.unwrap().unwrap();
    assert_eq!((read.redacted_by, read.soft_failed), (None, true));
}

async fn removes_records(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&alias("here", 1)).create(&alias("there", 1));
    store.commit(plan).await.unwrap();
    let mut plan = Plan::new();
    plan.delete::<Alias>(&key!["#here:example.org"])
        .delete::<Alias>(&key!["#nowhere:x"]);
    store.commit(plan).await.unwrap();
    assert!(
        store
            .get::<Alias>(&key!["#here:example.org"])
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .get::<Alias>(&key!["#there:example.org"])
            .await
            .unwrap()
            .is_some()
    );
}

async fn keeps_odd_characters_in_keys_and_values(engine: Engine) {
    let store = engine.open().await;
    let odd = [
        "",
        "\0",
        "a\0b",
        "a\0",
        "\u{7f}",
        "`⟩⟨\\`",
        "'\"$x",
        "\u{10ffff}",
        "e\u{301}",
        "\u{fffd}",
        "\u{fdd0}",
        "\u{feff}",
        "🏳\u{200d}🌈",
        "NONE",
        "1",
        "]..[",
    ];
    let mut plan = Plan::new();
    for (pos, text) in odd.iter().enumerate() {
        let row = matryx_entity::state::StateRow {
            room: matryx_entity::room_no::RoomNo(3),
            kind: (*text).to_owned(),
            state_key: format!("{text}{text}"),
            event_id: event_id(3, 1),
            pos: i64::try_from(pos).unwrap(),
            since: 0,
        };
        plan.create(&row);
    }
    store.commit(plan).await.unwrap();
    for (pos, text) in odd.iter().enumerate() {
        let key = key![3, *text, format!("{text}{text}")];
        let row: matryx_entity::state::StateRow = store.get(&key).await.unwrap().unwrap();
        assert_eq!(
            (row.kind.as_str(), row.pos),
            (*text, i64::try_from(pos).unwrap()),
            "{text:?}"
        );
    }
    assert_eq!(
        store
            .state(matryx_entity::room_no::RoomNo(3))
            .await
            .unwrap()
            .len(),
        odd.len()
    );
}

async fn keeps_numbers_at_the_edges(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for pos in [i64::MIN, -1, 0, 1, i64::MAX] {
        let mut row = event(i64::MAX, pos);
        row.ts = pos;
        plan.create(&row);
    }
    store.commit(plan).await.unwrap();
    for pos in [i64::MIN, -1, 0, 1, i64::MAX] {
        let row: EventRow = store.get(&key![i64::MAX, pos]).await.unwrap().unwrap();
        assert_eq!((row.room.0, row.pos, row.ts), (i64::MAX, pos, pos));
    }
}

async fn stamps_records_with_the_position_of_their_log_entry(engine: Engine) {
    let store = engine.open().await;
    store.commit(message(1, 1)).await.unwrap();
    let mut plan = Plan::new();
    plan.log(logged(1, 2));
    let second = plan.log(logged(1, 3));
    let old = Position { node: 1, seq: 1 };
    plan.put_stamped(&member("new", 1, Position::default()), second);
    plan.put_stamped(&member("old", 1, old), second);
    let committed = store.commit(plan).await.unwrap();
    let at = committed.at(second);
    assert_eq!(
        at,
        Position {
            node: store.node(),
            seq: 3
        }
    );
    assert_eq!(committed.last(), Some(at));
    let stamps = async |name| {
        let row: Member = store
            .member(&user(name), matryx_entity::room_no::RoomNo(1))
            .await
            .unwrap()
            .unwrap();
        (row.at, row.since)
    };
    assert_eq!(stamps("new").await, (at, at));
    assert_eq!(stamps("old").await, (at, old));
}

/// A message to a device, and its log entry.
fn to_device(plan: &mut Plan, device: &str, content: &str) -> LogIndex {
    let entry = LogEntry::ToDevice {
        user: user("bob"),
        devices: vec![device.into()],
    };
    let at = plan.log(entry);
    plan.create_at(&message_for(device, content), at);
    at
}

fn message_for(device: &str, content: &str) -> ToDeviceMessage {
    ToDeviceMessage {
        user: user("bob"),
        device_id: device.into(),
        at: Position::default(),
        sender: user("alice"),
        kind: "m.test".to_owned(),
        content: content.to_owned(),
    }
}

async fn records_at_positions_have_them_in_their_keys(engine: Engine) {
    let store = engine.open().await;
    let mut first = Plan::new();
    first.log(logged(1, 1));
    let one = to_device(&mut first, "A", "1");
    let two = to_device(&mut first, "A", "2");
    let other = first.log(LogEntry::QueuedEdu {
        server: server_name!("other.example").to_owned(),
    });
    // One entry may stand for records of several keys and tables.
    first.create_at(&message_for("B", "1"), two);
    first.create_at(
        &QueuedEdu {
            server: server_name!("other.example").to_owned(),
            at: Position::default(),
            queued_ts: None,
            json: "{}".to_owned(),
        },
        other,
    );
    let mut second = Plan::new();
    let three = to_device(&mut second, "A", "3");
    // Both are of one batch as a rule.
    let (first, second) = (store.submit(first), store.submit(second));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let places = [first.at(one), first.at(two), second.at(three)];
    let prefix = ToDeviceMessage::prefix(&user("bob"), "A".into());
    let found: Vec<ToDeviceMessage> = store.range(KeyRange::prefix(&prefix)).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|message| (message.at, message.content.as_str()))
        .collect();
    assert_eq!(
        found,
        [(places[0], "1"), (places[1], "2"), (places[2], "3")]
    );
    let key = |device: &str, at: Position| {
        key![
            user("bob").as_str(),
            device,
            i64::from(at.node),
            i64::try_from(at.seq).unwrap()
        ]
    };
    let found = store.get::<ToDeviceMessage>(&key("B", places[1])).await;
    assert_eq!(found.unwrap().unwrap().at, places[1]);
    let prefix = KeyRange::prefix(&QueuedEdu::prefix(server_name!("other.example")));
    let queued: Vec<QueuedEdu> = store.range(prefix).await.unwrap();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].at, first.at(other));
    let mut plan = Plan::new();
    plan.delete::<ToDeviceMessage>(&key("A", places[0]));
    let four = to_device(&mut plan, "A", "4");
    let four = store.commit(plan).await.unwrap().at(four);
    let range = KeyRange::inclusive(&key("A", places[0]), &key("A", four));
    let found: Vec<ToDeviceMessage> = store.range(range).await.unwrap();
    let found: Vec<_> = found.iter().map(|message| message.at).collect();
    assert_eq!(found, [places[1], places[2], four]);
}

async fn removes_records_past_the_log(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&alias("one", 1)).create(&alias("two", 1));
    plan.create(&alias("three", 1));
    store.commit(plan).await.unwrap();
    store.remove::<Alias>(&[]).await.unwrap();
    let gone = ["#one:example.org", "#nowhere:x", "#two:example.org"];
    let gone = gone.map(|name| key![name]);
    store.remove::<Alias>(&gone).await.unwrap();
    let left: Vec<Alias> = store.range(KeyRange::all()).await.unwrap();
    let left: Vec<_> = left.iter().map(|alias| alias.alias.as_str()).collect();
    assert_eq!(left, ["#three:example.org"]);
}

async fn reads_the_first_of_a_range(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    for pos in 1..=9 {
        plan.create(&event(7, pos));
    }
    plan.create(&event(8, 1));
    store.commit(plan).await.unwrap();
    for (limit, wanted) in [(0, 0), (4, 4), (20, 9)] {
        let range = KeyRange::prefix(&key![7]);
        let found: Vec<EventRow> = store.first_of_range(range, limit).await.unwrap();
        let found: Vec<_> = found.iter().map(|row| row.pos).collect();
        assert_eq!(found, (1..=wanted).collect::<Vec<_>>());
    }
}

async fn removes_messages_for_devices_that_are_gone(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&Device {
        user: user("bob"),
        device_id: "A".into(),
        display_name: None,
        created_ts: MilliSecondsSinceUnixEpoch(UInt::MIN),
        tokens: None,
        previous: None,
    });
    for (device, content) in [("A", "1"), ("B", "2"), ("AB", "3"), ("A", "4")] {
        to_device(&mut plan, device, content);
    }
    store.commit(plan).await.unwrap();
    store.remove_orphaned_messages().await.unwrap();
    let left: Vec<ToDeviceMessage> = store.range(KeyRange::all()).await.unwrap();
    let left: Vec<_> = left.iter().map(|it| it.content.as_str()).collect();
    assert_eq!(left, ["1", "4"]);
}

async fn tells_when_messages_for_a_server_were_queued(engine: Engine) {
    let store = engine.open().await;
    let (here, other) = (server_name!("one.example"), server_name!("one.example.org"));
    let ts = MilliSecondsSinceUnixEpoch(UInt::from(7_u32));
    let mut plan = Plan::new();
    let mut entries = Vec::new();
    for (server, queued_ts) in [(here, None), (other, None), (here, Some(ts))] {
        let server = server.to_owned();
        let at = plan.log(LogEntry::QueuedEdu {
            server: server.clone(),
        });
        let queued = QueuedEdu {
            server,
            at: Position::default(),
            queued_ts,
            json: "{}".to_owned(),
        };
        plan.create_at(&queued, at);
        entries.push(at);
    }
    let committed = store.commit(plan).await.unwrap();
    let queued = |nth: usize, queued_ts| QueuedAt {
        at: committed.at(entries[nth]),
        queued_ts,
    };
    let found = store.queued_edus(here).await.unwrap();
    assert_eq!(found, [queued(0, None), queued(2, Some(ts))]);
}

async fn a_record_at_a_position_is_made_once(engine: Engine) {
    let store = engine.open().await;
    let mut good = Plan::new();
    to_device(&mut good, "A", "good");
    let mut bad = Plan::new();
    let at = to_device(&mut bad, "A", "bad");
    bad.create_at(&message_for("A", "twice"), at);
    let mut last = Plan::new();
    to_device(&mut last, "A", "last");
    let (good, bad, last) = (store.submit(good), store.submit(bad), store.submit(last));
    let (good, bad, last) = (good.await.unwrap(), bad.await, last.await.unwrap());
    assert!(
        matches!(
            bad,
            Err(StoreError::Exists {
                table: "to_device",
                ..
            })
        ),
        "{bad:?}"
    );
    let prefix = ToDeviceMessage::prefix(&user("bob"), "A".into());
    let found: Vec<ToDeviceMessage> = store.range(KeyRange::prefix(&prefix)).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|message| (Some(message.at), message.content.as_str()))
        .collect();
    assert_eq!(found, [(good.last(), "good"), (last.last(), "last")]);
}

async fn the_last_write_of_a_plan_counts(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    let mut row = event(1, 1);
    plan.create(&row);
    row.ts = 5;
    plan.put(&row);
    plan.put(&alias("gone", 1))
        .delete::<Alias>(&key!["#gone:example.org"]);
    store.commit(plan).await.unwrap();
    assert_eq!(
        store
            .get::<EventRow>(&key![1, 1])
            .await
            .unwrap()
            .unwrap()
            .ts,
        5
    );
    assert!(
        store
            .get::<Alias>(&key!["#gone:example.org"])
            .await
            .unwrap()
            .is_none()
    );
    let mut again = Plan::new();
    again.create(&event(1, 1)).put(&event(1, 1));
    assert!(matches!(
        store.commit(again).await,
        Err(StoreError::Exists { table: "event", .. })
    ));
}

async fn refuses_a_record_that_it_cannot_write(engine: Engine) {
    let store = engine.open().await;
    let mut plan = Plan::new();
    plan.create(&matryx_entity::node::Node {
        node: 9,
        epoch: 1,
        horizon: u64::MAX,
    });
    assert!(matches!(
        store.commit(plan).await,
        Err(StoreError::Unencodable { table: "node", .. })
    ));
}
