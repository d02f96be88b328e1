//! The stretches of a room's timeline, and the places that each has.
//!
//! What this server followed has the places 1, 2, 3 …, without a gap. History that is fetched
//! later lies below, in the stretch of the event that it came before: what came before the room's
//! first event here at −1, −2 …, what came before an event with a [`Seam`] in a stretch of its own.
//! So a place once given stays, and both ways through the timeline are ranges: down to an event
//! with a seam, down its stretch, and on below that event.

use serde::{Deserialize, Serialize};

/// Where a room's timeline begins on this server.
pub const FIRST_POS: i64 = 1;

/// The places before the first event: more than any room has.
const FIRST_PLACES: i64 = 1 << 32;

/// The places before an event with a seam, and where those of all begin.
const GAP_PLACES: i64 = 1 << 17;
const GAPS_START: i64 = -(1 << 33);

/// All places below this one are those of events that lie aside.
pub(crate) const TIMELINE_START: i64 = -(1 << 40);

/// Why what came right before an event is not all here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seam {
    /// This server came into the room with it.
    Entry,
    /// Events between what was here and this one were stepped over: nobody gave them, or they were
    /// too many.
    Leap,
}

/// The history before one event, fetched later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stretch(i64);

impl Stretch {
    /// What came before everything that this server followed.
    pub const FIRST: Self = Self(FIRST_POS);

    /// What came before the event at a place; none where there are no places for it.
    pub fn before(pos: i64) -> Option<Self> {
        let stretch = Self(pos);
        let has_places = pos >= FIRST_POS && stretch.lowest() > TIMELINE_START;
        has_places.then_some(stretch)
    }

    /// The stretch that a place lies in; none for what this server followed, and for places that
    /// no timeline has.
    pub fn of(place: i64) -> Option<Self> {
        if (-FIRST_PLACES..0).contains(&place) {
            return Some(Self::FIRST);
        }
        if !(TIMELINE_START + 1..GAPS_START).contains(&place) {
            return None;
        }
        let stretch = Self((GAPS_START - 1 - place) / GAP_PLACES);
        (stretch.0 > FIRST_POS).then_some(stretch)
    }

    /// The stretch that a place lies in, if it is one before an event with a seam.
    pub fn of_gap(place: i64) -> Option<Self> {
        Self::of(place).filter(|stretch| *stretch != Self::FIRST)
    }

    /// The place of the event that comes after it.
    pub fn next_pos(self) -> i64 {
        self.0
    }

    /// Its highest place.
    pub fn top(self) -> i64 {
        if self == Self::FIRST {
            -1
        } else {
            GAPS_START - self.0 * GAP_PLACES - 1
        }
    }

    /// How many places it has.
    pub fn places(self) -> i64 {
        if self == Self::FIRST {
            FIRST_PLACES
        } else {
            GAP_PLACES
        }
    }

    fn lowest(self) -> i64 {
        if self.0 > -(TIMELINE_START / GAP_PLACES) {
            return TIMELINE_START;
        }
        self.top() - self.places() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stretch_has_places_of_its_own() {
        let last = Stretch::before(8_000_000).unwrap();
        let mut lowest = 0;
        for stretch in (1..1_000).filter_map(Stretch::before).chain([last]) {
            assert!(stretch.top() < lowest);
            lowest = stretch.lowest();
            assert!(lowest > TIMELINE_START);
            for place in [stretch.top(), lowest] {
                assert_eq!(Stretch::of(place), Some(stretch));
            }
        }
    }

    #[test]
    fn what_has_no_places_has_no_stretch() {
        for pos in [0, -1, 9_000_000, i64::MAX] {
            assert_eq!(Stretch::before(pos), None, "{pos}");
        }
        for place in [0, 1, i64::MAX, -(1 << 32) - 1, TIMELINE_START, i64::MIN] {
            assert_eq!(Stretch::of(place), None, "{place}");
        }
        // The first two have no seam: the one begins the timeline, the other does not exist.
        assert_eq!(Stretch::of(GAPS_START - 1), None);
        assert_eq!(Stretch::of_gap(-1), None);
    }
}
