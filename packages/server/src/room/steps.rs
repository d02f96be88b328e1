//! The ranges of places that a walk over a timeline reads, one after the other.
//!
//! Pure: it says what to read next and is told how far the walk came.

use ruma::api::Direction;

use super::{visible::Visible, walk::Way};

/// The most places that one walk looks at: for each event that it may gather, and at least.
const LOOKS_PER_EVENT: usize = 10;
const MIN_LOOKS: usize = 2_000;

/// The most places in one range, and the fewest.
const MAX_RANGE: usize = 1_000;
const MIN_RANGE: usize = 16;

/// How a walk goes on.
#[derive(Debug)]
pub(super) struct Steps {
    direction: Direction,
    /// The first and the last place of the walk.
    low: i64,
    high: i64,
    looks_left: usize,
    /// The range that is being looked at.
    range: (i64, i64),
    /// How wide the next range is at least.
    width: usize,
    /// Where the walk stands.
    pub(super) gap: i64,
    /// Is there nothing more to see?
    pub(super) exhausted: bool,
}

impl Steps {
    /// The steps along `way` in a room with this newest place.
    pub(super) fn new(way: Way, head: i64) -> Self {
        let (low, high) = match way.direction {
            Direction::Backward => (way.to.map(next), Some(way.from)),
            Direction::Forward => (Some(next(way.from)), way.to),
        };
        Self {
            direction: way.direction,
            low: low.unwrap_or(way.floor).max(way.floor),
            high: high.unwrap_or(head).min(head),
            looks_left: way.limit.saturating_mul(LOOKS_PER_EVENT).max(MIN_LOOKS),
            range: (0, 0),
            width: MIN_RANGE,
            gap: way.from.clamp(way.floor - 1, head.max(way.floor - 1)),
            exhausted: false,
        }
    }

    /// The next range to read in order to find `wanted` events; none when the walk is over.
    pub(super) fn next(&mut self, visible: &Visible, wanted: usize) -> Option<(i64, i64)> {
        if self.looks_left == 0 {
            return None;
        }
        let width = wanted.max(self.width).min(MAX_RANGE);
        let reach = i64::try_from(width).unwrap_or(i64::MAX) - 1;
        let range = match self.direction {
            Direction::Backward => visible
                .at_or_below(self.gap.min(self.high))
                .filter(|high| *high >= self.low)
                .map(|high| ((high - reach).max(self.low), high)),
            Direction::Forward => visible
                .at_or_above(next(self.gap).max(self.low))
                .filter(|low| *low <= self.high)
                .map(|low| (low, (low + reach).min(self.high))),
        };
        let Some(range) = range else {
            self.exhausted = true;
            self.gap = match self.direction {
                Direction::Backward => self.gap.min(self.low - 1),
                Direction::Forward => self.gap.max(self.high),
            };
            return None;
        };
        // Wider each time, so that a walk over what is not shown takes few queries.
        self.width = (width * 2).min(MAX_RANGE);
        self.looks_left = self.looks_left.saturating_sub(width);
        self.range = range;
        Some(range)
    }

    /// The walk has passed the event at a place.
    pub(super) fn pass(&mut self, pos: i64) {
        self.gap = match self.direction {
            Direction::Backward => pos - 1,
            Direction::Forward => pos,
        };
    }

    /// The walk has passed the whole range.
    pub(super) fn pass_range(&mut self) {
        let (low, high) = self.range;
        self.pass(match self.direction {
            Direction::Backward => low,
            Direction::Forward => high,
        });
    }
}

/// The first place after a gap.
fn next(gap: i64) -> i64 {
    gap.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use matryx_entity::{room_no::RoomNo, room_snapshot::RoomSnapshot};
    use ruma::{RoomVersionId, events::room::history_visibility::HistoryVisibility, room_id};

    use super::*;

    fn everything() -> Visible {
        let mut room =
            RoomSnapshot::empty(RoomNo(1), room_id!("!r:x").to_owned(), RoomVersionId::V11);
        room.visibility
            .push_back((i64::MIN, HistoryVisibility::WorldReadable));
        Visible::of(None, &room)
    }

    fn way(direction: Direction, from: i64, to: Option<i64>, limit: usize) -> Way {
        Way {
            direction,
            from,
            to,
            floor: 1,
            limit,
        }
    }

    #[test]
    fn a_page_reads_no_more_than_it_asks_for_and_a_little() {
        let mut steps = Steps::new(way(Direction::Backward, 5_000, None, 100), 5_000);
        assert_eq!(steps.next(&everything(), 100), Some((4_901, 5_000)));
        let mut steps = Steps::new(way(Direction::Forward, 0, None, 100), 5_000);
        assert_eq!(steps.next(&everything(), 100), Some((1, 100)));
    }

    #[test]
    fn a_walk_ends_at_the_beginning_and_at_the_given_end() {
        let mut steps = Steps::new(way(Direction::Backward, 5, None, 10), 5_000);
        assert_eq!(steps.next(&everything(), 10), Some((1, 5)));
        steps.pass_range();
        assert_eq!(steps.next(&everything(), 10), None);
        assert!(steps.exhausted);
        assert_eq!(steps.gap, 0);
        let mut steps = Steps::new(way(Direction::Forward, 7, Some(9), 10), 5_000);
        assert_eq!(steps.next(&everything(), 10), Some((8, 9)));
    }

    #[test]
    fn a_walk_over_events_that_are_not_shown_is_bounded_and_widens() {
        let visible = everything();
        let mut steps = Steps::new(way(Direction::Backward, 1_000_000, None, 10), 1_000_000);
        let mut looks = 0;
        let mut queries = 0;
        while let Some((low, high)) = steps.next(&visible, 10) {
            looks += high - low + 1;
            queries += 1;
            steps.pass_range();
        }
        assert!(!steps.exhausted, "the client gets a token to go on with");
        assert!(looks <= 3_000, "{looks} places looked at");
        assert!(queries <= 10, "{queries} queries");
        assert_eq!(steps.gap, 1_000_000 - looks);
    }

    #[test]
    fn a_token_from_beyond_the_room_is_taken_as_its_end() {
        let mut steps = Steps::new(way(Direction::Backward, i64::MAX, None, 10), 20);
        assert_eq!(steps.next(&everything(), 10), Some((5, 20)));
        let mut steps = Steps::new(way(Direction::Backward, i64::MIN, None, 10), 20);
        assert_eq!(steps.next(&everything(), 10), None);
        let mut steps = Steps::new(way(Direction::Forward, i64::MAX, Some(i64::MIN), 10), 20);
        assert_eq!(steps.next(&everything(), 10), None);
    }
}
