use std::cmp::Ordering;

use matryx_entity::{
    position::Position,
    room_snapshot::RoomSnapshot,
    token::{EphemeralCursor, InvalidToken, PageToken, SyncToken},
};
use proptest::{collection::btree_map, prelude::*};
use ruma::RoomVersionId;

use crate::world::World;

fn at(node: u16, seq: u64) -> Position {
    Position { node, seq }
}

fn tokens() -> impl Strategy<Value = SyncToken> {
    let seq = prop_oneof![
        1_u64..100,
        1..50_000_000_u64,
        any::<u64>().prop_map(|seq| seq.max(1))
    ];
    let node = prop_oneof![0_u16..20, any::<u16>()];
    let messages = proptest::option::of(proptest::collection::vec(any::<u64>(), 20));
    let seqs = btree_map(node, seq, 0..20);
    (seqs, any::<u16>(), any::<u64>(), messages).prop_map(|(seqs, epoch, counter, messages)| {
        let positions = || seqs.iter().map(|(node, seq)| at(*node, *seq));
        let token = SyncToken::new(positions()).with_ephemeral(EphemeralCursor { epoch, counter });
        match messages {
            None => token,
            Some(back) => {
                let behind = positions().zip(back);
                token.with_messages(behind.map(|(at, back)| Position {
                    seq: at.seq.saturating_sub(back),
                    ..at
                }))
            }
        }
    })
}

proptest! {
    #[test]
    fn a_token_survives_its_text(token in tokens()) {
        let text = token.to_string();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        prop_assert_eq!(text.parse::<SyncToken>(), Ok(token));
    }

    #[test]
    fn any_text_is_a_token_with_that_text_or_refused(text in "s[A-Za-z0-9_-]{0,40}") {
        if let Ok(token) = text.parse::<SyncToken>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }

    #[test]
    fn any_garbage_is_refused_without_a_panic(text in "\\PC{0,60}") {
        if let Ok(token) = text.parse::<PageToken>() {
            prop_assert_eq!(token.to_string(), text);
        }
    }

    #[test]
    fn a_merge_covers_both(left in tokens(), right in tokens()) {
        let mut both = left.clone().with_ephemeral(EphemeralCursor::default());
        both.merge(&right);
        for position in left.positions().chain(right.positions()) {
            prop_assert!(both.covers(position));
        }
        let left = left.with_ephemeral(EphemeralCursor::default());
        prop_assert!(left <= both);
    }

    #[test]
    fn a_page_token_survives_its_text(pos in any::<i64>()) {
        let token = PageToken::Gap(pos);
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }
}

#[test]
fn the_token_of_one_process_is_short() {
    let cursor = EphemeralCursor {
        epoch: 60_000,
        counter: 1_000_000,
    };
    let token = SyncToken::new([at(1, 2_000_000)]).with_ephemeral(cursor);
    assert!(token.to_string().len() < 20, "{token}");
}

#[test]
fn sixteen_processes_fit_in_64_bytes() {
    let cursor = EphemeralCursor {
        epoch: 60_000,
        counter: 1_000_000,
    };
    let seqs = (1..=16).map(|node| at(node, 60_000_000 + u64::from(node)));
    let token = SyncToken::new(seqs).with_ephemeral(cursor);
    assert!(token.to_bytes().len() < 64, "{}", token.to_bytes().len());
}

#[test]
fn a_device_may_have_fewer_messages_than_the_moment() {
    let token = SyncToken::new([at(1, 50), at(2, 9)]);
    assert!(token.has_messages(at(1, 50)) && token.has_messages(at(2, 9)));
    assert!(!token.has_messages(at(1, 51)) && !token.has_messages(at(3, 1)));
    let behind = token.clone().with_messages([at(1, 20), at(3, 4)]);
    assert!(behind.covers(at(1, 50)));
    assert!(behind.has_messages(at(1, 20)) && !behind.has_messages(at(1, 21)));
    assert!(!behind.has_messages(at(2, 1)) && !behind.has_messages(at(3, 1)));
    assert_eq!(behind.to_string().parse(), Ok(behind.clone()));
    assert!(behind < token);
    let nothing = token.clone().with_messages([]);
    assert_eq!(nothing.to_string().parse(), Ok(nothing.clone()));
    assert!(!nothing.has_messages(at(1, 1)) && nothing < behind);
    // What it has in full is not said twice.
    let full = token.clone().with_messages([at(1, 99), at(2, 9)]);
    assert_eq!(full, token);
    // A vector of messages that says nothing, or more than the moment, was never written.
    for bytes in [
        &[0x21, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1][..],
        &[0x21, 1, 1, 0, 1, 1, 1, 1, 0, 2, 2],
        &[0x21, 0, 0],
    ] {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let text = format!("s{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(text.parse::<SyncToken>(), Err(InvalidToken), "{bytes:?}");
    }
}

#[test]
fn tokens_of_before_are_still_good() {
    let tokens = [
        ("sAQEBABWAhB4", SyncToken::new([at(1, 2_000_000)])),
        ("sAQA", SyncToken::start()),
    ];
    for (text, token) in tokens {
        assert_eq!(token.to_string(), text);
        assert_eq!(text.parse(), Ok(token));
    }
}

#[test]
fn refuses_what_it_never_wrote() {
    for text in [
        "",
        "s",
        "t",
        "x",
        "s1",
        "s_",
        "sAA",
        "sAAA",
        "t+1",
        "t01",
        "t-0",
        "t1.5",
        "t 1",
        "t99999999999999999999",
        "s72594_4483_1934",
        "null",
        "sAQ==",
        "sAQA=",
        "sAQAA",
        "sDwA",
    ] {
        assert_eq!(text.parse::<PageToken>(), Err(InvalidToken), "{text}");
    }
    let long = format!("s{}", "A".repeat(1 << 20));
    assert_eq!(long.parse::<SyncToken>(), Err(InvalidToken));
}

#[test]
fn only_moves_forward() {
    let mut token = SyncToken::start();
    assert!(!token.covers(at(1, 1)));
    assert!(token.covers(at(1, 0)));
    token.advance(at(1, 7));
    token.advance(at(1, 5));
    assert_eq!(token.seq(1), 7);
    assert!(token.covers(at(1, 7)));
    assert!(!token.covers(at(1, 8)));
    assert!(!token.covers(at(2, 1)));
    assert_eq!(
        SyncToken::start().to_string().parse(),
        Ok(SyncToken::start())
    );
}

#[test]
fn orders_what_can_be_ordered() {
    let one = SyncToken::new([at(1, 5)]);
    let later = SyncToken::new([at(1, 5), at(2, 1)]);
    let other = SyncToken::new([at(1, 4), at(2, 9)]);
    assert_eq!(one.partial_cmp(&later), Some(Ordering::Less));
    assert_eq!(later.partial_cmp(&one), Some(Ordering::Greater));
    assert_eq!(one.partial_cmp(&one.clone()), Some(Ordering::Equal));
    assert_eq!(later.partial_cmp(&other), None);
    let typed = one.clone().with_ephemeral(EphemeralCursor {
        epoch: 0,
        counter: 1,
    });
    assert!(one < typed);
    let restarted = one.clone().with_ephemeral(EphemeralCursor {
        epoch: 1,
        counter: 0,
    });
    assert_eq!(one.partial_cmp(&restarted), None);
}

#[test]
fn a_page_begins_where_a_moment_ended() {
    let mut world = World::new(&RoomVersionId::V12);
    for number in 0..10 {
        world.message("alice", &number.to_string()).unwrap();
    }
    let room = &world.room;
    // Events are at sequence 10, 20, 30 …
    for (seq, gap) in [(0, 0), (9, 0), (10, 1), (35, 3), (140, 14), (999, 14)] {
        let moment = PageToken::Moment(SyncToken::new([at(1, seq)]));
        assert_eq!(moment.gap(room), Some(gap), "{seq}");
    }
    assert_eq!(PageToken::Gap(4).gap(room), Some(4));

    for number in 0..2 * RoomSnapshot::MAX_RECENT {
        world.message("alice", &number.to_string()).unwrap();
    }
    let early = PageToken::Moment(SyncToken::new([at(1, 35)]));
    assert_eq!(early.gap(&world.room), None);
}
